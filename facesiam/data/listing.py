"""What a format's reader finds in a dataset: images, their people, pairs, folds; no pixels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facesiam.data.problems import Problem
from facesiam.errors import counted

FORMAT = 1
"""Incremented whenever packed files of older versions can no longer be used."""
LANDMARKS = "landmarks.csv"
"""Name of the table of landmarks at a dataset's root."""
UNKNOWN = -1
"""The person of an image that does not name one."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The content of a dataset of N images and P listed pairs."""

    format: str
    """Name of the format, as in ``formats.FORMATS``."""
    names: list[str]
    """Path of each image under the dataset's root."""
    person: NDArray[np.int64]
    """(N,) number of the person: its place in `people`, or CFP's own number, from 1."""
    people: list[str] = field(default_factory=list)
    """Name of each person by number; empty where the numbers are the names, as in CFP."""
    frontal: NDArray[np.bool_]
    """(N,) False for images that are known to be profiles."""
    fold: NDArray[np.int64]
    """(N,) fold of the image's person, 1 to 10 (``split``); 0: the person is in no part."""
    pairs: NDArray[np.int64]
    """(P, 5) kind (0; CFP: 0 FF, 1 FP), fold (1 to 10), left and right image (from 0), label (0
    same). No rows where the dataset lists no pairs: they are drawn."""
    places: list[str]
    """(P,) file and line of each pair."""
    files: list[str]
    """Files under the root that this was read from, beside the images."""
    problems: list[Problem]
    """Everything that is wrong; a dataset with a problem is not packed."""
    notes: list[str] = field(default_factory=list)
    """What a user should know though nothing is wrong, a sentence each."""
    landmarks: str | None = None
    """File under the root with five landmarks an image; None: none, or CFP's own 30."""


def distinct(
    left: NDArray[np.int64], right: NDArray[np.int64], content: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return a number for each pair, (P,), the same for the same two pictures in any order."""
    one, other = np.sort(np.stack([content[left], content[right]]), axis=0)
    count = int(content.max(initial=0)) + 1
    return np.asarray(np.unique(one * count + other, return_inverse=True)[1], np.int64)


def repeated(count: int, of_kind: str = "") -> str:
    """Return how many pairs repeat an earlier one, as the beginning of a sentence."""
    how = "comes again, as it is" if count == 1 else "come again, as they are"
    return f"{counted(count, 'pair')}{of_kind} {how} or the other way round"


def one_sided(listing: Listing) -> list[Problem]:
    """Return a problem where all listed pairs are of one kind: no net can be judged by them."""
    labels = np.unique(listing.pairs[:, 4]).tolist()
    if len(labels) != 1:
        return []
    what = ("the same person", "different people")[labels[0]]
    count = len(listing.pairs)
    whole = "the only pair is" if count == 1 else f"all {count:,} pairs are"
    said = f"{whole} of {what}; pairs of both kinds are needed"
    return [Problem("one-sided", said)]


def content_key(listing: Listing, sizes: list[tuple[int, int]]) -> str:
    """Return a hash of the dataset, 16 hex digits, the same for a zip and its extracted folder.

    Args:
        listing: as read.
        sizes: the stamps of ``listing.files + listing.names``.
    """
    named = zip(listing.files + listing.names, sizes, strict=True)
    lines = sorted({f"{name} {size} {crc:08x}" for name, (size, crc) in named})
    # The same files read as another format are other data; CFP came before there was another.
    title = f"facesiam {FORMAT}" + (f" {listing.format}" if listing.format != "cfp" else "")
    return hashlib.sha256("\n".join([title, *lines]).encode()).hexdigest()[:16]
