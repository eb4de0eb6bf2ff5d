"""The CFP dataset: its images, their people, and the pairs of its ten splits. Decodes no image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facesiam.data.archive import Source
from facesiam.data.formats import cfp_lists as lists
from facesiam.data.formats.cfp_lists import KINDS, LABELS, LISTS
from facesiam.data.formats.cfp_root import root_of
from facesiam.data.formats.found import Found
from facesiam.data.listing import UNKNOWN, Listing
from facesiam.data.problems import Problem
from facesiam.data.split import PART_OF


def find(source: Source) -> Found | None:
    """Say where the dataset is in a source; None: it is not in there.

    Raises:
        DataError: the source's folder cannot be listed.
    """
    root = root_of(source)
    return None if root is None else Found(root, f"{root or 'it'} has Data/ and Protocol/")


def read(source: Source) -> Listing:
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
    return Listing(
        format="cfp",
        names=[name for name, _ in entries],
        person=person,
        frontal=np.arange(len(entries)) < len(found["F"]),
        fold=_fold_of(pairs, person),
        pairs=pairs,
        places=[pair.place for pair, _, _ in good],
        files=[*files.values(), *(file for file, *_ in split_files)],
        problems=problems,
    )


def _fold_of(pairs: NDArray[np.int64], person: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the split of each image's person, (N,); 0: the person is in no pair."""
    fold = np.zeros(len(person), np.int64)
    for number in PART_OF:
        who = np.unique(person[pairs[pairs[:, 1] == number][:, 2:4]])
        fold[np.isin(person, who[who != UNKNOWN])] = number
    return fold


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
