"""What the settings of the report's runs are worth: effects, where the best lies, importance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from facesiam.config import TrialConfig
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
    return Worth(given, trials, measure(objective.metric), _effects(given, trials), mattered)


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
