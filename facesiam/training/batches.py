"""The batches of an epoch: triplets, pairs, or several images each of some people.

The order is drawn from a generator that the trainer seeds by (seed, epoch).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData, Pairs
from facesiam.training import people_order
from facesiam.training.augment import draws_of


class Batches:
    """The training images of a trial, in batches that differ from epoch to epoch.

    Args:
        config: the trial's settings.
        data: opened data.
        pairs: the protocol's training pairs.
        device: of the indices.
    """

    def __init__(
        self, config: TrialConfig, data: FaceData, pairs: Pairs, device: torch.device
    ) -> None:
        self.config, self.pairs, self.device = config, pairs, device
        self._units, labels = _units(pairs)
        self.units, self.labels = self._units.to(device), labels.to(device)
        images = data.images_of(pairs, config.views)
        people, number = np.unique(data.person[images], return_inverse=True)
        person = torch.full((len(data.person),), -1, dtype=torch.int64)
        person[torch.from_numpy(images)] = torch.from_numpy(number)
        self.person = person.to(device)
        """(N,) number of each image's person among those that train, from 0; -1: another."""
        self.people = len(people)
        turnable = torch.from_numpy(data.frontal.copy())
        self.turnable = turnable.to(device) | (not config.align)
        """(N,) whether an image may be mirrored."""
        by_person = images[np.argsort(number, kind="stable")]
        ends = np.cumsum(np.bincount(number, minlength=len(people)))
        self._of_person = [torch.from_numpy(part) for part in np.split(by_person, ends[:-1])]
        each = config.images_per_person
        self._groups = sum(-(-len(part) // each) for part in self._of_person) if each else 0

    @property
    def per_epoch(self) -> int:
        """Number of updates of an epoch."""
        size, each = self.config.batch_size, self.config.images_per_person
        if each:
            return max(1, self._groups * each // size)
        return -(-self._length() // size)

    @property
    def pairs_of_each(self) -> int:
        """Number of pairs of a triplet (2) or of a pair (1); 1 for images by identity."""
        return 1 if self.config.images_per_person else self.labels.shape[1]

    def images(self, chosen: Tensor) -> Tensor:
        """Return the images of a batch, (n,) of ``epoch`` → (B,): all first, then all second."""
        return chosen if self.config.images_per_person else self.units[chosen].T.flatten()

    def epoch(
        self, generator: torch.Generator, centres: NDArray[np.float32] | None = None
    ) -> Iterator[tuple[tuple[Tensor, Tensor], Tensor]]:
        """Yield for each update ((chosen, draws), indices).

        With `centres`, the mean embedding of each person, (people, E), look-alike people meet.

        `chosen` are its triplets, pairs or images, (n,); `draws` random numbers, (images, D) in
        [0, 1), or (0, 3) where images stay as they are; `indices` those of its images, (B,) on
        the CPU.
        """
        size, wanted = self.config.batch_size, draws_of(self.config)
        if self.config.images_per_person:
            order, images = self._by_person(generator, centres), 1
        else:
            order, images = _order(self.pairs, self.config.loss, generator), self.units.shape[1]
        draws = torch.rand(len(order) * images * (wanted > 0), max(wanted, 3), generator=generator)
        there, draws = order.to(self.device), draws.to(self.device)
        parts = torch.split(draws, size * images) if wanted else ()
        both = zip(torch.split(there, size), torch.split(order, size), strict=True)
        for at, (chosen, known) in enumerate(both):
            indices = known if self.config.images_per_person else self._units[known].T.flatten()
            yield (chosen, parts[at] if wanted else draws), indices

    def _length(self) -> int:
        if self.pairs.triplets is not None or self.config.loss != "two":
            return len(self.units)
        return 2 * int(np.bincount(self.pairs.label, minlength=2).min())

    def _by_person(
        self, generator: torch.Generator, centres: NDArray[np.float32] | None
    ) -> Tensor:
        """Return images in groups of one person, whole batches of them.

        Each image comes once, but a person's last group is filled up with other images of theirs,
        and groups drawn at random are left out where they make no whole batch.
        """
        each, size = self.config.images_per_person, self.config.batch_size
        groups = []
        for images in self._of_person:
            shuffled = images[torch.randperm(len(images), generator=generator)]
            more = -len(images) % each
            again = torch.randint(len(images), (more,), generator=generator)
            groups.append(torch.cat([shuffled, images[again]]).view(-1, each))
        together = torch.cat(groups)
        of_batch = size // each
        whole = max(of_batch, len(together) // of_batch * of_batch)
        places = torch.randperm(len(together), generator=generator)[:whole]
        if centres is not None:
            people = np.repeat(np.arange(self.people), [len(own) for own in groups])[places]
            share = self.config.lookalike_people
            places = places[people_order.arranged(people, centres, of_batch, share)]
        return together[places].flatten()


def _units(pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Return the images of each triplet or pair, and their labels.

    (T, 3) anchor, positive, negative and (T, 2), where there are triplets; else (P, 2) and (P, 1).
    Image i > 0 of a row is compared with its image 0 under label i - 1.
    """
    if pairs.triplets is not None:
        labels = torch.arange(2).expand(len(pairs.triplets), 2)
        return torch.from_numpy(pairs.triplets), labels.contiguous()
    ends = torch.from_numpy(np.stack([pairs.left, pairs.right], 1))
    return ends, torch.from_numpy(pairs.label)[:, None]


def _order(pairs: Pairs, loss: str, generator: torch.Generator) -> Tensor:
    """Shuffle triplets or pairs; under the loss `two` positives and negatives alternate."""
    if pairs.triplets is not None:
        return torch.randperm(len(pairs.triplets), generator=generator)
    if loss != "two":
        return torch.randperm(len(pairs.label), generator=generator)
    kinds = [torch.from_numpy(np.flatnonzero(pairs.label == kind)) for kind in (0, 1)]
    shuffled = [kind[torch.randperm(len(kind), generator=generator)] for kind in kinds]
    even = min(len(kind) for kind in shuffled)
    return torch.stack([kind[:even] for kind in shuffled], 1).flatten()
