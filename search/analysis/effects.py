"""The effect of a setting: the difference that it makes in best validation accuracy, with n.

It is estimated in one of two ways, which every effect names. *Matched pairs*: the mean difference
of trials that differ in that setting only, with Student's interval. Where a search has no such
pairs (TPE drawing a continuous lr), a *linear model* of accuracy on all settings that vary: its
coefficient is the difference with the others held, as far as they act additively.

An ablation, one trial and changes of one setting of it, is recognised: each change is compared
with that trial, seed by seed, and with nothing else.

The intervals are simultaneous: with a chance of 95 % or more all k of them cover what they
estimate (Bonferroni: each is one of 1 - 0.05 / k, whatever the dependence between the comparisons;
those of an ablation share the best trial). The comparisons of seeds are a family of their own:
they show the spread due to the seed alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from facesiam.config import SETTINGS
from search.analysis.formatting import shown_value

LADDER = 6
"""A numeric setting with more distinct values is treated as continuous: its slope is fitted."""
ALL_PAIRS = 3
"""Up to this many values each pair of them is compared. Of more, each number with the next one,
and each word with the one whose trials are the best on average."""
LEVEL = 0.05
"""Greatest chance that any interval of a family misses what it estimates."""
REPEATS = "seed"
"""The setting whose change repeats a trial."""
DEPENDENT = {"pretrained": ("freeze_batchnorm",)}
"""Settings that cannot stay as they were when another one changes; they are not held equal."""
BEST_ROW = r"best-s\d+"
"""The names that ``search.tuning.ablation`` gives to the trial that it changes."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """Accuracy after a change less accuracy before, as a share (0.02: two points)."""

    setting: str
    change: str
    """``F → T``; for a slope, ``×10`` on a logarithmic scale, and the range on a linear one."""
    mean: float
    low: float
    high: float
    """Interval at 95 % for the whole family; NaN where there is none (a single comparison)."""
    n: int
    """Matched pairs (in an ablation: seeds that both were run with) or trials (linear model)."""
    fitted: bool
    """From the linear model."""
    error: float = math.nan
    """Standard error of the mean; NaN where there is none."""
    freedom: int = 0
    """Student's degrees of freedom."""
    family: int = 1
    """Comparisons whose intervals hold together."""

    def among(self, family: int) -> Effect:
        """Return the effect with the interval that it has as one of so many comparisons."""
        if math.isnan(self.error):
            return self
        half = _student(self.freedom, family) * self.error
        low, high = self.mean - half, self.mean + half
        return replace(self, low=low, high=high, family=family)


def effects(trials: pd.DataFrame, names: Iterable[str], log: Collection[str]) -> list[Effect]:
    """Return the effects of every setting that varies among trials.

    Args:
        trials: a row per trial with val_acc in [0, 1] (NaN is left out) and a column per name.
        names: the settings, and whatever else must be equal for two trials to be comparable.
        log: numeric settings that act on a logarithmic scale.
    """
    trials = _effective(trials[trials["val_acc"].notna()]) if len(trials) else trials
    columns = [name for name in names if name in trials and trials[name].nunique() > 1]
    base = ablation_base(trials, columns)
    found: list[Effect] = []
    model: dict[str, list[Effect]] | None = None
    for setting in (name for name in columns if name in SETTINGS):
        if base is not None and setting != REPEATS:
            found += _changes(trials, setting, columns, base)
            continue
        matched = [] if _continuous(trials, setting) else _matched(trials, setting, columns)
        if not matched and model is None:
            model = _fit(trials, columns, log)
        found += matched or (model or {}).get(setting, [])
    return _families(found)


