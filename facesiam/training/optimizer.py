"""Optimizers over fp32 master weights of a net that computes in bf16, with little memory traffic.

Half of a step on a CPU is memory traffic: AlexNet's head has 54 million weights, of which a batch
of 16 needs little arithmetic. What autocast adds to that (each weight read and rounded in the
forward pass, each gradient widened in the backward pass) is saved by keeping the rounded weights,
and large layers are updated as soon as their gradient is there, piece by piece while it is in the
cache. Every value is the one that autocast and torch.optim.Adam(fused=True) give; AdamW and SGD
are updated the same way.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from facesiam.config import TrialConfig
from facesiam.nets.precision import compute_in

BETAS, EPSILON = (0.9, 0.999), 1e-8
PIECE = 2**20
"""Weights updated at once on a CPU: 4 MiB of widened gradient, most of which stays in the cache.
Smaller pieces are 2 % faster on idle cores, but on busy ones every piece waits for its threads."""


class ParamState(NamedTuple):
    """One trainable parameter; all of one shape and layout."""

    weight: Tensor
    """The net's own, in the dtype that it computes in."""
    master: Tensor
    """fp32; the same memory as `weight` where the net computes in fp32."""
    moments: tuple[Tensor, ...]
    """fp32: running mean of the gradient and, but for SGD, of its square."""
    rate: float
    """Factor of its learning rate."""
    pieces: list[tuple[Tensor, ...]]
    """On a CPU, where the weights are rounded: views of weight, master and moments, a cacheful
    each; empty where their layout has none."""


MOMENTS = {"adam": ("mean", "square"), "adamw": ("mean", "square"), "sgd": ("mean",)}


