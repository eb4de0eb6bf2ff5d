"""The run folder's own files: manifest.json, trials.jsonl, epochs.jsonl. Nothing else is needed to
rank a run or to resume it.

Lines are appended as things happen; the last line of a trial, or of a trial's epoch, wins. Each
has a number ``n``, counted over both files, so that what happened can be gone through again in its
order, and so that a line that is gone is missed. A driver that is killed leaves at most one torn
last line, which readers leave out.

What a trial's status says is on the disk before anything follows from it; epochs are brought there
at most once a second, so that a machine without power loses one second of them, and the states of
their trials make up for it.
"""

from __future__ import annotations

import errno
import fcntl
import heapq
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

from facesiam.errors import FileError, MissingFileError, UserError, reason, shown
from facesiam.files import exists, open_regular, sync
from search.runs import line_format

TRIALS, EPOCHS = "trials.jsonl", "epochs.jsonl"
LONGEST = 2**20
"""Bytes that a line may have: the longest that is written, with a failed trial's log, has 4 kB."""
Event = tuple[str, dict[str, Any]]
"""The name of a file, and a line of it."""
SYNC_SECONDS = 1.0
"""At least so much is between two times that epochs are brought to the disk."""
REPAIR = "python -m search.results RUN --repair brings it to what is known for sure"


class JournalError(UserError, ValueError):
    """A run folder's file that cannot be read; the text names the file and the line."""


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


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold a folder, made if need be, for one command; the system lets go however that ends.

    Raises:
        JournalError: another command has it, or its .lock is no plain file.
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


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of JSON lines; a missing file is empty, a torn last line is left out.

    Raises:
        JournalError: it cannot be read, or a line in the middle is not JSON.
    """
    return [row for _, row in json_lines(path)]


def read_events(run: Path) -> Iterator[Event]:
    """Yield every line with the name of its file, in the order in which they were written.

    Those of before they had numbers come first, trial by trial: its first line, epochs, others.
    What a driver writes while this reads is left out.

    Raises:
        JournalError: a file cannot be read, a line is no record of a trial, or, at the end, lines
            are missing; the text says which.
    """
    from search.runs.gaps import Watch

    # Numbers are given in order: when the last one was seen, all lines before it are there.
    last, watch = last_number(run), Watch(run)
    yield from watch.over(_unnumbered(run))
    numbered = (_numbered(run, name, last) for name in (TRIALS, EPOCHS))
    yield from watch.over(heapq.merge(*numbered, key=lambda event: event[1]["n"]))
    watch.close()


def read_trials(run: Path) -> dict[str, dict[str, Any]]:
    """Return the last known line of every trial, by id, in the order in which they started.

    Raises:
        JournalError: as ``read_events``.
    """
    return read(run)[0]


def read_epochs(run: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the epochs of every trial, by id, each epoch once and in order.

    Raises:
        JournalError: as ``read_events``.
    """
    return read(run)[1]


def read(run: Path) -> tuple[dict[str, dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """Return what ``read_trials`` and ``read_epochs`` do, of one moment.

    Raises:
        JournalError: as ``read_events``.
    """
    trials: dict[str, dict[str, Any]] = {}
    epochs: dict[str, dict[int, dict[str, Any]]] = {}
    for name, row in read_events(run):
        trial = row["trial"]
        if name == TRIALS:
            trials[trial] = {**trials.get(trial, {}), **row}
        else:
            epochs.setdefault(trial, {})[row["epoch"]] = row
    return trials, {trial: [by[n] for n in sorted(by)] for trial, by in epochs.items()}


def json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the number, from 1, of every line that is not blank, and what it holds.

    Raises:
        JournalError: as ``read_lines``.
    """
    try:
        file = open_regular(path)
    except MissingFileError:
        return
    except FileError as error:
        raise JournalError(str(error)) from None
    with file:
        for number, line in enumerate(iter(lambda: file.readline(LONGEST + 1), b""), 1):
            if not line.strip():
                continue
            whole = line.endswith(b"\n")
            if len(line) > LONGEST:
                raise JournalError(f"{path}: line {number} has more than {LONGEST:,} bytes")
            row, why = parsed(line)
            if why is not None and not whole:  # torn
                return
            if why is not None:
                said = shown(line.decode(errors="replace").rstrip("\n")[:60])
                raise JournalError(f"{path}: line {number} is not JSON{why}: {said!r}; {REPAIR}")
            yield number, row


def parsed(line: bytes) -> tuple[Any, str | None]:
    """Return what a line of JSON holds, and None or what is wrong with it: '' where it is none."""
    try:
        return json.loads(line.decode("utf-8")), None
    except UnicodeDecodeError:
        return None, " in UTF-8"
    except RecursionError:
        return None, " that can be read, it is nested too deeply"
    except ValueError:
        return None, ""


def last_number(run: Path) -> int:
    """Return the number of the last line of a journal; 0 where there is none, or no number."""
    return max(_last_number(run / TRIALS), _last_number(run / EPOCHS))


def _records(run: Path, name: str) -> Iterator[dict[str, Any]]:
    for number, row in json_lines(run / name):
        if why := line_format.problem(row, name == EPOCHS):
            raise JournalError(f"{run / name}: line {number}, {why}; {REPAIR}")
        yield row if name == EPOCHS else line_format.harmless(row)


def _numbered(run: Path, name: str, last: int) -> Iterator[Event]:
    had: set[str] = set()
    before = 0
    for row in _records(run, name):
        if "n" not in row:
            if before:
                raise JournalError(
                    f"{run / name}: the line after number {before} has no number n; {REPAIR}"
                )
            continue
        if row["n"] <= before:
            raise JournalError(
                f"{run / name}: line number {row['n']} stands after {before}, as "
                f"where two searches wrote to one run; {REPAIR}"
            )
        before = row["n"]
        if name == EPOCHS:  # what one version notes, it notes of every epoch, and later ones do
            if gone := had - row.keys():
                raise JournalError(
                    f"{run / name}: line number {before} has no "
                    f"{' and no '.join(sorted(gone))}; {REPAIR}"
                )
            had |= row.keys()
        if row["n"] <= last:
            yield name, row


def _unnumbered(run: Path) -> Iterator[Event]:
    yield from in_old_order(
        (name, row)
        for name in (TRIALS, EPOCHS)
        for row in takewhile(lambda row: "n" not in row, _records(run, name))
    )


def in_old_order(events: Iterable[Event]) -> Iterator[Event]:
    """Yield lines without a number trial by trial: its first line, its epochs, its others."""
    own: dict[str, list[Event]] = {}
    for event in events:
        own.setdefault(event[1]["trial"], []).append(event)
    for each in own.values():
        yield each[0]
        yield from (event for event in each[1:] if event[0] == EPOCHS)
        yield from (event for event in each[1:] if event[0] == TRIALS)


def _last_number(path: Path) -> int:
    try:
        with open_regular(path) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 2 * LONGEST))
            last = file.read().split(b"\n")[-2:]
    except FileError:
        return 0  # whoever reads it says why
    for line in reversed(last):  # behind the last line's end is nothing, or a torn one
        row, why = parsed(line)
        if why is None and isinstance(row, dict) and line_format.is_whole(row.get("n"), 1):
            return int(row["n"])
    return 0


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
