"""The CFP dataset: its images, their people, and the pairs of its ten splits. Decodes no image."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from facesiam.config.trial import Part
from facesiam.data import lists
from facesiam.data.archive import Source
from facesiam.data.lists import ALL_FOLDS, KINDS, LABELS, LISTS, UNKNOWN, Problem
from facesiam.device.cores import cores

FORMAT = 1
"""Incremented whenever packed files of older versions can no longer be used."""
FOLDS: dict[Part, tuple[int, ...]] = {"train": (1, 2, 3, 4, 5, 6), "val": (7, 8), "test": (9, 10)}
PART_OF = {fold: part for part, folds in FOLDS.items() for fold in folds}
MOST_TWINS = 1 / 500
"""Largest share of a kind's same pairs that may be of two byte-identical files; it changes an
accuracy by a tenth of a point at most. The official FF pairs have 3 of 3,500."""


@dataclass(frozen=True)
class Dataset:
    """The content of the lists and splits. N images: the frontal list, then the profile list."""

    names: list[str]
    """Path of each image under the dataset's root."""
    person: NDArray[np.int64]
    """(N,) number of the person, from the path: 1-based in CFP; UNKNOWN where it has none."""
    frontal: NDArray[np.bool_]
    """(N,) whether the image is of the frontal list."""
    pairs: NDArray[np.int64]
    """(P, 5) kind (0 FF, 1 FP), split (1 to 10), left and right image (from 0), label (0 same)."""
    places: list[str]
    """(P,) file and line of each pair."""
    files: list[str]
    """The lists and split files that this was read from."""
    problems: list[Problem]
    """Everything that is wrong with them."""


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
    problems: list[Problem] = []
    files = {letter: lists.list_name(source, letter) for letter in LISTS}
    found = {
        letter: lists.images(source, file, letter, problems) for letter, file in files.items()
    }
    entries = found["F"] + found["P"]
    person = np.array([number for _, number in entries], np.int64)
    sides = {"F": (0, len(found["F"])), "P": (len(found["F"]), len(found["P"]))}
    split_files = list(lists.split_files(source, problems))
    good = lists.checked(lists.pairs(source, split_files, problems), sides, person, problems)
    rows = [
        (KINDS.index(pair.kind), pair.fold, left, right, LABELS.index(pair.label))
        for pair, left, right in good
    ]
    pairs = np.array(rows, np.int64).reshape(-1, 5)
    problems += _shared_people(pairs, person)
    return Dataset(
        names=[name for name, _ in entries],
        person=person,
        frontal=np.arange(len(entries)) < len(found["F"]),
        pairs=pairs,
        places=[pair.place for pair, _, _ in good],
        files=[*files.values(), *(file for file, *_ in split_files)],
        problems=problems,
    )


def contents(stamps_of_names: list[tuple[int, int]]) -> NDArray[np.int64]:
    """Return a number for each image, (N,), the same for byte-identical ones."""
    numbers = np.unique(np.array(stamps_of_names), axis=0, return_inverse=True)[1]
    return np.asarray(numbers, np.int64).reshape(-1)


def twins(dataset: Dataset, content: NDArray[np.int64]) -> list[Problem]:
    """Return problems about pairs of two byte-identical files.

    Such a pair of one person tests nothing, and of two people one name is wrong. A few of the
    first kind are accepted (MOST_TWINS), none of the second.

    Args:
        dataset: as read.
        content: (N,) a number for each image, the same for byte-identical ones.
    """
    problems = []
    equal = content[dataset.pairs[:, 2]] == content[dataset.pairs[:, 3]]
    for number, kind in enumerate(KINDS):
        mine = dataset.pairs[:, 0] == number
        for label, whose in enumerate(("one person", "different people")):
            of_label = mine & (dataset.pairs[:, 4] == label)
            found = np.flatnonzero(of_label & equal)
            if len(found) > (MOST_TWINS * of_label.sum() if label == 0 else 0):
                for at in found.tolist():
                    left, right = (dataset.names[n] for n in dataset.pairs[at, 2:4])
                    if left == right:  # listed twice, or paired with itself: said elsewhere
                        continue
                    problems.append(
                        Problem(
                            f"{kind} twins {label}",
                            f"{dataset.places[at]}: a pair of {whose}, but "
                            f"{left} and {right} are byte-identical",
                        )
                    )
    return problems


def distinct(
    left: NDArray[np.int64], right: NDArray[np.int64], content: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return a number for each pair, (P,), the same for the same two pictures in any order."""
    ends = np.sort(np.stack([content[left], content[right]], axis=1), axis=1)
    return np.asarray(np.unique(ends, axis=0, return_inverse=True)[1], np.int64).reshape(-1)


def stamps(source: Source, names: list[str]) -> list[tuple[int, int]]:
    """Return (bytes, CRC-32) of each file, in order, on all cores."""
    chunks = [names[at : at + 256] for at in range(0, len(names), 256)]
    with ThreadPoolExecutor(cores()) as pool:
        return list(chain(*pool.map(lambda chunk: [source.stamp(n) for n in chunk], chunks)))


def content_key(dataset: Dataset, sizes: list[tuple[int, int]]) -> str:
    """Return a hash of the dataset, 16 hex digits, the same for a zip and its extracted folder.

    Args:
        dataset: as read.
        sizes: the stamps of ``dataset.files + dataset.names``.
    """
    named = zip(dataset.files + dataset.names, sizes, strict=True)
    lines = sorted({f"{name} {size} {crc:08x}" for name, (size, crc) in named})
    return hashlib.sha256("\n".join([f"facesiam {FORMAT}", *lines]).encode()).hexdigest()[:16]


def _shared_people(pairs: NDArray[np.int64], person: NDArray[np.int64]) -> list[Problem]:
    seen: dict[int, int] = {}
    problems: dict[int, Problem] = {}
    for fold in PART_OF:
        for who in np.unique(person[pairs[pairs[:, 1] == fold][:, 2:4]]).tolist():
            first = seen.setdefault(who, fold)
            if first == fold or who == UNKNOWN:
                continue
            if PART_OF[first] != PART_OF[fold]:
                said = (
                    f"person {who} is in the {PART_OF[first]} part (split {first:02d}) and in the "
                    f"{PART_OF[fold]} part (split {fold:02d}); no one may be in two parts"
                )
            else:
                said = (
                    f"person {who} is in split {first:02d} and in split {fold:02d}; in the ten "
                    "folds one would train and the other test"
                )
            problems.setdefault(who, Problem("shared", said))
    return list(problems.values())
