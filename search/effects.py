"""What a setting is worth: the difference in best validation accuracy that it makes, with its n.

Two ways, and every effect names its own. *Matched pairs*: trials that differ in that setting only,
their mean difference, and Student's interval over the differences. Where a search has none (TPE
drawing a continuous lr), a *linear model* of accuracy on all settings that vary: its coefficient
is the difference with the others held, as far as they act additively.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from facesiam.config import SETTINGS

LADDER = 6
"""A numeric setting with more distinct values than this is a continuum: its slope is fitted."""
ALL_PAIRS = 3
"""Up to this many values each pair of them is compared; beyond, only neighbours."""
FOLLOWS = {"pretrained": ("freeze_batchnorm",)}
"""Settings that cannot stay as they were when another one changes, so are not held equal."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """Accuracy at ``after`` less accuracy at ``before``, as a share (0.02: two points)."""

    setting: str
    change: str
    """``F → T``; for a slope, ``×10`` on a logarithmic scale, and the range on a linear one."""
    mean: float
    low: float
    high: float
    """95 % interval; NaN where there is none (a single comparison)."""
    n: int
    """Comparisons (matched pairs) or trials (linear model)."""
    fitted: bool
    """From the linear model."""


def effects(trials: pd.DataFrame, names: Iterable[str], log: Collection[str]) -> list[Effect]:
    """Return the effects of every setting that varies among ``trials``.

    Args:
        trials: a row per trial with val_acc in [0, 1] (NaN is left out) and a column per name.
        names: the settings, and whatever else must be equal for two trials to be comparable.
        log: numeric settings that act on a logarithmic scale.
    """
    trials = _effective(trials[trials["val_acc"].notna()]) if len(trials) else trials
    columns = [name for name in names if name in trials and trials[name].nunique() > 1]
    found: list[Effect] = []
    model: dict[str, list[Effect]] | None = None
    for setting in (name for name in columns if name in SETTINGS):
        matched = [] if _continuous(trials, setting) else _matched(trials, setting, columns)
        if not matched and model is None:
            model = _fit(trials, columns, log)
        found += matched or (model or {}).get(setting, [])
    return found


def mean_interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean and Student's 95 % interval over it, NaN with fewer than two values."""
    values = np.asarray(differences, dtype=np.float64)
    mean = float(values.mean())
    if len(values) < 2:
        return mean, math.nan, math.nan
    half = _student(len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def _effective(trials: pd.DataFrame) -> pd.DataFrame:
    """Leave out differences that make none: AlexNet has no batch-norm to freeze.

    Where every pretrained VGG has its batch-norm frozen, that is part of pretraining it, and no
    setting of its own.
    """
    trials = trials.copy()
    if {"freeze_batchnorm", "net", "pretrained"} <= set(trials):
        trials["freeze_batchnorm"] &= trials["net"] != "alexnet"
        if trials.groupby(["net", "pretrained"])["freeze_batchnorm"].nunique().max() == 1:
            trials = trials.drop(columns="freeze_batchnorm")
    return trials


def _continuous(trials: pd.DataFrame, setting: str) -> bool:
    return SETTINGS[setting].type in (int, float) and trials[setting].nunique() > LADDER


def _matched(trials: pd.DataFrame, setting: str, columns: list[str]) -> list[Effect]:
    loose = {setting, *FOLLOWS.get(setting, ())}
    held = [name for name in columns if name not in loose]
    groups: dict[tuple[Any, ...], dict[Any, list[float]]] = {}
    for row in trials.to_dict("records"):
        group = groups.setdefault(tuple(row[name] for name in held), {})
        group.setdefault(row[setting], []).append(row["val_acc"])
    values = _ordered(trials, setting)
    found = []
    for before, after in combinations(values, 2) if len(values) <= ALL_PAIRS else pairwise(values):
        differences = [
            float(np.mean(group[after]) - np.mean(group[before]))
            for group in groups.values()
            if before in group and after in group
        ]
        if differences:
            change = f"{_written(before)} → {_written(after)}"
            interval = mean_interval(differences)
            found.append(Effect(setting, change, *interval, len(differences), False))
    return found


def _ordered(trials: pd.DataFrame, setting: str) -> list[Any]:
    values = set(trials[setting])
    choices = SETTINGS[setting].choices
    return [name for name in choices if name in values] if choices else sorted(values)


def _fit(
    trials: pd.DataFrame, columns: list[str], log: Collection[str]
) -> dict[str, list[Effect]]:
    """Fit the linear model once; settings that it cannot tell from others are left out.

    With fewer than two trials per coefficient nothing is fitted: it would be noise with a number.
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
            continue  # the other settings say the same as this one
        mean = float(solution[at])
        half = _student(spare) * math.sqrt(noise * inverse[at, at])
        effect = Effect(name, change, mean, mean - half, mean + half, len(trials), True)
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
    first = _written(values[0])
    return [
        (f"{first} → {_written(value)}", (column == value).to_numpy(dtype=np.float64))
        for value in values[1:]
    ]


def _student(freedom: int) -> float:
    return float(stdtrit(freedom, 0.975))


def _written(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "T" if value else "F"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
