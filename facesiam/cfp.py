"""The CFP layout: which images there are, of whom, and which pairs the ten splits make of them.

Lists and splits are read to the end whatever is wrong with them, so that every problem of a copy
is named in one go. Nothing here looks into an image.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from facesiam.archive import LAYOUT, DataError, Source
from facesiam.config import Part

FORMAT = 1
"""Counts up whenever packed files of older versions no longer serve."""
LISTS = {
    "F": ("Pair_list_F.txt", "image_list_F.txt"),
    "P": ("Pair_list_P.txt", "image_list_P.txt"),
}
KINDS = ("FF", "FP")
LABELS = ("same", "diff")
FOLDS: dict[Part, tuple[int, ...]] = {"train": (1, 2, 3, 4, 5, 6), "val": (7, 8), "test": (9, 10)}
ALL_FOLDS = range(1, 11)
PART_OF = {fold: part for part, folds in FOLDS.items() for fold in folds}
_PERSON = re.compile(r"(?:.*/)?(\d+)/(?:frontal|profile)/[^/]+")


@dataclass(frozen=True)
class Dataset:
    """What the lists and splits say. N images: the frontal list, then the profile list."""

    names: list[str]
    """Path of each image under the dataset's root."""
    person: NDArray[np.int64]
    """(N,) number of the person, from the path: 1-based in CFP."""
    frontal: NDArray[np.bool_]
    """(N,) whether the image is of the frontal list."""
    pairs: NDArray[np.int64]
    """(P, 5) kind (0 FF, 1 FP), split (1 to 10), left and right image (from 0), label (0 same)."""
    files: list[str]
    """The lists and split files that this was read from."""
    problems: list[str]
    """Everything that is wrong, a sentence each, with file and line."""


def folds_of(part: Part, fold: int) -> tuple[int, ...]:
    """Return the splits whose people are in a part.

    Args:
        part: train, val or test.
        fold: 0: splits 01-06, 07-08 and 09-10. k from 1 to 10: split k tests, the next one (1
            after 10) validates, the other eight train.
    """
    if not fold:
        return FOLDS[part]
    after = fold % 10 + 1
    rest = tuple(n for n in ALL_FOLDS if n not in (fold, after))
    return {"train": rest, "val": (after,), "test": (fold,)}[part]


def read(source: Source) -> Dataset:
    """Read the lists and splits of ``source``.

    Raises:
        DataError: a list of images is missing or empty. What else is wrong is in ``problems``.
    """
    problems: list[str] = []
    files = [_list_name(source, letter) for letter in LISTS]
    frontal, profile = (_images(source, file, problems) for file in files)
    names = [name for name, _ in frontal + profile]
    person = np.array([number for _, number in frontal + profile], np.int64)
    sides = {"F": (0, len(frontal)), "P": (len(frontal), len(profile))}
    rows: list[tuple[int, ...]] = []
    for file, kind, fold, label in _split_files(source, problems):
        files.append(file)
        ends = sides[kind[0]], sides[kind[1]]
        for line, numbers in _split_lines(source, file, problems):
            problem = _pair_problem(numbers, ends, person, label)
            if problem:
                problems.append(f"{file} line {line}: {problem}")
            else:
                left, right = (start + n - 1 for (start, _), n in zip(ends, numbers, strict=True))
                rows.append((KINDS.index(kind), fold, left, right, LABELS.index(label)))
    pairs = np.array(rows, np.int64).reshape(-1, 5)
    problems += _shared_people(pairs, person)
    is_frontal = np.arange(len(names)) < len(frontal)
    return Dataset(names, person, is_frontal, pairs, files, problems)


