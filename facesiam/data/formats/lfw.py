"""LFW (Labeled Faces in the Wild), or a dataset in its layout: pairs.txt and folders of people."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from facesiam.config.settings import did_you_mean
from facesiam.config.trial import Part
from facesiam.data.archive import Source
from facesiam.data.formats import lfw_lists as lists
from facesiam.data.formats.claims import Claims, left_out
from facesiam.data.formats.folders import SUFFIXES, is_litter
from facesiam.data.formats.found import Found
from facesiam.data.formats.lfw_lists import Pair
from facesiam.data.formats.people import alike_folders, numbered, plain
from facesiam.data.listing import Listing
from facesiam.data.problems import Problem
from facesiam.data.split import deal, halves, part_numbers
from facesiam.errors import DataError

PAIRS = "pairs.txt"
DEVELOPMENT = ("pairsDevTrain.txt", "pairsDevTest.txt")
"""Pairs of the development view; its people are among those of the ten folds."""
_PEOPLE = {"people.txt": 0, "peopleDevTrain.txt": 1, "peopleDevTest.txt": 2}
"""Lists of people, and their place in the development view."""
_DEPTH = 3
"""Folders down from the one that was given in which the list is looked for."""
_TRAIN, _TEST = 1, 2
_IMAGE = re.compile(rf"(.*/)?([^/]+)/([^/]+)(?:{'|'.join(map(re.escape, SUFFIXES))})", re.I)


def find(source: Source) -> Found | None:
    """Say where a list of pairs in LFW's form is; None: there is none."""
    known = {name.lower() for name in (PAIRS, *DEVELOPMENT)}
    lists_there = [
        name
        for name in source.names()
        if name.rpartition("/")[2].lower() in known and name.count("/") <= _DEPTH
    ]
    for name in sorted(lists_there, key=lambda name: (name.count("/"), name)):
        if not is_litter(name) and lists.is_list(source.read(name)):
            root = name[: name.rfind("/") + 1]
            return Found(root, f"{name} is a list of pairs in LFW's form")
    return None


def read(source: Source) -> Listing:
    """Read the pairs, and every image of the folders of people.

    Raises:
        DataError: no folder is called after one of the people, or there are two sets of folders.
    """
    problems: list[Problem] = []
    files = _lists_of_pairs(source)
    read_lists = [lists.pairs(source, file, problems) for file in files]
    folds = read_lists[0][0] if len(files) == 1 else 1
    pairs = [pair for _, of_file in read_lists for pair in of_file]
    images = _Images(source, pairs, files[0])
    claims, notes = _claims(source, files, images, folds, read_lists, problems)
    people, person = images.people, images.number
    problems += alike_folders(people)
    if len(files) == 2:
        fold = claims.folds(people, _parts)
    else:
        fold = claims.folds(people, halves if folds == 5 else lambda _, listed: listed)
    rows, places = _rows(pairs, images, fold[person], problems)
    parts = part_numbers(fold[person])
    within = parts[rows[:, 2]] == parts[rows[:, 3]]
    notes += left_out(" and ".join(files), int((~within).sum()), len(rows))
    return Listing(
        format="lfw",
        names=images.names,
        person=person,
        people=people,
        frontal=np.ones(len(person), bool),
        fold=fold[person],
        pairs=rows[within],
        places=[place for place, kept in zip(places, within.tolist(), strict=True) if kept],
        files=[*files, *(file for file in _PEOPLE if source.has(file))],
        problems=problems,
        notes=notes,
    )


def _lists_of_pairs(source: Source) -> list[str]:
    if source.has(PAIRS):
        return [PAIRS]
    return [file for file in DEVELOPMENT if source.has(file)]


