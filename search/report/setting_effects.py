"""The report's section on what each setting is worth: where the best lies, all differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from facesiam.config import SETTINGS, TrialConfig
from search.analysis import published
from search.analysis.ablation_base import ablation_base
from search.analysis.differences import Effect
from search.analysis.effects import effects
from search.analysis.formatting import NOTHING, grid
from search.analysis.published import CLAIMS
from search.report.report_data import Run, active_settings, settings_frame

NAMES = (*TrialConfig.__dataclass_fields__, "data")
"""The settings, and what else must be equal for two trials to be comparable."""
WAYS = {"matched": "", "model": " trials (model)", "unmatched": " trials (unmatched)"}
"""What stands behind n."""
HOW = (
    "Difference in best validation accuracy, in points (after less before), with its interval and "
    "n. Of three values or more each is compared with the best one; a continuum is cut into bins "
    "of equally many trials, as accuracy over a learning rate has a peak and no slope. Where "
    "trials differ in that setting alone, it is the mean over these matched pairs, n their "
    "number, the interval Student's, and none with a single pair. With fewer than three of them "
    "it is the difference in an additive model of all settings that vary, n the trials. Where "
    "these are fewer than two per coefficient it is that of the two values' means, whatever the "
    "other settings were: unmatched, and fair only as far as they were drawn at random. A pair "
    "with a net at chance measures whether it trained at all rather than how well, so each effect "
    "is also given without those nets. The intervals of a column are simultaneous: with 95 % or "
    "more, all of them cover what they estimate (Bonferroni over {looks} comparisons of settings, "
    "and over those of seeds; the choice of the best of K values counts as comparing each with "
    "each)."
)


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


def section(given: Sequence[Run], study: bool) -> str:
    """Return the section: where the best lies, and every difference with its interval.

    Args:
        given: runs; their trials are taken together.
        study: whether the 2019 study's own runs and claims stand beside them.
    """
    trials = pd.concat([settings_frame(run) for run in given], ignore_index=True)
    found = measured(given, trials)
    searched = [name for name in SETTINGS if any(name in run.searched.search for run in given)]
    columns = [found, _of_study(found)] if study else [found]
    table = _differences(columns, searched)
    if not table:
        return "No two trials differ in a setting, so there is nothing to compare."
    return "\n\n".join(part for part in (_how(trials, found), best_table(found), table) if part)


def measured(given: Sequence[Run], trials: pd.DataFrame) -> Effects:
    """Return the effects of the settings of runs.

    Args:
        given: runs.
        trials: of these runs, in their order, as ``settings_frame`` returns them.
    """
    active = pd.concat([active_settings(run) for run in given], ignore_index=True)
    active = active.astype("boolean").fillna(True)  # where another run has no such condition
    drawn = all(run.searched.algorithm != "rows" for run in given)
    every = effects(trials, NAMES, active=active, drawn=drawn)
    kept = ~trials["chance"].to_numpy(dtype=bool)
    reference = {effect.setting: effect.before for effect in every}
    alive = effects(trials, NAMES, kept=kept, active=active, reference=reference, drawn=drawn)
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
    if len(own) == 1 and own[0].mean > 0:
        one = own[0]
        lists = ([], [one.before]) if one.low > 0 else ([one.before], [])
        return Best(one.after, *lists)
    worse = [effect.after for effect in own if effect.high < 0]
    return Best(own[0].before, [e.after for e in own if e.after not in worse], worse)


def best_table(found: Effects) -> str:
    """Return the table of where the best value of each setting lies; '' without an interval."""
    cells = []
    for setting in dict.fromkeys(effect.setting for effect in found.every):
        best = best_of(found.every, setting)
        if best and setting != "seed":
            as_good, worse = (", ".join(names) or NOTHING for names in (best.as_good, best.worse))
            cells.append([setting, best.value, as_good, worse])
    headers = ["Setting", "Best here", "Cannot be told from it", "Worse"]
    return grid(headers, cells, [True] * len(headers)) if cells else ""


def _of_study(found: Effects) -> Effects:
    """Return the effects in the 2019 study's own runs, compared with the same values."""
    runs = published.recorded_runs()
    reference = {effect.setting: effect.before for effect in found.every}
    every = effects(runs, NAMES, reference=reference, drawn=False)
    kept = ~runs["chance"].to_numpy(dtype=bool)
    reference |= {effect.setting: effect.before for effect in every}
    return Effects(every, effects(runs, NAMES, kept=kept, reference=reference, drawn=False))


def _differences(columns: Sequence[Effects], searched: Sequence[str]) -> str:
    """Return the table of all differences, two columns for each of ``columns``; '' for none.

    Args:
        columns: the runs' effects, then those of the 2019 study, where these are shown.
        searched: settings that have a row even where nothing can be said of them.
    """
    shown = [(_by_change(one.every), _by_change(one.alive)) for one in columns]
    keys = dict.fromkeys(key for pair in shown for found in pair for key in found)
    if not keys:
        return ""
    named = {setting for setting, _ in keys}
    keys |= dict.fromkeys((setting, NOTHING) for setting in searched if setting not in named)
    order = list(SETTINGS)
    cells = []
    for setting, change in sorted(keys, key=lambda key: order.index(key[0])):
        row = [setting, change]
        for every, alive in shown:
            one, rest = every.get((setting, change)), alive.get((setting, change))
            row += [_shown(one), "the same" if _same(one, rest) else _shown(rest)]
        cells.append(row + ([CLAIMS.get(setting, NOTHING)] if len(columns) > 1 else []))
    headers = ["Setting", "Change", "Measured here", "… without nets at chance"]
    if len(columns) > 1:
        headers += ["The study's own runs", "… without nets at chance", "The 2019 study says"]
    return grid(headers, cells, [True] * len(headers))


def _by_change(found: Sequence[Effect]) -> Mapping[tuple[str, str], Effect]:
    return {(effect.setting, effect.change): effect for effect in found}


def _shown(effect: Effect | None) -> str:
    """Return an effect in points with its interval and n: ``+2.7 [+0.4, +5.0], n = 3``."""
    if effect is None:
        return NOTHING
    points = f"{100 * effect.mean:+.1f}"
    if not math.isnan(effect.low):
        points += f" [{100 * effect.low:+.1f}, {100 * effect.high:+.1f}]"
    return f"{points}, n = {effect.n}{WAYS[effect.way]}"


def _same(one: Effect | None, other: Effect | None) -> bool:
    if one is None or other is None:
        return False
    return (one.mean, one.error, one.n) == (other.mean, other.error, other.n)


def _how(trials: pd.DataFrame, found: Effects) -> str:
    stopped = int((trials["status"] == "stopped").sum())
    looks = max((one.family for one in found.every if one.setting != "seed"), default=1)
    text = HOW.format(looks=looks)
    varied = [name for name in NAMES if name in trials and trials[name].nunique() > 1]
    if ablation_base(trials[trials["val_acc"].notna()], varied) is not None:
        text += (
            " This run is an ablation: each change is compared with the trial that it changes, of "
            "the same seed, so n is the number of seeds."
        )
    if stopped:
        text += (
            f" Stopped early: {stopped} of {len(trials)} trials. Each counts with the accuracy "
            "that it had reached, which is not above what it would have ended with."
        )
    return text
