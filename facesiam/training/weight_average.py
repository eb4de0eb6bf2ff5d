"""An exponential moving average of a net's weights, which is validated and kept in their place.

What is averaged are the fp32 weights that train, and the running statistics of batch-norm: those
of the averaged net are taken to be the average of the net's. The loss's own weights are not, as
predictions do not need them. Source: B. T. Polyak, A. B. Juditsky, "Acceleration of stochastic
approximation by averaging", SIAM Journal on Control and Optimization 30, 1992, there uniform.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class _Averaged(NamedTuple):
    """One tensor of the net; all of one shape and layout."""

    weight: Tensor
    """The net's own, in the dtype that it computes in."""
    master: Tensor
    """fp32; the same memory as `weight` where the net computes in fp32."""
    average: Tensor
    """fp32."""


class WeightAverage:
    """After each update the average a moves towards the weight w: a ← d·a + (1 - d)·w.

    d is the lower of `decay` and (1 + n) / (10 + n) after n updates, so that the first weights,
    which have learned nothing, are forgotten in short trainings too: the average reaches over the
    last ninth of the updates, until that is more than 1 / (1 - decay).

    It is updated by the host after the step, which a CUDA graph may have replayed: nothing of it
    is recorded. It takes a copy of the weights in memory, and a step one more pass over them.

    Args:
        net: on its device, in the dtype that it computes in.
        masters: its parameters in fp32, by name; updated in place.
        decay: above 0, below 1.
    """

    def __init__(self, net: nn.Module, masters: Mapping[str, Tensor], decay: float) -> None:
        self.decay = decay
        self.updates = 0
        trained = {name: p for name, p in net.named_parameters() if p.requires_grad}
        pairs = {name: (p.detach(), masters[name]) for name, p in trained.items()}
        pairs |= {name: (value, value) for name, value in _statistics(net).items()}
        self._all = {
            name: _Averaged(weight, master, master.clone())
            for name, (weight, master) in pairs.items()
            if not name.startswith("criterion.")
        }

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights of one more update."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages = [each.average for each in self._all.values()]
        masters = [each.master for each in self._all.values()]
        torch._foreach_lerp_(averages, masters, 1 - decay)

    @contextmanager
    def in_net(self) -> Iterator[None]:
        """Within its ``with``, the net has the average for its weights, rounded as they are."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def weights(self) -> dict[str, Tensor]:
        """Return the average by the names of the net's state dict; its tensors are no copies."""
        return {name: each.average for name, each in self._all.items()}

    @property
    def nbytes(self) -> int:
        """Bytes of the average."""
        return sum(each.average.nbytes for each in self._all.values())

    def state(self) -> dict[str, Any]:
        """Return the state for ``load``; its tensors are not copies."""
        return {"updates": self.updates, "weights": self.weights()}

    @torch.no_grad()
    def load(self, state: Mapping[str, Any]) -> None:
        """Load what ``state`` returned for a net of the same shape.

        Raises:
            KeyError, RuntimeError: it is not of this shape.
        """
        self.updates = int(state["updates"])
        for name, each in self._all.items():
            each.average.copy_(state["weights"][name])

    @torch.no_grad()
    def _swap(self) -> None:
        """Swap weights and average; twice gives every bit back."""
        for weight, master, average in self._all.values():
            held = master.clone()
            master.copy_(average)
            average.copy_(held)
            if weight is not master:
                weight.copy_(master)


def _statistics(net: nn.Module) -> dict[str, Tensor]:
    """Return the running means and variances of a net's batch-norms, by name."""
    norms = {
        f"{name}." if name else "": layer
        for name, layer in net.named_modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm)
    }
    return {
        name + kind: value
        for name, layer in norms.items()
        for kind, value in layer.named_buffers(recurse=False)
        if value.is_floating_point()
    }
