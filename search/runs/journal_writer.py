"""Writing a run's journal: each event is appended as a line, completely or not at all.

A trial's status is synced to the disk before the search acts on it. Epochs are synced at most once
a second: a power cut loses one second of them, which are trained again from the trials' states.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facesiam.errors import reason
from facesiam.files import exists, open_regular, sync
from search.runs.journal import last_number, read_events
from search.runs.line_format import EPOCHS, LONGEST, TRIALS, parsed

SYNC_SECONDS = 1.0
"""Least time between two syncs of epochs to the disk."""


class JournalWriteError(OSError):
    """A line could not be written; the lines before it are complete."""


class ForeignWriteError(JournalWriteError):
    """Another program has written to the journal, so this search must end."""


class Journal:
    """Appends what happens in a run to its folder.

    Raises:
        JournalError: what is there cannot be gone on with, as ``read_events``.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        for _ in read_events(run):
            pass
        for name in (TRIALS, EPOCHS):
            cut_torn_line(run / name)
        self.number = last_number(run)
        self.sizes = {name: _size(run / name) for name in (TRIALS, EPOCHS)}
        """Size of each file after this search's last write, in bytes."""
        self.foreign: ForeignWriteError | None = None
        """The error that every write raises once another program's write was seen."""
        self._unsynced: set[str] = set()
        self._synced = time.monotonic()

    def trial(self, trial: str, status: str, **fields: Any) -> None:
        """Append a trial's new status, and sync it."""
        line = {"trial": trial, "status": status, **fields, "time": round(time.time(), 3)}
        self._append(TRIALS, line)
        self.sync()

    def epoch(self, trial: str, metrics: Mapping[str, Any]) -> None:
        """Append what one epoch of a trial measured."""
        self._append(EPOCHS, {"trial": trial, **metrics})
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Sync both files to the disk; the epochs first, as a trial's line may depend on them.

        Raises:
            JournalWriteError: the disk is full or gone.
        """
        for name in sorted(self._unsynced):
            try:
                sync(self.run / name)
            except OSError as error:
                raise JournalWriteError(
                    error.errno, f"{self.run / name}: {reason(error)}"
                ) from None
        self._unsynced.clear()
        self._synced = time.monotonic()

    def _append(self, name: str, line: Mapping[str, Any]) -> None:
        try:
            self._append_own(name, line)
        except ForeignWriteError as error:
            self.foreign = error
            raise

    def _append_own(self, name: str, line: Mapping[str, Any]) -> None:
        if self.foreign:
            raise self.foreign
        for other, size in self.sizes.items():  # where locks do not work, two may write to a run
            if (now := _size(self.run / other)) != size:
                raise foreign_write(self.run / other, size, now)
        new, line = not self.sizes[name], {**line, "n": self.number + 1}
        self.sizes[name] = append(self.run / name, line, self.sizes[name])
        self.number += 1  # now that it is there: a number that no line has would be a gap
        self._unsynced.add(name)
        if new:
            sync(self.run)  # the file's name


def foreign_write(path: Path, size: int, now: int) -> ForeignWriteError:
    """Return the error for a file whose size is not what this search has left."""
    return ForeignWriteError(
        errno.EBUSY,
        f"{path}: has {now:,} bytes where this search had left {size:,}: another "
        "search runs in this folder, or it was changed by hand, and only one may write to it",
    )


def append(path: Path, line: Mapping[str, Any], size: int | None = None) -> int:
    """Append one JSON line, completely or not at all.

    Args:
        path: the file.
        line: the record to append.
        size: expected size of the file in bytes; None: any.

    Returns:
        The new size in bytes.

    Raises:
        JournalWriteError: the disk is full or gone; the text names the file.
        ForeignWriteError: the size is another.
    """
    try:
        made = 0 if size else os.O_CREAT
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | made, 0o666)
        try:
            before, text = os.fstat(file).st_size, (json.dumps(line) + "\n").encode()
            if size not in (None, before):
                raise foreign_write(path, size or 0, before)
            try:
                if os.write(file, text) != len(text):  # all but the last bytes found room
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                os.ftruncate(file, before)
                raise
            return before + len(text)
        finally:
            os.close(file)
    except JournalWriteError:
        raise
    except OSError as error:
        raise JournalWriteError(error.errno, f"{path}: {error.strerror or error}") from None


def cut_torn_line(path: Path) -> None:
    """Remove an incomplete last line, which a killed writer leaves.

    One that lacks only its newline, as an editor may leave it, is completed.
    """
    if not exists(path):
        return
    with open_regular(path) as file:
        end = whole = file.seek(0, os.SEEK_END)
        while whole:
            start = max(0, whole - LONGEST)
            file.seek(start)
            found = file.read(whole - start).rfind(b"\n")
            whole = start + found + 1
            if found >= 0:
                break
        file.seek(whole)
        last = file.read(LONGEST)
    if whole != end and whole + len(last) == end and isinstance(parsed(last)[0], dict):
        with path.open("ab") as file:
            file.write(b"\n")
    elif whole != end:
        os.truncate(path, whole)


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
