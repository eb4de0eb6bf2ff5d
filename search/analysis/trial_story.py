"""The story of one trial: what it was, what it scored, why it ended, and whether rightly so."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from facesiam.config.trial import did_you_mean
from search.analysis.formatting import UNTESTED, differing, interval, shown_value
from search.analysis.frames import load, objective
from search.analysis.rule_audit import good, judged, lost_by_it
from search.pruning.history import LEVEL, History, departure
from search.pruning.rules import spent_after
from search.runs.journal import read_trials
from search.runs.layout import RunError, folder_of, settings
from search.space import model

VITAL = ("trunk_grad_max", "trunk_grad_zero", "trunk_live", "head_live", "logit_spread")
INDENT, WIDTH = 13, 99


class Told(NamedTuple):
    """What the story of one trial is told from."""

    trials: pd.DataFrame
    """All of the run, ranked."""
    place: int
    """Where it stands in them, from 0."""
    epochs: pd.DataFrame
    """Its own, in order."""
    settings: dict[str, Any]
    metric: str
    level: float
    """Of the band that its rules held it against."""

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


def story(run: str | Path, trial: str) -> str:
    """Tell what one trial was, what it scored, why it ended, what that saved, and its rank.

    Raises:
        RunError: the run cannot be read, or has no such trial (with the nearest one it has).
        SpaceError: its space.yaml cannot be read.
    """
    trials, epochs = load(run)
    names = list(trials["trial"])
    if trial not in names:
        raise RunError(f"{run}: no trial {trial}{_nearest(trial, names)}")
    told = Told(
        trials,
        names.index(trial),
        epochs[epochs["trial"] == trial],
        settings(run)[trial].to_dict(),
        objective(run).metric,
        _level(run),
    )
    line = read_trials(folder_of(run))[trial]
    parts = {
        "settings": _settings(told),
        "scored": _scored(told),
        "took off": _took_off(told),
        "vital signs": _vital_signs(told),
        "ended": _ended(told),
        "verdict": _verdict(told),
        "saved": _saved(told),
        "control": _control(told),
        "rank": _rank(told),
        "taken from": str(line.get("reused") or ""),
    }
    row = told.trial["row"]
    title = f"trial {trial}" + ("" if pd.isna(row) or row == trial else f", row {row}")
    lines = [_folded(name, said) for name, said in parts.items() if said]
    if log := line.get("log"):
        lines += ["its log ended with", *(f"    {text}" for text in log)]
    return "\n".join([f"{title}: {told.trial['status']}", *lines])


def _level(run: str | Path) -> float:
    chance = model.load(folder_of(run) / "space.yaml", of_run=True).prune["chance"]
    return float(chance["level"]) if chance else LEVEL


def _settings(told: Told) -> str:
    names = differing(told.trials)
    if not names:
        return "those of every other trial"
    return ", ".join(f"{name} {shown_value(told.trial[name])}" for name in names)


def _scored(told: Told) -> str:
    trial = told.trial
    if pd.isna(trial["best_epoch"]):
        return f"nothing but NaN in {_epochs(told.run)}" if told.run else "nothing yet"
    by = "" if told.metric == "val_acc" else f", the best by {told.metric}"
    last = told.epochs.iloc[-1]
    said = f"{_accuracy(trial)} at epoch {trial['best_epoch']}{by}"
    if last["epoch"] != trial["best_epoch"]:
        said += f"; {_number(100 * last['val_acc'], '.1f')} at epoch {last['epoch']}, its last"
    return said


def _history(told: Told) -> History:
    rows: list[Mapping[str, Any]] = [
        {str(name): value for name, value in row.items()} for row in told.epochs.to_dict("records")
    ]
    return History(rows, told.settings, level=told.level, metric=told.metric)


def _took_off(told: Told) -> str:
    history = _history(told)
    rows, edge = history.rows, history.band()
    if not edge <= 1:
        return ""
    found, bound = departure(history, edge), 100 * edge
    low = "" if history.calibrated else f"above {100 - bound:.1f}, "
    band = f"guessing stays {low}below {bound:.1f} on {history.pairs:,} pairs"
    band += ", the threshold chosen on them" if history.calibrated else ""
    if found is None:
        return f"never in {_epochs(told.run)}: {band}"
    row, by = rows[found[0]], found[1]
    seen = "" if by == "val_acc" else f"; by its {by} of {row[by]:.3f} it did not guess"
    return f"at epoch {row['epoch']}, with {100 * row['val_acc']:.1f}: {band}{seen}"


def _vital_signs(told: Told) -> str:
    if told.epochs.empty:
        return ""
    last = told.epochs.iloc[-1]
    known = [name for name in VITAL if name in last and not pd.isna(last[name])]
    signs = ", ".join(f"{name} {last[name]:.3g}" for name in known)
    return f"{signs} at epoch {last['epoch']}{_not_dead(told)}" if known else ""


def _not_dead(told: Told) -> str:
    """Say why a trial without a gradient was not certified dead for want of updates."""
    still = (told.epochs["trunk_grad_zero"] == 1)[::-1].cumprod()[::-1].astype(bool)
    updates = int(told.epochs["updates"][still].sum())
    needed = spent_after(_history(told), len(still) - int(still.sum()))
    if not 0 < updates < needed:
        return ""
    return f"; no gradient in {updates} updates, of the {needed} that certify a death"


def _ended(told: Told) -> str:
    trial, ran = told.trial, f"{told.run} of {_epochs(told.planned)}"
    status = str(trial["status"])
    if status == "stopped":
        return f"stopped by {shown_value(trial['stop_rule'])} after {ran}"
    if status == "done":
        return f"ran to its end, {ran}"
    known = status == "failed" and not judged(told.trials)[told.place]
    known &= not pd.isna(trial["stop_reason"])
    return f"{status} after {ran}" + (f": {trial['stop_reason']}" if known else "")


def _verdict(told: Told) -> str:
    """Write what the rule said, and the numbers behind it as far as they were noted."""
    trial = told.trial
    if not judged(told.trials)[told.place]:
        return ""
    numbers = {
        "epoch": shown_value(trial["stop_epoch"]),
        "rung": _number(trial["stop_rung"], "g"),
        "value": _number(trial["stop_value"], ".4g"),
        "cutoff": _number(trial["stop_cutoff"], ".4g"),
        "peers": shown_value(trial["stop_peers"]),
    }
    known = ", ".join(f"{name} {value}" for name, value in numbers.items() if value != "–")
    at = f" at {known}" if known else ""
    return f"{trial['stop_rule']}{at}: {shown_value(trial['stop_reason'])}"


def _saved(told: Told) -> str:
    if told.trial["status"] != "stopped":
        return ""
    return f"{told.planned - told.run} of {_epochs(told.planned)}"


def _control(told: Told) -> str:
    """Write what became of a trial of the control group after its verdict."""
    trial = told.trial
    if not trial["control"]:
        return ""
    ran_on = "ran on"
    if not pd.isna(trial["stop_epoch"]):
        ran_on += f" for {_epochs(told.run - 1 - int(trial['stop_epoch']))}"
    if told.run < told.planned:
        return f"{ran_on}; {trial['status']}, so whether the verdict was right is not known"
    gap = 100 * (told.trials["val_acc"].max() - trial["val_acc"])
    if not good(told.trials)[told.place]:
        below = "without a score" if math.isnan(gap) else f"{gap:.1f} points below the best"
        return f"{ran_on} and ended {below}: the verdict was right"
    where = "as the best" if gap == 0 else f"{gap:.1f} points below the best"
    if not lost_by_it(told.trials)[told.place]:
        return f"{ran_on} and ended {where}, but was so before: nothing would have been lost"
    return f"{ran_on} and ended {where}: the verdict was false"


def _rank(told: Told) -> str:
    trial, best = told.trial, told.trials.iloc[0]
    if pd.isna(trial["rank"]):
        return "none, as it has no epoch"
    place = f"{trial['rank']} of {told.trials['rank'].notna().sum()}"
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


def _accuracy(trial: pd.Series) -> str:
    return interval(trial["val_acc"], trial["val_acc_low"], trial["val_acc_high"])


def _number(value: float, form: str) -> str:
    return "–" if math.isnan(value) else format(value, form)


def _epochs(count: int) -> str:
    return f"{count} epoch" + ("" if count == 1 else "s")


def _nearest(trial: str, trials: list[str]) -> str:
    """Name the nearest trial, 0007 for 7 too, or where none is near the first and the last."""
    padded = trial.zfill(max(map(len, trials))) if trial.isdecimal() else trial
    if padded in trials:
        return f"; did you mean {padded}?"
    first, last = min(trials), max(trials)
    return did_you_mean(padded, trials) or f"; its {len(trials)} trials are {first} to {last}"


def _folded(name: str, said: str) -> str:
    indent = " " * INDENT
    return textwrap.fill(
        said,
        WIDTH,
        initial_indent=f"{name:<{INDENT}}",
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
