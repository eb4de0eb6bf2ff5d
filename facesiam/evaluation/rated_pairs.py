"""The pairs that true accepts at a rate of false accepts rest on: a fixed set, without any net.

`val_tpr_at_fpr` is measured on those of validation people, and a test on those of test people.
"""

from __future__ import annotations

import hashlib
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from facesiam.config import TrialConfig
from facesiam.config.trial import Part
from facesiam.data.dataset import FaceData
from facesiam.evaluation.thresholds import fewest_pairs

Ints = NDArray[np.int64]


class RatedPairs:
    """The pairs that `fpr_pairs` names, of the people of one part only.

    They are those of the trial's protocol, or every two of its images of that part (`images`) or
    of all images of their people (`people`), each picture once.

    Args:
        config: `fpr`, `fpr_pairs` and what decides the pairs of a part.
        data: opened data.
        part: of the people.
    """

    def __init__(self, config: TrialConfig, data: FaceData, part: Part = "val") -> None:
        self.fpr = config.fpr
        pairs = data.pairs_of(config, part)
        self.listed: tuple[Ints, Ints] | None = None
        """(P,) and (P,) numbers of the people of the protocol's pairs; None: all pairs."""
        self.is_same = pairs.label == 0
        """(P,) whether a pair of the protocol is of one person."""
        if config.fpr_pairs == "protocol":
            self.images = np.stack([pairs.left, pairs.right])
            """(2, P) the images of each pair; or (N,) sorted, of which every two are one."""
        else:
            every = data.images_of(pairs, "all" if config.fpr_pairs == "people" else "protocol")
            self.images = np.sort(every[np.unique(data.content[every], return_index=True)[1]])
        people, numbers = np.unique(data.person[self.images], return_inverse=True)
        self.person: Ints = numbers.reshape(self.images.shape)
        """Number of the person of each of the images, from 0."""
        if config.fpr_pairs == "protocol":
            self.listed = self.person[0], self.person[1]
        self.people = len(people)
        self.same_of_each = self._same_of_each()
        """(people,) pairs of one person."""
        self.same = int(self.same_of_each.sum())
        size = self.images.shape[-1]
        every_two = size if self.listed else size * (size - 1) // 2
        self.different = every_two - self.same
        self._names = data.names

    @property
    def counts(self) -> list[int]:
        """Numbers of people, of pairs of one person and of pairs of two."""
        return [self.people, self.same, self.different]

    @property
    def enough(self) -> bool:
        """Whether there are pairs of one person, and as many of two as the rate needs."""
        return self.same > 0 and self.different >= fewest_pairs(self.fpr)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the names of the images, pair by pair where they are listed."""
        names = (self._names[at] for at in self.images.T.reshape(-1).tolist())
        return hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()

    def different_in(self, times: Ints, most: int) -> Ints:
        """Return how many pairs of two people there are where people are drawn more than once.

        Args:
            times: (R, people) how often each is drawn, by R resamples.
            most: cells of an array that is held at once.
        """
        if not self.listed:
            count = np.bincount(self.person)
            return np.asarray(((times @ count) ** 2 - times**2 @ count**2) // 2, np.int64)
        one, other = (each[~self.is_same] for each in self.listed)
        found, step = np.zeros(len(times), np.int64), max(1, most // len(times))
        for at in range(0, len(one), step):
            part = slice(at, at + step)
            found += (times[:, one[part]] * times[:, other[part]]).sum(axis=1)
        return found

    def _same_of_each(self) -> Ints:
        if self.listed:
            return np.bincount(self.listed[0][self.is_same], minlength=self.people)
        count = np.bincount(self.person)
        return np.asarray(count * (count - 1) // 2, np.int64)
