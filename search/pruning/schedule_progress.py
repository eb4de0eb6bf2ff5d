"""How far a trial has come on its learning rate's way, which is not how many epochs it has run.

Three clocks, all of them the number of epochs where the rate is constant from the start:

- ``at_full_rate``: epochs, each counted by its share of `lr`. A net moves in proportion to its
  rate, so what needs time to start learning needs this time.
- ``climbed``: the same up to the schedule's highest rate, and every epoch in full from there on.
  Trials that have climbed as far have had the same time to learn.
- the share of the schedule that is done. Where the rate falls, a net that stands still at a high
  rate gains once it is low; only at the same share are two of them alike.
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Mapping
from typing import NamedTuple

from facesiam.config.trial import TrialConfig, Value
from facesiam.training.schedules import learning_rate

PARTS = 2000
"""Pieces that a schedule is summed in."""
SETTLED = 0.1
"""Share of its highest rate from which on a falling one is not expected to bring much more."""


class _Way(NamedTuple):
    """A schedule in PARTS pieces, each told by its middle."""

    rates: tuple[float, ...]
    """Share of `lr`."""
    worked: tuple[float, ...]
    """Sum of the rates up to the end of so many pieces, over PARTS: (PARTS + 1,)."""
    lost: tuple[float, ...]
    """The same, of what rates before the highest lack of it."""
    top: int
    """Piece with the highest rate."""


def family(settings: Mapping[str, Value]) -> str:
    """Return the name of a trial's schedule; one that is not known of is constant."""
    return str(settings.get("schedule", "constant"))


def falls(settings: Mapping[str, Value]) -> bool:
    """Say whether the rate falls in the end, so that what stands still may rise yet."""
    return family(settings) != "constant"


def at_full_rate(settings: Mapping[str, Value], epochs: float, planned: int) -> float:
    """Return how many epochs at the full rate so many of so many planned come to."""
    way = _way_of(settings, planned)
    return float(epochs) if way is None else planned * _between(way.worked, epochs / planned)


def climbed(settings: Mapping[str, Value], epochs: float, planned: int) -> float:
    """Return the number of epochs, those before the highest rate by their share of it."""
    way = _way_of(settings, planned)
    return epochs - (planned * _between(way.lost, epochs / planned) if way else 0.0)


def rate(settings: Mapping[str, Value], epochs: float, planned: int) -> float:
    """Return the share of `lr` that the next update has."""
    way = _way_of(settings, planned)
    return 1.0 if way is None else way.rates[min(PARTS - 1, int(epochs / planned * PARTS))]


def highest_ahead(settings: Mapping[str, Value], epochs: float, planned: int) -> float:
    """Return the highest share of `lr` that an update from here on has."""
    way = _way_of(settings, planned)
    if way is None:
        return 1.0
    return max(way.rates[min(PARTS - 1, int(epochs / planned * PARTS)) :])


def rises(settings: Mapping[str, Value], epochs: float, planned: int) -> bool:
    """Say whether the rate has yet to come to its highest."""
    way = _way_of(settings, planned)
    return way is not None and epochs / planned * PARTS < way.top


def settled(settings: Mapping[str, Value], epochs: float, planned: int) -> bool:
    """Say whether the rate is at its highest for good, or has fallen so far that it is spent."""
    way = _way_of(settings, planned)
    if way is None:
        return True
    if rises(settings, epochs, planned):
        return False
    return not falls(settings) or (rate(settings, epochs, planned) <= SETTLED * way.rates[way.top])


def same_point(
    one: Mapping[str, Value],
    epochs: int,
    planned: int,
    other: Mapping[str, Value],
    others: int,
) -> int:
    """Return after how many epochs another trial of the family was where one is; 1 at least.

    Args:
        one: a trial's settings.
        epochs: that it has run.
        planned: that it would run.
        other: the other's settings.
        others: epochs that the other would run.
    """
    if falls(one):
        found = epochs * others // planned if planned and others else epochs
    elif _way_of(one, planned) is None and _way_of(other, others) is None:
        found = epochs
    else:
        here = climbed(one, epochs, planned) + 1e-9
        ages = [climbed(other, n, others) for n in range(1, max(others, epochs) + 1)]
        found = bisect.bisect_right(ages, here)
    return max(1, found)


def _way_of(settings: Mapping[str, Value], planned: int) -> _Way | None:
    """Return a trial's schedule; None where its rate is constant, or nothing is known of it."""
    schedule, warmup = family(settings), float(settings.get("warmup", 0.0))
    if not planned or (schedule == "constant" and not warmup):
        return None
    return _way(schedule, warmup)


@functools.cache
def _way(schedule: str, warmup: float) -> _Way:
    config = TrialConfig(lr=1.0, schedule=schedule, warmup=warmup)  # type: ignore[arg-type]
    rates = tuple(learning_rate(config, (part + 0.5) / PARTS) for part in range(PARTS))
    top = max(range(PARTS), key=rates.__getitem__)
    worked, lost = [0.0], [0.0]
    for part, share in enumerate(rates):
        worked.append(worked[-1] + share / PARTS)
        lost.append(lost[-1] + (1 - share / rates[top] if part < top else 0.0) / PARTS)
    return _Way(rates, tuple(worked), tuple(lost), top)


def _between(sums: tuple[float, ...], done: float) -> float:
    """Return a sum where this share of the schedule is done, from those at the pieces' ends."""
    place = min(max(done, 0.0), 1.0) * PARTS
    part = min(PARTS - 1, int(place))
    return sums[part] + (place - part) * (sums[part + 1] - sums[part])
