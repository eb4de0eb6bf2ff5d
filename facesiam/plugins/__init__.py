"""Plugins: nets, losses and metrics of a user's own, from a Python file outside of this package.

Such a file registers its parts by the decorators ``net``, ``loss`` and ``metric``; commands take
it by ``--plugin FILE``, a space file by ``plugins:``. It is run once a process, by the command and
by every worker, to which its text is sent. docs/plugins.md has an example.
"""

from __future__ import annotations

from collections.abc import Callable

from facesiam.config.metrics import Mode
from facesiam.plugins.registry import HALVES, Made, Scale, register

__all__ = ["loss", "metric", "net"]


def net(name: str, *, scale: Scale = HALVES) -> Callable[[Made], Made]:
    """Register what is decorated as a net: called without arguments, it makes a fresh nn.Module.

    The module takes images (B, 3, S, S) and returns features (B, …), flattened to (B, F); F must
    not depend on S.

    Args:
        name: value of the setting `net`.
        scale: mean and deviation of red, green and blue of inputs in [0, 1] that its weights are
            for; inputs are so scaled where `pretrained`, or with `input_scale: weights`.
    """
    return register("net", name, scale=scale)


def loss(name: str) -> Callable[[Made], Made]:
    """Register what is decorated as a loss of embedding nets, a value of the setting `loss`.

    It is called with the trial's settings (TrialConfig) and the number of training people, and
    makes an nn.Module, whose own parameters train too: unit vectors (B, E) float32 and the number
    of each one's person, (B,) int64 from 0, to the loss, a scalar.
    """
    return register("loss", name)


def metric(name: str, *, mode: Mode = "max") -> Callable[[Made], Made]:
    """Register what is decorated as a metric of every epoch, a column that a search may optimise.

    It is called with the scores of the validation pairs, (P,) float64, higher where the two images
    are more alike, and whether they are of one person, (P,) bool; and returns a number.

    Args:
        name: begins with ``val_``.
        mode: whether more (max) or less (min) of it is better.
    """
    return register("metric", name, mode=mode)
