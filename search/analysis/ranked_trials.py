"""The data frames of a run: its ranked trials, and their epochs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from facesiam.config import SETTINGS
from facesiam.config.costs import COSTS
from facesiam.config.metrics import ENDS
from facesiam.device.arithmetic import describe_history
from facesiam.errors import counted, shown
from facesiam.evaluation.metrics import wilson
from facesiam.evaluation.right_pairs import unpack
from facesiam.evaluation.thresholds import own_threshold
from facesiam.files import atomic
from facesiam.objective import Objective
from search.analysis.mcnemar import PAIR_SETTINGS, PairOutcomes, against_best
from search.analysis.pareto import known_costs, on_front
from search.pruning import run_histories
from search.pruning.history import History, has_learned
from search.runs import layout
from search.runs.layout import RunError, folder_of, read
from search.runs.line_format import EpochLine, TrialLine, chosen_by, is_paused
from search.space import SearchSpace
from search.space.effect import has_effect

KINDS = {bool: "boolean", int: "Int64", float: "float64", str: "string"}
MEASURED = {
    "val_acc": "float64",
    "val_acc_low": "float64",
    "val_acc_high": "float64",
    "threshold": "string",
    "like_best": "boolean",
    "best_p": "float64",
    "best_epoch": "Int64",
    "train_acc": "float64",
    "epochs_run": "int64",
    "learned": "boolean",
    "chosen_by": "string",
    "status": "string",
    "stop_rule": "string",
    "stop_reason": "string",
    "stop_epoch": "Int64",
    "stop_rung": "float64",
    "stop_value": "float64",
    "stop_cutoff": "float64",
    "stop_peers": "Int64",
    "control": "bool",
    "seconds": "float64",
    "ran_with": "string",
    "params": "Int64",
    "macs": "Int64",
    "latency_ms": "float64",
}
DEFAULT_METRIC = Objective().metric
WHOLE = {"epoch": "int64", "val_pairs": "int64", "updates": "Int64"}
"""Metrics that are whole numbers; older runs did not count their updates."""


def load(run: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the trials of a run, best first, and their epochs.

    The best epoch is the best one of the space's metric, of equals the first. NaN never wins: a
    trial with nothing but NaN ranks after all others. A trial without an epoch has no rank.

    Args:
        run: folder of the run.

    Returns:
        ``trials``, a row each, and ``epochs``, a row per trial and epoch, the trials in order of
        start. docs/run-folder.md says what their columns mean. Shares and intervals are in [0, 1];
        what does not apply, or was not measured by an older version, is missing.

    Raises:
        RunError: no such folder, not a run folder, a damaged file, or no trial has started.
        SpaceError: its space.yaml cannot be read.
    """
    folder, known, measured = read(run)
    searched = layout.space(folder)
    epochs = _epochs_frame(measured, searched.metrics())
    own = [name for plugin in searched.plugins for name in plugin.metrics]
    if searched.metric not in (*MEASURED, *own):
        own += [searched.metric, *ENDS.get(searched.metric, ())]
    names = varied(searched, [line.get("settings") or {} for line in known.values()])
    histories = run_histories.of_run(known, measured, searched)
    rows = [
        {"trial": trial, "row": line.get("row"), **_settings_of(folder, trial, line, names)}
        | _summary(line, measured.get(trial, []), searched.objective, own)
        | {"learned": _learned(line, histories[trial])}
        for trial, line in known.items()
    ]
    rows_of = {"row": "string"} if any(line.get("row") for line in known.values()) else {}
    kinds = {"trial": "string"} | rows_of
    kinds |= {name: KINDS[SETTINGS[name].type] for name in names} | MEASURED
    kinds |= dict.fromkeys(own, "float64")
    trials = _ranked(pd.DataFrame(rows), searched.objective, kinds)
    costs = searched.costs or known_costs(trials)
    trials["on_front"] = on_front(trials, searched.objective, costs)
    return trials, epochs


def choose(run: Path, trial: str | None, rank: int) -> str:
    """Return the id of the trial that was named, or of the one at `rank`.

    Raises:
        RunError: there is none.
    """
    trials, _ = load(run)
    if trial is not None:
        layout.require_trial(run, trial, trials["trial"])
        return trial
    ranked = trials[trials["rank"] == rank]
    if ranked.empty:
        most = int(trials["rank"].max()) if trials["rank"].notna().any() else 0
        raise RunError(
            f"{run}: no trial of rank {rank}; {counted(most, 'trial')} "
            f"{'has' if most == 1 else 'have'} a rank"
        )
    return str(ranked["trial"].iloc[0])


class NoResultsError(RunError):
    """A run in which no epoch has finished yet."""


def objective(run: str | Path) -> Objective:
    """Return what decides which epoch and which trial of a run is best.

    Raises:
        RunError: not a run folder.
        SpaceError: its space.yaml cannot be read.
    """
    return layout.space(folder_of(run)).objective


def write(run: str | Path) -> None:
    """Write trials and epochs into the run folder as CSV and Parquet, each file atomically.

    Raises:
        RunError: as ``load``.
    """
    folder = folder_of(run)
    for name, frame in zip(("trials", "epochs"), load(folder), strict=True):
        with atomic(folder / f"{name}.csv") as partial:
            frame.to_csv(partial, index=False)
        with atomic(folder / f"{name}.parquet") as partial:
            frame.to_parquet(partial, index=False)


def varied(searched: SearchSpace, ran: Iterable[dict[str, Any]]) -> list[str]:
    """Return the settings that the space lets differ, or that do differ, in TrialConfig's order.

    Args:
        searched: the space.
        ran: settings of its trials.
    """
    found = set(searched.varied())
    values: dict[str, set[Any]] = {}
    for line in ran:
        for name, value in line.items():
            values.setdefault(name, set()).add(value)
    found |= {name for name, distinct in values.items() if len(distinct) > 1}
    return [name for name in SETTINGS if name in found]


