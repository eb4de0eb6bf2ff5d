"""The difference in accuracy of two levels of a setting: three ways to estimate it.

*Matched*: the mean over pairs of trials that differ in that setting only, with Student's interval.
*Model*: the difference in an additive model of all settings that vary, which holds the others.
*Unmatched*: the difference of the two levels' means. The other settings are not held: they are
noise as far as they were drawn independently.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from search.analysis.ablation_base import DEPENDENT
from search.analysis.additive_model import AdditiveModel
from search.analysis.levels import Levels

LEVEL = 0.05
"""Greatest chance that any interval of a family misses what it estimates."""

Floats = NDArray[np.float64]
Way = Literal["matched", "model", "unmatched"]


@dataclass(frozen=True)
class Effect:
    """Accuracy after a change less accuracy before, as a share (0.02: two points)."""

    setting: str
    before: str
    """A level's label. Of three levels or more, the best one's; in an ablation, the base's."""
    after: str
    mean: float
    low: float
    high: float
    """Interval at 95 % for the whole family; NaN where there is none (a single pair)."""
    n: int
    """Matched pairs (in an ablation: seeds that both were run with), or trials: of all levels in
    the model, of the two levels where unmatched."""
    way: Way
    error: float = math.nan
    """Standard error of the mean; NaN where there is none."""
    freedom: int = 0
    """Student's degrees of freedom."""
    family: int = 1
    """Looks whose intervals hold together."""

    @property
    def change(self) -> str:
        """What changes: ``F → T``."""
        return f"{self.before} → {self.after}"

    def among(self, family: int) -> Effect:
        """Return the effect with the interval that it has as one of so many looks."""
        if math.isnan(self.error):
            return self
        half = student(self.freedom, family) * self.error
        low, high = self.mean - half, self.mean + half
        return replace(self, low=low, high=high, family=family)


@dataclass(frozen=True)
class ComparedTrials:
    """What is compared: the trials that count, and the levels that they have."""

    frame: pd.DataFrame
    columns: list[str]
    """What varies among them."""
    levels: Mapping[str, Levels]
    """Of each column."""
    model: AdditiveModel | None
    may_pool: bool
    """Whether trials that differ in other settings too may be compared."""


def student(freedom: int, looks: int) -> float:
    """Return Student's half width, in standard errors, of one of so many looks."""
    return float(stdtrit(freedom, 1 - LEVEL / 2 / looks))


def level_means(data: ComparedTrials, one: Levels) -> Floats:
    """Return the (K,) mean accuracies of the levels; NaN of one that no trial has."""
    accuracy = data.frame["score"].to_numpy(dtype=np.float64)
    here = [accuracy[one.of == level] for level in range(len(one.labels))]
    return np.array([values.mean() if len(values) else math.nan for values in here])


def matched(data: ComparedTrials, setting: str, before: int, after: int) -> Effect | None:
    """Return the mean difference of trials that differ in nothing else."""
    one = data.levels[setting]
    if one.binned:
        return None  # two trials of a bin differ in the setting itself
    labels = np.array([*one.labels, ""])[one.of]  # INACTIVE is the last
    return difference(data, setting, labels, one.labels[before], one.labels[after])


def modelled(data: ComparedTrials, setting: str, before: int, after: int) -> Effect | None:
    """Return the difference in the additive model."""
    found = data.model.difference(setting, before, after) if data.model else None
    if data.model is None or found is None:
        return None
    labels, n = data.levels[setting].labels, len(data.frame)
    mean, error = found
    effect = Effect(setting, labels[before], labels[after], mean, 0, 0, n, "model")
    return replace(effect, error=error, freedom=data.model.freedom).among(1)


def unmatched(data: ComparedTrials, setting: str, before: int, after: int) -> Effect | None:
    """Return the difference of two levels' means, with the variance within all levels."""
    one = data.levels[setting]
    counts = np.array([(one.of == level).sum() for level in range(len(one.labels))])
    freedom = int(counts.sum() - (counts > 0).sum())
    if not data.may_pool or freedom < 1 or not counts[before] or not counts[after]:
        return None
    means, on = level_means(data, one), one.of >= 0
    accuracy = data.frame["score"].to_numpy(dtype=np.float64)
    noise = float(((accuracy[on] - means[one.of[on]]) ** 2).sum()) / freedom
    error = math.sqrt(noise * (1 / counts[before] + 1 / counts[after]))
    mean, n = float(means[after] - means[before]), int(counts[before] + counts[after])
    effect = Effect(setting, one.labels[before], one.labels[after], mean, 0, 0, n, "unmatched")
    return replace(effect, error=error, freedom=freedom).among(1)


def difference(
    data: ComparedTrials, setting: str, labels: NDArray[np.str_], before: str, after: str
) -> Effect | None:
    """Return the mean difference of trials with these labels that are equal in all else."""
    loose = {setting, *DEPENDENT.get(setting, ())}
    held = [name for name in data.columns if name not in loose]
    groups: dict[tuple[Any, ...], dict[str, list[float]]] = {}
    rows = data.frame[[*held, "score"]].itertuples(index=False, name=None)
    for (*equal, score), label in zip(rows, labels, strict=True):
        groups.setdefault(tuple(equal), {}).setdefault(str(label), []).append(score)
    differences = [
        float(np.mean(group[after]) - np.mean(group[before]))
        for group in groups.values()
        if before in group and after in group
    ]
    return _mean_difference(setting, before, after, differences) if differences else None


def _mean_difference(
    setting: str, before: str, after: str, differences: Sequence[float]
) -> Effect:
    """Return the mean of matched pairs' differences, with the interval of a single look."""
    values, n = np.asarray(differences, dtype=np.float64), len(differences)
    nothing = math.nan
    effect = Effect(setting, before, after, float(values.mean()), nothing, nothing, n, "matched")
    if n < 2:
        return effect
    error = float(values.std(ddof=1)) / math.sqrt(n)
    return replace(effect, error=error, freedom=n - 1).among(1)
