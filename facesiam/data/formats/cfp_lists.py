"""CFP's lists of images and pairs, read into numbers; every problem with its file and line.

A list is read to its end in spite of problems, so that all of them are reported at once. Other
encodings and line ends, as editors and other systems write them, are accepted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facesiam.data.archive import Source
from facesiam.data.formats.cfp_root import LAYOUT
from facesiam.data.listing import UNKNOWN
from facesiam.data.problems import Problem
from facesiam.data.split import ALL_FOLDS
from facesiam.data.text_files import lines_of
from facesiam.errors import DataError

LISTS = {
    "F": ("Pair_list_F.txt", "image_list_F.txt"),
    "P": ("Pair_list_P.txt", "image_list_P.txt"),
}
VIEWS = {"F": "frontal", "P": "profile"}
KINDS = ("FF", "FP")
LABELS = ("same", "diff")
TEN_FOLD = "cfp-10fold"
"""The name of CFP's own protocol, which trains ten times."""
MOST_DIGITS = 9
"""Largest number of digits of a person's or an image's number; CFP has four."""
_ENTRY = re.compile(rf"([0-9]{{1,{MOST_DIGITS}}})\s+(.+)")
_PERSON = re.compile(r"(?:.*/)?([0-9]+)/(frontal|profile)/[^/]+", re.IGNORECASE)
_PAIR = re.compile(rf"([0-9]{{1,{MOST_DIGITS}}})(?:\s*,\s*|\s+)([0-9]{{1,{MOST_DIGITS}}})")


@dataclass(frozen=True)
class Pair:
    """A line of a split's file."""

    kind: str
    fold: int
    label: str
    numbers: tuple[int, int]
    """From 1, of the frontal list or of the frontal and of the profile list."""
    place: str
    """File and line."""


def list_name(source: Source, letter: str) -> str:
    """Return the name of the frontal (F) or profile (P) list.

    Raises:
        DataError: there is none.
    """
    for name in LISTS[letter]:
        if source.has(f"Protocol/{name}"):
            return f"Protocol/{name}"
    raise DataError(f"{source.path}: Protocol/{LISTS[letter][0]} is missing; {LAYOUT}")


def images(
    source: Source, file: str, letter: str, problems: list[Problem]
) -> list[tuple[str, int]]:
    """Return (path under the root, person's number or UNKNOWN) of each line of a list of images.

    Raises:
        DataError: it has no line.
    """
    entries = list(lines_of(source.read(file)))
    if not entries:
        raise DataError(f"{source.path}: {file} lists no images; {LAYOUT}")
    numbers = [int(entry[1]) if (entry := _ENTRY.fullmatch(text)) else -1 for _, text in entries]
    first = 1
    if numbers == list(range(len(entries))):
        first = 0
        problems.append(
            Problem(
                "list from 0",
                f"{file} line {entries[0][0]}: counts its images from 0; CFP's lists "
                "begin with 1, and the splits' numbers mean that",
            )
        )
    found: list[tuple[str, int]] = []
    places: dict[str, int] = {}
    for at, (line, text) in enumerate(entries):
        entry = _ENTRY.fullmatch(text)
        raw = entry[2] if entry else text
        name = raw.strip("\"' ").replace("\\", "/").removeprefix("./").removeprefix("../")
        person = _person(name)
        found.append((name, person))
        place = f"{file} line {line}"
        if numbers[at] != at + first:
            said = f"expected image {at + first}, got {text[:80]!r}"
            problems.append(Problem("number", f"{place}: {said}"))
        else:
            problem = _image_problem(source, name, raw, VIEWS[letter])
            if problem is None:
                earlier = places.setdefault(source.place(name), line)
                if earlier != line:
                    said = f"lists {name}, which line {earlier} has as well"
                    problem = "twice", said
            if problem is not None:
                problems.append(Problem(problem[0], f"{place}: {problem[1]}"))
    return found


def _person(name: str) -> int:
    parts = _PERSON.fullmatch(name)
    return int(parts[1]) if parts and len(parts[1]) <= MOST_DIGITS else UNKNOWN


def _image_problem(source: Source, name: str, raw: str, view: str) -> tuple[str, str] | None:
    parts = _PERSON.fullmatch(name)
    if not parts:
        expected = "…/<person number>/<frontal|profile>/<file>"
        return "path", f"expected {expected}, got {raw[:80]!r}"
    if len(parts[1]) > MOST_DIGITS:
        return "digits", (
            f"a person's number of {len(parts[1]):,} digits, {parts[1][:12]}…; at most "
            f"{MOST_DIGITS} are read"
        )
    if parts[2].lower() != view:
        return "view", f"lists {name[:120]} among the {view} images"
    if not source.has(name):
        return "no image", f"points at {name[:120]}, which does not exist"
    return None