class _Images:
    """The images in folders of people, by person and number.

    Raises:
        DataError: see ``read``.
    """

    def __init__(self, source: Source, pairs: list[Pair], file: str) -> None:
        found = [(name, match) for name in source.names() if (match := _IMAGE.fullmatch(name))]
        found = [(name, match) for name, match in found if not is_litter(name)]
        listed = {_key(name) for pair in pairs for name in pair.names}
        folders = Counter(match[1] or "" for _, match in found if _key(match[2]) in listed)
        if not folders and pairs:
            example = pairs[0].names[0]
            raise DataError(
                f"{source.path}: no folder beside {file} is called after one of its people; "
                f"expected {example}/{example}_0001.jpg, or the same in a folder such as lfw"
            )
        if not pairs:  # what is wrong with the list is told, beside what there is
            every = Counter(match[1] or "" for _, match in found)
            folders = Counter(dict(every.most_common(1)))
        if len(folders) > 1:
            one, other = (name or "./" for name, _ in folders.most_common(2))
            raise DataError(
                f"{source.path}: the people of {file} have folders in {one} and in {other}; "
                "leave one of the two"
            )
        self.folder = next(iter(folders), "")
        """That holds the folders of people: "" or ending with a slash."""
        mine = [(name, match) for name, match in found if (match[1] or "") == self.folder]
        self.names = [name for name, _ in mine]
        self.person = [plain(match[2]) for _, match in mine]
        self.people, self.number = numbered(self.person)
        self._named = {_key(person): person for person in self.people}
        self._at = {_key(f"{match[2]}/{match[3]}"): at for at, (_, match) in enumerate(mine)}
        self._of = {_key(person): at for at, person in reversed(list(enumerate(self.person)))}

    def named(self, person: str) -> str:
        """Return a person's name as the folder has it; `person` where there is none."""
        return self._named.get(_key(person), person)

    def at(self, person: str, number: int) -> int | None:
        """Return the image of a person with this number, NAME/NAME_0001; None: there is none."""
        return self._at.get(_key(f"{person}/{person}_{number:04d}"))

    def missing(self, person: str, number: int) -> str:
        """Return what is known about an image that is not there."""
        expected = f"{self.folder}{person}/{person}_{number:04d}.jpg (or .png, …)"
        has = self._of.get(_key(person))
        if has is None:
            return f"{expected} is not there, nor its folder{did_you_mean(person, self.people)}"
        return f"{expected} is not there; the folder has {self.names[has].rpartition('/')[2]}"


def _claims(
    source: Source,
    files: list[str],
    images: _Images,
    folds: int,
    read_lists: list[tuple[int, list[Pair]]],
    problems: list[Problem],
) -> tuple[Claims, list[str]]:
    """Return where the lists place people, and notes about lists that are not used."""
    notes = []
    by_fold = folds > 1
    claims = Claims(
        (lambda fold: f"fold {fold}")
        if by_fold
        else (lambda place: f"the people who {'test' if place == _TEST else 'train'}"),
        "; with the number of pairs alone in the first line people are split by name"
        if by_fold
        else "",
    )
    for number, (_, pairs) in enumerate(read_lists, _TRAIN):
        for pair in pairs:
            for name in pair.names if by_fold or len(files) == 2 else ():
                claims.add(images.named(name), pair.fold or number, pair.place)
    for file, place in _PEOPLE.items():
        if not source.has(file) or (place > 0) != (len(files) == 2):
            continue
        sets, people = lists.people(source, file, problems)
        if place == 0 and (not by_fold or sets != folds):
            notes.append(f"{file}: has {sets} folds and {files[0]} {folds}; it is not used")
            continue
        for name, fold, where in people:
            claims.add(images.named(name), place or fold, where)
    unused = [file for file in DEVELOPMENT if file not in files and source.has(file)]
    if unused:
        notes.append(
            f"{', '.join(unused)}: not used, as their people are among those of {files[0]}"
        )
    problems += claims.problems()
    return claims, notes


def _rows(
    pairs: list[Pair],
    images: _Images,
    fold: NDArray[np.int64],
    problems: list[Problem],
) -> tuple[NDArray[np.int64], list[str]]:
    """Return a Listing's pairs and places, of those pairs whose images are there.

    Args:
        pairs: as listed.
        images: that there are.
        fold: (N,) of each image's person.
        problems: gets what is wrong.
    """
    rows, places = [], []
    for pair in pairs:
        ends = [images.at(*end) for end in zip(pair.names, pair.numbers, strict=True)]
        for name, number, at in zip(pair.names, pair.numbers, ends, strict=True):
            if at is None:
                said = f"{pair.place}: {images.missing(name, number)}"
                problems.append(Problem("missing", said))
        left, right = ends
        if left is not None and right is not None:
            rows.append((0, int(fold[left]), left, right, int(not pair.same)))
            places.append(pair.place)
    return np.array(rows, np.int64).reshape(-1, 5), places


def _parts(people: list[str], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the folds of the development view's people: its training people validate, too."""
    fold = np.zeros(len(people), np.int64)
    parts: dict[int, tuple[Part, ...]] = {_TRAIN: ("train", "val"), _TEST: ("test",)}
    for place, of in parts.items():
        mine = np.flatnonzero(places == place)
        fold[mine] = deal([people[at] for at in mine.tolist()], *of)
    return fold


def _key(text: str) -> str:
    return plain(text).casefold()
