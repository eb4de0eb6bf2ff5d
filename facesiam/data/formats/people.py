"""The people of a dataset that gives each image a name: their numbers, parts and folds."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facesiam.config.settings import did_you_mean
from facesiam.config.trial import Part
from facesiam.data.problems import Problem
from facesiam.data.split import FOLDS, deal_parts

PARTS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""What the parts are called, in lower case."""
VIEWS = ("frontal", "profile")
NOBODY = ("nan", "NaN", "<NA>", "None", "NULL", "null")
"""What programs write for an empty cell. Nan is a name."""
FEWEST = 2
"""People that a part needs, as there is no pair of two people otherwise."""


@dataclass(frozen=True)
class People:
    """The people of N images."""

    names: list[str]
    """In order; a person's number is the place."""
    person: NDArray[np.int64]
    """(N,) number of each image's person."""
    fold: NDArray[np.int64]
    """(N,) fold of each image's person."""
    problems: list[Problem]
    notes: list[str]


def plain(name: str) -> str:
    """Return a name in one Unicode form: macOS writes accents as letters of their own."""
    return unicodedata.normalize("NFC", name)


def of_images(whose: Sequence[str], parts: Sequence[Part | None], places: Sequence[str]) -> People:
    """Number the people of images and deal them into folds.

    Args:
        whose: (N,) name of each image's person.
        parts: (N,) part that the data says the image is in; None: it says nothing.
        places: (N,) where it says so, for what is wrong with it.
    """
    whose = [plain(name) for name in whose]
    names, person = numbered(whose)
    first: dict[str, int] = {}
    problems: dict[str, Problem] = {}
    for at, name in enumerate(whose):
        before = first.setdefault(name, at)
        if parts[before] != parts[at]:
            one, other = (parts[n] or "no" for n in (before, at))
            said = (
                f"{name} is in {one} part ({places[before]}) and in {other} part "
                f"({places[at]}); a person may be in one only"
            )
            problems.setdefault(name, Problem("shared", said))
    part_of = [parts[first[name]] for name in names]
    fold, notes = deal_parts(names, part_of)
    found = list(problems.values())
    if any(part_of):
        found += [
            Problem(
                "no part",
                f"{places[first[name]]}: {name} is in no part, and others are in train, val or "
                "test; give everyone a part, or no one",
            )
            for name, part in zip(names, part_of, strict=True)
            if part is None and name not in problems
        ]
    return People(names, person, fold[person], found, notes)


def numbered(whose: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the names of people in order, and the place of each of N names among them, (N,)."""
    names = sorted(set(whose))
    number = {name: at for at, name in enumerate(names)}
    return names, np.array([number[name] for name in whose], np.int64)


def alike(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the names that differ from an earlier one in case or blanks only, with that one."""
    seen: dict[str, str] = {}
    found = []
    for name in names:
        first = seen.setdefault(" ".join(name.casefold().split()), name)
        if first != name:
            found.append((first, name))
    return found


def alike_folders(names: Sequence[str]) -> list[Problem]:
    """Return a problem for each name of a folder that differs from another in case or blanks."""
    return [
        Problem(
            "alike",
            f"{one} and {other} are two people whose names differ in case or blanks only; "
            "put one person's images into one folder, or make the names differ",
        )
        for one, other in alike(names)
    ]


def too_few(people: People) -> list[Problem]:
    """Return what keeps the parts from having pairs of two people that can be drawn."""
    number = len(people.names)
    sizes = {
        part: len(np.unique(people.person[np.isin(people.fold, folds)]))
        for part, folds in FOLDS.items()
    }
    if min(sizes.values()) < FEWEST:
        count = ", ".join(f"{part} {size}" for part, size in sizes.items())
        who = f"only one person, {people.names[0]}" if number == 1 else f"{number:,} people"
        return [
            Problem(
                "few people",
                f"has {who} ({count}); each part needs {FEWEST} or more, so that a pair of two "
                "people can be drawn: 8 people in all, or more",
            )
        ]
    return []


def notes_of(people: People) -> list[str]:
    """Return notes about people with one or two images."""
    images = np.bincount(people.person)
    one, two = (int((images == number).sum()) for number in (1, 2))
    total = f"of {len(images):,} people"
    notes = []
    if one:
        notes.append(
            f"{one:,} {total} {'have' if one > 1 else 'has'} one image, which is only in pairs of "
            "different people"
        )
    if two:
        notes.append(
            f"{two:,} {total} {'have' if two > 1 else 'has'} two images, which make one pair of "
            "the same person"
        )
    return notes


def part_of(word: str) -> Part:
    """Return the part that a word names.

    Raises:
        ValueError: none; the text says so, with the nearest word.
    """
    if found := PARTS.get(word.lower()):
        return found
    known = ("train", "val", "test")
    near = did_you_mean(word.lower(), PARTS)
    raise ValueError(f"split {word[:40]!r} is not one of {', '.join(known)}{near}")
