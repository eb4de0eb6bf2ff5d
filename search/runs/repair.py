"""Repair of a damaged journal; the damaged files are kept as copies.

Every complete line stays, in order and with a new number. Where an epoch of a trial is missing, or
lacks a field, only the epochs before it stay; a trial that had ended is interrupted then, and
--resume continues it from its state or from the start. Epochs of a trial that has no line of its
own are left out.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from facesiam.errors import counted
from facesiam.files import atomic, exists, open_regular, write_text
from search.runs import line_format
from search.runs.gaps import epochs_due
from search.runs.journal import in_old_order
from search.runs.line_format import EPOCHS, LONGEST, TRIALS, Event, parsed
from search.runs.lock import locked

NOT_STOPPED: dict[str, Any] = {
    "stop_rule": "interrupted",
    "stop_reason": "its epochs were lost",
    "stop_epoch": None,
    "stop_rung": None,
    "stop_value": None,
    "stop_cutoff": None,
    "stop_peers": None,
    "control": False,
}


class Repair(NamedTuple):
    """What was done to a journal."""

    kept: int
    """Lines that stay."""
    left_out: dict[str, int]
    """How many lines of each file do not."""
    again: dict[str, int]
    """Trials that had ended and are interrupted now, each with its epochs that stay."""
    copies: list[Path]
    """The files as they were."""

    def __str__(self) -> str:
        parts = [f"{count} of {name}" for name, count in self.left_out.items() if count]
        lines = [f"{counted(self.kept, 'line')} kept; left out: {', '.join(parts) or 'none'}"]
        lines += [
            f"trial {trial} is interrupted after {counted(epochs, 'epoch')}, as more were lost"
            for trial, epochs in self.again.items()
        ]
        lines += [f"as it was: {path}" for path in self.copies]
        return "\n".join(lines)


def repair(run: Path) -> Repair:
    """Repair the journal of a run in which no command is running.

    Raises:
        JournalError: a search is running in it.
        FileError: a file of it cannot be read at all.
    """
    with locked(run):
        broken = Counter[str]()
        rows = [
            (name, row) for name in (TRIALS, EPOCHS) for row in _rows(run / name, name, broken)
        ]
        kept, again = _consistent(rows)
        left_out = {
            name: broken[name]
            + sum(each[0] == name for each in rows)
            - sum(each[0] == name for each in kept)
            for name in (TRIALS, EPOCHS)
        }
        lines = [(name, {**row, "n": at}) for at, (name, row) in enumerate(kept, 1)]
        lines += [
            (
                TRIALS,
                {
                    "trial": trial,
                    "status": "interrupted",
                    **NOT_STOPPED,
                    "time": round(time.time(), 3),
                    "n": len(kept) + at,
                },
            )
            for at, trial in enumerate(again, 1)
        ]
        return Repair(len(kept), left_out, again, _written(run, lines))


def _rows(path: Path, name: str, broken: Counter[str]) -> list[dict[str, Any]]:
    """Return the valid lines of a file, and count the others in ``broken``."""
    rows: list[dict[str, Any]] = []
    if not exists(path):
        return rows
    with open_regular(path) as file:
        while line := file.readline(LONGEST + 1):
            row, why = parsed(line)
            if why is None and line_format.invalid_line(row, name == EPOCHS) is None:
                rows.append(row)
            elif line.strip():
                broken[name] += 1
            while not line.endswith(b"\n") and (line := file.readline(LONGEST)):
                pass  # the rest of a line without end
    return rows


def _consistent(rows: list[Event]) -> tuple[list[Event], dict[str, int]]:
    """Return the lines that stay, in order, and the trials that lost epochs, with those left."""
    known: dict[str, dict[str, Any]] = {}
    for name, row in rows:
        if name == TRIALS:
            known[row["trial"]] = {**known.get(row["trial"], {}), **row}
    known = {trial: line for trial, line in known.items() if "settings" in line}
    epochs: dict[str, int] = {}
    kept: list[Event] = []
    fields: set[str] = set()
    for name, row in _in_order([each for each in rows if each[1]["trial"] in known]):
        have = epochs.get(row["trial"], 0)
        if name == EPOCHS:
            if row["epoch"] > have or fields - row.keys():
                continue  # beyond a hole, or a line that has lost a figure
            fields |= row.keys() - {"n"}  # which those of before numbers get here
            epochs[row["trial"]] = max(have, row["epoch"] + 1)
        kept.append((name, row))
    return kept, {
        trial: epochs.get(trial, 0)
        for trial, line in known.items()
        if epochs.get(trial, 0) < epochs_due({**line, "planned": line["settings"].get("epochs")})
    }


def _in_order(rows: list[Event]) -> list[Event]:
    """Return the lines as they were written, and no epoch before the first line of its trial."""
    old = in_old_order([each for each in rows if "n" not in each[1]])
    numbered = [each for each in rows if "n" in each[1]]
    begun: set[str] = set()
    waiting: dict[str, list[Event]] = {}  # epochs of trials whose first lines are lost
    found: list[Event] = []
    for name, row in [*old, *sorted(numbered, key=lambda each: int(each[1]["n"]))]:
        trial = row["trial"]
        if name == EPOCHS and trial not in begun:
            waiting.setdefault(trial, []).append((name, row))
            continue
        begun.add(trial)
        found += [(name, row), *waiting.pop(trial, [])]
    return found


def _written(run: Path, lines: list[tuple[str, dict[str, Any]]]) -> list[Path]:
    """Write both files anew, after copies of what was there; return the copies."""
    stamp, copies = time.strftime("%Y%m%d-%H%M%S"), []
    for name in (TRIALS, EPOCHS):
        if exists(run / name):
            copy = run / f"{name}.damaged-{stamp}"
            with (
                open_regular(run / name) as old,
                atomic(copy) as partial,
                partial.open("wb") as new,
            ):
                shutil.copyfileobj(old, new)
            copies.append(copy)
    for name in (TRIALS, EPOCHS):
        text = "".join(json.dumps(row) + "\n" for file, row in lines if file == name)
        write_text(run / name, text)
    return copies
