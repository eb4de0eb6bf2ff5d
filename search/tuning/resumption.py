"""What a resumed search goes on with, and from where, as it is told when it begins."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from search.runs.journal import read
from search.runs.line_format import TrialLine, is_paused
from search.tuning.journal_replay import UNFINISHED

FEW = 6
"""Trials that are named."""


def told(run: Path, count: int | None, asked: int | None = None) -> str:
    """Return a sentence of a run that goes on.

    Args:
        run: its folder.
        count: trials of the search; None: not known.
        asked: trials that were asked for; None: none were.
    """
    trials, epochs = read(run)
    if not trials:
        return "nothing of it is noted yet: it begins with its first trial"
    ended = Counter(str(line["status"]) for line in trials.values())
    left = {name: line for name, line in trials.items() if line["status"] in UNFINISHED}
    over = [f"{ended[status]} {status}" for status in ("done", "stopped") if ended[status]]
    parts = [", ".join(over)] if over else []
    if left:
        named = [f"{name} {_from(len(epochs.get(name, ())), line)}" for name, line in left.items()]
        more = [f"{len(named) - FEW} more"] if len(named) > FEW else []
        going = "goes" if len(left) == 1 else "go"
        parts.append(f"{len(left)} {going} on: {', '.join([*named[:FEW], *more])}")
    if asked is not None and asked < len(trials):
        parts.append(
            f"{len(trials)} have begun, more than the {asked} asked for, so no other does"
        )
    elif count is not None:
        parts.append(f"{max(0, count - len(trials))} of {count} not begun")
    times = [float(line["time"]) for line in trials.values() if line.get("time")]
    noted = ""
    if times:
        noted = f" (last noted {time.strftime('%Y-%m-%d %H:%M', time.localtime(max(times)))})"
    return f"goes on{noted}: {'; '.join(parts)}"


def _from(done: int, line: TrialLine) -> str:
    """Return from where a trial goes on."""
    failed = "again, it failed, " * (line["status"] == "failed")
    paused = " (paused)" * is_paused(line)
    if not done:
        return f"{failed}from its start"
    return f"{failed}after epoch {done} of {line['settings']['epochs']}{paused}"
