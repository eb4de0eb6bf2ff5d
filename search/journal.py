"""The run folder's own files: manifest.json, trials.jsonl, epochs.jsonl. Nothing else is needed to
rank a run or to resume it.

Lines are appended and flushed as things happen; the last line of a trial, or of a trial's epoch,
wins. Each has a number ``n``, counted over both files, so that what happened can be gone through
again in its order. A driver that is killed leaves at most one torn last line, which readers leave
out.
"""

from __future__ import annotations

import errno
import fcntl
import heapq
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from facesiam.errors import UserError

TRIALS, EPOCHS = "trials.jsonl", "epochs.jsonl"


class JournalError(UserError, ValueError):
    """A run folder's file that cannot be read; the text names the file and the line."""


class NotWritten(OSError):
    """A line that the disk did not take; what was there before is whole."""


class Journal:
    """Appends what happens in a run to its folder."""

    def __init__(self, run: Path) -> None:
        self.run = run
        mend(run / TRIALS)
        mend(run / EPOCHS)
        self.number = max(_last_number(run / TRIALS), _last_number(run / EPOCHS))

    def trial(self, trial: str, status: str, **fields: Any) -> None:
        """Note that a trial changed its status."""
        line = {"trial": trial, "status": status, **fields, "time": round(time.time(), 3)}
        self._append(TRIALS, line)

    def epoch(self, trial: str, metrics: Mapping[str, float]) -> None:
        """Note what one epoch of a trial measured."""
        self._append(EPOCHS, {"trial": trial, **metrics})

    def _append(self, name: str, line: Mapping[str, Any]) -> None:
        append(self.run / name, {**line, "n": self.number + 1})
        self.number += 1  # now that it is there: a number that no line has would be a gap


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold a folder, made if need be, for one command; the system lets go however that ends.

    Raises:
        JournalError: another command has it.
    """
    lock = _lock(run)
    try:
        yield
    finally:
        os.close(lock)


def _lock(run: Path) -> int:
    """Return the descriptor that holds a folder's lock."""
    while True:
        run.mkdir(parents=True, exist_ok=True)
        path = run / ".lock"
        try:
            # Never through a link, and without touching what is in it.
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except FileNotFoundError:
            continue  # a start that failed has just removed the folder
        except OSError as error:
            raise JournalError(f"{path}: cannot be locked ({error.strerror})") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(file), os.lstat(path)):
                return file
        except OSError:
            os.close(file)
            raise JournalError(f"{run}: another command is running in it") from None
        os.close(file)  # the file of a folder that was removed before it was locked


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Append one JSON line, whole or not at all, and flush it to the system.

    Raises:
        NotWritten: the disk is full or gone; the text names the file.
    """
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            before, text = os.fstat(file).st_size, (json.dumps(line) + "\n").encode()
            try:
                if os.write(file, text) != len(text):  # all but the last bytes found room
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                os.ftruncate(file, before)
                raise
        finally:
            os.close(file)
    except OSError as error:
        raise NotWritten(error.errno, f"{path}: {error.strerror or error}") from None


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
    return list(_lines(path))


def read_events(run: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every line with the name of its file, in the order in which they were written.

    Those of before they had numbers come first, trial by trial: its first line, epochs, others.
    """
    yield from _unnumbered(run)
    numbered = (_numbered(run, name) for name in (TRIALS, EPOCHS))
    yield from heapq.merge(*numbered, key=lambda event: event[1]["n"])


def _numbered(run: Path, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from ((name, row) for row in _lines(run / name) if "n" in row)


def _unnumbered(run: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    own: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for name in (TRIALS, EPOCHS):
        for row in _lines(run / name):
            if "n" not in row:
                own.setdefault(row["trial"], []).append((name, row))
    for events in own.values():
        yield events[0]
        yield from (event for event in events[1:] if event[0] == EPOCHS)
        yield from (event for event in events[1:] if event[0] == TRIALS)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                if not line.endswith("\n"):  # torn
                    return
                shown = line.rstrip("\n")[:60]
                raise JournalError(f"{path}: line {number} is not JSON: {shown!r}") from None
            yield row


def _last_number(path: Path) -> int:
    """Return the number of the last line; 0 where there is none, or it was not counted yet."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2**20))  # a line has a few hundred bytes
        last = file.read().splitlines()[-1:]
    try:
        return int(json.loads(last[0])["n"])
    except (IndexError, KeyError, ValueError):
        return 0


def read_trials(run: Path) -> dict[str, dict[str, Any]]:
    """Return the last known line of every trial, by id, in the order in which they started."""
    trials: dict[str, dict[str, Any]] = {}
    for row in _lines(run / TRIALS):
        trials[row["trial"]] = {**trials.get(row["trial"], {}), **row}
    return trials


def read_epochs(run: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the epochs of every trial, by id, each epoch once and in order."""
    epochs: dict[str, dict[int, dict[str, Any]]] = {}
    for row in _lines(run / EPOCHS):
        epochs.setdefault(row["trial"], {})[row["epoch"]] = row
    return {trial: [by[n] for n in sorted(by)] for trial, by in epochs.items()}
