"""Byte-identical images: pairs of two copies, and copies that two people or two parts have."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from facesiam.data.archive import Source
from facesiam.data.listing import Listing
from facesiam.data.problems import Problem
from facesiam.data.split import FOLDS, in_two_parts, part_numbers
from facesiam.data.stamps import Stamp

MOST_TWINS = 1 / 500
"""Largest share of a kind's same pairs that may be of two byte-identical files; it changes an
accuracy by a tenth of a point at most. The official FF pairs of CFP have 3 of 3,500."""

MOST_COPIES = 1 / 500
"""Largest share of the images that may also be there under another person's name, in the same
part. Large collections have some, which training bears; with more of them a person has two
folders, or folders were mixed up."""

_PARTS = list(FOLDS)


def contents(source: Source, names: list[str], stamps: list[Stamp]) -> NDArray[np.int64]:
    """Return a number for each image, (N,), the same for byte-identical ones.

    Images of one stamp are read and compared: among 100,000 bitmaps of one size two have the same
    CRC-32 by chance.

    Args:
        source: the dataset.
        names: (N,) path of each image.
        stamps: (N,) of each.
    """
    size, crc = np.array(stamps, np.int64).reshape(-1, 2).T
    number, count = np.unique((size << 32) + crc, return_inverse=True, return_counts=True)[1:]
    found = np.asarray(number, np.int64)
    numbers: dict[bytes, int] = {}
    for at in np.flatnonzero(count[number] > 1).tolist():
        digest = hashlib.sha256(source.read(names[at])).digest()
        found[at] = numbers.setdefault(digest, len(count) + len(numbers))
    return np.asarray(np.unique(found, return_inverse=True)[1], np.int64)


def problems(listing: Listing, content: NDArray[np.int64]) -> list[Problem]:
    """Return what byte-identical images make unusable.

    Args:
        listing: as read.
        content: (N,) a number for each image, the same for byte-identical ones.
    """
    found = twins(listing, content) + across_parts(listing, content)
    copies = across_people(listing, content)
    return found + (copies if _many(copies, listing) else [])


def notes(listing: Listing, content: NDArray[np.int64]) -> list[str]:
    """Return what is to be said of byte-identical images that are no problem, as few as they are.

    Args:
        listing: as read.
        content: (N,) a number for each image, the same for byte-identical ones.
    """
    copies = across_people(listing, content)
    if not copies or _many(copies, listing):
        return []
    more = f"; {len(copies) - 1:,} more like it" if copies[1:] else ""
    return [f"{copies[0].said}{more}"]


def _many(copies: list[Problem], listing: Listing) -> bool:
    return len(copies) > MOST_COPIES * len(listing.names)


def twins(listing: Listing, content: NDArray[np.int64]) -> list[Problem]:
    """Return problems about pairs of two byte-identical files.

    Such a pair of one person tests nothing, and of two people one name is wrong. A few of the
    first kind are accepted (MOST_TWINS), none of the second.

    Args:
        listing: as read.
        content: (N,) a number for each image, the same for byte-identical ones.
    """
    found_problems = []
    equal = content[listing.pairs[:, 2]] == content[listing.pairs[:, 3]]
    for number in np.unique(listing.pairs[:, 0]).tolist():
        mine = listing.pairs[:, 0] == number
        for label, whose in enumerate(("one person", "different people")):
            of_label = mine & (listing.pairs[:, 4] == label)
            found = np.flatnonzero(of_label & equal)
            if len(found) > (MOST_TWINS * of_label.sum() if label == 0 else 0):
                for at in found.tolist():
                    left, right = (listing.names[n] for n in listing.pairs[at, 2:4])
                    if left == right:  # listed twice, or paired with itself: said elsewhere
                        continue
                    found_problems.append(
                        Problem(
                            f"{number} twins {label}",
                            f"{listing.places[at]}: a pair of {whose}, but "
                            f"{left} and {right} are byte-identical",
                        )
                    )
    return found_problems


def across_parts(listing: Listing, content: NDArray[np.int64]) -> list[Problem]:
    """Return problems about one image that people of two parts have: a net could learn it.

    CFP has a few such images outside its pairs; it is held to them by ``twins``.

    Args:
        listing: as read.
        content: (N,) a number for each image, the same for byte-identical ones.
    """
    if listing.format == "cfp":
        return []
    part = part_numbers(listing.fold)
    return [
        Problem(
            "copy in two parts",
            f"{listing.names[one]} ({_PARTS[part[one] - 1]}) and {listing.names[two]} "
            f"({_PARTS[part[two] - 1]}) are byte-identical; the parts may not share an image"
            + _whose(listing, one, two),
        )
        for one, two in in_two_parts(part, content).tolist()
    ]


def _whose(listing: Listing, one: int, two: int) -> str:
    if not listing.people or listing.person[one] == listing.person[two]:
        return ""
    return ", and one of the two names is wrong: remove that image"


def across_people(listing: Listing, content: NDArray[np.int64]) -> list[Problem]:
    """Return problems about one image that two people of a part have: a name of it is wrong.

    Where a dataset lists its pairs, it is held to them by ``twins``; one that names nobody says
    nothing wrong.

    Args:
        listing: as read.
        content: (N,) a number for each image, the same for byte-identical ones.
    """
    if len(listing.pairs) or not listing.people:
        return []
    part, person = part_numbers(listing.fold), listing.person
    order = np.lexsort((person, part, content))
    one, two = order[:-1], order[1:]
    found = (
        (content[one] == content[two]) & (part[one] == part[two]) & (person[one] != person[two])
    )
    return [
        Problem(
            "copy of two people",
            f"{listing.names[left]} ({listing.people[person[left]]}) and {listing.names[right]} "
            f"({listing.people[person[right]]}) are byte-identical, so one of the two names is "
            "wrong; remove that image",
        )
        for left, right in zip(one[found].tolist(), two[found].tolist(), strict=True)
    ]