def ablation_base(trials: pd.DataFrame, columns: Collection[str]) -> dict[str, Any] | None:
    """Return the settings of the base trial of an ablation, without the seed; None: it is none.

    All other trials change one setting of the base. Where all change the same one, any of them
    could be the base: it is the one that the column ``row`` names so.

    Args:
        trials: a row per trial.
        columns: what varies among them.
    """
    fixed = [name for name in columns if name != REPEATS]
    ones = trials[fixed].drop_duplicates() if fixed else trials.head(0)
    if len(ones) < 3:
        return None
    if len(fixed) == 1:  # each is a change of each
        if "row" not in trials:
            return None
        best = trials["row"].astype("string").str.fullmatch(BEST_ROW).fillna(False)
        ones = trials.loc[best, fixed].drop_duplicates()
        return {str(k): v for k, v in ones.iloc[0].items()} if len(ones) == 1 else None
    # A change has its own value of one setting; all other trials have that of the base.
    common = [set(ones[name].mode()) for name in fixed]
    every = ones.to_dict("records")
    for one in every:
        shared = all(one[name] in values for name, values in zip(fixed, common, strict=True))
        if shared and all(other is one or _changed(one, other, fixed) for other in every):
            return {str(name): value for name, value in one.items()}
    return None


def _changed(one: Mapping[Any, Any], other: Mapping[Any, Any], names: list[str]) -> str | None:
    """Return the one setting in which two configurations differ; None: it is not just one."""
    differ = {name for name in names if one[name] != other[name]}
    for name in sorted(differ):
        if name in SETTINGS and differ <= {name, *DEPENDENT.get(name, ())}:
            return name
    return None


def _families(found: list[Effect]) -> list[Effect]:
    """Widen the intervals so that those of all settings hold together, and those of the seeds."""
    tested = [e.setting == REPEATS for e in found if not math.isnan(e.error)]
    sizes = {which: tested.count(which) for which in (False, True)}
    return [effect.among(sizes[effect.setting == REPEATS]) for effect in found]


def _mean_difference(setting: str, change: str, differences: Sequence[float]) -> Effect:
    """Return the mean of matched pairs' differences, with the interval of a single comparison."""
    values, n = np.asarray(differences, dtype=np.float64), len(differences)
    mean = float(values.mean())
    if n < 2:
        return Effect(setting, change, mean, math.nan, math.nan, n, False)
    error = float(values.std(ddof=1)) / math.sqrt(n)
    return Effect(setting, change, mean, 0, 0, n, False, error, n - 1).among(1)


def _effective(trials: pd.DataFrame) -> pd.DataFrame:
    """Remove differences without effect: AlexNet has no batch-norm to freeze.

    Where every pretrained VGG has its batch-norm frozen, that counts as part of pretraining it.
    """
    trials = trials.copy()
    if {"freeze_batchnorm", "net", "pretrained"} <= set(trials):
        trials["freeze_batchnorm"] &= trials["net"] != "alexnet"
        if trials.groupby(["net", "pretrained"])["freeze_batchnorm"].nunique().max() == 1:
            trials = trials.drop(columns="freeze_batchnorm")
    return trials


def _continuous(trials: pd.DataFrame, setting: str) -> bool:
    return SETTINGS[setting].type in (int, float) and trials[setting].nunique() > LADDER


def _changes(
    trials: pd.DataFrame, setting: str, columns: list[str], base: Mapping[str, Any]
) -> list[Effect]:
    """Compare an ablation's changes of a setting with the trial that they change, seed by seed."""
    loose = {setting, *DEPENDENT.get(setting, ())}
    as_base = trials[list(base)] == pd.Series(base)
    others = [name for name in base if name not in loose]
    is_change = as_base[others].all(axis=1) & ~as_base[setting]
    trials = trials[is_change | as_base.all(axis=1)]
    pairs = [(base[setting], value) for value in _ordered(trials, setting)]
    return _differences(trials, setting, columns, [pair for pair in pairs if pair[0] != pair[1]])


