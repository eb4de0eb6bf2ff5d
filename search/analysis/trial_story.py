"""The story of one trial: its settings, its score, why it ended, and whether that was right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from facesiam.cli.terminal import folded
from facesiam.config import TrialConfig, Value
from facesiam.errors import counted
from search.analysis.formatting import NOTHING, interval, percent, shown_value
from search.analysis.ranked_trials import load
from search.analysis.rule_audit import decided, lost_by_stopping, near_best
from search.analysis.trial_table import UNTESTED, differing
from search.pruning.history import LEVEL, History, departure
from search.pruning.rules import momentum_spent_after
from search.runs import layout
from search.runs.journal import read_trials
from search.runs.layout import folder_of, settings
from search.runs.line_format import ENQUEUED, RANDOM, chosen_by
from search.space.effect import has_effect

VITAL = ("trunk_grad_max", "trunk_grad_zero", "trunk_live", "head_live", "logit_spread")
INDENT, WIDTH = 13, 99


class TrialRecord(NamedTuple):
    """What the story of one trial is told from."""

    trials: pd.DataFrame
    """All trials of the run, ranked."""
    place: int
    """Position of the trial in them, from 0."""
    epochs: pd.DataFrame
    """Its epochs, in order."""
    settings: dict[str, Value]
    metric: str
    level: float
    """Level of the chance band that its rules compared it with."""

    @property
    def trial(self) -> pd.Series:
        """Its row of the ranked trials."""
        return self.trials.iloc[self.place]

    @property
    def planned(self) -> int:
        """Epochs that it would run."""
        return int(self.settings["epochs"])

    @property
    def run(self) -> int:
        """Epochs that it ran."""
        return int(self.trial["epochs_run"])


def story(run: str | Path, trial: str, width: int = WIDTH) -> str:
    """Return the story of one trial, a labelled paragraph per subject.

    Args:
        run: folder of the run.
        trial: its id.
        width: columns of a line.

    Raises:
        RunError: the run cannot be read, or has no such trial (with the nearest one it has).
        SpaceError: its space.yaml cannot be read.
    """
    trials, epochs = load(run)
    names = list(trials["trial"])
    layout.require_trial(run, trial, names)
    space = layout.space(folder_of(run))
    chance = space.prune["chance"]
    record = TrialRecord(
        trials,
        names.index(trial),
        epochs[epochs["trial"] == trial],
        settings(run)[trial].to_dict(),
        space.metric,
        float(chance["level"]) if chance else LEVEL,
    )
    line = read_trials(folder_of(run))[trial]
    parts = _parts(record) | {"taken from": str(line.get("reused") or "")}
    row = record.trial.get("row")
    title = f"trial {trial}" + ("" if pd.isna(row) or row == trial else f", row {row}")
    title += _chosen_by(chosen_by(line))
    lines = [
        folded(said, width, f"{name:<{INDENT}}", " " * INDENT)
        for name, said in parts.items()
        if said
    ]
    if log := line.get("log"):
        lines += ["its log ended with", *(f"    {text}" for text in log)]
    return "\n".join([f"{title}: {record.trial['status']}", *lines])


def _chosen_by(by: str | None) -> str:
    """Say what chose a trial's settings; nothing where they are in the space, or unknown."""
    if by is None or by in ("rows", "grid"):
        return ""
    return {ENQUEUED: ", enqueued", RANDOM: ", drawn at random"}.get(by, f", chosen by {by}")


def _parts(record: TrialRecord) -> dict[str, str]:
    """Return what there is to tell by its subject; "" of one that there is nothing on."""
    return {
        "settings": _settings(record),
        "scored": _scored(record),
        "took off": _took_off(record),
        "vital signs": _vital_signs(record),
        "ended": _ended(record),
        "decision": _decision(record),
        "saved": _saved(record),
        "control": _control(record),
        "rank": _rank(record),
        "ran with": _ran_with(record),
    }


def _settings(record: TrialRecord) -> str:
    """Return the settings that differ among the trials; of a single one, those not the default."""
    if len(record.trials) > 1:
        found = {name: record.trial[name] for name in differing(record.trials)}
        none = "those of every other trial"
    else:
        default, none = TrialConfig().to_dict(), "the defaults"
        found = {name: one for name, one in record.settings.items() if one != default[name]}
    shown = {name: one for name, one in found.items() if has_effect(name, record.settings)}
    return ", ".join(f"{name} {shown_value(value)}" for name, value in shown.items()) or none


def _scored(record: TrialRecord) -> str:
    trial = record.trial
    if pd.isna(trial["best_epoch"]):
        return (
            f"nothing but NaN in {counted(record.run, 'epoch')}" if record.run else "nothing yet"
        )
    by = "" if record.metric == "val_acc" else f", the best by {record.metric}"
    last = record.epochs.iloc[-1]
    said = f"{_accuracy(trial)} at epoch {trial['best_epoch']}{by}"
    if last["epoch"] != trial["best_epoch"]:
        said += f"; {percent(last['val_acc'])} % at epoch {last['epoch']}, its last"
    return said


def _history(record: TrialRecord) -> History:
    rows: list[Mapping[str, Any]] = [
        {str(name): value for name, value in row.items()}
        for row in record.epochs.to_dict("records")
    ]
    return History(rows, record.settings, level=record.level, metric=record.metric)


