"""Progress of a trial on its learning-rate schedule, which is not the number of its epochs.

Three measures of it; where the rate is constant the first two equal the number of epochs:
``full_rate_epochs`` (epochs weighted by the rate: the time that a net has had to start learning),
``warmup_adjusted`` (only those before the highest rate weighted) and the share of the schedule
that is done (where the rate falls, trials are alike at the same share). docs/pruning.md says which
rule uses which.
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Mapping
from typing import NamedTuple

from facesiam.config import TrialConfig, Value
from facesiam.config.rounding import SLACK
from facesiam.training.schedules import learning_rate

PARTS = 2000
"""Pieces that a schedule is summed in."""
SETTLED = 0.1
"""Share of its highest rate from which on a falling one is not expected to bring much more."""


class _Schedule(NamedTuple):
    """A schedule in PARTS pieces, each with the rate at its middle."""

    rates: tuple[float, ...]
    """Share of `lr`."""
    worked: tuple[float, ...]
    """Sum of the rates up to the end of so many pieces, over PARTS: (PARTS + 1,)."""
    lost: tuple[float, ...]
    """The same sum of what the rates before the highest lack of it."""
    top: int
    """Piece with the highest rate."""


def family(settings: Mapping[str, Value]) -> str:
    """Return the name of a trial's schedule; constant where it is not known."""
    return str(settings.get("schedule", "constant"))


def falls(settings: Mapping[str, Value]) -> bool:
    """Say whether the rate falls in the end, so that a trial that stands still may yet rise."""
    return family(settings) != "constant"


def full_rate_epochs(settings: Mapping[str, Value], epochs: float, planned: int) -> float:
    """Return a number of epochs, each counted by its share of `lr`."""
    pieces = _schedule_of(settings, planned)
    return float(epochs) if pieces is None else planned * _between(pieces.worked, epochs / planned)


def warmup_adjusted(settings: Mapping[str, Value], epochs: float, planned: int) -> float:
    """Return a number of epochs, those before the highest rate counted by their share of it."""
    pieces = _schedule_of(settings, planned)
    return epochs - (planned * _between(pieces.lost, epochs / planned) if pieces else 0.0)


def has_come(age: float, to: float) -> bool:
    """Say whether an age has come to another one.

    It is a sum of shares in a warm-up: 1.9999999999999998 is two epochs.
    """
    return age + SLACK >= to


def rate(settings: Mapping[str, Value], epochs: float, planned: int) -> float:
    """Return the share of `lr` with which the next update is made."""
    pieces = _schedule_of(settings, planned)
    return 1.0 if pieces is None else pieces.rates[min(PARTS - 1, int(epochs / planned * PARTS))]


def highest_ahead(settings: Mapping[str, Value], epochs: float, planned: int) -> float:
    """Return the highest share of `lr` of all updates to come."""
    pieces = _schedule_of(settings, planned)
    if pieces is None:
        return 1.0
    return max(pieces.rates[min(PARTS - 1, int(epochs / planned * PARTS)) :])


def rises(settings: Mapping[str, Value], epochs: float, planned: int) -> bool:
    """Say whether the rate has yet to reach its highest."""
    pieces = _schedule_of(settings, planned)
    return pieces is not None and epochs / planned * PARTS < pieces.top


def settled(settings: Mapping[str, Value], epochs: float, planned: int) -> bool:
    """Say whether the rate stays at its highest, or has fallen to ``SETTLED`` of it."""
    pieces = _schedule_of(settings, planned)
    if pieces is None:
        return True
    if rises(settings, epochs, planned):
        return False
    return not falls(settings) or (
        rate(settings, epochs, planned) <= SETTLED * pieces.rates[pieces.top]
    )


def same_point(
    one: Mapping[str, Value],
    epochs: int,
    planned: int,
    other: Mapping[str, Value],
    others: int,
) -> int:
    """Return the number of epochs, at least 1, after which another trial was at this point.

    Args:
        one: a trial's settings.
        epochs: that it has run.
        planned: that it would run.
        other: the other's settings.
        others: epochs that the other would run.
    """
    if falls(one):
        return max(1, epochs * others // planned if planned and others else epochs)
    if _schedule_of(one, planned) is None and _schedule_of(other, others) is None:
        return max(1, epochs)
    here = warmup_adjusted(one, epochs, planned) + SLACK
    ages = [warmup_adjusted(other, n, others) for n in range(1, max(others, epochs) + 1)]
    return max(1, bisect.bisect_right(ages, here))


def _schedule_of(settings: Mapping[str, Value], planned: int) -> _Schedule | None:
    """Return a trial's schedule; None where its rate is constant, or nothing is known of it."""
    schedule, warmup = family(settings), float(settings.get("warmup", 0.0))
    if not planned or (schedule == "constant" and not warmup):
        return None
    return _pieces(schedule, warmup)


@functools.cache
def _pieces(schedule: str, warmup: float) -> _Schedule:
    config = TrialConfig(lr=1.0, schedule=schedule, warmup=warmup)  # type: ignore[arg-type]
    rates = tuple(learning_rate(config, (part + 0.5) / PARTS) for part in range(PARTS))
    top = max(range(PARTS), key=rates.__getitem__)
    worked, lost = [0.0], [0.0]
    for part, share in enumerate(rates):
        worked.append(worked[-1] + share / PARTS)
        lost.append(lost[-1] + (1 - share / rates[top] if part < top else 0.0) / PARTS)
    return _Schedule(rates, tuple(worked), tuple(lost), top)


def _between(sums: tuple[float, ...], done: float) -> float:
    """Return a sum where this share of the schedule is done, from those at the pieces' ends."""
    place = min(max(done, 0.0), 1.0) * PARTS
    part = min(PARTS - 1, int(place))
    return sums[part] + (place - part) * (sums[part + 1] - sums[part])
