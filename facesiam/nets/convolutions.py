"""Faster replacements of two library convolutions: the same weights, the same sums."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesiam.nets.depthwise import depthwise_conv2d, is_slow


class BlockConv2d(nn.Conv2d):
    """A strided convolution of few channels, computed over blocks of stride × stride pixels.

    The same sums as nn.Conv2d's, with its parameters: 11×11 over 3 channels at stride 4 becomes
    3×3 over 48 channels at stride 1, the kernel filled up with zeros to whole blocks. Matrix
    units get full tiles that way, where 3 channels leave most of them idle (AlexNet's first
    layer, forward and backward, on AMX: 20 ms and 11 ms).
    """

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (B, C, H, W) → (B, O, H', W') as nn.Conv2d does."""
        block, (height, width) = int(self.stride[0]), input.shape[2:]
        pad, kernel = int(self.padding[0]), self.kernel_size[0]
        reach = -(-kernel // block)  # blocks a side that the kernel touches
        high, wide = ((side + 2 * pad - kernel) // block + reach for side in (height, width))
        # A negative pad cuts off pixels that no kernel reaches.
        edges = (pad, wide * block - width - pad, pad, high * block - height - pad)
        images = F.pad(input, edges).permute(0, 2, 3, 1)  # (B, high·block, wide·block, C)
        images = images.reshape(len(input), high, block, wide, block * input.shape[1])
        images = images.transpose(2, 3).flatten(3).permute(0, 3, 1, 2)
        more = reach * block - kernel
        weight = F.pad(self.weight, (0, more, 0, more))
        weight = weight.reshape(*weight.shape[:2], reach, block, reach, block)
        weight = weight.permute(0, 3, 5, 1, 2, 4).flatten(1, 3)  # (O, block·block·C, reach, reach)
        weight = weight.contiguous(memory_format=torch.channels_last)
        return F.conv2d(images, weight, self.bias)


class PaddedConv2d(nn.Conv2d):
    """A convolution of EfficientNet-lite without the layer before it that pads its images.

    The same sums, with the same weight; but padding apart writes every value once more, forward
    and backward (5×5 depthwise over 672 channels of 7×7, 64 images, 2 cores: 4.8 and 24 ms with
    it, 1.1 and 12 ms without). TensorFlow's padding, which the package follows, puts one pixel
    more at the end where the stride is 2. There both ends get two more than the start had, and the
    first output, which the package does not have, is left out.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        with torch.device("meta"):
            super().__init__(
                conv.in_channels,
                conv.out_channels,
                conv.kernel_size,  # type: ignore[arg-type]
                conv.stride,  # type: ignore[arg-type]
                groups=conv.groups,
                bias=False,
            )
        self.weight = conv.weight
        padding: tuple[int, ...] = getattr(conv.static_padding, "padding", (0, 0))
        self.before, self.after = padding[:2]
        """Pixels of padding at the top and left, and at the bottom and right."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (B, C, H, W) → (B, O, H', W')."""
        stride, groups = self.stride, self.groups
        if groups == self.in_channels and is_slow(input, self.kernel_size, stride):
            step, ends = int(stride[0]), (self.before, self.after)
            return depthwise_conv2d(input, self.weight, step, *ends)
        if self.before == self.after:
            return F.conv2d(input, self.weight, None, stride, self.before, 1, groups)
        step = int(stride[0])
        assert self.after - self.before == 1 and step == 2
        found = F.conv2d(input, self.weight, None, stride, self.before + step, 1, groups)
        high, wide = (
            (side + self.before + self.after - self.kernel_size[0]) // step + 1
            for side in input.shape[2:]
        )
        kept = found[:, :, 1 : 1 + high, 1 : 1 + wide]
        return kept.contiguous(memory_format=torch.channels_last)


def in_blocks(conv: nn.Conv2d) -> nn.Conv2d:
    """Return a convolution of the same sums, in blocks if it has a stride; without values."""
    if conv.stride[0] == 1:
        return conv
    with torch.device("meta"):
        return BlockConv2d(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
        )
