"""What the settings of the report's runs are worth: effects, where the best lies, importance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from facesiam.config import TrialConfig
from search.analysis.ablation_base import ablation_base
from search.analysis.differences import Effect
from search.analysis.effects import effects
from search.analysis.importance import Importance, importance
from search.report.measures import Measure, measure
from search.report.report_data import Run, active_settings, settings_frame

NAMES = (*TrialConfig.__dataclass_fields__, "data")
"""The settings, and what else must be equal for two trials to be comparable."""


@dataclass(frozen=True)
class Effects:
    """The effects of the settings of some trials."""

    every: Sequence[Effect]
    alive: Sequence[Effect]
    """Of the trials that did not stay at chance; the values compared are the same."""


@dataclass(frozen=True)
class Best:
    """Where the best of a setting's values lies."""

    value: str
    as_good: Sequence[str]
    """Those that cannot be told from it."""
    worse: Sequence[str]
    """Those whose interval is below it."""


@dataclass(frozen=True)
class Worth:
    """What the settings of some runs are worth."""

    given: Sequence[Run]
    trials: pd.DataFrame
    """Of all runs, as ``settings_frame`` returns them, with ``score``: the metric that ranks the
    first run, negated where the least is the best."""
    measure: Measure
    """That metric."""
    effects: Effects
    importance: Sequence[Importance]
    """Of the settings of the first run, the greatest first; [] where it cannot be told."""

    ablation: bool = False
    """Whether each effect is a change of the base trial of an ablation."""

    @property
    def scale(self) -> float:
        """What a score is multiplied with to be shown: 100, for points, where it is a share."""
        return 100.0 if self.measure.percent else 1.0


def worth(given: Sequence[Run]) -> Worth:
    """Return what the settings of runs are worth.

    Args:
        given: runs; their trials are taken together but for the importance.
    """
    first = given[0]
    objective = first.searched.objective
    trials = pd.concat([settings_frame(run) for run in given], ignore_index=True)
    sign = 1.0 if objective.maximizes else -1.0
    trials["score"] = sign * trials[objective.metric].astype("float64")
    own = trials.head(len(first.trials))
    settings = [first.configs[trial].to_dict() for trial in own["trial"]]
    values = own[objective.metric].to_numpy(dtype=float)
    mattered = importance(first.searched, settings, values)
    shown = measure(objective.metric)
    found = _effects(given, trials)
    if shown.percent:
        found = Effects(_possible(found.every), _possible(found.alive))
    varied = [name for name in NAMES if name in trials and trials[name].nunique() > 1]
    ablation = ablation_base(trials[trials["score"].notna()], varied) is not None
    return Worth(given, trials, shown, found, mattered, ablation)


def _possible(found: Sequence[Effect]) -> list[Effect]:
    """Return effects on a share with their intervals cut at -1 and 1: two differ by no more."""
    # Of two or three trials Student's interval is far wider, and flattens all others in a chart.
    return [
        one
        if math.isnan(one.low)
        else replace(one, low=max(one.low, -1.0), high=min(one.high, 1.0))
        for one in found
    ]


def _effects(given: Sequence[Run], trials: pd.DataFrame) -> Effects:
    active = pd.concat([active_settings(run) for run in given], ignore_index=True)
    active = active.astype("boolean").fillna(True)  # where another run has no such condition
    drawn = all(run.searched.algorithm != "rows" for run in given)
    every = effects(trials, NAMES, active=active, drawn=drawn, score="score")
    alive = effects(
        trials,
        NAMES,
        kept=~trials["chance"].to_numpy(dtype=bool),
        active=active,
        reference={effect.setting: effect.before for effect in every},
        drawn=drawn,
        score="score",
    )
    return Effects(every, alive)


def best_of(found: Sequence[Effect], setting: str) -> Best | None:
    """Return where the best of a setting's values lies; None: there is no interval to say so.

    Args:
        found: effects, of this setting and others.
        setting: its name.
    """
    own = [effect for effect in found if effect.setting == setting]
    own = [effect for effect in own if not math.isnan(effect.error)]
    if not own:
        return None
    # Of an ablation all are compared with its base, which need not be the best.
    highest = max(own, key=lambda effect: effect.mean)
    best, least = (highest.after, highest.low) if highest.mean > 0 else (own[0].before, 0.0)
    most = {own[0].before: 0.0} | {effect.after: effect.high for effect in own}
    del most[best]
    as_good = [value for value, high in most.items() if high >= least]
    return Best(best, as_good, [value for value in most if value not in as_good])
