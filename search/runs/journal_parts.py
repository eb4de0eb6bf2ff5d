"""The journal of a run behind a URL: parts of it, each an object named by its lines' numbers.

An object cannot be appended to, so each part has the lines since the one before, of both files of
the journal. The parts that are there at any moment are the journal as it was at some moment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from facesiam.errors import shown
from facesiam.storage.bucket import Bucket, join
from search.runs.field_checks import is_whole
from search.runs.line_format import EPOCHS, TRIALS, JournalError, parsed

FOLDER = "journal"
PART = re.compile(r"(?P<first>\d{12})-(?P<last>\d{12})\.jsonl", re.ASCII)
"""A part's name; other objects beside the parts are left alone."""
Line = tuple[str, str]
"""The name of a line's file, and its text."""


def part_names(bucket: Bucket) -> list[str]:
    """Return the names of all parts, in order."""
    return [name for name in bucket.names(FOLDER) if PART.fullmatch(name)]


def write_part(bucket: Bucket, first: int, lines: Sequence[Line]) -> str:
    """Write lines as a part; return its name.

    Args:
        bucket: where the run is.
        first: number of the first line.
        lines: in order of their numbers.
    """
    name = f"{first:012d}-{first + len(lines) - 1:012d}.jsonl"
    bucket.write(f"{FOLDER}/{name}", "".join(line for _, line in lines).encode())
    return name


def remove_part(bucket: Bucket, name: str) -> None:
    """Remove a part."""
    bucket.remove(Path(FOLDER) / name)


def read_parts(bucket: Bucket, names: Sequence[str]) -> Iterator[Line]:
    """Yield the lines of parts, in order.

    Raises:
        JournalError: a part is damaged or missing.
    """
    folder = join(bucket.url, FOLDER)
    number = 0
    with ThreadPoolExecutor(16) as pool:
        for part, content in zip(
            names, pool.map(lambda name: bucket.read(f"{FOLDER}/{name}"), names), strict=True
        ):
            if content is None:
                raise JournalError(
                    f"{folder}/{part}: was removed while "
                    "it was looked for, as a search joins parts; try again"
                )
            for row, line in _rows_of_part(folder, part, content):
                if row["n"] <= number:
                    continue  # parts that became one, which were not all removed
                number += 1
                if row["n"] != number:
                    last = row["n"] - 1
                    lost = f"lines {number} to {last} are" if last > number else f"line {last} is"
                    raise JournalError(f"{folder}: {lost} missing before {part}")
                yield (TRIALS if "status" in row else EPOCHS), line


def _rows_of_part(folder: str, part: str, content: bytes) -> list[tuple[dict[str, Any], str]]:
    """Return what the lines of a part hold, and their text.

    Raises:
        JournalError: it does not hold the lines that its name says.
    """
    where, named = f"{folder}/{part}", PART.fullmatch(part)
    assert named
    more = (
        "; put an earlier version of it back, or go on with a copy of the folder that the "
        "driver's machine has"
    )
    try:
        rows = numbered_rows(content, where)
    except JournalError as error:
        raise JournalError(f"{error}{more}") from None
    numbers = [row["n"] for row, _ in rows]
    first, last = int(named["first"]), int(named["last"])
    if len(numbers) != last + 1 - first or numbers != list(range(first, last + 1)):
        raise JournalError(f"{where}: does not hold lines {first} to {last} as it should{more}")
    return rows


def numbered_rows(content: bytes, where: str) -> list[tuple[dict[str, Any], str]]:
    """Return what each line holds, and its text.

    Args:
        content: of whole lines.
        where: they are, for the message.

    Raises:
        JournalError: a line is no numbered record.
    """
    rows = []
    for line in content.splitlines(keepends=True):
        row, why = parsed(line)
        if why is None and not (isinstance(row, dict) and is_whole(row.get("n"), 1)):
            why = " with a number n"
        if why is None and not line.endswith(b"\n"):
            why = " with its end"
        if why is not None:
            said = shown(line[:60].decode(errors="replace").rstrip("\n"))
            raise JournalError(f"{where}: has a line that is not JSON{why}: {said!r}")
        rows.append((row, line.decode()))
    return rows
