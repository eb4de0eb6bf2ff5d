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


def deal(people: Sequence[str], part: Part | None = None) -> NDArray[np.int64]:
    """Return the fold of each person, (P,), by a hash of the name.

    Args:
        people: their names, each once.
        part: deal them among the folds of this part only; None: among all ten.
    """
    folds = FOLDS[part] if part else tuple(ALL_FOLDS)
    numbers = [int.from_bytes(_hash(name)[:8], "big") for name in people]
    if len(people) >= FEW_PEOPLE or part:
        return np.array([folds[number % len(folds)] for number in numbers], np.int64)
    found = np.zeros(len(people), np.int64)
    order = sorted(range(len(people)), key=lambda at: (numbers[at], people[at]))
    for rank, at in enumerate(order, 1):
        found[at] = -(-rank * len(folds) // len(people))
    return found


def _hash(name: str) -> bytes:
    return hashlib.sha256(f"facesiam {name}".encode("utf-8", "surrogateescape")).digest()
