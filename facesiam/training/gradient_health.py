"""Vital signs of a net: the gradient that reaches the trunk, and the units that fire.

They are measured on the steps and the validation pass of the training. Nothing here draws a random
number, and values are fetched from a GPU once an epoch.

A net dies when a layer without a bypass gives 0 for every image: no gradient passes it from then
on, and the two logits differ by the same amount for every pair.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from facesiam.nets.siamese import SiameseNet


class GradientWatch:
    """The gradient that reaches the trunk in one epoch; ``look`` measures that of a step.

    ``updates`` is the number of steps, and set by the caller, as a recorded step runs no Python.
    """

    def __init__(self, trunk: nn.Module, device: torch.device) -> None:
        self.trunk = trunk
        self.largest = torch.zeros((), device=device)  # largest absolute entry so far
        self.zero = torch.zeros((), dtype=torch.int64, device=device)  # steps without any
        self.begin()

    def begin(self) -> None:
        """Begin an epoch."""
        self.weights = [p for p in self.trunk.parameters() if p.requires_grad]
        self.updates = 0
        self.largest.zero_()
        self.zero.zero_()

    def state(self) -> dict[str, Tensor | int]:
        """Return the state within an epoch, for ``load``."""
        return {"updates": self.updates, "largest": self.largest, "zero": self.zero}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take the state of another watch."""
        self.updates = int(state["updates"])
        self.largest.copy_(state["largest"])
        self.zero.copy_(state["zero"])

    @torch.no_grad()
    def look(self) -> None:
        """Note this step's gradient; call it between ``backward`` and ``optimizer.step``.

        ``.grad`` has the gradient of the loss alone: weight decay is added inside the optimizer. A
        parameter without one (its ``.grad`` is None) counts as 0.
        """
        grads = [p.grad for p in self.weights if p.grad is not None]
        largest = _largest(grads) if grads else torch.zeros_like(self.largest)
        self.largest.copy_(torch.maximum(self.largest, largest))  # keeps a NaN
        self.zero += largest == 0

    def report(self) -> dict[str, float]:
        """Return updates, trunk_grad_max and trunk_grad_zero as EpochMetrics explains them."""
        largest, zero = math.nan, math.nan
        if self.weights and self.updates:
            largest, zero = self.largest.item(), self.zero.item() / self.updates
        return {
            "updates": self.updates,
            "trunk_grad_max": largest,
            "trunk_grad_zero": zero,
        }


class LiveUnits:
    """Counts, within its ``with``, the units of ReLUs in trunk and head that fire at all.

    These are every ReLU of the head and, in a trunk that is one chain of layers, its deepest ReLU,
    which all features go through. The hooks are removed after the ``with``.
    """

    def __init__(self, net: SiameseNet) -> None:
        chain = isinstance(net.trunk, nn.Sequential)  # else a ReLU that is off can be gone around
        self.trunk = _relus(net.trunk)[-1:] if chain else []
        self.head = _relus(net.head)
        self.highest: dict[nn.Module, Tensor] = {}  # per ReLU: (units,) highest output so far
        self.hooks: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> LiveUnits:
        self.hooks = [relu.register_forward_hook(self._note) for relu in self.trunk + self.head]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for hook in self.hooks:
            hook.remove()

    def report(self) -> dict[str, float]:
        """Return trunk_live and head_live as EpochMetrics explains them."""
        return {"trunk_live": self._least(self.trunk), "head_live": self._least(self.head)}

    def _note(self, relu: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Take in one batch: (B, C, H, W) or (B, C).

        The reduction is done at once, as a following in-place layer may write into `output`. The
        order of channels-last memory makes the flattening a view: over the strided batch the
        reduction takes thirty times as long on a CPU (8 ms for 64 images of AlexNet, not 0.2 ms).
        """
        highest = output.detach().movedim(1, -1).flatten(1).amax(0)
        before = self.highest.get(relu, highest)
        self.highest[relu] = torch.maximum(before, highest)  # keeps a NaN

    def _least(self, relus: list[nn.Module]) -> float:
        shares = [_share_live(self.highest[relu]) for relu in relus if relu in self.highest]
        return torch.stack(shares).amin().item() if shares else math.nan


def logit_spread(logits: Tensor) -> float:
    """Return the range, over all pairs, of the difference of the two logits.

    It is exactly 0 where all pairs have the same difference, for which a standard deviation would
    round to some 5e-10. NaN if any logit is.

    Args:
        logits: (P, 2) float.
    """
    first, second = logits.double().unbind(1)  # in double, where unequal stays unequal
    difference = first - second  # (P,)
    return (difference.amax() - difference.amin()).item()


def _largest(grads: list[Tensor]) -> Tensor:
    """Return the largest absolute entry of all, (); NaN where one is.

    Without squares, as those of entries below 1e-23 are 0 in float32.
    """
    if grads[0].is_cuda:  # one kernel for all of them
        return torch.nn.utils.get_total_norm(grads, math.inf)
    return torch.stack([g.abs().amax() for g in grads]).amax()  # five times faster on a CPU


def _relus(module: nn.Module) -> list[nn.Module]:
    return [layer for layer in module.modules() if isinstance(layer, nn.ReLU)]


def _share_live(highest: Tensor) -> Tensor:
    """Return the share of units above 0, (units,) → (); NaN where an output was NaN."""
    share = (highest > 0).double().mean()
    return torch.where(highest.isnan().any(), math.nan, share)
