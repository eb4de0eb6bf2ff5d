"""Searches on Ray that are parts of the benchmark, as a user runs them, and what they leave."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from facesiam import cli
from facesiam.errors import named
from search.api.opened import Run, load
from search.api.searching import run
from search.resources.allocation import DriverError
from search.runs.journal import read_trials
from search.runs.layout import MANIFEST

from .plan import Plan


def searched(plan: Plan, space: Any, name: str, minutes: float, **options: Any) -> Run:
    """Run a search into the plan's folder, or go on with it; return what it left.

    Args:
        plan: of the part.
        space: as ``search.run`` takes it.
        name: of the run.
        minutes: after which it halts; another call goes on.
        options: more of ``search.run``.
    """
    folder = plan.work / name

    def once() -> Run:
        if (folder / MANIFEST).exists():
            return load(folder).resume(minutes=minutes, progress=False)
        return run(
            space, plan.data, name=name, out=plan.work, minutes=minutes, progress=False, **options
        )

    try:
        return once()
    except DriverError as error:
        # Ray gives its daemons 30 s to come up: few for a disk that is read for the first time.
        cli.say(f"{name}: {named(error)}; tried once more")
        return once()


def trials_of(found: Run) -> dict[str, dict[str, Any]]:
    """Return what is known of each trial of a run, by its row or id.

    Raises:
        RuntimeError: one has failed.
    """
    lines = read_trials(found.folder)
    epochs = found.epochs
    times = _times(found)
    result = {}
    for trial, line in lines.items():
        ran = epochs[epochs["trial"] == trial]
        best = (
            ran.sort_values("val_acc", ascending=False, kind="stable").iloc[0]
            if len(ran)
            else None
        )
        used: Sequence[Mapping[str, Any]] = line.get("ran") or [{}]
        began, ended = times.get(trial, (0.0, 0.0))
        if line["status"] == "failed":
            raise RuntimeError(f"{found.name}, trial {trial}: {line.get('stop_reason')}")
        result[line.get("row") or trial] = {
            "complete": line["status"] == "done",
            "status": line["status"],
            "device": used[-1].get("device"),
            "precision": used[-1].get("precision"),
            "epochs": len(ran),
            "val_acc": None if best is None else float(best["val_acc"]),
            "best_epoch": None if best is None else int(best["epoch"]),
            "training_seconds": float(ran["seconds"].sum()),
            "seconds_an_epoch": float(ran["seconds"].median()) if len(ran) else None,
            "pairs_a_second": float(ran["samples_per_second"].median()) if len(ran) else None,
            "peak_memory_mib": float(ran["peak_memory_mib"].max()) if len(ran) else None,
            "began": began,
            "ended": ended,
            "said": line.get("log", []),
        }
    return result


def most_at_once(trials: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the largest number of trials that ran at the same time."""
    ends = [(trial["began"], 1) for trial in trials.values()]
    ends += [(trial["ended"], -1) for trial in trials.values()]
    running = most = 0
    for _, step in sorted(ends):
        running += step
        most = max(most, running)
    return most


def _times(found: Run) -> dict[str, tuple[float, float]]:
    """Return when each trial began, in its last session, and ended, in seconds since 1970."""
    times: dict[str, tuple[float, float]] = {}
    waiting: set[str] = set()
    for text in (found.folder / "trials.jsonl").read_text().splitlines():
        line = json.loads(text)
        trial, now = line["trial"], float(line.get("time", 0.0))
        again = trial in waiting or trial not in times
        times[trial] = (now if again else times[trial][0], now)
        waiting = waiting | {trial} if line["status"] == "pending" else waiting - {trial}
    return times
