"""The record of each pruning rule in a run: what it stopped, and how often it was wrong.

A trial that is stopped cannot show that the rule was wrong. A share `prune: {control: …}` of the
trials that a rule would stop, drawn at random, therefore runs on as a control group. A decision to
stop was *false* where such a trial came within WITHIN of the best of its run after it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from search.analysis.formatting import aligned, grid, interval
from search.pruning.late_start import WITHIN
from search.runs.layout import settings

NOT_RULES = ("error", "interrupted")
"""What the journal has for a stop_rule where no rule decided."""
RECORD = {
    "rule": "string",
    "decisions": "int64",
    "stopped": "int64",
    "spared": "int64",
    "false": "int64",
    "rate": "float64",
    "rate_low": "float64",
    "rate_high": "float64",
    "epochs_saved": "int64",
    "epochs_spent": "int64",
}
HEADERS = [
    "rule",
    "decisions",
    "stopped",
    "ran on",
    "of them\nfalse",
    "false, %",
    "epochs\nsaved",
    "spent on\ncontrol",
]
UNKNOWN = "the rate of false stops is not known"


def planned(run: str | Path, trials: pd.DataFrame) -> dict[str, int]:
    """Return the epochs that each trial would run, by trial; empty where no rule decided on any.

    Raises:
        RunError: as ``layout.settings``.
    """
    if not decided(trials).any():
        return {}
    return {trial: config.epochs for trial, config in settings(run).items()}


def record(trials: pd.DataFrame, planned: Mapping[str, int]) -> pd.DataFrame:
    """Return what each rule did in a run, a row per rule that decided on a trial, by name.

    Args:
        trials: the ranked trials, as ``ranked_trials.load`` returns them.
        planned: epochs that each trial would run.

    Returns:
        ``decisions``: trials that the rule was the first to decide on; ``stopped``: those of them
        that ended; ``spared``: those of the control group that ran to their planned end;
        ``false``: the spared ones that came within WITHIN of the run's best val_acc after the
        decision; ``rate``, ``rate_low``, ``rate_high``: the share of false ones with its exact
        95 % interval, NaN where none was spared; ``epochs_saved``: planned less run, over the
        stopped; ``epochs_spent``: run after the decision, over the control group.
    """
    rows = []
    near = near_best(trials)
    for rule, group in trials[decided(trials)].groupby("stop_rule"):
        left = group["trial"].map(planned) - group["epochs_run"]
        stopped, control = group["status"] == "stopped", group["control"]
        spared = control & (left <= 0)
        wrong = spared & near[group.index] & lost_by_stopping(group)
        false, n = int(wrong.sum()), int(spared.sum())
        low, high = clopper_pearson(false, n) if n else (math.nan, math.nan)
        after = group["epochs_run"] - 1 - group["stop_epoch"]
        rows.append(
            [
                rule,
                len(group),
                int(stopped.sum()),
                n,
                false,
                false / n if n else math.nan,
                low,
                high,
                int(left[stopped].sum()),
                int(after[control].sum()),
            ]
        )
    return pd.DataFrame(rows, columns=list(RECORD)).astype(RECORD)


def clopper_pearson(k: int, n: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a share, ``k`` of ``n`` > 0.

    Wilson's, which the tables use for thousands of pairs, is too narrow for the few trials of a
    control group. Source: C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial
    limits illustrated in the case of the binomial", Biometrika 26 (1934).
    """
    from scipy.stats import binomtest  # not above: the start of a search need not wait for it

    low, high = binomtest(k, n).proportion_ci(method="exact")
    return float(low), float(high)


def cells(rules: pd.DataFrame) -> list[list[str]]:
    """Return a record's rows under HEADERS; – where the rate is not known."""
    return [
        [
            str(row["rule"]),
            *(str(row[name]) for name in ("decisions", "stopped", "spared")),
            str(row["false"]) if row["spared"] else "–",
            interval(row["rate"], row["rate_low"], row["rate_high"]),
            str(row["epochs_saved"]),
            str(row["epochs_spent"]),
        ]
        for row in rules.to_dict("records")
    ]


def notes(rules: pd.DataFrame) -> list[str]:
    """Return the lines under a record: what is false, and of which rules that is not known."""
    lines = []
    if rules["spared"].any():
        lines.append(
            f"false: ran on, as control, and came within {100 * WITHIN:g} points of the best "
            "after the decision; 95 % interval by Clopper and Pearson"
        )
    unknown = rules[rules["spared"] == 0]
    waiting = unknown["decisions"] > unknown["stopped"]
    for group, why in (
        (unknown[~waiting], "no control group"),
        (unknown[waiting], "no trial of the control group has run to its end"),
    ):
        if len(group):
            names = "" if len(group) == len(rules) else f"{', '.join(group['rule'])}: "
            lines.append(f"{names}{why}: {UNKNOWN}")
    return lines


def text(rules: pd.DataFrame) -> str:
    """Return a record as text for the terminal; '' where no rule decided on a trial."""
    if rules.empty:
        return ""
    table = aligned(HEADERS, cells(rules), [True] + [False] * (len(HEADERS) - 1))
    return "\n".join([table, *notes(rules)])


def markdown(rules: pd.DataFrame) -> str:
    """Return a record that is not empty as Markdown."""
    table = grid(HEADERS, cells(rules), [True] + [False] * (len(HEADERS) - 1))
    return "\n\n".join([table, *notes(rules)])


def decided(trials: pd.DataFrame) -> pd.Series:
    """Return which trials a rule decided on: those it stopped, and its control group."""
    by_rule = trials["stop_rule"].notna() & ~trials["stop_rule"].isin(NOT_RULES)
    return by_rule & ((trials["status"] == "stopped") | trials["control"])


def lost_by_stopping(trials: pd.DataFrame) -> pd.Series:
    """Return of which control trials the best epoch came after the decision, or may have."""
    lost: pd.Series = ~(trials["best_epoch"] <= trials["stop_epoch"]).fillna(False).astype(bool)
    return lost


def near_best(trials: pd.DataFrame) -> pd.Series:
    """Return which trials came within WITHIN of the best, rounding errors aside."""
    near: pd.Series = trials["val_acc"] >= trials["val_acc"].max() - WITHIN - 1e-9
    return near
