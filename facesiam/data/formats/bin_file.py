"""An insightface .bin: pairs of images without people, in ten folds; to evaluate on only."""

from __future__ import annotations

import numpy as np

from facesiam.data.archive import Source
from facesiam.data.formats.found import Found
from facesiam.data.listing import UNKNOWN, Listing
from facesiam.data.pickled_pairs import LABELS, BinSource
from facesiam.data.problems import Problem
from facesiam.data.split import ALL_FOLDS
from facesiam.errors import counted


def find(source: Source) -> Found | None:
    """Say what is in a .bin; None: the source is none."""
    if not isinstance(source, BinSource):
        return None
    return Found("", f"a pickle of {_counts(source)}")


def _counts(source: BinSource) -> str:
    return f"{counted(len(source.images), 'image')} and {counted(len(source.labels), 'label')}"


def read(source: Source) -> Listing:
    """Read the pairs: image 2k and 2k + 1 are pair k, and the folds are ten runs of pairs.

    The same bytes in several pairs are one image. Nobody is named, so everyone is UNKNOWN, and no
    image is in a part.
    """
    assert isinstance(source, BinSource)
    count, images = len(source.labels), len(source.images)
    problems = []
    if images != 2 * count:
        said = f"has {_counts(source)}; there must be two images a label"
        problems.append(Problem("count", f"{source.path.name}: {said}"))
    elif count < len(ALL_FOLDS):
        said = f"has {counted(count, 'pair')}; its ten folds need a pair each"
        problems.append(Problem("count", f"{source.path.name}: {said}"))
    names, ends = _images(source)
    pairs = np.zeros((0 if problems else count, 5), np.int64)
    if not problems:
        folds = np.array_split(np.arange(count), len(ALL_FOLDS))
        pairs[:, 1] = np.repeat(ALL_FOLDS, [len(fold) for fold in folds])
        pairs[:, 2:4] = np.array(ends).reshape(-1, 2)
        pairs[:, 4] = ~np.array(source.labels)
    return Listing(
        format="bin",
        names=names,
        person=np.full(len(names), UNKNOWN),
        frontal=np.ones(len(names), bool),
        fold=np.zeros(len(names), np.int64),
        pairs=pairs,
        places=[f"pair {number}" for number in range(1, len(pairs) + 1)],
        files=[LABELS],
        problems=problems,
        notes=["it names no people: it can be evaluated on, and not be trained on"],
    )


def _images(source: BinSource) -> tuple[list[str], list[int]]:
    """Return the names of the distinct images, and for each image in order which of them it is.

    A pair of two identical images keeps both, by which it is known as such.
    """
    names: list[str] = []
    ends: list[int] = []
    known: dict[bytes, int] = {}
    for at, name in enumerate(source.images):
        content = source.read(name)
        number = known.setdefault(content, len(names))
        if at % 2 and number == ends[-1]:
            number = len(names)
        if number == len(names):
            names.append(name)
        ends.append(number)
    return names, ends
