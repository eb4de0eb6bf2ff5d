"""Reading a run's journal: what trials.jsonl and epochs.jsonl say.

With the manifest they are all that is needed to rank a run or to resume it.

The last line of a trial, or of a trial's epoch, wins. Each line has a number ``n``, counted over
both files, so that what happened can be gone through again in its order, and so that a line that
is gone is missed. A driver that is killed leaves at most one torn last line, which is left out.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any, cast

from facesiam.errors import FileError, MissingFileError, shown
from facesiam.files import open_regular
from search.runs import line_format
from search.runs.field_checks import is_whole
from search.runs.gaps import GapDetector
from search.runs.line_format import (
    EPOCHS,
    LONGEST,
    TRIALS,
    EpochLine,
    Event,
    JournalError,
    TrialLine,
    parsed,
    repair_hint,
)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of JSON lines; a missing file is empty, a torn last line is left out.

    Raises:
        JournalError: it cannot be read, or a line in the middle is not JSON.
    """
    return [row for _, row in json_lines(path)]


def read_events(run: Path) -> Iterator[Event]:
    """Yield every line with the name of its file, in the order in which they were written.

    Lines without a number, of older versions, come first, trial by trial: its first line, its
    epochs, its other lines. Lines that a driver writes during the call are left out.

    Raises:
        JournalError: a file cannot be read, a line is no record of a trial, or, at the end, lines
            are missing; the text says which.
    """
    # Numbers are given in order: when the last one was seen, all lines before it are there.
    last, watch = last_number(run), GapDetector(run)
    yield from watch.over(_unnumbered(run))
    numbered = (_numbered(run, name, last) for name in (TRIALS, EPOCHS))
    yield from watch.over(heapq.merge(*numbered, key=lambda event: event[1]["n"]))
    watch.close()


def read_trials(run: Path) -> dict[str, TrialLine]:
    """Return the last known line of every trial, by id, in the order in which they started.

    Raises:
        JournalError: as ``read_events``.
    """
    return read(run)[0]


def read_epochs(run: Path) -> dict[str, list[EpochLine]]:
    """Return the epochs of every trial, by id, each epoch once and in order.

    Raises:
        JournalError: as ``read_events``.
    """
    return read(run)[1]


def read(run: Path) -> tuple[dict[str, TrialLine], dict[str, list[EpochLine]]]:
    """Return what ``read_trials`` and ``read_epochs`` return, both of the same moment.

    Raises:
        JournalError: as ``read_events``.
    """
    trials: dict[str, TrialLine] = {}
    epochs: dict[str, dict[int, EpochLine]] = {}
    for name, row in read_events(run):
        trial = row["trial"]
        if name == TRIALS:
            trials.setdefault(trial, {}).update(cast(TrialLine, row))
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
                raise JournalError(
                    f"{path}: line {number} is not JSON{why}: {said!r}; {repair_hint()}"
                )
            yield number, row


def has_lines(path: Path) -> bool:
    """Return whether a file of a journal is there and has something in it."""
    try:
        with open_regular(path) as file:
            return bool(file.read(1))
    except FileError:
        return False


def last_number(run: Path) -> int:
    """Return the number of the last line of a journal; 0 where there is none, or no number."""
    return max(_last_number(run / TRIALS), _last_number(run / EPOCHS))


def _records(run: Path, name: str) -> Iterator[dict[str, Any]]:
    for number, row in json_lines(run / name):
        if why := line_format.invalid_line(row, name == EPOCHS):
            raise JournalError(f"{run / name}: line {number}, {why}; {repair_hint()}")
        yield row if name == EPOCHS else line_format.displayable(row)


def _numbered(run: Path, name: str, last: int) -> Iterator[Event]:
    had: set[str] = set()
    before = 0
    for row in _records(run, name):
        if "n" not in row:
            if before:
                raise JournalError(
                    f"{run / name}: the line after number {before} has no number n; "
                    f"{repair_hint()}"
                )
            continue
        if row["n"] <= before:
            raise JournalError(
                f"{run / name}: line number {row['n']} stands after {before}, as "
                f"where two searches wrote to one run; {repair_hint()}"
            )
        before = row["n"]
        if name == EPOCHS:  # what one version notes, it notes of every epoch, and later ones do
            if gone := had - row.keys():
                raise JournalError(
                    f"{run / name}: line number {before} has no "
                    f"{' and no '.join(sorted(gone))}; {repair_hint()}"
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
        if why is None and isinstance(row, dict) and is_whole(row.get("n"), 1):
            return int(row["n"])
    return 0
