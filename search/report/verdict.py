"""What the page says first: which trial won, how it did on test pairs, and how sure that is."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import pandas as pd

from facesiam.config import SETTINGS, Value
from facesiam.config.metrics import TPR
from facesiam.evaluation.thresholds import describe_threshold
from search.analysis import race_result
from search.analysis.formatting import (
    INTERVALS,
    counted,
    interval,
    mean_and_std,
    measure,
    shown_value,
    valued,
)
from search.analysis.race_result import RaceResult
from search.analysis.ranked_trials import DEFAULT_METRIC, states
from search.pruning import going_on
from search.report.measures import measure as shown_as
from search.report.report_data import Evaluation, Run
from search.report.tested_nets import ALONE
from search.space.effect import has_effect

MOST_SETTINGS = 8
"""Settings of the winner that the sentence names."""


def sentences(run: Run, differ: list[str]) -> list[str]:
    """Return two sentences on a run as plain text: the winner with its tests, and how sure it is.

    Args:
        run: the run.
        differ: settings that differ among its trials.
    """
    best = run.trials.iloc[0]
    if pd.isna(best["rank"]) or pd.isna(best["val_acc"]):
        return [f"No trial has a score yet ({states(run.trials)})."]
    if run.race and run.race.winner in run.configs:
        return _raced(run, run.race, str(run.race.winner), differ)
    scored = int(run.trials["val_acc"].notna().sum())
    first = (
        f"Of {counted(scored, 'trial')}, {_named(run, str(best['trial']), differ)} is the best: "
        f"{interval(best['val_acc'], best['val_acc_low'], best['val_acc_high'])} % of its "
        f"validation pairs are judged right at epoch {best['best_epoch']}{_ranked_by(run, best)}; "
        f"{_tested(run, str(best['trial']))}."
    )
    return [first, _how_sure(run)]


def _named(run: Run, trial: str, differ: list[str]) -> str:
    """Return a trial with its settings that differ from others."""
    settings = run.configs[trial].to_dict()
    named = [
        f"{name} {shown_value(settings[name])}" for name in differ if has_effect(name, settings)
    ]
    more = ", …" if len(named) > MOST_SETTINGS else ""
    return f"{trial} with {', '.join(named[:MOST_SETTINGS])}{more}" if named else trial


def _raced(run: Run, race: RaceResult, winner: str, differ: list[str]) -> list[str]:
    """Return the sentences on a run whose best trials were raced: the first is not what counts."""
    row = race.frame().iloc[0]
    objective = run.searched.objective
    spread = "" if pd.isna(row["std"]) else f" ± {objective.shown(row['std'])}"
    mean = (
        f"{objective.shown(row['mean'])}{spread}{objective.unit} (mean ± standard deviation of "
        f"{counted(int(row['seeds']), 'seed')})"
    )
    if pd.isna(row["mean"]):
        mean = "not known, as all its trainings failed"
    first = (
        f"Of {counted(len(run.trials), 'trial')} the best {len(race.trials)} were trained again "
        f"with further seeds, and {_named(run, winner, differ)} is taken: its {objective.metric} "
        f"is {mean}; {_tested(run, winner)}."
    )
    said = [f"{text[0].upper()}{text[1:]}." for text in race_result.sentences(race)]
    return [first, " ".join(said)]


def goes_on(run: Run) -> bool:
    """Return whether the search has not ended, as far as its manifest says."""
    sessions = run.manifest.get("sessions")
    return not (sessions[-1] if sessions else run.manifest).get("finished")


def state(run: Run) -> str:
    """Return how far the search is, as a sentence."""
    if goes_on(run):
        what = "The search has not ended"
    elif run.manifest.get("finished"):
        what = "The search has ended"
    else:  # by a signal or its time limit; --resume goes on with it
        what = "The search was halted before its end"
    epochs = counted(int(run.trials["epochs_run"].sum()), "epoch")
    more = going_on.told(run.folder, run.searched)
    return f"{what}: {states(run.trials)}; {epochs} run{'; ' * bool(more)}{more}."


def _ranked_by(run: Run, best: pd.Series) -> str:
    metric = run.searched.metric
    if metric == DEFAULT_METRIC or metric not in best:
        return ""
    shown = shown_as(metric)
    value = f"{100 * best[metric]:.1f}" if shown.percent else f"{best[metric]:.4g}"
    if metric in INTERVALS and not best[[*INTERVALS[metric]]].isna().any():
        value = valued(dict(best), metric)
    name = shown.label.removesuffix(", %")
    if metric == TPR:  # at how many is what its number means
        name = name.replace("few", f"{100 * run.configs[str(best['trial'])].fpr:g} %")
    return f", the best by {name} ({value}{shown.unit})"


def _tested(run: Run, winner: str) -> str:
    """Return the accuracy on test pairs: of the winner's seeds, or as the search left it."""
    again, changed = _seeds(run, winner)
    at = f"at the threshold {describe_threshold(again[0].threshold)}" if again else ""
    if len(again) > 1:
        values = [test.measures["accuracy"]["value"] for test in again]
        std = statistics.stdev(values)
        return (
            f"trained again with {len(again)} seeds{changed} it has "
            f"{mean_and_std(statistics.mean(values), std)} % of the {again[0].pairs:,} test pairs "
            f"right (mean ± standard deviation), {at}"
        )
    protocol = run.configs[winner].protocol
    kept = [
        test
        for test in run.tests.get(ALONE, [])
        # The search may have gone on since, and have another winner.
        if list(test.members) == [winner] and test.protocol == protocol
    ]
    for how, tests in ((f"trained again{changed}", again), ("as the search left it", kept)):
        if tests:
            at = describe_threshold(tests[0].threshold)
            said = f"{how} it has {_share(tests[0])} of {tests[0].pairs:,} test pairs right"
            return f"{said}, at the threshold {at}"
    return "it has not been tested"