def stamps(source: Source, names: list[str]) -> list[tuple[int, int]]:
    """Return (bytes, CRC-32) of each file, in order, on all cores."""
    chunks = [names[at : at + 256] for at in range(0, len(names), 256)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(chain(*pool.map(lambda chunk: [source.stamp(n) for n in chunk], chunks)))


def content_key(dataset: Dataset, sizes: list[tuple[int, int]]) -> str:
    """Return the dataset's content as 16 hex digits, the same for a zip and its extracted folder.

    Args:
        dataset: as read.
        sizes: the stamps of ``dataset.files + dataset.names``.
    """
    named = zip(dataset.files + dataset.names, sizes, strict=True)
    lines = sorted({f"{name} {size} {crc:08x}" for name, (size, crc) in named})
    return hashlib.sha256("\n".join([f"facesiam {FORMAT}", *lines]).encode()).hexdigest()[:16]


def _list_name(source: Source, letter: str) -> str:
    for name in LISTS[letter]:
        if source.has(f"Protocol/{name}"):
            return f"Protocol/{name}"
    raise DataError(f"{source.path}: Protocol/{LISTS[letter][0]} is missing; {LAYOUT}")


def _lines(source: Source, file: str) -> Iterator[tuple[int, str]]:
    text = source.read(file).decode("utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def _images(source: Source, file: str, problems: list[str]) -> list[tuple[str, int]]:
    images: list[tuple[str, int]] = []
    for line, text in _lines(source, file):
        number, _, path = text.partition(" ")
        name = path.strip().replace("\\", "/").removeprefix("../")
        person = _PERSON.fullmatch(name)
        images.append((name, int(person[1]) if person else 0))
        if number != str(len(images)):
            problems.append(f"{file} line {line}: expected image {len(images)}, got {text[:80]!r}")
        elif not person:
            problems.append(
                f"{file} line {line}: expected …/<person number>/<frontal|profile>/<file>, "
                f"got {path[:80]!r}"
            )
        elif not source.has(name):
            problems.append(f"{file} line {line}: points at {name}, which does not exist")
    if not images:
        raise DataError(f"{source.path}: {file} lists no images; {LAYOUT}")
    return images


def _split_files(source: Source, problems: list[str]) -> Iterator[tuple[str, str, int, str]]:
    for kind in KINDS:
        folder = f"Protocol/Split/{kind}"
        files = {
            (fold, label): f"{folder}/{fold:02d}/{label}.txt"
            for fold in PART_OF
            for label in LABELS
        }
        there = {at: file for at, file in files.items() if source.has(file)}
        folds = {fold for fold, _ in there}
        if len(folds) < len(PART_OF):
            missing = ", ".join(f"{fold:02d}" for fold in PART_OF if fold not in folds)
            problems.append(f"{folder}: has {len(folds)} of the 10 splits; missing: {missing}")
        problems += [
            f"{file}: missing" for at, file in files.items() if at[0] in folds and at not in there
        ]
        yield from ((file, kind, fold, label) for (fold, label), file in there.items())


def _split_lines(
    source: Source, file: str, problems: list[str]
) -> Iterator[tuple[int, tuple[int, int]]]:
    for line, text in _lines(source, file):
        numbers = re.fullmatch(r"(\d{1,9})\s*,\s*(\d{1,9})", text)
        if numbers:
            yield line, (int(numbers[1]), int(numbers[2]))
        else:
            problem = f"expected two numbers as in 5,1, got {text[:40]!r}"
            problems.append(f"{file} line {line}: {problem}")


def _pair_problem(
    numbers: tuple[int, int], ends: tuple[tuple[int, int], ...], person: NDArray[np.int64],
    label: str,
) -> str | None:
    for number, (_, count) in zip(numbers, ends, strict=True):
        if not 1 <= number <= count:
            return f"points at image {number} of a list that has 1 to {count}"
    left, right = (person[start + n - 1] for (start, _), n in zip(ends, numbers, strict=True))
    if (left == right) != (label == "same"):
        return f"{numbers[0]},{numbers[1]} are of person {left} and person {right} in {label}.txt"
    return None


def _shared_people(pairs: NDArray[np.int64], person: NDArray[np.int64]) -> list[str]:
    seen: dict[int, int] = {}
    problems: dict[int, str] = {}
    for fold in PART_OF:
        for who in np.unique(person[pairs[pairs[:, 1] == fold][:, 2:4]]).tolist():
            first = seen.setdefault(who, fold)
            if PART_OF[first] != PART_OF[fold]:
                problems.setdefault(
                    who,
                    f"person {who} is in the {PART_OF[first]} part (split {first:02d}) and in the "
                    f"{PART_OF[fold]} part (split {fold:02d}); no one may be in two parts",
                )
    return list(problems.values())
