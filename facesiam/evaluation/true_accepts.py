"""True accepts at a rate of false accepts on validation pairs, with an interval over people.

The interval is that of a bootstrap over people, see ``people_bootstrap``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from facesiam.config.metrics import ENDS, TPR
from facesiam.config.rounding import SLACK
from facesiam.evaluation.people_bootstrap import PeopleBootstrap, interval
from facesiam.evaluation.rated_pairs import RatedPairs
from facesiam.evaluation.scored_pairs import CELLS, Floats, Ints, ScoredPairs, every_two
from facesiam.nets.siamese import SiameseNet

RESERVE = 5, 100
"""How many pairs of two people are kept, the highest scores: so many times those that may be
accepted, so many more, and as many as one person has. A resample accepts others, all the more
where it lacks a person who is taken for everybody; the rest is hardly ever reached."""


class TrueAcceptRate(NamedTuple):
    """A true-accept rate with its 95 % interval, in [0, 1]; NaN where it cannot be told."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Return the three by their names in ``EpochMetrics``."""
        return dict(zip((TPR, *ENDS[TPR]), self, strict=True))


UNKNOWN = TrueAcceptRate(math.nan, math.nan, math.nan)


class TrueAccepts:
    """Measures `val_tpr_at_fpr` of nets on the same pairs and with the same resamples.

    Args:
        pairs: the validation pairs.
    """

    def __init__(self, pairs: RatedPairs) -> None:
        self.pairs = pairs
        self._people = PeopleBootstrap(pairs)

    def measure(
        self,
        net: SiameseNet,
        scores: Floats,
        images: Ints,
        features: Tensor,
        describe: Callable[[Ints], Tensor],
    ) -> dict[str, float]:
        """Return the true-accept rate of a net and its interval, as ``EpochMetrics`` names them.

        Args:
            net: in evaluation mode.
            scores: of the protocol's pairs, (P,); higher where the two images are more alike.
            images: those of the protocol's pairs, sorted, (N,).
            features: what ``describe`` of the net returned for them, (N, F).
            describe: returns that for other images.
        """
        if not self.pairs.enough or np.isnan(scores).any():
            return UNKNOWN.to_dict()
        wanted = self.pairs.images
        if self.pairs.listed:
            return self._rate(self._of_listed(*self.pairs.listed, scores)).to_dict()
        more = np.setdiff1d(wanted, images)
        if len(more):
            images, features = (
                np.concatenate([images, more]),
                torch.cat([features, describe(more)]),
            )
        order = np.argsort(images)
        at = order[np.searchsorted(images, wanted, sorter=order)]
        features = features[torch.from_numpy(at).to(features.device)]
        if not torch.isfinite(features).all():
            return UNKNOWN.to_dict()
        return self._rate(self._of_images(net, features)).to_dict()

    def _kept(self) -> int:
        times, more = RESERVE
        accepted = math.ceil(times * self.pairs.fpr * self.pairs.different)
        of_one = 2 * self.pairs.different // self.pairs.people
        return int(min(self.pairs.different, accepted + of_one + more))

    def _of_listed(self, left: Ints, right: Ints, scores: Floats) -> ScoredPairs:
        same = self.pairs.is_same
        order = np.argsort(-scores[~same], kind="stable")[: self._kept()]
        return ScoredPairs(
            scores[same],
            left[same],
            scores[~same][order],
            left[~same][order],
            right[~same][order],
        )

    def _of_images(self, net: SiameseNet, features: Tensor) -> ScoredPairs:
        def rows(at: Tensor) -> Tensor:
            return net.score_matrix(features[at], features)

        return every_two(self.pairs, rows, features.device, self._kept())

    def _rate(self, scored: ScoredPairs) -> TrueAcceptRate:
        rates = []
        step = max(1, CELLS // (len(scored.same) + len(scored.different)))
        for at in range(0, len(self._people.times), step):
            rates.append(self._rates(scored, slice(at, at + step)))
        return TrueAcceptRate(*interval(np.concatenate(rates)))

    def _rates(self, scored: ScoredPairs, part: slice) -> Floats:
        """Return the true-accept rate of some resamples; NaN where one lacks pairs of a kind.

        The threshold is the first score of a pair of two people with which the false accepts
        would be too many; a pair of one person is accepted above it.
        """
        times, total = self._people.times[part], self._people.different[part]
        accepted = np.cumsum(times[:, scored.one] * times[:, scored.other], axis=1)
        over = accepted > (self.pairs.fpr * total + SLACK)[:, None]
        first = np.where(over.any(axis=1), over.argmax(axis=1), len(scored.different) - 1)
        above = scored.same > scored.different[first][:, None]  # (resamples, S)
        right = (above * times[:, scored.same_person]).sum(axis=1)
        same = self._people.same[part]
        with np.errstate(invalid="ignore", divide="ignore"):
            rates: Floats = np.where((same > 0) & (total > 0), right / same, math.nan)
        return rates
