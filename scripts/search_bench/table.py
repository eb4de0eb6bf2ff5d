"""A recorded table of trainings, and the row that stands for a suggested configuration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from facesiam.config import Value
from search.pruning.recorded_runs import Curve, read
from search.space import SearchSpace, load
from search.space.domains import Choice, active

Settings = dict[str, Value]


@dataclass(frozen=True)
class Table:
    """The recorded trainings of the configurations of a space."""

    space: SearchSpace
    curves: tuple[Curve, ...]
    """One per configuration, in the order of recording."""
    repeats: dict[str, Curve]
    """By the id of a curve, the training of the same configuration with the second seed."""

    @property
    def epochs(self) -> int:
        """Number of epochs of all curves, repeats not counted."""
        return sum(len(curve.rows) for curve in self.curves)

    @property
    def seconds(self) -> float:
        """Seconds of all curves, one after the other."""
        return sum(row["seconds"] for curve in self.curves for row in curve.rows)

    @property
    def best(self) -> float:
        """The best validation accuracy of any epoch."""
        return max(curve.best() for curve in self.curves)

    def nearest(self, settings: Settings, among: Iterable[Curve]) -> Curve | None:
        """Return the curve nearest to a configuration; of equally near ones the first.

        The distance is Gower's: the mean over the settings that either side has, of the share of
        the range that lies between two numbers (on a log scale where the space has one), and of 0
        or 1 for two words. A setting that one side does not have counts as different.
        """
        return min(among, key=lambda curve: self.distance(settings, curve.settings), default=None)

    def distance(self, one: Settings, other: Settings) -> float:
        """Return Gower's distance of two configurations, from 0 to 1."""
        parts = []
        for name, domain in self.space.search.items():
            if domain.count() == 1:
                continue
            here, there = active(domain, one), active(domain, other)
            if here and there:
                parts.append(self._apart(name, one[name], other[name]))
            elif here or there:
                parts.append(1.0)
        return sum(parts) / len(parts)

    def _apart(self, name: str, one: Value, other: Value) -> float:
        domain = self.space.search[name]
        if isinstance(one, str) or isinstance(other, str) or isinstance(one, bool):
            return float(one != other)
        if isinstance(domain, Choice):
            numbers = [float(value) for value in domain.choices]
            return abs(one - other) / (max(numbers) - min(numbers))
        if domain.log:
            return abs(math.log(one / other)) / math.log(domain.high / domain.low)
        return abs(one - other) / (domain.high - domain.low)


def load_table(folder: Path) -> Table:
    """Read a table as ``record`` writes it."""
    curves = {curve.id: curve for curve in read(folder)}
    return table_of(load(folder / "space.yaml"), list(curves.values()))


def table_of(space: SearchSpace, curves: Sequence[Curve]) -> Table:
    """Return a table of curves; those whose id ends in -1 repeat another with the second seed."""
    repeats = {curve.id.removesuffix("-1"): curve for curve in curves if curve.id.endswith("-1")}
    first = tuple(curve for curve in curves if not curve.id.endswith("-1"))
    return Table(space, first, repeats)
