"""The run folder's own files: manifest.json, trials.jsonl, epochs.jsonl. Nothing else is needed to
rank a run or to resume it.

Lines are appended and flushed as things happen; the last line of a trial, or of a trial's epoch,
wins. A driver that is killed leaves at most one torn last line, which readers leave out.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class JournalError(ValueError):
    """A run folder's file that cannot be read; the text names the file and the line."""


class Journal:
    """Appends what happens in a run to its folder."""

    def __init__(self, run: Path) -> None:
        self.run = run
        mend(run / "trials.jsonl")
        mend(run / "epochs.jsonl")

    def trial(self, trial: str, status: str, **fields: Any) -> None:
        """Note that a trial changed its status."""
        line = {"trial": trial, "status": status, **fields, "time": round(time.time(), 3)}
        append(self.run / "trials.jsonl", line)

    def epoch(self, trial: str, metrics: Mapping[str, float]) -> None:
        """Note what one epoch of a trial measured."""
        append(self.run / "epochs.jsonl", {"trial": trial, **metrics})


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold a run folder for one driver; the system lets go of it however the driver ends.

    Raises:
        JournalError: another driver has it.
    """
    with (run / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise JournalError(f"{run}: another search is running in it") from None
        yield


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Append one JSON line and flush it to the system."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def mend(path: Path) -> None:
    """Cut off a last line that a killed writer left torn, so that the next one starts cleanly."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole != len(content):
        os.truncate(path, whole)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of JSON lines; a missing file is empty, a torn last line is left out.

    Raises:
        JournalError: a line in the middle is not JSON.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            if number == len(lines):  # without its newline: torn
                break
            raise JournalError(f"{path}: line {number} is not JSON: {line[:60]!r}") from None
    return rows


def read_trials(run: Path) -> dict[str, dict[str, Any]]:
    """Return the last known line of every trial, by id, in the order in which they started."""
    trials: dict[str, dict[str, Any]] = {}
    for row in read_lines(run / "trials.jsonl"):
        trials[row["trial"]] = {**trials.get(row["trial"], {}), **row}
    return trials


def read_epochs(run: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the epochs of every trial, by id, each epoch once and in order."""
    epochs: dict[str, dict[int, dict[str, Any]]] = {}
    for row in read_lines(run / "epochs.jsonl"):
        epochs.setdefault(row["trial"], {})[row["epoch"]] = row
    return {trial: [by[n] for n in sorted(by)] for trial, by in epochs.items()}


def write_atomically(path: Path, text: str) -> None:
    """Write a whole text file by way of a neighbour, so that no reader sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
