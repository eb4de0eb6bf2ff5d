"""Batches of look-alike people: which groups of images meet in a batch, by their embeddings.

The pairs of two people that are hardest to tell apart decide the true accepts at few false ones.
In batches of people drawn at random they hardly ever meet. Source: E. Smirnov et al.,
"Doppelganger mining for face representation learning", ICCV workshops 2017, which looks for the
most similar people in the outputs of a classifier; here it is in their mean embeddings.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facesiam.config.rounding import rounded_up

Ints = NDArray[np.int64]


def number_of(share: float, groups: int) -> int:
    """Return how many groups of a batch are of look-alike people: one at least, but not all."""
    return min(rounded_up(share * groups), groups - 1)


def arranged(people: Ints, centres: NDArray[np.float32], groups: int, share: float) -> Ints:
    """Return an order of groups of images in which look-alike people meet in a batch.

    The first groups of a batch are the next ones of the given order. The others are those of the
    people most alike to any of these, of each a group, then a second one where people run out.

    Args:
        people: number of the person of each group, (G,), in random order.
        centres: mean embedding of each person, unit vectors (people, E).
        groups: of a batch, two or more.
        share: of these that are of look-alike people, above 0.

    Returns:
        The position of each group once, (G,), batch after batch.
    """
    alike = number_of(share, groups)
    left, order = np.arange(len(people)), list[Ints]()
    while len(left):
        first, left = left[: groups - alike], left[groups - alike :]
        likeness = (centres[people[first]] @ centres.T).max(0)  # (people,)
        likeness[people[first]] = -np.inf  # they are in the batch already
        nearest = left[np.argsort(-likeness[people[left]], kind="stable")]
        is_first = np.zeros(len(nearest), bool)
        is_first[np.unique(people[nearest], return_index=True)[1]] = True
        chosen = np.concatenate([nearest[is_first], nearest[~is_first]])[:alike]
        order += [first, chosen]
        left = left[~np.isin(left, chosen)]
    return np.concatenate(order)
