"""A recorded table of trainings, and the row that stands for a suggested configuration."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata, spearmanr

from facesiam.config import Value
from search.pruning.recorded_runs import Curve, read
from search.space import SearchSpace, load
from search.space.domains import Choice, Domain, active

Settings = dict[str, Value]
Floats = npt.NDArray[np.float64]
LEAST = 0.02
"""Weight of a setting that explains nothing."""


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

    def seed_spread(self) -> float:
        """Return the standard deviation of a configuration's best accuracy between its seeds."""
        of = {curve.id: curve.best() for curve in self.curves}
        gaps = [repeat.best() - of[id] for id, repeat in self.repeats.items() if id in of]
        return math.sqrt(sum(gap**2 for gap in gaps) / 2 / len(gaps)) if gaps else math.nan

    def smoothness(self) -> float:
        """Return Spearman's correlation between each row's best accuracy and its neighbour's.

        1: a row scores as what is nearest to it would; 0: a suggestion says nothing of its row.
        """
        best, near = [], []
        for place, curve in enumerate(self.curves):
            apart = self.distances(curve.settings)
            apart[place] = math.inf
            best.append(curve.best())
            near.append(self.curves[int(apart.argmin())].best())
        return float(spearmanr(best, near).statistic)

    def distances(self, settings: Settings) -> Floats:
        """Return Gower's distance of a configuration from each row, (curves,), from 0 to 1.

        It is the mean over the settings that either side has, weighted by ``weights``, of the
        share of the range that lies between two numbers (on a log scale where the space has one),
        and of 0 or 1 for two words. A setting that one side does not have counts as different.
        """
        here = self._coordinates(settings)
        apart = np.minimum(np.abs(self._rows - here), 1)
        weights = np.array(list(self.weights.values())) * ~(np.isnan(self._rows) & np.isnan(here))
        return np.asarray((weights * np.nan_to_num(apart, nan=1.0)).sum(1) / weights.sum(1))

    @functools.cached_property
    def weights(self) -> dict[str, float]:
        """By setting, the share of the variance of the best accuracy that it explains by itself.

        That is omega squared over its values, of a range over its fifths, and LEAST at least. So
        a suggestion becomes a row with the same learning rate and net rather than one with the
        same augmentation.
        """
        scores = np.array([curve.best() for curve in self.curves])
        names = [name for name, domain in self.space.search.items() if domain.count() != 1]
        return {name: max(LEAST, _explained(self._levels(name), scores)) for name in names}

    def _levels(self, name: str) -> list[str]:
        """Return the value of a setting in each row, of a range the fifth that it lies in."""
        domain = self.space.search[name]
        values = [curve.settings[name] for curve in self.curves]
        if not isinstance(domain, Choice):
            ranks = rankdata(values) - 1
            values = [int(5 * rank / len(values)) for rank in ranks]
        there = [active(domain, curve.settings) for curve in self.curves]
        return [str(value) if at else "" for value, at in zip(values, there, strict=True)]

    @functools.cached_property
    def _rows(self) -> Floats:
        """The rows' coordinates, (curves, settings)."""
        return np.array([self._coordinates(curve.settings) for curve in self.curves])

    def _coordinates(self, settings: Settings) -> Floats:
        """Return where a configuration lies, (settings,); NaN: it has no such setting.

        The range of a number is 1 wide, and two words are 1 or more apart.
        """
        domains = ((name, self.space.search[name]) for name in self.weights)
        return np.array(
            [
                _coordinate(domain, settings[name]) if active(domain, settings) else math.nan
                for name, domain in domains
            ]
        )


def _coordinate(domain: Domain, value: Value) -> float:
    if not isinstance(domain, Choice):
        scale = math.log if domain.log else float
        return (scale(value) - scale(domain.low)) / (scale(domain.high) - scale(domain.low))
    if isinstance(value, str | bool):
        return float(domain.choices.index(value))
    numbers = [float(choice) for choice in domain.choices]
    return (value - min(numbers)) / (max(numbers) - min(numbers))


def load_table(folder: Path) -> Table:
    """Read a table as ``record`` writes it."""
    curves = {curve.id: curve for curve in read(folder)}
    return table_of(load(folder / "space.yaml"), list(curves.values()))


def table_of(space: SearchSpace, curves: Sequence[Curve]) -> Table:
    """Return a table of curves; those whose id ends in -1 repeat another with the second seed."""
    repeats = {curve.id.removesuffix("-1"): curve for curve in curves if curve.id.endswith("-1")}
    first = tuple(curve for curve in curves if not curve.id.endswith("-1"))
    return Table(space, first, repeats)


def _explained(levels: Sequence[str], scores: Floats) -> float:
    """Return omega squared of a grouping: its share of the variance, less what chance has."""
    groups = [scores[[level == each for each in levels]] for level in sorted(set(levels))]
    left = len(scores) - len(groups)
    if len(groups) < 2 or left < 1:
        return 0.0
    between = sum(len(group) * (group.mean() - scores.mean()) ** 2 for group in groups)
    whole = float(((scores - scores.mean()) ** 2).sum())
    error = (whole - between) / left
    return float((between - (len(groups) - 1) * error) / (whole + error)) if whole else 0.0
