"""What makes a dataset of any format unusable: copies, a part without pairs, a path's encoding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facesiam.config.trial import Part
from facesiam.data import duplicates
from facesiam.data.listing import Listing
from facesiam.data.problems import Problem
from facesiam.data.split import FOLDS

_KINDS = ("one person", "two people")


def common_problems(listing: Listing, content: NDArray[np.int64]) -> list[Problem]:
    """Return what is wrong with a dataset beside what its reader found.

    Args:
        listing: as read.
        content: (N,) a number for each image, the same for byte-identical ones.
    """
    found = _names(listing) + duplicates.problems(listing, content)
    return found if listing.problems else found + _one_kind(listing, content)


def _names(listing: Listing) -> list[Problem]:
    """Return the paths that no file of scores could name."""
    return [
        Problem("encoding", f"{name!r}: its name is not UTF-8; rename it")
        for name in listing.names
        if not _is_text(name)
    ]


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _one_kind(listing: Listing, content: NDArray[np.int64]) -> list[Problem]:
    """Return the parts that have no pair of one kind; none where no image is in a part.

    Such a dataset is there to evaluate on alone.
    """
    if not (listing.fold > 0).any():
        return []
    counts = {
        part: _listed(listing, part) if len(listing.pairs) else _possible(listing, content, part)
        for part in FOLDS
    }
    lacking = [
        f"no pair of {kind} in the {part} part"
        for part, both in counts.items()
        for kind, count in zip(_KINDS, both, strict=True)
        if not count
    ]
    if not lacking:
        return []
    if not any(same for same, _ in counts.values()) and not len(listing.pairs):
        said = "nobody has two different images, so there is no pair of the same person"
        return [Problem("one kind", said)]
    has = ", ".join(f"{part} {same:,} and {other:,}" for part, (same, other) in counts.items())
    said = f"{' and '.join(lacking)}; there are of one person and of two {has}"
    return [Problem("one kind", said)]


def _listed(listing: Listing, part: Part) -> tuple[int, int]:
    """Return how many pairs of one person, and of two, a part has."""
    label = listing.pairs[np.isin(listing.pairs[:, 1], FOLDS[part]), 4]
    return int((label == 0).sum()), int((label == 1).sum())


def _possible(listing: Listing, content: NDArray[np.int64], part: Part) -> tuple[int, int]:
    """Return how many pairs of different pictures of one person, and of two, could be drawn."""
    mine = np.isin(listing.fold, FOLDS[part])
    pictures = np.unique(np.stack([listing.person[mine], content[mine]]), axis=1)
    each = np.unique(pictures[0], return_counts=True)[1]
    same = int((each * (each - 1)).sum()) // 2
    return same, int(each.sum() ** 2 - (each**2).sum()) // 2