def _matched(trials: pd.DataFrame, setting: str, columns: list[str]) -> list[Effect]:
    values = _ordered(trials, setting)
    if len(values) <= ALL_PAIRS:
        pairs = list(combinations(values, 2))
    elif SETTINGS[setting].choices:
        best = trials.groupby(setting)["val_acc"].mean().idxmax()
        pairs = [(best, value) for value in values if value != best]
    else:
        pairs = list(pairwise(values))
    return _differences(trials, setting, columns, pairs)


def _differences(
    trials: pd.DataFrame, setting: str, columns: list[str], pairs: list[tuple[Any, Any]]
) -> list[Effect]:
    """Compare these pairs of a setting's values, over trials that differ in nothing else."""
    loose = {setting, *DEPENDENT.get(setting, ())}
    held = [name for name in columns if name not in loose]
    groups: dict[tuple[Any, ...], dict[Any, list[float]]] = {}
    for row in trials.to_dict("records"):
        group = groups.setdefault(tuple(row[name] for name in held), {})
        group.setdefault(row[setting], []).append(row["val_acc"])
    found = []
    for before, after in pairs:
        differences = [
            float(np.mean(group[after]) - np.mean(group[before]))
            for group in groups.values()
            if before in group and after in group
        ]
        if differences:
            change = f"{shown_value(before)} → {shown_value(after)}"
            found.append(_mean_difference(setting, change, differences))
    return found


def _ordered(trials: pd.DataFrame, setting: str) -> list[Any]:
    values = set(trials[setting])
    choices = SETTINGS[setting].choices
    return [name for name in choices if name in values] if choices else sorted(values)


def _fit(
    trials: pd.DataFrame, columns: list[str], log: Collection[str]
) -> dict[str, list[Effect]]:
    """Return the linear model's effects by setting, without collinear ones.

    With fewer than two trials per coefficient nothing is fitted.
    """
    labels: list[tuple[str, str]] = []
    parts: list[Floats] = [np.ones(len(trials))]
    for name in columns:
        for change, part in _coded(trials, name, log):
            labels.append((name, change))
            parts.append(part)
    design = np.column_stack(parts)
    accuracy = trials["val_acc"].to_numpy(dtype=np.float64)
    rank = int(np.linalg.matrix_rank(design))
    inverse = np.linalg.pinv(design.T @ design)
    solution = inverse @ design.T @ accuracy
    spare = len(trials) - rank
    if spare < rank:
        return {}
    noise = float(((accuracy - design @ solution) ** 2).sum()) / spare
    found: dict[str, list[Effect]] = {}
    for at, (name, change) in enumerate(labels, 1):
        if np.linalg.matrix_rank(np.delete(design, at, axis=1)) == rank:
            continue  # collinear with the other settings
        mean = float(solution[at])
        error = math.sqrt(noise * inverse[at, at])
        effect = Effect(name, change, mean, 0, 0, len(trials), True, error, spare).among(1)
        found.setdefault(name, []).append(effect)
    return found


def _coded(trials: pd.DataFrame, name: str, log: Collection[str]) -> list[tuple[str, Floats]]:
    """Return a setting's columns (trials,) for the linear model, each with what a step means."""
    column = trials[name]
    if name in SETTINGS and SETTINGS[name].type in (int, float):
        numbers = column.to_numpy(dtype=np.float64)
        logarithmic = name in log and bool((numbers > 0).all())
        if logarithmic:
            return [("×10", np.log10(numbers))]
        low, high = numbers.min(), numbers.max()
        return [(f"{low:g} → {high:g}", (numbers - low) / (high - low))]
    values = _ordered(trials, name) if name in SETTINGS else sorted(set(column))
    first = shown_value(values[0])
    return [
        (f"{first} → {shown_value(value)}", (column == value).to_numpy(dtype=np.float64))
        for value in values[1:]
    ]


def _student(freedom: int, family: int) -> float:
    """Return Student's half width, in standard errors, of one of so many comparisons."""
    return float(stdtrit(freedom, 1 - LEVEL / 2 / family))
