"""Learning rate schedules: the share of the highest rate, by the share of updates that is done.

Without torch, as the pruning rules use the schedules too.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from facesiam.config import TrialConfig

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: _cosine(done, 1.0, 0.0),
    "onecycle": lambda done: (
        _cosine(done / RISE, 1 / 25, 1.0)
        if done < RISE
        else _cosine((done - RISE) / (1 - RISE), 1.0, 1 / 250_000)
    ),
}
"""Factor of the learning rate after this share of all updates, in [0, 1).

Sources: I. Loshchilov and F. Hutter, "SGDR", ICLR 2017, for one cosine without restarts; L. Smith
and N. Topin, "Super-convergence", 2019, with the numbers of torch.optim.lr_scheduler.OneCycleLR.
"""
RISE = 0.3
"""Share of onecycle in which the learning rate rises."""


def learning_rate(config: TrialConfig, done: float) -> float:
    """Return the learning rate of the update that follows this share of all, in [0, 1)."""
    warm = min(1.0, done / config.warmup) if config.warmup else 1.0
    return config.lr * warm * SCHEDULES[config.schedule](done)


def _cosine(share: float, first: float, last: float) -> float:
    """Return the value at this share of half a cosine from `first` to `last`."""
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
