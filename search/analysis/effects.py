"""The effect of a setting: the difference that its values make in best validation accuracy.

A setting's levels are its values, or bins of a continuum (``levels``). Two levels are compared as
they are. Of more, each is compared with the one whose trials are the best on average: where that
is, and which others may be as good, is what a search was run for.

A difference is estimated in one of the three ways of ``differences``: from PAIRS matched pairs or
more, which assume nothing; else in the additive model; else, where the trials are too few for it,
from two matched pairs, or without holding the other settings, or from a single pair.

An ablation, one trial and changes of one setting of it, is recognised: each change is compared
with that trial, seed by seed, and with nothing else.

The intervals are simultaneous: with a chance of 95 % or more all of them cover what they estimate,
whatever the dependence between the comparisons (Bonferroni: each is one of 1 - 0.05 / looks). A
look is a comparison that could have been shown: as the best level is chosen by looking at all K,
they count K (K - 1) / 2. An ablation's changes, whose base was chosen before, count one each. The
comparisons of seeds are a family of their own: they show the spread due to the seed alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from facesiam.config import SETTINGS
from search.analysis import additive_model
from search.analysis.ablation_base import DEPENDENT, REPEATS, ablation_base
from search.analysis.differences import (
    ComparedTrials,
    Effect,
    difference,
    level_means,
    matched,
    modelled,
    unmatched,
)
from search.analysis.formatting import shown_value
from search.analysis.levels import Levels, levels, ordered

PAIRS = 3
"""Fewer matched pairs have an interval that says little: Student's t is 12.7 with two of them."""


def effects(
    trials: pd.DataFrame,
    names: Iterable[str],
    *,
    kept: NDArray[np.bool_] | None = None,
    active: pd.DataFrame | None = None,
    reference: Mapping[str, str] | None = None,
    drawn: bool = True,
    score: str = "val_acc",
) -> list[Effect]:
    """Return the effects of every setting that varies among trials.

    Args:
        trials: a row per trial, with a column per name and one of the score.
        names: the settings, and whatever else must be equal for two trials to be comparable.
        kept: (trials,) which of them are compared; the levels are those of all. None: all.
        active: (trials, settings) where a conditional setting has a meaning; None: everywhere.
        reference: by setting, the label of the level that the others are compared with, instead
            of the best one.
        drawn: whether the settings were drawn, so that unmatched trials may be compared.
        score: column of what is compared, greater where better; NaN is left out.
    """
    measured = trials[score].notna().to_numpy() if len(trials) else np.zeros(0)
    if not measured.any():
        return []
    every = _effective(trials[measured]).assign(score=lambda frame: frame[score])
    columns = [name for name in names if name in every and every[name].nunique() > 1]
    base = ablation_base(every, columns)
    on = None if active is None else active[measured]
    table = {name: levels(every[name], _where(on, name, len(every))) for name in columns}
    mask = np.ones(len(every), dtype=np.bool_) if kept is None else kept[measured]
    data = _masked(every, columns, table, mask, drawn)
    found: list[tuple[Effect, float]] = []
    for setting in (name for name in columns if name in SETTINGS):
        if base is not None and setting != REPEATS:
            found += [(effect, 1.0) for effect in _changes(data, setting, base)]
            continue
        looks = len(table[setting].labels) / 2
        given = (reference or {}).get(setting)
        found += [(effect, looks) for effect in _compared(data, setting, given)]
    return _families(found)


def _masked(
    every: pd.DataFrame,
    columns: list[str],
    table: Mapping[str, Levels],
    mask: NDArray[np.bool_],
    drawn: bool,
) -> ComparedTrials:
    """Return the trials of the mask; the model is of what varies among these."""
    frame = every[mask]
    own = {name: replace(one, of=one.of[mask]) for name, one in table.items()}
    accuracy = frame["score"].to_numpy(dtype=np.float64)
    varied = {name: one for name, one in own.items() if len(set(one.of)) > 1}
    model = additive_model.fit(accuracy, varied) if len(frame) else None
    alike = all(name in SETTINGS or frame[name].nunique() < 2 for name in columns)
    return ComparedTrials(frame, columns, own, model, drawn and alike)


def _compared(data: ComparedTrials, setting: str, given: str | None) -> list[Effect]:
    """Return a setting's effects: of two levels in their order, of more against one of them."""
    one = data.levels[setting]
    labels = list(one.labels)
    if given in labels or len(labels) == 2:
        return _against(data, setting, labels.index(given) if given in labels else 0)
    means = level_means(data, one)
    if not np.isfinite(means).any():  # no trial is compared: all guessed, or were stopped early
        return []
    best = int(np.nanargmax(means))
    found = _against(data, setting, best)
    # The means hold no other setting equal. Where a better one is found with them held, it counts.
    better = max(found, key=lambda effect: effect.mean, default=None)
    if better is None or better.mean <= 0:
        return found
    return _against(data, setting, labels.index(better.after))


def _against(data: ComparedTrials, setting: str, before: int) -> list[Effect]:
    """Compare a level with each of the others."""
    every = range(len(data.levels[setting].labels))
    found = [_best_way(data, setting, before, after) for after in every if after != before]
    return [effect for effect in found if effect]


def _best_way(data: ComparedTrials, setting: str, before: int, after: int) -> Effect | None:
    """Compare two levels. What decides the way is which trials there are, not their accuracy."""
    pairs = matched(data, setting, before, after)
    if pairs and pairs.n >= PAIRS:
        return pairs
    effect = modelled(data, setting, before, after)
    if effect or pairs and pairs.n > 1:
        return effect or pairs
    return unmatched(data, setting, before, after) or pairs


def _changes(data: ComparedTrials, setting: str, base: Mapping[str, Any]) -> list[Effect]:
    """Compare an ablation's changes of a setting with the trial that they change, seed by seed."""
    frame, loose = data.frame, {setting, *DEPENDENT.get(setting, ())}
    as_base = frame[list(base)] == pd.Series(base)
    others = [name for name in base if name not in loose]
    is_change = as_base[others].all(axis=1) & ~as_base[setting]
    part = replace(data, frame=frame[is_change | as_base.all(axis=1)])
    values = part.frame[setting]
    labels, before = np.array([shown_value(value) for value in values]), shown_value(base[setting])
    found = [
        difference(part, setting, labels, before, shown_value(value))
        for value in ordered(values, setting)
        if value != base[setting]
    ]
    return [effect for effect in found if effect]


def _families(found: list[tuple[Effect, float]]) -> list[Effect]:
    """Widen the intervals so that those of all settings hold together, and those of the seeds.

    Args:
        found: effects, each with the looks that it stands for.
    """
    sizes = {True: 0.0, False: 0.0}
    for effect, looks in found:
        if not math.isnan(effect.error):
            sizes[effect.setting == REPEATS] += looks
    return [effect.among(math.ceil(sizes[effect.setting == REPEATS])) for effect, _ in found]


def _where(active: pd.DataFrame | None, name: str, trials: int) -> NDArray[np.bool_]:
    """Return where a setting has a meaning."""
    if active is None or name not in active:
        return np.ones(trials, dtype=np.bool_)
    return active[name].to_numpy(dtype=np.bool_)


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