def states(trials: pd.DataFrame) -> str:
    """Return how many trials are in which state: ``2 done, 1 running``."""
    counts = trials["status"].value_counts()
    return ", ".join(f"{counts[status]} {status}" for status in sorted(counts.index))


def require_results(run: str | Path, trials: pd.DataFrame) -> None:
    """Refuse a run that has nothing to show yet: no epoch, and no trial that failed.

    Raises:
        NoResultsError: says how many trials are in which state.
    """
    if trials["epochs_run"].sum() == 0 and not (trials["status"] == "failed").any():
        raise NoResultsError(f"{run}: no epoch has finished yet (trials: {states(trials)})")


def _epochs_frame(
    measured: dict[str, list[dict[str, Any]]], metrics: Iterable[str]
) -> pd.DataFrame:
    lines = [{"trial": trial, **line} for trial, rows in measured.items() for line in rows]
    frame = pd.DataFrame(lines, columns=["trial", *metrics])
    frame["val_pairs"] = frame["val_pairs"].fillna(0)  # not known
    kinds = {"trial": "string"} | {name: WHOLE.get(name, "float64") for name in metrics}
    return frame.astype(kinds)


def _settings_of(run: Path, trial: str, line: TrialLine, names: Iterable[str]) -> dict[str, Any]:
    ran = line.get("settings") or {}
    found = {name: ran.get(name) if has_effect(name, ran) else None for name in names}
    for name, value in found.items():
        if value is not None and not _fits(value, SETTINGS[name].type):
            why = SETTINGS[name].problem(value)
            raise RunError(f"{run / 'trials.jsonl'}: trial {trial}: {name}: {why}")
    return found


def _fits(value: Any, kind: type) -> bool:
    """Return whether a setting's value goes into its column; its bounds may have been others."""
    if kind in (bool, str) or isinstance(value, bool | str):
        return type(value) is kind
    return kind is float or (value == int(value) and abs(value) < 2**63)


def _summary(
    line: TrialLine, epochs: list[EpochLine], objective: Objective, own: Iterable[str]
) -> dict[str, Any]:
    """Return a trial's columns, with the objective and the outcomes of its validation pairs."""
    scores = [_or_nan(epoch.get(objective.metric)) for epoch in epochs]
    position = objective.best_epoch(scores)
    best = epochs[position] if position is not None else {}
    value, pairs = _or_nan(best.get("val_acc")), int(best.get("val_pairs", 0))
    # A pair that comes twice tells nothing more. Older runs did not note how many there are.
    n = min(pairs, int(best.get("val_distinct") or pairs))
    low, high = (math.nan, math.nan) if math.isnan(value) else wilson(round(value * n), n)
    return {
        "objective": _or_nan(best.get(objective.metric)),
        "val_acc": value,
        "val_acc_low": low,
        "val_acc_high": high,
        "threshold": own_threshold(line["settings"]) if line.get("settings") else None,
        "_outcomes": _outcomes(line, value, pairs, best.get("val_right")),
        "best_epoch": best.get("epoch"),
        "train_acc": _or_nan(best.get("train_acc")),
        "epochs_run": len(epochs),
        "chosen_by": chosen_by(line),
        "status": "paused" if is_paused(line) else line.get("status"),
        **{name: line.get(name) for name in MEASURED if name.startswith("stop_")},
        "control": bool(line.get("control")),
        **{name: _or_nan(best.get(name)) for name in own},
        "ran_with": " ".join(shown(describe_history(line.get("ran") or ())).split()) or None,
        "seconds": float(sum(_or_nan(epoch.get("seconds")) for epoch in epochs)),
        **{name: (line.get("cost") or {}).get(name) for name in COSTS},
    }


def _learned(line: TrialLine, history: History) -> bool | None:
    return has_learned(history, run_histories.rule_of(line)) if history.rows else None


def _outcomes(line: TrialLine, share: float, n: int, right: str | None) -> PairOutcomes | None:
    """Return what is known of the validation pairs at the best epoch; None without a score."""
    if math.isnan(share):
        return None
    count, settings = round(share * n), line.get("settings") or {}
    pairs = tuple(settings.get(name) for name in PAIR_SETTINGS)
    return PairOutcomes(n, count, pairs, unpack(right, n, count))


def _ranked(frame: pd.DataFrame, objective: Objective, kinds: dict[str, str]) -> pd.DataFrame:
    """Sort best first, number the trials that have an epoch, mark those like the first."""
    frame["_none"] = frame["epochs_run"] == 0
    order = ["_none", "objective", "best_epoch", "trial"]
    frame["best_epoch"] = frame["best_epoch"].astype("Int64")
    frame = frame.sort_values(order, ascending=[True, not objective.maximizes, True, True])
    frame = frame.reset_index(drop=True)
    ranks = pd.Series(range(1, len(frame) + 1), dtype="Int64").mask(frame["_none"])
    outcomes = frame["_outcomes"]
    others = int(outcomes.notna().sum()) - 1
    compared = [against_best(outcomes.iloc[0], one, others) for one in outcomes]
    frame["like_best"] = pd.array([one.alike for one in compared], dtype="boolean")
    frame["best_p"] = [one.p for one in compared]
    frame.loc[0, "best_p"] = math.nan  # of itself
    frame.insert(0, "rank", ranks)
    return frame.astype(kinds)[["rank", *kinds]]


def _or_nan(value: Any) -> float:
    return math.nan if value is None else float(value)
