"""The noise of a metric of which no standard error is known, estimated from how it scatters.

A trial's scatter is the standard deviation of what remains of its curve once any straight trend is
taken out: three epochs in a row a, b, c leave (a - 2b + c) / √6, which has the standard deviation
of one epoch where their noise is independent. Its median size over the epochs, divided by that of
a normal variable, does not heed the few epochs of a take-off.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

LEAST = 3
"""Fewest threes of epochs of which the scatter is known."""
MEDIAN = 0.674490
"""Median size of a standard normal variable."""


class Median:
    """The median of numbers that come and go."""

    def __init__(self) -> None:
        self._ordered: list[float] = []

    def __len__(self) -> int:
        return len(self._ordered)

    def add(self, value: float) -> None:
        """Add a number."""
        bisect.insort(self._ordered, value)

    def drop(self, value: float) -> None:
        """Take a number out that was added."""
        del self._ordered[bisect.bisect_left(self._ordered, value)]

    def value(self) -> float:
        """Return the median; NaN of none."""
        count = len(self._ordered)
        if not count:
            return math.nan
        return (self._ordered[(count - 1) // 2] + self._ordered[count // 2]) / 2


class Scatter:
    """The scatter of one trial's metric from epoch to epoch."""

    def __init__(self) -> None:
        self._values: list[float] = []
        self._sizes = Median()

    def update(self, values: Sequence[float]) -> None:
        """Take note of the values of all epochs so far; what is known of them is not read again.

        Args:
            values: one an epoch. As many as before, or fewer: the last ones are run again.
        """
        if len(values) <= len(self._values):
            self._values, self._sizes = [], Median()
        for value in values[len(self._values) :]:
            self._values.append(value)
            size = _bend(self._values[-3:])
            if math.isfinite(size):
                self._sizes.add(size)

    @property
    def deviation(self) -> float:
        """The standard deviation of one epoch; NaN where too few are known."""
        return self._sizes.value() / MEDIAN if len(self._sizes) >= LEAST else math.nan


def _bend(values: Sequence[float]) -> float:
    """Return how far three values are from a straight line; NaN where there are fewer."""
    if len(values) < 3:
        return math.nan
    first, second, third = values
    return abs(first - 2 * second + third) / math.sqrt(6)


class Noise:
    """The scatter of all trials of a search, by contest."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], dict[str, float]] = {}
        self._medians: dict[tuple[str, int], Median] = {}

    def add(self, contest: tuple[str, int], trial: str, deviation: float) -> None:
        """Set the scatter of a trial, in place of what it was; NaN is passed over."""
        if math.isnan(deviation):
            return
        median = self._medians.setdefault(contest, Median())
        known = self._known.setdefault(contest, {})
        if trial in known:
            median.drop(known[trial])
        known[trial] = deviation
        median.add(deviation)

    def typical(self, contest: tuple[str, int]) -> float:
        """Return the median scatter of a contest's trials; NaN where none is known."""
        return self._medians[contest].value() if contest in self._medians else math.nan
