"""What the rules did in a run: the story of one trial, and how often each rule was wrong.

A trial that is stopped cannot show that the rule was wrong. A share `prune: {control: …}` of the
trials that a rule would stop therefore run on, drawn at random, so that what became of them stands
for what would have become of the others. A verdict was *false* where such a trial ended within
WITHIN of the best of its run.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from scipy.stats import beta

from facesiam.config import did_you_mean
from search import results
from search.folder import RunError, settings
from search.history import History, edge, take_off
from search.odds import WITHIN
from search.ranking import aligned, differing, interval, shown_value

NOT_RULES = ("error", "interrupted")
"""What the journal has for a stop_rule where no rule gave a verdict."""
RECORD = {
    "rule": "string", "verdicts": "int64", "stopped": "int64", "spared": "int64",
    "false": "int64", "rate": "float64", "rate_low": "float64", "rate_high": "float64",
    "epochs_saved": "int64", "epochs_spent": "int64",
}  # fmt: skip
HEADERS = [
    "rule", "verdicts", "stopped", "ran on", "of them\nfalse", "false, %", "epochs\nsaved",
    "spent on\ncontrol",
]  # fmt: skip
VITAL = ("trunk_grad_max", "trunk_grad_zero", "trunk_live", "head_live", "logit_spread")
INDENT, WIDTH = 13, 99
UNKNOWN = "the rate of false stops is not known"


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


def planned(run: str | Path, trials: pd.DataFrame) -> dict[str, int]:
    """Return the epochs that each trial would run, by trial; nothing where no rule judged any.

    Raises:
        RunError: as ``folder.settings``.
    """
    if not _judged(trials).any():
        return {}
    return {trial: config.epochs for trial, config in settings(run).items()}


def record(trials: pd.DataFrame, planned: Mapping[str, int]) -> pd.DataFrame:
    """Return what each rule did in a run, a row per rule that judged a trial, by name.

    ``verdicts``: trials that it was the first to judge; ``stopped``: those that it ended;
    ``spared``: those of the control group that ran to their planned end; ``false``: the spared
    ones within WITHIN of the run's best val_acc; ``rate``, ``rate_low``, ``rate_high``: the share
    of false ones with its exact 95 % interval, NaN where none was spared; ``epochs_saved``:
    planned less run, over the stopped; ``epochs_spent``: run after the verdict, over the control
    group.

    Args:
        trials: the ranked trials, as ``results.load`` returns them.
        planned: epochs that each trial would run.
    """
    rows = []
    good = _good(trials)
    for rule, group in trials[_judged(trials)].groupby("stop_rule"):
        left = group["trial"].map(planned) - group["epochs_run"]
        stopped, control = group["status"] == "stopped", group["control"]
        spared = control & (left <= 0)
        false, n = int((spared & good[group.index]).sum()), int(spared.sum())
        low, high = clopper_pearson(false, n) if n else (math.nan, math.nan)
        after = group["epochs_run"] - 1 - group["stop_epoch"]
        rows.append([
            rule, len(group), int(stopped.sum()), n, false, false / n if n else math.nan, low,
            high, int(left[stopped].sum()), int(after[control].sum()),
        ])  # fmt: skip
    return pd.DataFrame(rows, columns=list(RECORD)).astype(RECORD)


def clopper_pearson(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a share, ``k`` of ``n`` > 0: at least ``level`` for any n.

    Wilson's, which the tables use for thousands of pairs, is too narrow for the few trials of a
    control group. Source: C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial
    limits illustrated in the case of the binomial", Biometrika 26 (1934).
    """
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(beta.ppf(tail, k, n - k + 1))
    high = 1.0 if k == n else float(beta.ppf(1 - tail, k + 1, n - k))
    return low, high


def cells(rules: pd.DataFrame) -> list[list[str]]:
    """Write a record's rows under HEADERS; – where the rate is not known."""
    return [
        [
            str(row["rule"]), *(str(row[name]) for name in ("verdicts", "stopped", "spared")),
            str(row["false"]) if row["spared"] else "–",
            interval(row["rate"], row["rate_low"], row["rate_high"]),
            str(row["epochs_saved"]), str(row["epochs_spent"]),
        ]
        for row in rules.to_dict("records")
    ]  # fmt: skip


def notes(rules: pd.DataFrame) -> list[str]:
    """Return the lines under a record: what is false, and of which rules that is not known."""
    lines = []
    if rules["spared"].any():
        lines.append(
            f"false: ran on, as the control group, and ended within {100 * WITHIN:g} points of "
            "the best; 95 % interval by Clopper and Pearson"
        )
    unknown = rules[rules["spared"] == 0]
    waiting = unknown["verdicts"] > unknown["stopped"]
    for group, why in (
        (unknown[~waiting], "no control group"),
        (unknown[waiting], "no trial of the control group has run to its end"),
    ):
        if len(group):
            names = "" if len(group) == len(rules) else f"{', '.join(group['rule'])}: "
            lines.append(f"{names}{why}: {UNKNOWN}")
    return lines


