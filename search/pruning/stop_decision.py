"""StopDecision: which rule stops a trial, in words and numbers; what the journal has of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

HOPELESS = ("dead", "chance", "diverged")
"""Rules whose trials have learned nothing."""


class StopDecision(NamedTuple):
    """Why a trial is stopped, and the numbers that this rests on; None where they do not apply."""

    rule: str | None
    reason: str | None
    """The sentence that a user reads."""
    epoch: int | None = None
    """The last epoch before the decision, from 0."""
    rung: float | None = None
    """Age at ASHA's rung, in epochs."""
    value: float | None = None
    """The trial's score."""
    cutoff: float | None = None
    """The score below which it is stopped."""
    peers: int | None = None
    """Trials at the rung, or recorded runs behind the odds."""

    def noted(self) -> dict[str, Any]:
        """Return the fields of the journal."""
        return {f"stop_{name}": value for name, value in self._asdict().items()}


PAUSE = StopDecision("paused", "paused at a rung of halving, where other trials come first")
"""The decision that a trial is paused: it keeps its state, and may go on."""


def finite(value: float) -> float | None:
    """Return a number that JSON has: None for NaN and the infinities."""
    return value if math.isfinite(value) else None


def stop_of(known: Mapping[str, Any]) -> StopDecision | None:
    """Return what the journal has of why a trial was stopped; None where no rule did it."""
    if known.get("stop_rule") in (None, "error", "interrupted"):
        return None
    return StopDecision(**{name: known.get(f"stop_{name}") for name in StopDecision._fields})
