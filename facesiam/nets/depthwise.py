"""Depthwise convolutions in bf16 whose gradients a CPU computes fast.

oneDNN has a fast gradient of depthwise weights for kernels of up to three columns whose padding is
at most half of their height. It computes a wider kernel as 16×16 channels, 15 of 16 in vain: 97 ms
for 5×5 over 672 channels of 10×10, 64 images, one thread of an EPYC that multiplies in bf16 (22 ms
in fp32). The pieces below take 4 ms. At stride 2 the gradient of bf16 inputs is as slow; fp32 is
not.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def is_slow(input: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> bool:
    """Return whether ``depthwise_conv2d`` is worth it for this input."""
    slow = input.device.type == "cpu" and input.dtype == torch.bfloat16
    return slow and torch.is_grad_enabled() and (kernel[1] > 3 or stride[0] == 2)


def depthwise_conv2d(
    input: Tensor, weight: Tensor, stride: int, before: int, after: int
) -> Tensor:
    """Convolve each channel by itself: (B, C, H, W) and (C, 1, k, k) → (B, C, H', W').

    Args:
        input: channels last.
        weight: with an odd k, of 5 at most where the stride is 2.
        stride: 1 or 2.
        before: rows and columns of zeros at the top and left.
        after: the same at the bottom and right: as many, or one more where the stride is 2.
    """
    found: Tensor = _Depthwise.apply(input, weight, stride, before, after)
    return found


class _Depthwise(torch.autograd.Function):
    """``depthwise_conv2d``, with ends padded evenly: a kernel may begin with a row of zeros."""

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor, stride: int, before: int, after: int
    ) -> Tensor:
        """Return the output, as ``depthwise_conv2d`` does, and keep what the gradients need."""
        more = after - before
        ctx.save_for_backward(input, weight)
        ctx.stride, ctx.before, ctx.pad, ctx.more = stride, before, after, more
        whole = F.pad(weight, (more, 0, more, 0))
        return F.conv2d(input, whole, None, stride, after, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of input and weight, in their shapes, from the output's.

        None stands for the numbers, and for what needs no gradient.
        """
        input, weight = ctx.saved_tensors
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        of_input = of_weight = None
        if ctx.needs_input_grad[0]:
            whole = F.pad(weight, (ctx.more, 0, ctx.more, 0))
            of_input = _input_gradient(grad, input, whole, ctx.stride, ctx.pad)
        if ctx.needs_input_grad[1] and ctx.stride == 1:
            of_weight = _weight_gradient(grad, input, weight.shape[3])
        elif ctx.needs_input_grad[1]:
            of_weight = _weight_gradient_at_2(grad, input, weight.shape[3], ctx.before, ctx.more)
        return of_input, of_weight, None, None, None


def _input_gradient(grad: Tensor, input: Tensor, weight: Tensor, stride: int, pad: int) -> Tensor:
    """Return the gradient of the input; at stride 2 by way of fp32."""
    wide = torch.float32 if stride == 2 else input.dtype
    like = torch.empty_like(input, dtype=wide)  # of which the shape counts
    found: Tensor = _gradients(
        grad.to(wide), like, weight.to(wide), (stride, stride), (pad, pad), [True, False, False]
    )[0]
    return found.to(input.dtype)


def _weight_gradient(grad: Tensor, input: Tensor, size: int) -> Tensor:
    """Return the gradient of the weights at stride 1, (C, 1, size, size).

    Where each t-th column of the images is put beside its neighbours, as channels, columns that
    are t apart are next to each other: three columns of the kernel come from each t.
    """
    middle, columns = size // 2, [grad] * size
    for apart in range(1, middle + 1):
        left, centre, right = _thin_gradient(
            _interleaved(grad, apart), _interleaved(input, apart), size, (1, 1), middle
        )
        columns[middle - apart], columns[middle + apart] = (
            part.reshape(apart, -1, 1, size).sum(0) for part in (left, right)
        )
        if apart == 1:
            columns[middle] = centre
    return torch.stack(columns, 3).to(input.dtype)


def _weight_gradient_at_2(
    grad: Tensor, input: Tensor, size: int, before: int, more: int
) -> Tensor:
    """Return the gradient of the weights at stride 2, (C, 1, size, size).

    Even and odd columns of the images, as channels of their own, are met at stride 1.
    """
    both = _interleaved(input, 2)
    if apart := both.shape[3] - grad.shape[3]:  # an odd width padded as an even one
        grad = F.pad(grad, (0, apart))
    twice = torch.cat([grad, grad], 1).contiguous(memory_format=torch.channels_last)
    found = _thin_gradient(twice, both, size + more, (2, 1), before + more)
    thin = [part[:, :, more:].reshape(2, -1, 1, size) for part in found]  # (2, C, 1, size) each
    columns = [divmod(column - before, 2) for column in range(size)]
    return torch.stack([thin[at + 1][odd] for at, odd in columns], 3).to(input.dtype)


def _interleaved(images: Tensor, by: int) -> Tensor:
    """Return (B, C, H, W) as (B, by · C, H, W / by), where W is filled up with zeros.

    Channel c of column x becomes channel (x mod by) · C + c of column x / by; memory that is
    channels-last stays as it is.
    """
    images = F.pad(images, (0, -images.shape[3] % by)) if images.shape[3] % by else images
    lines = images.permute(0, 2, 3, 1)
    return lines.reshape(*lines.shape[:2], lines.shape[2] // by, -1).permute(0, 3, 1, 2)


def _thin_gradient(
    grad: Tensor, input: Tensor, rows: int, stride: tuple[int, int], pad: int
) -> tuple[Tensor, ...]:
    """Return the columns of the gradient of a kernel of three columns, (C, 1, rows) fp32 each."""
    weight = input.new_empty(input.shape[1], 1, rows, 3)
    found: Tensor = _gradients(grad, input, weight, stride, (pad, 1), [False, True, False])[1]
    return found.float().unbind(3)


def _gradients(
    grad: Tensor,
    input: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    pad: tuple[int, int],
    wanted: list[bool],
) -> Any:
    """Return what torch computes as the gradients of input, weight and bias."""
    groups = input.shape[1]
    return torch.ops.aten.convolution_backward(
        grad, input, weight, None, stride, pad, (1, 1), False, (0, 0), groups, wanted
    )