def _took_off(record: TrialRecord) -> str:
    history = _history(record)
    rows, edge = history.rows, history.band()
    if not edge <= 1:
        return ""
    found, bound = departure(history, edge), 100 * edge
    low = "" if history.calibrated else f"above {100 - bound:.1f} %, "
    band = f"guessing stays {low}below {bound:.1f} % on {history.pairs:,} pairs"
    band += ", the threshold chosen on them" if history.calibrated else ""
    if found is None:
        return f"never in {counted(record.run, 'epoch')}: {band}"
    row, by = rows[found[0]], found[1]
    seen = "" if by == "val_acc" else f"; by its {by} of {row[by]:.3f} it did not guess"
    return f"at epoch {row['epoch']}, with {100 * row['val_acc']:.1f} %: {band}{seen}"


def _vital_signs(record: TrialRecord) -> str:
    if record.epochs.empty:
        return ""
    last = record.epochs.iloc[-1]
    known = [name for name in VITAL if name in last and not pd.isna(last[name])]
    signs = ", ".join(f"{name} {last[name]:.3g}" for name in known)
    return f"{signs} at epoch {last['epoch']}{_not_dead(record)}" if known else ""


def _not_dead(record: TrialRecord) -> str:
    """Return how many updates a trial without a gradient is from being certified dead."""
    still = (record.epochs["trunk_grad_zero"] == 1)[::-1].cumprod()[::-1].astype(bool)
    updates = int(record.epochs["updates"][still].sum())
    needed = momentum_spent_after(_history(record), len(still) - int(still.sum()))
    if not 0 < updates < needed:
        return ""
    return f"; no gradient in {counted(updates, 'update')}, of the {needed} that certify a death"


def _ended(record: TrialRecord) -> str:
    trial, ran = record.trial, f"{record.run} of {counted(record.planned, 'epoch')}"
    status = str(trial["status"])
    if status == "stopped":
        return f"stopped by {shown_value(trial['stop_rule'])} after {ran}"
    if status == "done":
        return f"ran to its end, {ran}"
    known = status in ("failed", "paused") and not decided(record.trials)[record.place]
    known &= not pd.isna(trial["stop_reason"])
    return f"{status} after {ran}" + (f": {trial['stop_reason']}" if known else "")


def _decision(record: TrialRecord) -> str:
    """Return what the rule said, which has the numbers behind it."""
    trial = record.trial
    if not decided(record.trials)[record.place]:
        return ""
    at = "" if pd.isna(trial["stop_epoch"]) else f" at epoch {shown_value(trial['stop_epoch'])}"
    return f"{trial['stop_rule']}{at}: {shown_value(trial['stop_reason'])}"


def _saved(record: TrialRecord) -> str:
    if record.trial["status"] != "stopped":
        return ""
    return f"{record.planned - record.run} of {counted(record.planned, 'epoch')}"


def _control(record: TrialRecord) -> str:
    """Return what became of a trial of the control group after the decision to stop it."""
    trial = record.trial
    if not trial["control"]:
        return ""
    ran_on = "ran on"
    if not pd.isna(trial["stop_epoch"]):
        ran_on += f" for {counted(record.run - 1 - int(trial['stop_epoch']), 'epoch')}"
    if record.run < record.planned:
        unknown = "so whether stopping it would have been right is not known"
        return f"{ran_on}; {trial['status']}, {unknown}"
    gap = 100 * (record.trials["val_acc"].max() - trial["val_acc"])
    if not near_best(record.trials)[record.place]:
        below = "without a score" if math.isnan(gap) else f"{gap:.1f} points below the best"
        return f"{ran_on} and ended {below}: stopping it would have been right"
    where = "as the best" if gap == 0 else f"{gap:.1f} points below the best"
    if not lost_by_stopping(record.trials)[record.place]:
        return f"{ran_on} and ended {where}, but was so before: nothing would have been lost"
    return f"{ran_on} and ended {where}: stopping it would have been wrong"


def _rank(record: TrialRecord) -> str:
    trial, best = record.trial, record.trials.iloc[0]
    if pd.isna(trial["rank"]):
        return "none, as it has no epoch"
    place = f"{trial['rank']} of {record.trials['rank'].notna().sum()}"
    if trial["trial"] == best["trial"]:
        return f"{place}, the best: {_accuracy(trial)}"
    against = f"{place}: {_accuracy(trial)} against {_accuracy(best)} of the best, {best['trial']}"
    if math.isnan(trial["val_acc"]):
        return against
    if pd.isna(trial["like_best"]):
        return f"{against}; {UNTESTED.removeprefix('? ')}"
    told_apart = "cannot tell" if trial["like_best"] else "tells"
    if math.isnan(trial["best_p"]):
        return f"{against}; an exact McNemar test {told_apart} the two apart, whichever the pairs"
    return (
        f"{against}; an exact McNemar test on the same pairs {told_apart} the two apart, p "
        f"{trial['best_p']:.2g} after all comparisons with the best"
    )


def _ran_with(record: TrialRecord) -> str:
    if not record.run:
        return ""
    return shown_value(record.trial["ran_with"]).replace(NOTHING, "not recorded")


def _accuracy(trial: pd.Series) -> str:
    shown = interval(trial["val_acc"], trial["val_acc_low"], trial["val_acc_high"])
    return shown if shown == NOTHING else f"{shown} %"
