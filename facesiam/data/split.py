"""How people are split into training, validation and test: ten folds, six, two and two of them.

Every dataset has ten folds of people. CFP lists its own; where a dataset says nothing else, a
person's fold is a hash of the name, which neither a new version nor further people change. So
``fold: k`` means the same in every format, and no part ever shares a person with another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facesiam.config.trial import Part

ALL_FOLDS = range(1, 11)
FOLDS: dict[Part, tuple[int, ...]] = {"train": (1, 2, 3, 4, 5, 6), "val": (7, 8), "test": (9, 10)}
PART_OF: dict[int, Part] = {fold: part for part, folds in FOLDS.items() for fold in folds}
FEW_PEOPLE = 50
"""Below so many, people are dealt out in the order of their hashes: chance could leave a part
empty."""


def folds_of(part: Part, fold: int) -> tuple[int, ...]:
    """Return the folds whose people are in a part.

    Args:
        part: train, val or test.
        fold: 0: folds 1-6, 7-8 and 9-10. k from 1 to 10: fold k tests, the next one (1 after 10)
            validates, the other eight train.
    """
    if not fold:
        return FOLDS[part]
    after = fold % 10 + 1
    rest = tuple(n for n in ALL_FOLDS if n not in (fold, after))
    return {"train": rest, "val": (after,), "test": (fold,)}[part]


def deal(people: Sequence[str], *parts: Part) -> NDArray[np.int64]:
    """Return the fold of each person, (P,), by a hash of the name.

    Args:
        people: their names, each once.
        parts: deal them among the folds of these parts only; none: among all ten.
    """
    folds = [fold for part in parts for fold in FOLDS[part]] or list(ALL_FOLDS)
    numbers = [int.from_bytes(_hash(name)[:8], "big") for name in people]
    if len(people) >= FEW_PEOPLE or len(parts) == 1:
        return np.array([folds[number % len(folds)] for number in numbers], np.int64)
    found = np.zeros(len(people), np.int64)
    order = sorted(range(len(people)), key=lambda at: (numbers[at], people[at]))
    for rank, at in enumerate(order, 1):
        found[at] = folds[-(-rank * len(folds) // len(people)) - 1]
    return found


def deal_parts(
    people: Sequence[str], parts: Sequence[Part | None]
) -> tuple[NDArray[np.int64], list[str]]:
    """Return the fold of each person, (P,), where the data names parts, and notes.

    A part that the data does not name gets people of the training part, and everyone is dealt out
    anew where it names one part only.

    Args:
        people: their names, each once.
        parts: (P,) what the data says of each; None: nothing. Of such people, where others have a
            part, the fold is 0.
    """
    named = [part for part in FOLDS if part in parts]
    missing = [part for part in FOLDS if part not in named]
    if len(named) < 2 or "train" in missing:
        said = f"{' and '.join(named)} alone cannot be split: everyone is split anew, by name"
        return deal(people), [said] if named else []
    fold = np.zeros(len(people), np.int64)
    for part in named:
        at = [n for n, of in enumerate(parts) if of == part]
        fold[at] = deal([people[n] for n in at], part, *(missing if part == "train" else ()))
    return fold, [
        f"there is no {part} part: a quarter of train's people, by a hash of the name, are in it"
        for part in missing
    ]


def halves(people: Sequence[str], fifth: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the fold of each person, (P,), who is in one of five: f is folds 2f - 1 and 2f.

    Args:
        people: their names.
        fifth: (P,) the fold of each among five, from 1.
    """
    odd = np.array([_hash(name)[0] % 2 for name in people], np.int64)
    return np.asarray(2 * fifth - odd, np.int64)


def part_numbers(folds: NDArray[np.int64], fold: int = 0) -> NDArray[np.int64]:
    """Return the part of each of some folds as a number: 0 none, 1 train, 2 val, 3 test.

    Args:
        folds: (N,) from 0 to 10.
        fold: as for ``folds_of``.
    """
    number = np.zeros(max(ALL_FOLDS) + 1, np.int64)
    for at, part in enumerate(FOLDS, 1):
        number[list(folds_of(part, fold))] = at
    return np.asarray(number[folds], np.int64)


def in_two_parts(part: NDArray[np.int64], content: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return pairs of byte-identical images in two parts, (K, 2): at most one of each image.

    Args:
        part: (N,) number of each image's part, as ``part_numbers``; 0: in none.
        content: (N,) a number for each image, the same for byte-identical ones.
    """
    order = np.lexsort((part, content))
    order = order[part[order] > 0]
    one, other = order[:-1], order[1:]
    found = (content[one] == content[other]) & (part[one] != part[other])
    return np.stack([one[found], other[found]], axis=1)


def _hash(name: str) -> bytes:
    return hashlib.sha256(f"facesiam {name}".encode("utf-8", "surrogateescape")).digest()
