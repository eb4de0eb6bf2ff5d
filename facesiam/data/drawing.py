"""Pairs and triplets drawn from a part's images, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from facesiam.config.trial import Part

Numbers = NDArray[np.int64]
FEWEST_JUDGED = 3_000
"""Pairs of each kind that validation and test draw at least, if the images give so many: an
accuracy of 90 % of 6,000 pairs is good to 0.8 points."""
MOST_JUDGED = 20_000
"""Pairs of each kind that validation and test draw at most."""
_ROUNDS = 64


def generator(seed: int, part: Part) -> np.random.Generator:
    """Return the generator of a part's pairs."""
    return np.random.Generator(np.random.PCG64([seed, get_args(Part).index(part)]))


def number_of_pairs(images: int, part: Part) -> int:
    """Return how many pairs of each kind are drawn: of training images one for each."""
    return images if part == "train" else min(max(images, FEWEST_JUDGED), MOST_JUDGED)


def draw_pairs(
    images: Numbers, person: Numbers, content: Numbers, wanted: int, rng: np.random.Generator
) -> tuple[Numbers, Numbers, Numbers]:
    """Draw as many pairs of one person as of two, each pair of pictures once.

    Every image is drawn as the left one equally often, so that a person counts by the number of
    images and not by the number of their pairs. Byte-identical images make no pair.

    Args:
        images: (n,) the images to draw from.
        person: (N,) of every image.
        content: (N,) a number for each image, the same for byte-identical ones.
        wanted: pairs of each kind; fewer where the images have fewer.
        rng: decides.

    Returns:
        left, right and label (2W,): first the W pairs of one person (0), then W of two (1).
    """
    images = images[np.argsort(person[images], kind="stable")]
    who = person[images]
    _, start, size = np.unique(who, return_index=True, return_counts=True)
    number = np.repeat(np.arange(len(start)), size)
    first, count = start[number], size[number]
    place = np.arange(len(images)) - first

    def same() -> Numbers:
        """One other image of the person for each image that has one: (k, 2)."""
        at = np.flatnonzero(count > 1)
        step = 1 + (rng.random(len(at)) * (count[at] - 1)).astype(np.int64)
        return np.stack([at, first[at] + (place[at] + step) % count[at]], 1)

    def different() -> Numbers:
        """One image of another person for each image: (k, 2)."""
        at = np.flatnonzero(count < len(images))
        other = (rng.random(len(at)) * (len(images) - count[at])).astype(np.int64)
        return np.stack([at, other + np.where(other < first[at], 0, count[at])], 1)

    kinds = [_rounds(draw, images, content, wanted, rng) for draw in (same, different)]
    number_of_each = min(map(len, kinds))
    left, right = np.concatenate([kind[:number_of_each] for kind in kinds]).T
    return left, right, np.repeat(np.array([0, 1]), number_of_each)


def _rounds(
    draw: Callable[[], Numbers],
    images: Numbers,
    content: Numbers,
    wanted: int,
    rng: np.random.Generator,
) -> Numbers:
    """Draw rounds of pairs, a pair an image, until there are enough, or a round gives few more.

    Returns:
        (W, 2) images, W at most `wanted`, no two pictures twice.
    """
    found = np.zeros((0, 2), np.int64)
    for _ in range(_ROUNDS):
        at = draw()
        rng.shuffle(at)
        pairs = images[at]
        pairs = pairs[content[pairs[:, 0]] != content[pairs[:, 1]]]
        found = np.concatenate([found, pairs])
        one, other = np.sort(content[found], axis=1).T
        keys = one * (int(content.max(initial=0)) + 1) + other
        once = np.unique(keys, return_index=True)[1]
        found = found[np.sort(once)]
        if len(found) >= wanted or not len(at):
            break
    return found[:wanted]


def draw_triplets(
    images: Numbers, person: Numbers, content: Numbers, rng: np.random.Generator
) -> Numbers:
    """Draw for each image another one of the person and one of another person.

    Args:
        images: (n,) the images to draw from, in ascending order.
        person: (N,) of every image.
        content: (N,) a number for each image, the same for byte-identical ones.
        rng: decides.

    Returns:
        (T, 3) anchor, positive, negative. An image whose person has no other picture gets none.
    """
    who = person[images]
    order = np.argsort(who, kind="stable")  # places in `images`, person by person
    _, first, size = np.unique(who[order], return_index=True, return_counts=True)
    number = np.repeat(np.arange(len(first)), size)
    rank = np.empty(len(images), np.int64)
    rank[order] = np.arange(len(images)) - first[number]
    whose = np.empty(len(images), np.int64)
    whose[order] = number
    same, alone = _other_pictures(content[images], whose, size)
    others = len(images) - size[whose]
    anchors = np.flatnonzero((same > 0) & (others > 0))
    # One number after the other, as if each anchor drew its own two.
    drawn = rng.integers(np.stack([same[anchors], others[anchors]], axis=1).ravel())
    positive, k = drawn.reshape(-1, 2).T
    mine = whose[anchors]
    # The k-th other image of the person; and the k-th image that is not the person's, before which
    # so many are whose place, less their rank, is at most k.
    shifted = positive + (positive >= rank[anchors])
    positives = images[order[first[mine] + shifted]]
    for at in np.flatnonzero(~alone[anchors]).tolist():
        places = order[first[mine[at]] : first[mine[at]] + size[mine[at]]]
        pictures = content[images[places]]
        others_of = places[pictures != content[images[anchors[at]]]]
        positives[at] = images[others_of[positive[at]]]
    span = len(images) + 1
    keys = number * span + order - (np.arange(len(images)) - first[number])
    before = np.searchsorted(keys, mine * span + k, side="right") - first[mine]
    return np.stack([images[anchors], positives, images[k + before]], axis=1)


def _other_pictures(
    content: Numbers, whose: Numbers, size: Numbers
) -> tuple[Numbers, NDArray[np.bool_]]:
    """Return how many other pictures of the person each image has, and whether it has no copy.

    Args:
        content: (n,) a number for each image, the same for byte-identical ones.
        whose: (n,) number of its person, from 0.
        size: number of images by person.
    """
    keys = whose * (int(content.max(initial=0)) + 1) + content
    _, inverse, copies = np.unique(keys, return_inverse=True, return_counts=True)
    same = copies[inverse]
    return size[whose] - same, same == 1