def pairs(
    source: Source, files: Iterable[tuple[str, str, int, str]], problems: list[Problem]
) -> list[Pair]:
    """Return the pairs of the splits' files, not yet checked with the lists.

    Args:
        source: the dataset.
        files: each with its kind, split and label.
        problems: gets what is wrong.
    """
    found: list[Pair] = []
    for file, kind, fold, label in files:
        before = len(found), len(problems)
        for line, text in lines_of(source.read(file)):
            place = f"{file} line {line}"
            numbers = _PAIR.fullmatch(text)
            if numbers:
                ends = int(numbers[1]), int(numbers[2])
                found.append(Pair(kind, fold, label, ends, place))
            else:
                said = f"expected two numbers as in 5,1, got {text[:40]!r}"
                problems.append(Problem("no pair", f"{place}: {said}"))
        if before == (len(found), len(problems)):
            problems.append(Problem("empty", f"{file}: holds no pair"))
    return found


def split_files(source: Source, problems: list[Problem]) -> Iterator[tuple[str, str, int, str]]:
    """Yield the splits' files that exist, each with its kind, split and label."""
    for kind in KINDS:
        folder = f"Protocol/Split/{kind}"
        files = {
            (fold, label): f"{folder}/{fold:02d}/{label}.txt"
            for fold in ALL_FOLDS
            for label in LABELS
        }
        there = {at: file for at, file in files.items() if source.has(file)}
        folds = {fold for fold, _ in there}
        if len(folds) < len(ALL_FOLDS):
            missing = ", ".join(f"{fold:02d}" for fold in ALL_FOLDS if fold not in folds)
            said = f"{folder}: has {len(folds)} of the 10 splits; missing: {missing}"
            problems.append(Problem(said, said))
        problems += [
            Problem("no file", f"{file}: missing")
            for at, file in files.items()
            if at[0] in folds and at not in there
        ]
        yield from ((file, kind, fold, label) for (fold, label), file in there.items())


def checked(
    rows: list[Pair],
    sides: dict[str, tuple[int, int]],
    person: NDArray[np.int64],
    problems: list[Problem],
) -> list[tuple[Pair, int, int]]:
    """Check pairs with the lists; return the valid ones, with their two images, from 0.

    Args:
        rows: of all splits.
        sides: of F and P: where the list begins among all images, and its length.
        person: (N,) of each image, or UNKNOWN.
        problems: gets what is wrong.
    """
    good: list[tuple[Pair, int, int]] = []
    for kind in KINDS:
        mine = [row for row in rows if row.kind == kind]
        ends = sides[kind[0]], sides[kind[1]]
        first = 1
        zero = next((row for row in mine if 0 in row.numbers), None)
        if zero and not any(_pair_problem(row, ends, person, 0) for row in mine):
            first = 0
            problems.append(
                Problem(
                    f"{kind} from 0",
                    f"{zero.place}: counts images from 0, as do all {len(mine):,} "
                    f"pairs of {kind}; CFP counts from 1, so each number is one too low",
                )
            )
        for row in mine:
            problem = _pair_problem(row, ends, person, first)
            if problem:
                problems.append(Problem(problem[0], f"{row.place}: {problem[1]}"))
            else:
                left, right = (
                    start + n - first for (start, _), n in zip(ends, row.numbers, strict=True)
                )
                good.append((row, left, right))
    return good


def _pair_problem(
    row: Pair, ends: tuple[tuple[int, int], ...], person: NDArray[np.int64], first: int
) -> tuple[str, str] | None:
    for number, (_, count) in zip(row.numbers, ends, strict=True):
        if not first <= number < first + count:
            return "range", f"points at image {number} of a list that has 1 to {count}"
    if ends[0] == ends[1] and row.numbers[0] == row.numbers[1]:
        return "self", f"pairs image {row.numbers[0]} with itself"
    left, right = (
        int(person[start + n - first]) for (start, _), n in zip(ends, row.numbers, strict=True)
    )
    if UNKNOWN not in (left, right) and (left == right) != (row.label == "same"):
        one, other = row.numbers
        return "label", f"{one},{other} are of person {left} and person {right} in {row.label}.txt"
    return None
