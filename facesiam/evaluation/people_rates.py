"""Thresholds for false-accept rates, chosen and tested on every two images of a part's people.

These are the pairs that `fpr_pairs` names. They are hundreds of thousands where a protocol has a
thousand, which is what a rate of one in a thousand takes. The intervals are those of a bootstrap
over people at a fixed threshold (``people_bootstrap``).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from facesiam.config import TrialConfig
from facesiam.config.trial import Part, Protocol
from facesiam.data.dataset import FaceData
from facesiam.device.image_store import ImageStore
from facesiam.errors import DataError
from facesiam.evaluation.leaks import refuse_leaked_images
from facesiam.evaluation.metrics import wilson
from facesiam.evaluation.people_bootstrap import PeopleBootstrap, interval
from facesiam.evaluation.predict import described
from facesiam.evaluation.rated_pairs import RatedPairs
from facesiam.evaluation.scored_pairs import CELLS, Floats, Ints, Rows, ScoredPairs, every_two
from facesiam.evaluation.thresholds import AtFar, Rate, most_accepted
from facesiam.nets.siamese import SiameseNet

PARTS: tuple[Part, Part] = ("val", "test")
"""The one that chooses thresholds, and the one that is tested at them."""


class PeoplePairs(NamedTuple):
    """Every two images of a part's people, with what scores them."""

    pairs: RatedPairs
    rows: Rows
    """A score is higher where the two images are more alike."""
    device: torch.device
    """That `rows` computes on."""


def has_people_pairs(config: TrialConfig) -> bool:
    """Return whether a net has other pairs than its protocol's for false-accept rates."""
    return config.fpr_pairs != "protocol"


def rates_of(config: TrialConfig, asked: Sequence[float]) -> tuple[float, ...]:
    """Return the false-accept rates that a net is tested at: those asked for, and its own `fpr`.

    The latter only where there are other pairs than the protocol's.
    """
    return tuple(dict.fromkeys([*asked, *([config.fpr] if has_people_pairs(config) else [])]))


def people_pairs(
    net: SiameseNet,
    config: TrialConfig,
    data: FaceData,
    part: Part,
    protocol: str | None = None,
    odds: bool = True,
) -> PeoplePairs:
    """Embed the images of a part's people with an embedding net.

    Args:
        net: in evaluation mode, calibrated as it is to be judged.
        config: its settings, of which `fpr_pairs` is not `protocol`.
        data: opened data, packed as its images were.
        part: validation chooses thresholds, and test is tested at them.
        protocol: whose images and people; None: the trial's own.
        odds: whether scores are log-odds of "same person"; else they are as ``net.scores``.

    Raises:
        DataError: a score is no number; the part has no pairs of a kind; one that is tested was
            trained on.
    """
    asked = cast(Protocol, protocol or config.protocol)
    pairs = RatedPairs(dataclasses.replace(config, protocol=asked), data, part)
    if not pairs.different or not pairs.same:
        kind = "two people" if not pairs.different else "one person"
        raise DataError(f"{asked}: the {part} images make no pair of {kind}")
    if part == "test":
        refuse_leaked_images(data, data.pairs_of(config, "train"), pairs.images, asked)
    device = next(net.parameters()).device
    store = ImageStore(data.pixels(config.packing), config.image_size, device)
    features = described(net, store, pairs.images)
    if not torch.isfinite(features).all():
        raise DataError(f"the net's embeddings of the {part} images are not all numbers")
    centre, slope = (float(net.threshold), float(net.slope)) if odds else (0.0, 1.0)

    def rows(at: Tensor) -> Tensor:
        return (net.score_matrix(features[at], features).double() - centre) * slope

    return PeoplePairs(pairs, rows, device)


def mean_of(members: Sequence[PeoplePairs], centre: float, slope: float) -> PeoplePairs:
    """Return the pairs of several nets, scored by the mean less `centre`, times `slope`."""

    def rows(at: Tensor) -> Tensor:
        mean = torch.stack([member.rows(at) for member in members]).mean(0)
        return (mean - centre) * slope

    return members[0]._replace(rows=rows)