def text(rules: pd.DataFrame) -> str:
    """Lay out a record for the terminal; '' where no rule gave a verdict."""
    if rules.empty:
        return ""
    table = aligned(HEADERS, cells(rules), [True] + [False] * (len(HEADERS) - 1))
    return "\n".join([table, *notes(rules)])


def story(run: str | Path, trial: str) -> str:
    """Tell what one trial was, what it scored, why it ended, what that saved, and its rank.

    Raises:
        RunError: the run cannot be read, or has no such trial (with the nearest one it has).
        SpaceError: its space.yaml cannot be read.
    """
    trials, epochs = results.load(run)
    names = list(trials["trial"])
    if trial not in names:
        raise RunError(f"{run}: no trial {trial}{_nearest(trial, names)}")
    told = Told(
        trials, names.index(trial), epochs[epochs["trial"] == trial],
        settings(run)[trial].to_dict(), results.goal(run)[0],
    )  # fmt: skip
    parts = {
        "settings": _settings(told), "scored": _scored(told), "took off": _took_off(told),
        "vital signs": _vital_signs(told), "ended": _ended(told), "verdict": _verdict(told),
        "saved": _saved(told), "control": _control(told), "rank": _rank(told),
    }  # fmt: skip
    row = told.trial["row"]
    title = f"trial {trial}" + ("" if pd.isna(row) or row == trial else f", row {row}")
    lines = [_folded(name, said) for name, said in parts.items() if said]
    return "\n".join([f"{title}: {told.trial['status']}", *lines])


def _judged(trials: pd.DataFrame) -> pd.Series:
    """Say which trials a rule gave a verdict on: it stopped them, or they are its control."""
    by_rule = trials["stop_rule"].notna() & ~trials["stop_rule"].isin(NOT_RULES)
    return by_rule & ((trials["status"] == "stopped") | trials["control"])


def _good(trials: pd.DataFrame) -> pd.Series:
    """Say which trials came within WITHIN of the best, whatever the last bit says."""
    good: pd.Series = trials["val_acc"] >= trials["val_acc"].max() - WITHIN - 1e-9
    return good


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


def _took_off(told: Told) -> str:
    rows: list[Mapping[str, Any]] = [
        {str(name): value for name, value in row.items()}
        for row in told.epochs.to_dict("records")
    ]
    history = History(rows, told.settings)
    if not history.pairs:
        return ""
    epoch = take_off(history)
    bound = 100 * edge(history.pairs, max(told.planned, told.run))
    band = f"guessing stays between {100 - bound:.1f} and {bound:.1f} on {history.pairs:,} pairs"
    if epoch is None:
        return f"never in {_epochs(told.run)}: {band}"
    return f"at epoch {rows[epoch]['epoch']}, with {100 * rows[epoch]['val_acc']:.1f}: {band}"


def _vital_signs(told: Told) -> str:
    if told.epochs.empty:
        return ""
    last = told.epochs.iloc[-1]
    known = [name for name in VITAL if name in last and not pd.isna(last[name])]
    signs = ", ".join(f"{name} {last[name]:.3g}" for name in known)
    return f"{signs} at epoch {last['epoch']}" if known else ""


def _ended(told: Told) -> str:
    trial, ran = told.trial, f"{told.run} of {_epochs(told.planned)}"
    status = str(trial["status"])
    if status == "stopped":
        return f"stopped by {shown_value(trial['stop_rule'])} after {ran}"
    if status == "done":
        return f"ran to its end, {ran}"
    known = status == "failed" and not _judged(told.trials)[told.place]
    known &= not pd.isna(trial["stop_reason"])
    return f"{status} after {ran}" + (f": {trial['stop_reason']}" if known else "")


def _verdict(told: Told) -> str:
    """Write what the rule said, and the numbers behind it as far as they were noted."""
    trial = told.trial
    if not _judged(told.trials)[told.place]:
        return ""
    numbers = {
        "epoch": shown_value(trial["stop_epoch"]), "rung": _number(trial["stop_rung"], "g"),
        "value": _number(trial["stop_value"], ".4g"),
        "cutoff": _number(trial["stop_cutoff"], ".4g"),
        "peers": shown_value(trial["stop_peers"]),
    }  # fmt: skip
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
    if not _good(told.trials)[told.place]:
        below = "without a score" if math.isnan(gap) else f"{gap:.1f} points below the best"
        return f"{ran_on} and ended {below}: the verdict was right"
    where = "as the best" if gap == 0 else f"{gap:.1f} points below the best"
    said = f"{ran_on} and ended {where}: the verdict was false"
    if not pd.isna(trial["stop_epoch"]) and trial["best_epoch"] <= trial["stop_epoch"]:
        said += ", though its best epoch was not after it"
    return said


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
    overlap = "overlap, so they cannot be told apart" if trial["like_best"] else "do not overlap"
    return f"{against}; the intervals {overlap}"


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
        said, WIDTH, initial_indent=f"{name:<{INDENT}}", subsequent_indent=indent,
        break_on_hyphens=False,
    )  # fmt: skip
