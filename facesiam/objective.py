"""The objective of a search: which metric decides, and whether more or less of it is better."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Objective:
    """A metric of an epoch, and the direction in which it is better. NaN is never better.

    Args:
        metric: name of a field of ``EpochMetrics``.
        mode: ``max`` or ``min``.
    """

    metric: str = "val_acc"
    mode: str = "max"

    @property
    def maximizes(self) -> bool:
        """Whether more is better."""
        return self.mode == "max"

    @property
    def worst(self) -> float:
        """The infinity that every score is better than."""
        return -math.inf if self.maximizes else math.inf

    @property
    def unit(self) -> str:
        """What follows a score that ``shown`` returned: `` %`` of an accuracy or a rate."""
        return " %" if self.metric.endswith(("_acc", "_tpr_at_fpr")) else ""

    def shown(self, value: float) -> str:
        """Return a score as people read it: a share in percent, 84.6, others as 0.9114."""
        if self.unit:
            return f"{100 * value:.1f}"
        return f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"

    def noted(self, value: float) -> dict[str, float | str]:
        """Return what a model file says of the score by which its epoch was chosen."""
        return {"metric": self.metric, "mode": self.mode, self.metric: value}

    def key(self, value: float | None) -> float:
        """Return a score as a number of which more is better; applied twice, the score again.

        A missing score, None or NaN, is below all others.
        """
        if value is None or math.isnan(value):
            return -math.inf
        return value if self.maximizes else -value

    def better(self, value: float, than: float | None) -> bool:
        """Whether a score is better than another one, or than none (None or NaN)."""
        if than is None or math.isnan(than):
            return not math.isnan(value)
        return self.key(value) > self.key(than)

    def best_epoch(self, values: Sequence[float]) -> int | None:
        """Return the position of the best score, the first of equals; None where all are NaN."""
        best, top, sign = None, -math.inf, 1.0 if self.maximizes else -1.0
        for position, value in enumerate(values):
            key = sign * value  # NaN is above nothing
            if key > top or (best is None and not math.isnan(key)):
                best, top = position, key
        return best

    def best(self, values: Iterable[float], default: float = math.nan) -> float:
        """Return the best score; ``default`` where there is none."""
        known = list(values)
        epoch = self.best_epoch(known)
        return default if epoch is None else known[epoch]