def at_far_of_people(
    parts: Mapping[Part, PeoplePairs], asked: Sequence[float], which: str
) -> list[AtFar]:
    """Choose a threshold for each false-accept rate on validation people; test it on others.

    Args:
        parts: of validation and test.
        asked: false-accept rates, each above 0 and below 1.
        which: the setting `fpr_pairs`.

    Returns:
        As ``thresholds.at_far``, with intervals over people.
    """
    val, test = parts["val"], parts["test"]
    allowed = [most_accepted(far, val.pairs.different) for far in asked]
    validated = every_two(*val, kept=max(allowed) + 1)
    chosen = [float(validated.different[more]) for more in allowed]
    tested = every_two(*test, kept=test.pairs.different, above=min(chosen))
    of_val, of_test = (_Rates(part.pairs) for part in (val, test))
    found = []
    for far, threshold in zip(asked, chosen, strict=True):
        val_far, val_tar = of_val.at(validated, threshold)
        test_far, test_tar = of_test.at(tested, threshold)
        row = AtFar(
            asked=far,
            threshold=threshold,
            different=val.pairs.different,
            val_far=val_far,
            val_tar=val_tar,
            test_far=test_far,
            test_tar=test_tar,
            fpr_pairs=which,
            people=[val.pairs.people, test.pairs.people],
        )
        found.append(row)
    return found


class _Rates:
    """Measures rates at thresholds on the same pairs and with the same resamples."""

    def __init__(self, pairs: RatedPairs) -> None:
        self.pairs, self.people = pairs, PeopleBootstrap(pairs)

    def at(self, scored: ScoredPairs, threshold: float) -> tuple[Rate, Rate]:
        """Return the false-accept and the true-accept rate.

        Args:
            scored: with all pairs of two people whose scores are above the threshold.
            threshold: a pair is accepted above it.
        """
        count, all_of_each = self.pairs.people, self.pairs.same_of_each
        own = np.bincount(scored.same_person[scored.same > threshold], minlength=count)
        there = all_of_each > 0
        missed = int((own[there] < all_of_each[there]).sum())
        of_people = _Units(int(there.sum()), int((own > 0).sum()), missed)
        above = scored.different > threshold
        one, other = scored.one[above], scored.other[above]
        ends = np.minimum(one, other) * count + np.maximum(one, other)
        both, often = np.unique(ends, return_counts=True)
        pairs = count * (count - 1) // 2
        # Some pair is rejected of most pairs of people, unless all are accepted.
        of_pairs = _Units(pairs, len(both), 0 if above.sum() == self.pairs.different else pairs)
        wrong = self._drawn(both, often)
        return (
            _rate(wrong, self.people.different, self.pairs.different, of_pairs),
            _rate(self.people.times @ own, self.people.same, self.pairs.same, of_people),
        )

    def _drawn(self, both: Ints, often: Ints) -> Floats:
        """Return how many accepted pairs of two people each resample has, (1 + RESAMPLES,).

        Args:
            both: pairs of people, first · R + second, ascending.
            often: how many of their images' pairs are accepted.
        """
        count, times = self.pairs.people, self.people.times.astype(np.float64)
        found, step = np.zeros(len(times)), max(1, CELLS // count)
        for start in range(0, count, step):
            some = slice(*np.searchsorted(both, [start * count, (start + step) * count]))
            accepted = np.zeros((min(step, count - start), count))
            accepted[both[some] // count - start, both[some] % count] = often[some]
            found += ((times[:, start : start + step] @ accepted) * times).sum(axis=1)
        return found


class _Units(NamedTuple):
    """What pairs of images are pairs of: people, or pairs of people."""

    total: int
    accepted: int
    """Those with a pair that is accepted."""
    missed: int
    """Those with one that is not."""


FEW = 10
"""Units below which resamples tell too little: without any they do not differ at all."""


def _rate(accepted: Floats | Ints, of: Ints, n: int, units: _Units) -> Rate:
    """Return a share with its interval.

    Where the pairs of less than FEW units are accepted, or rejected, the interval reaches at least
    to the end of Wilson's of that many units.
    """
    rates: Floats = np.where(of > 0, accepted / np.maximum(of, 1), math.nan)
    value, low, high = interval(rates)
    if units.accepted < FEW:
        high = max(high, wilson(units.accepted, units.total)[1])
    if units.missed < FEW:
        low = min(low, wilson(units.total - units.missed, units.total)[0])
    return Rate(value=value, low=low, high=high, n=n)