def _seeds(run: Run, winner: str) -> tuple[list[Evaluation], str]:
    """Return a trial's tests that differ in the seed alone, and what its settings were not.

    Of several such groups it is one with the trial's own settings, and then the largest.
    """
    groups: list[list[Evaluation]] = []
    for test in (test for test in run.tests.get(winner, []) if test.own):
        like = (one for one in groups if _but_for_the_seed(one[0], test))
        if group := next(like, None):
            group.append(test)
        else:
            groups.append([test])
    if not groups:
        return [], ""
    asked = run.configs[winner].to_dict()
    own = (asked, asked | _resolved(run, winner))
    found = max(groups, key=lambda group: (not _changed(group[0], own), len(group)))
    changed = _changed(found[0], own)
    named = ", ".join(f"{name} {shown_value(value)}" for name, value in changed.items())
    return found, f" with {named}" if named else ""


def _resolved(run: Run, trial: str) -> dict[str, Value]:
    """Return what a precision of ``auto`` came to; nothing where that is not known."""
    ran = run.trials.loc[run.trials["trial"] == trial, "ran_with"].item()
    parts = [] if pd.isna(ran) else str(ran).split(", ")
    used = [part for part in parts if part in SETTINGS["precision"].choices]
    return {"precision": used[0]} if used else {}


def _but_for_the_seed(one: Evaluation, other: Evaluation) -> bool:
    return (one.work, one.threshold) == (other.work, other.threshold)


def _changed(test: Evaluation, own: Sequence[Mapping[str, Value]]) -> dict[str, Value]:
    """Return the settings of a test that are not the trial's own, such as other epochs.

    Args:
        test: of a net that was trained again.
        own: the trial's settings, as they were asked for and as they ran.
    """
    config = test.work["config"]
    return {
        name: config[name]
        for name in own[0]
        if name != "seed" and name in config and config[name] not in [one[name] for one in own]
    }


def _share(test: Evaluation) -> str:
    return f"{measure(test.measures['accuracy'])} %"


def _how_sure(run: Run) -> str:
    others = run.trials.iloc[1:]
    others = others[others["val_acc"].notna()]
    if others.empty:
        return "It is the only one with a score, so there is nothing to compare it with."
    alike = int(others["like_best"].fillna(False).sum())
    unknown = int(others["like_best"].isna().sum())
    chosen = "its validation score is the best of several, and so a little too good"
    of = "" if run.searched.metric == DEFAULT_METRIC else " of their accuracy"
    test = f"McNemar's exact test{of}, corrected for the number of comparisons"
    if unknown == len(others):
        return (
            "How sure that is cannot be said: which pairs each trial judged right was not kept; "
            f"{chosen}."
        )
    if alike:
        told = f"{alike} of the other {len(others)} {'are' if alike > 1 else 'is'} not"
        if alike == len(others):
            told = f"none of the other {alike} is" if alike > 1 else "the other one is not"
        untested = f", {unknown} could not be compared" if unknown else ""
        return (
            f"Do not read much into the first place: {told} told from it on the same "
            f"pairs ({test}){untested}, and {chosen}."
        )
    known = len(others) - unknown
    told_apart = others.loc[others["like_best"].notna(), "val_acc"]
    better = int((told_apart > run.trials["val_acc"].iloc[0]).sum())
    if better:  # another measure ranks them
        told = "the other one judges" if known == better == 1 else f"{better} of {known} judge"
        return (
            f"By accuracy it is not the best: {told} more of the same pairs right ({test}), and "
            f"{chosen}. No test compares {run.searched.metric}."
        )
    worse = "the other one is" if known == 1 else f"each of the other {known} is"
    return (
        f"That is as sure as one seed makes it: {worse} worse on the same pairs ({test}), but "
        f"{chosen}."
    )
