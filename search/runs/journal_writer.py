"""Writing a run's journal: a line is appended as things happen, whole or not at all.

What a trial's status says is on the disk before anything follows from it; epochs are brought there
at most once a second, so that a machine without power loses one second of them, and the states of
their trials make up for it.
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
"""At least so much is between two times that epochs are brought to the disk."""


class NotWritten(OSError):
    """A line that the disk did not take; what was there before is whole."""


class Foreign(NotWritten):
    """Another program has written to the journal, so this search may not go on with it."""


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
            mend(run / name)
        self.number = last_number(run)
        self.sizes = {name: _size(run / name) for name in (TRIALS, EPOCHS)}
        """Bytes of each file as this search has left it."""
        self.foreign: Foreign | None = None
        """What says that another program writes to the run, once it was seen to."""
        self._unsynced: set[str] = set()
        self._synced = time.monotonic()

    def trial(self, trial: str, status: str, **fields: Any) -> None:
        """Note that a trial changed its status."""
        line = {"trial": trial, "status": status, **fields, "time": round(time.time(), 3)}
        self._append(TRIALS, line)
        self.sync()

    def epoch(self, trial: str, metrics: Mapping[str, Any]) -> None:
        """Note what one epoch of a trial measured."""
        self._append(EPOCHS, {"trial": trial, **metrics})
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Have what was noted on the disk; the epochs first, which a trial's line may rest on.

        Raises:
            NotWritten: the disk is full or gone.
        """
        for name in sorted(self._unsynced):
            try:
                sync(self.run / name)
            except OSError as error:
                raise NotWritten(error.errno, f"{self.run / name}: {reason(error)}") from None
        self._unsynced.clear()
        self._synced = time.monotonic()

    def _append(self, name: str, line: Mapping[str, Any]) -> None:
        try:
            self._append_own(name, line)
        except Foreign as error:
            self.foreign = error
            raise

    def _append_own(self, name: str, line: Mapping[str, Any]) -> None:
        if self.foreign:
            raise self.foreign
        for other, size in self.sizes.items():  # where locks do not work, two may write to a run
            if (now := _size(self.run / other)) != size:
                raise foreign(self.run / other, size, now)
        new, line = not self.sizes[name], {**line, "n": self.number + 1}
        self.sizes[name] = append(self.run / name, line, self.sizes[name])
        self.number += 1  # now that it is there: a number that no line has would be a gap
        self._unsynced.add(name)
        if new:
            sync(self.run)  # the file's name


def foreign(path: Path, size: int, now: int) -> Foreign:
    """Return what says that a file is not as this search has left it."""
    return Foreign(
        errno.EBUSY,
        f"{path}: has {now:,} bytes where this search had left {size:,}: another "
        "search runs in this folder, or it was changed by hand, and only one may write to it",
    )


def append(path: Path, line: Mapping[str, Any], size: int | None = None) -> int:
    """Append one JSON line, whole or not at all, and hand it to the system.

    Args:
        path: of the file.
        line: what is appended.
        size: bytes that the file must have; None: whatever it has.

    Returns:
        The bytes that it has now.

    Raises:
        NotWritten: the disk is full or gone; the text names the file.
        Foreign: it has another size, or had while it was written to.
    """
    try:
        made = 0 if size else os.O_CREAT
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | made, 0o666)
        try:
            before, text = os.fstat(file).st_size, (json.dumps(line) + "\n").encode()
            if size not in (None, before):
                raise foreign(path, size or 0, before)
            try:
                if os.write(file, text) != len(text):  # all but the last bytes found room
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                os.ftruncate(file, before)
                raise
            return before + len(text)
        finally:
            os.close(file)
    except NotWritten:
        raise
    except OSError as error:
        raise NotWritten(error.errno, f"{path}: {error.strerror or error}") from None


def mend(path: Path) -> None:
    """Cut off a last line that a killed writer left torn, so that the next one starts cleanly.

    One that lacks nothing but its end, as an editor may leave it, is read as a line, so it stays.
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
