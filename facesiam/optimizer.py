"""Adam over fp32 master weights of a net that computes in bf16, with as little traffic as can be.

Half of a step on a CPU is memory traffic: AlexNet's head has 54 million weights, of which a batch
of 16 needs little arithmetic. What autocast adds to that (each weight read and rounded in the
forward pass, each gradient widened in the backward pass) is saved by keeping the rounded weights,
and large layers are updated as soon as their gradient is there, piece by piece while it is in the
cache. Every value is the one that autocast and torch.optim.Adam(fused=True) give.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

BETAS, EPSILON = (0.9, 0.999), 1e-8
PIECE = 2**20
"""Weights updated at once on a CPU: 4 MiB of widened gradient, most of which stays in the cache.
Smaller pieces are 2 % faster on idle cores, but on busy ones every piece waits for its threads."""


class Slot(NamedTuple):
    """One trainable parameter; all of one shape and layout."""

    weight: Tensor
    """The net's own, in the dtype that it computes in."""
    master: Tensor
    """fp32; the same memory as `weight` where the net computes in fp32."""
    mean: Tensor
    """Running mean of the gradient, fp32."""
    square: Tensor
    """Running mean of its square, fp32."""
    pieces: list[tuple[Tensor, ...]]
    """On a CPU, where the weights are rounded: views of those four, a cacheful each; empty where
    their layout has none."""


class MasterAdam:
    """Adam (Kingma and Ba, 2015), betas 0.9 and 0.999, L2 added to the gradient.

    Args:
        net: in fp32. Its convolutions and linear layers are rounded to `dtype` here, and compute
            in that from now on.
        dtype: float32 or bfloat16.
        lr: learning rate.
        weight_decay: L2 penalty.
        early: part of the net whose parameters are updated within the backward pass, on a CPU.
            Their ``.grad`` is gone after it.
    """

    def __init__(
        self, net: nn.Module, dtype: torch.dtype, lr: float, weight_decay: float = 0.0,
        early: nn.Module | None = None,
    ) -> None:
        self.options: dict[str, Any] = {
            "beta1": BETAS[0], "beta2": BETAS[1], "eps": EPSILON, "lr": lr,
            "weight_decay": weight_decay, "amsgrad": False, "maximize": False,
        }
        self.net = net
        self.masters = {name: p.detach() for name, p in net.named_parameters()}
        compute_in(net, dtype)
        self.slots = {
            p: _slot(p.detach(), master)
            for p, master in zip(net.parameters(), self.masters.values(), strict=True)
            if p.requires_grad
        }
        some = next(iter(self.masters.values()))
        self.coming = torch.ones((), device=some.device)
        """Number of the update that comes next, from 1."""
        if early is not None and some.device.type == "cpu":
            update = weakref.WeakMethod(self._update)  # or the net would never be freed
            for parameter in early.parameters():
                parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                    lambda p: update()(p)  # type: ignore[misc]
                )

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient, and let go of the gradients."""
        waiting = [p for p in self.slots if p.grad is not None]
        if waiting and waiting[0].is_cuda:
            self._update_together(waiting)
        else:
            for parameter in waiting:
                self._update(parameter)
        self.coming += 1

    def weights(self) -> dict[str, Tensor]:
        """Return the net's state dict in full precision; its tensors are not copies."""
        return {**self.net.state_dict(), **self.masters}

    def state(self) -> dict[str, Any]:
        """Return what ``load`` takes, besides ``weights``; its tensors are not copies."""
        names = {p: name for name, p in self.net.named_parameters()}
        return {
            "coming": self.coming,
            "mean": {names[p]: slot.mean for p, slot in self.slots.items()},
            "square": {names[p]: slot.square for p, slot in self.slots.items()},
        }

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Take up what ``weights`` and ``state`` returned for a net of the same shape.

        Raises:
            KeyError, RuntimeError: it is not of this shape.
        """
        self.net.load_state_dict(weights)  # rounds
        for name, master in self.masters.items():
            master.copy_(weights[name])
        for name, parameter in self.net.named_parameters():
            if slot := self.slots.get(parameter):
                slot.mean.copy_(state["mean"][name])
                slot.square.copy_(state["square"][name])
        self.coming.copy_(state["coming"])

    def _update(self, parameter: nn.Parameter) -> None:
        """Update one parameter on a CPU, and let go of its gradient."""
        slot, grad = self.slots[parameter], parameter.grad
        assert grad is not None
        if grad.dtype == slot.master.dtype:
            self._adam([slot.master], [grad], [slot.mean], [slot.square])
        else:
            self._in_pieces(slot, grad)
        parameter.grad = None

    def _in_pieces(self, slot: Slot, grad: Tensor) -> None:
        """Widen the gradient, update the master and round it, a cacheful at a time."""
        if slot.pieces and grad.is_contiguous():
            room = torch.empty(min(PIECE, grad.numel()))
            for piece, (weight, master, mean, square) in zip(
                torch.split(grad.view(-1), PIECE), slot.pieces, strict=True
            ):
                wide = room[: len(piece)].copy_(piece)
                self._adam([master], [wide], [mean], [square])
                weight.copy_(master)
        else:  # a convolution, channels last
            wide = torch.empty_like(slot.master).copy_(grad)
            self._adam([slot.master], [wide], [slot.mean], [slot.square])
            slot.weight.copy_(slot.master)

    def _update_together(self, parameters: list[nn.Parameter]) -> None:
        """Update all parameters in a few kernels, on a GPU."""
        slots = [self.slots[parameter] for parameter in parameters]
        grads = [p.grad for p in parameters if p.grad is not None]
        rounded = [n for n, slot in enumerate(slots) if slot.weight.dtype != slot.master.dtype]
        if rounded:
            wide = [torch.empty_like(slots[n].master) for n in rounded]
            torch._foreach_copy_(wide, [grads[n] for n in rounded])
            for n, grad in zip(rounded, wide, strict=True):
                grads[n] = grad
        masters = [slot.master for slot in slots]
        self._adam(masters, grads, [slot.mean for slot in slots], [s.square for s in slots])
        if rounded:
            torch._foreach_copy_([slots[n].weight for n in rounded], [masters[n] for n in rounded])
        for parameter in parameters:
            parameter.grad = None

    def _adam(
        self, weights: list[Tensor], grads: list[Tensor], means: list[Tensor],
        squares: list[Tensor],
    ) -> None:
        steps = [self.coming] * len(weights)
        torch._fused_adam_(weights, grads, means, squares, [], steps, **self.options)


def _slot(weight: Tensor, master: Tensor) -> Slot:
    mean, square = torch.zeros_like(master), torch.zeros_like(master)
    values, pieces = (weight, master, mean, square), []
    rounded = weight.dtype != master.dtype and not weight.is_cuda
    if rounded and all(value.is_contiguous() for value in values):
        pieces = list(zip(*(torch.split(v.view(-1), PIECE) for v in values), strict=True))
    return Slot(*values, pieces)


def compute_in(net: nn.Module, dtype: torch.dtype) -> None:
    """Round the weights of convolutions and linear layers to `dtype`, in place.

    Those are the layers that autocast runs in bf16. Batch-norm keeps its fp32 parameters and
    takes inputs of either dtype.
    """
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.to(dtype)
