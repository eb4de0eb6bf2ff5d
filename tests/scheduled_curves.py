"""Recorded curves as if their learning rate had followed a schedule."""

from __future__ import annotations

import math
from dataclasses import replace

from facesiam.config import Value
from search.pruning import schedule_progress
from search.pruning.recorded_runs import Curve

SCHEDULES: list[dict[str, Value]] = [
    {},
    {"warmup": 0.2},
    {"schedule": "cosine"},
    {"schedule": "onecycle"},
    {"schedule": "cosine", "warmup": 0.2},
]


def under(curve: Curve, schedule: dict[str, Value]) -> Curve:
    """The curve of a net that comes, with each epoch, as far as its share of the rate says."""
    settings, planned = curve.settings | schedule, len(curve.rows)
    done = (
        schedule_progress.full_rate_epochs(settings, epochs, planned)
        for epochs in range(1, planned + 1)
    )
    rows = (curve.rows[max(0, math.floor(each + 1e-9) - 1)] for each in done)
    return replace(curve, settings=settings, rows=tuple(rows))
