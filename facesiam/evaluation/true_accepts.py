"""True accepts at a rate of false accepts on validation pairs, with an interval over people.

Pairs of the same people are not independent: a person who resembles another one gives many false
accepts at once. The interval is therefore that of a bootstrap over people. A resample draws as
many people as there are, with replacement; a pair of one person counts as often as the person was
drawn, and a pair of two people as often as the product of the two. Source: R. M. Bolle et al.,
"Error analysis of pattern recognition systems: the subsets bootstrap", CVIU 93 (2004), and for
pairs of two resampled units T. A. B. Snijders and S. P. Borgatti, "Non-parametric standard errors
and tests for network statistics", Connections 22 (1999).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facesiam.config.metrics import ENDS, TPR
from facesiam.evaluation.rated_pairs import RatedPairs
from facesiam.nets.siamese import SiameseNet

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RESAMPLES = 500
CELLS = 4_000_000
"""Cells of the largest array that is held at once."""
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


class _Scored(NamedTuple):
    """Scores of S pairs of one person, and of the K pairs of two people with the highest ones."""

    same: Floats
    """(S,)."""
    same_person: Ints
    """(S,) number of the person."""
    different: Floats
    """(K,) from the highest to the lowest."""
    one: Ints
    """(K,) number of one of the two people."""
    other: Ints
    """(K,) number of the other one."""


class TrueAccepts:
    """Measures `val_tpr_at_fpr` of nets on the same pairs and with the same resamples.

    Args:
        pairs: the validation pairs.
    """

    def __init__(self, pairs: RatedPairs) -> None:
        self.pairs = pairs
        rng = np.random.default_rng(0)
        chance = [1 / pairs.people] * pairs.people
        drawn = rng.multinomial(pairs.people, chance, size=RESAMPLES)
        self._times = np.concatenate([np.ones((1, pairs.people), np.int64), drawn])
        """(1 + RESAMPLES, people) how often each person is drawn: once, and by each resample."""
        self._same = self._times @ pairs.same_of_each
        self._different = pairs.different_in(self._times, CELLS)

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

    def _of_listed(self, left: Ints, right: Ints, scores: Floats) -> _Scored:
        same = self.pairs.is_same
        order = np.argsort(-scores[~same], kind="stable")[: self._kept()]
        return _Scored(
            scores[same],
            left[same],
            scores[~same][order],
            left[~same][order],
            right[~same][order],
        )

    @torch.inference_mode()
    def _of_images(self, net: SiameseNet, features: Tensor) -> _Scored:
        """Score every two of the images, some rows of the matrix of all pairs at a time."""
        device, kept = features.device, self._kept()
        person = torch.from_numpy(self.pairs.person).to(device)
        column = torch.arange(len(person), device=device)
        same, whose = [], []
        best = torch.empty(0, device=device)
        place = torch.empty(0, dtype=torch.int64, device=device)
        rows = max(1, CELLS // len(person))
        for start in range(0, len(person), rows):
            row = column[start : start + rows]
            scores = net.score_matrix(features[row], features)  # (rows, N)
            later, alike = column > row[:, None], person == person[row][:, None]
            at = (later & alike).nonzero()
            same.append(scores[at[:, 0], at[:, 1]])
            whose.append(person[row][at[:, 0]])
            lowest = best[-1] if len(best) == kept else -math.inf
            at = (later & ~alike & (scores > lowest)).nonzero()
            best = torch.cat([best, scores[at[:, 0], at[:, 1]]])
            place = torch.cat([place, (at[:, 0] + start) * len(person) + at[:, 1]])
            best, order = best.topk(min(kept, len(best)))
            place = place[order]
        one, other = person[place // len(person)], person[place % len(person)]
        return _Scored(
            torch.cat(same).double().cpu().numpy(),
            torch.cat(whose).cpu().numpy(),
            best.double().cpu().numpy(),
            one.cpu().numpy(),
            other.cpu().numpy(),
        )

    def _rate(self, scored: _Scored) -> TrueAcceptRate:
        rates = []
        step = max(1, CELLS // (len(scored.same) + len(scored.different)))
        for at in range(0, len(self._times), step):
            part = slice(at, at + step)
            rates.append(self._rates(scored, part))
        value, *drawn = np.concatenate(rates).tolist()
        known = [rate for rate in drawn if not math.isnan(rate)]
        if len(known) < RESAMPLES / 2:  # two people, who are hardly ever drawn both
            return TrueAcceptRate(value, math.nan, math.nan)
        low, high = np.percentile(known, [2.5, 97.5]).tolist()
        return TrueAcceptRate(value, min(low, value), max(high, value))

    def _rates(self, scored: _Scored, part: slice) -> Floats:
        """Return the true-accept rate of some resamples; NaN where one lacks pairs of a kind.

        The threshold is the first score of a pair of two people with which the false accepts
        would be too many; a pair of one person is accepted above it.
        """
        times, total = self._times[part], self._different[part]
        accepted = np.cumsum(times[:, scored.one] * times[:, scored.other], axis=1)
        over = accepted > (self.pairs.fpr * total + 1e-9)[:, None]
        first = np.where(over.any(axis=1), over.argmax(axis=1), len(scored.different) - 1)
        above = scored.same > scored.different[first][:, None]  # (resamples, S)
        right = (above * times[:, scored.same_person]).sum(axis=1)
        same = self._same[part]
        with np.errstate(invalid="ignore", divide="ignore"):
            rates: Floats = np.where((same > 0) & (total > 0), right / same, math.nan)
        return rates
