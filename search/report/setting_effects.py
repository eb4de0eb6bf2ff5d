"""The report's section on what each setting is worth: where the best lies, all differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from facesiam.config import SETTINGS
from search.analysis import published
from search.analysis.ablation_base import REPEATS
from search.analysis.differences import Effect
from search.analysis.effects import effects
from search.analysis.formatting import NOTHING, grid
from search.analysis.published import CLAIMS
from search.report.setting_worth import NAMES, Effects, Worth, best_of

WAYS = {"matched": "", "model": " trials (model)", "unmatched": " trials (unmatched)"}
"""What stands behind n."""
HOW = (
    "Difference in best {metric}{unit} (after less before), with its interval and "
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
IMPORTANCE = (
    "Importance is PED-ANOVA's share, of all searched settings, of what sets the best trials "
    "apart. It always adds up to 100 %; p is the chance that some setting seems as important "
    "where none matters, from shuffled scores."
)


def section(worth: Worth, study: bool) -> str:
    """Return the section: where the best lies, and every difference with its interval.

    Args:
        worth: of the runs.
        study: whether the 2019 study's own runs and claims stand beside them.
    """
    given = worth.given
    searched = [name for name in SETTINGS if any(name in run.searched.search for run in given)]
    columns = [worth.effects, _of_study(worth.effects)] if study else [worth.effects]
    table = _differences(columns, searched, worth)
    if not table:
        return "No two trials differ in a setting, so there is nothing to compare."
    important = IMPORTANCE if worth.importance else ""
    parts = (_how(worth), important, best_table(worth), table)
    return "\n\n".join(part for part in parts if part)


def best_table(worth: Worth) -> str:
    """Return the table of where the best value of each setting lies; '' without an interval."""
    important = {one.setting: one for one in worth.importance}
    every = worth.effects.every
    cells = []
    for setting in dict.fromkeys([*important, *(effect.setting for effect in every)]):
        best, one = best_of(every, setting), important.get(setting)
        if setting == REPEATS or best is None and one is None:
            continue
        row = [setting]
        if important:
            row += [f"{100 * one.share:.0f}", f"{one.p:.2f}"] if one else [NOTHING, NOTHING]
        as_good, worse = (best.as_good, best.worse) if best else ((), ())
        named = (", ".join(names) or NOTHING for names in (as_good, worse))
        cells.append([*row, best.value if best else NOTHING, *named])
    headers = ["Setting", *(["Importance, %", "p"] if important else [])]
    headers += ["Best here", "Cannot be told from it", "Worse"]
    left = [name not in ("Importance, %", "p") for name in headers]
    return grid(headers, cells, left) if cells else ""


def looks(worth: Worth) -> int:
    """Return how many comparisons of settings the intervals hold together for."""
    every = worth.effects.every
    return max((one.family for one in every if one.setting != REPEATS), default=1)


def shown_effect(effect: Effect | None, scale: float) -> str:
    """Return an effect with its interval and n, ``+2.7 [+0.4, +5.0], n = 3``; – for none.

    Args:
        effect: the difference of a score.
        scale: what it is multiplied with; 100 makes points of a share.
    """
    if effect is None:
        return NOTHING
    form = "+z.1f" if scale > 1 else "+.3g"  # z: no -0.0
    points = format(scale * effect.mean, form)
    if not math.isnan(effect.low):
        points += f" [{scale * effect.low:{form}}, {scale * effect.high:{form}}]"
    return f"{points}, n = {effect.n}{WAYS[effect.way]}"


def _of_study(found: Effects) -> Effects:
    """Return the effects in the 2019 study's own runs, compared with the same values."""
    runs = published.recorded_runs()
    reference = {effect.setting: effect.before for effect in found.every}
    every = effects(runs, NAMES, reference=reference, drawn=False)
    kept = ~runs["chance"].to_numpy(dtype=bool)
    reference |= {effect.setting: effect.before for effect in every}
    return Effects(every, effects(runs, NAMES, kept=kept, reference=reference, drawn=False))


def _differences(columns: Sequence[Effects], searched: Sequence[str], worth: Worth) -> str:
    """Return the table of all differences, two columns for each of ``columns``; '' for none.

    Args:
        columns: the runs' effects, then those of the 2019 study, where these are shown.
        searched: settings that have a row even where nothing can be said of them.
        worth: says how a difference is shown.
    """
    shown = [(_by_change(one.every), _by_change(one.alive)) for one in columns]
    scales = (worth.scale, 100.0)  # the study's runs have an accuracy
    keys = dict.fromkeys(key for pair in shown for found in pair for key in found)
    if not keys:
        return ""
    named = {setting for setting, _ in keys}
    keys |= dict.fromkeys((setting, NOTHING) for setting in searched if setting not in named)
    order = list(SETTINGS)
    cells = []
    for setting, change in sorted(keys, key=lambda key: order.index(key[0])):
        row = [setting, change]
        for (every, alive), scale in zip(shown, scales, strict=False):
            one, rest = every.get((setting, change)), alive.get((setting, change))
            row += [shown_effect(one, scale)]
            row += ["the same" if _same(one, rest) else shown_effect(rest, scale)]
        cells.append(row + ([CLAIMS.get(setting, NOTHING)] if len(columns) > 1 else []))
    headers = ["Setting", "Change", "Measured here", "… without nets at chance"]
    if len(columns) > 1:
        headers += ["The study's own runs", "… without nets at chance", "The 2019 study says"]
    return grid(headers, cells, [True] * len(headers))


def _by_change(found: Sequence[Effect]) -> Mapping[tuple[str, str], Effect]:
    return {(effect.setting, effect.change): effect for effect in found}


def _same(one: Effect | None, other: Effect | None) -> bool:
    if one is None or other is None:
        return False
    return (one.mean, one.error, one.n) == (other.mean, other.error, other.n)


def _how(worth: Worth) -> str:
    trials = worth.trials
    stopped = int((trials["status"] == "stopped").sum())
    name = worth.measure.label.removesuffix(", %")
    objective = worth.given[0].searched.objective
    unit = ", in points" if worth.measure.percent else ""
    unit += "" if objective.maximizes else ", less being better: positive where it fell"
    text = HOW.format(metric=name, unit=unit, looks=looks(worth))
    if worth.ablation:
        text += (
            " This run is an ablation: each change is compared with the trial that it changes, of "
            "the same seed, so n is the number of seeds."
        )
    if stopped:
        text += (
            f" Stopped early: {stopped} of {len(trials)} trials. Each counts with the score that "
            "it had reached, which is not above what it would have ended with."
        )
    return text