class MasterWeightOptimizer:
    """The optimizer of `config`: Adam (Kingma and Ba, 2015), AdamW or SGD with momentum.

    Args:
        net: in fp32. Its convolutions and linear layers are rounded to `dtype` here, and compute
            in that from now on.
        dtype: float32 or bfloat16.
        config: `optimizer`, `lr`, `head_lr`, `weight_decay` and `momentum`.
        trunk: part of the net that learns at `lr`; the rest at `head_lr` times that.
        early: part of the net whose parameters are updated within the backward pass, on a CPU.
            Their ``.grad`` is gone after it.
    """

    def __init__(
        self,
        net: nn.Module,
        dtype: torch.dtype,
        config: TrialConfig,
        trunk: nn.Module | None = None,
        early: nn.Module | None = None,
    ) -> None:
        self.kind = config.optimizer
        self.options: dict[str, Any] = {"weight_decay": config.weight_decay, "maximize": False}
        if self.kind == "sgd":
            # A first step that finds a mean of 0 is the same as torch's, which starts with the
            # gradient: nothing is damped.
            self.options |= {
                "momentum": config.momentum,
                "dampening": 0.0,
                "nesterov": config.momentum > 0,
                "is_first_step": False,
            }
        else:
            self.options |= {
                "beta1": BETAS[0],
                "beta2": BETAS[1],
                "eps": EPSILON,
                "amsgrad": False,
            }
        self.net = net
        self.masters = {name: p.detach() for name, p in net.named_parameters()}
        compute_in(net, dtype)
        slow = set(trunk.parameters()) if trunk is not None else set()
        moments = len(MOMENTS[self.kind])
        self.param_states = {
            p: _param_state(p.detach(), master, moments, 1.0 if p in slow else config.head_lr)
            for p, master in zip(net.parameters(), self.masters.values(), strict=True)
            if p.requires_grad
        }
        some = next(iter(self.masters.values()))
        self.next_step = torch.ones((), device=some.device)
        """Number of the next update, from 1."""
        self.lr: float | Tensor = config.lr
        if some.device.type == "cuda":  # read where a recorded step finds it
            self.lr = torch.tensor(config.lr, device=some.device)
        if early is not None and some.device.type == "cpu":
            update = weakref.WeakMethod(self._update)  # or the net would never be freed
            for parameter in early.parameters():
                parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                    lambda p: update()(p)  # type: ignore[misc]
                )

    def learn_at(self, lr: float) -> None:
        """Set the learning rate."""
        if isinstance(self.lr, Tensor):
            self.lr.fill_(lr)
        else:
            self.lr = lr

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient, and drop the gradients."""
        waiting = [p for p in self.param_states if p.grad is not None]
        if waiting and waiting[0].is_cuda:
            self._update_together(waiting)
        else:
            for parameter in waiting:
                self._update(parameter)
        self.next_step += 1

    def drop_gradients(self) -> None:
        """Drop the gradients of a step without its update."""
        for parameter in self.param_states:
            parameter.grad = None

    def weights(self) -> dict[str, Tensor]:
        """Return the net's state dict in full precision; its tensors are not copies."""
        return {**self.net.state_dict(), **self.masters}

    def state(self) -> dict[str, Any]:
        """Return the state for ``load``, without ``weights``; its tensors are not copies."""
        names = {p: name for name, p in self.net.named_parameters()}
        return {
            "coming": self.next_step,
            **{
                moment: {
                    names[p]: param_state.moments[at]
                    for p, param_state in self.param_states.items()
                }
                for at, moment in enumerate(MOMENTS[self.kind])
            },
        }

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Load what ``weights`` and ``state`` returned for a net of the same shape.

        Raises:
            KeyError, RuntimeError: it is not of this shape.
        """
        self.net.load_state_dict(weights)  # rounds
        for name, master in self.masters.items():
            master.copy_(weights[name])
        for name, parameter in self.net.named_parameters():
            if param_state := self.param_states.get(parameter):
                for moment, values in zip(MOMENTS[self.kind], param_state.moments, strict=True):
                    values.copy_(state[moment][name])
        self.next_step.copy_(state["coming"])

    def _update(self, parameter: nn.Parameter) -> None:
        """Update one parameter on a CPU, and drop its gradient."""
        param_state, grad = self.param_states[parameter], parameter.grad
        assert grad is not None
        if grad.dtype == param_state.master.dtype:
            self._apply([param_state.master], [grad], [param_state.moments], param_state.rate)
        else:
            self._in_pieces(param_state, grad)
        parameter.grad = None

    def _in_pieces(self, param_state: ParamState, grad: Tensor) -> None:
        """Widen the gradient, update the master and round it, a cacheful at a time."""
        if param_state.pieces and grad.is_contiguous():
            room = torch.empty(min(PIECE, grad.numel()))
            for piece, (weight, master, *moments) in zip(
                torch.split(grad.view(-1), PIECE), param_state.pieces, strict=True
            ):
                wide = room[: len(piece)].copy_(piece)
                self._apply([master], [wide], [tuple(moments)], param_state.rate)
                weight.copy_(master)
        else:  # a convolution, channels last
            wide = torch.empty_like(param_state.master).copy_(grad)
            self._apply([param_state.master], [wide], [param_state.moments], param_state.rate)
            param_state.weight.copy_(param_state.master)

    def _update_together(self, parameters: list[nn.Parameter]) -> None:
        """Update all parameters in a few kernels, on a GPU."""
        param_states = [self.param_states[parameter] for parameter in parameters]
        grads = [p.grad for p in parameters if p.grad is not None]
        rounded = [
            n
            for n, param_state in enumerate(param_states)
            if param_state.weight.dtype != param_state.master.dtype
        ]
        if rounded:
            wide = [torch.empty_like(param_states[n].master) for n in rounded]
            torch._foreach_copy_(wide, [grads[n] for n in rounded])
            for n, grad in zip(rounded, wide, strict=True):
                grads[n] = grad
        masters = [param_state.master for param_state in param_states]
        for rate in sorted({param_state.rate for param_state in param_states}):
            of = [n for n, param_state in enumerate(param_states) if param_state.rate == rate]
            self._apply(
                [masters[n] for n in of],
                [grads[n] for n in of],
                [param_states[n].moments for n in of],
                rate,
            )
        if rounded:
            torch._foreach_copy_(
                [param_states[n].weight for n in rounded], [masters[n] for n in rounded]
            )
        for parameter in parameters:
            parameter.grad = None

    def _apply(
        self,
        weights: list[Tensor],
        grads: list[Tensor],
        moments: list[tuple[Tensor, ...]],
        rate: float,
    ) -> None:
        lists = [list(each) for each in zip(*moments, strict=True)]
        if not self.options.get("momentum", 1):
            lists = [[]]  # as torch asks for
        options = {**self.options, "lr": self.lr if rate == 1.0 else self.lr * rate}
        if self.kind == "sgd":
            torch._fused_sgd_(weights, grads, *lists, **options)
        else:
            step: Any = torch._fused_adam_ if self.kind == "adam" else torch._fused_adamw_
            step(weights, grads, *lists, [], [self.next_step] * len(weights), **options)


def _param_state(weight: Tensor, master: Tensor, moments: int, rate: float) -> ParamState:
    means = tuple(torch.zeros_like(master) for _ in range(moments))
    values, pieces = (weight, master, *means), []
    rounded = weight.dtype != master.dtype and not weight.is_cuda
    if rounded and all(value.is_contiguous() for value in values):
        pieces = list(zip(*(torch.split(v.view(-1), PIECE) for v in values), strict=True))
    return ParamState(weight, master, means, rate, pieces)
