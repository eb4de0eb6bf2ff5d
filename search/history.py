"""What the rules know of a trial: its epochs, its settings, and whether it still guesses."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from facesiam.config import Value, is_calibrated

LEVEL = 0.01
"""How likely a net that guesses leaves the band of chance at all, over all its epochs."""


@dataclass
class History:
    """What is known of a trial: one dict of EpochMetrics per epoch, from 0 on, and the rest."""

    rows: list[Mapping[str, Any]] = field(default_factory=list)
    settings: Mapping[str, Value] = field(default_factory=dict)
    leader: float = math.nan
    """The best val_acc that any other trial of the search has had so far."""
    name: str = ""
    level: float = LEVEL

    @property
    def contest(self) -> tuple[str, int]:
        """Protocol and number of validation pairs: only trials that share both are compared."""
        return str(self.settings.get("protocol", "")), self.pairs

    @property
    def epoch(self) -> int:
        """Number of the last epoch, from 0."""
        return len(self.rows) - 1

    @property
    def planned(self) -> int:
        """Epochs that the trial would run; 0 where it is not known."""
        return int(self.settings.get("epochs", 0))

    @property
    def pairs(self) -> int:
        """Number of validation pairs; 0 where it is not known."""
        return int(self.rows[-1].get("val_pairs") or 0) if self.rows else 0

    @property
    def coins(self) -> int:
        """Number of validation pairs of which guessing judges half right; 0 where unknown.

        The first people of CFP's pair lists have more pairs of one kind than of the other, so
        that a net that always says "same" is right more often than that.
        """
        unequal = self.settings.get("protocol") == "cfp-pairs" and self.settings.get("people")
        return 0 if unequal else self.pairs

    @property
    def calibrated(self) -> bool:
        """Whether each epoch's threshold is where the validation pairs are judged best."""
        return is_calibrated(self.settings)

    def band(self) -> float:
        """Return the edge for this trial: its pairs, its epochs, its level; NaN where unknown."""
        looks = max(self.planned, len(self.rows))
        if not self.coins:
            return math.nan
        return (chosen_edge if self.calibrated else edge)(self.coins, looks, self.level)

    def best(self) -> tuple[float, int]:
        """Return the best val_acc so far and its epoch, ties to the earlier; NaN, -1 if none."""
        best, at = math.nan, -1
        for epoch, row in enumerate(self.rows):
            value = row.get("val_acc", math.nan)
            if value > best or (at < 0 and not math.isnan(value)):
                best, at = value, epoch
        return best, at


def take_off(history: History) -> int | None:
    """Return the first epoch whose accuracy left the band of guessing; None: it still guesses.

    0 where there is no band, or where it has no outside: with so few pairs nothing tells a net
    that guesses from a good one.
    """
    bound = history.band()
    if not bound <= 1:
        return 0
    away = bound - 0.5 - 1e-9  # 0.5 - 0.33 is a hair less than 0.67 - 0.5 in floating point
    for epoch, row in enumerate(history.rows):
        beyond = row.get("val_acc", 0.5) - 0.5
        # With a threshold chosen on the pairs, below a half there is only a net without scores.
        if (beyond if history.calibrated else abs(beyond)) >= away:
            return epoch
    return None


@functools.cache
def edge(pairs: int, looks: int, level: float = LEVEL) -> float:
    """Return the accuracy from which on a net that guesses is found with at most ``level``.

    The exact binomial bound for ``pairs`` fair coins, on both sides, with the level divided by the
    ``looks`` at it (Bonferroni). Above 1 where so few pairs can prove nothing.
    """
    from scipy.stats import binom  # half a second to import: not before the first trial runs

    tail = level / (2 * looks)
    # isf gives the smallest k with P(X > k) <= tail; the bound itself must be as unlikely.
    right = int(binom.isf(tail, pairs, 0.5)) + 1
    return right / pairs


@functools.cache
def chosen_edge(pairs: int, looks: int, level: float = LEVEL) -> float:
    """Return ``edge`` of a net whose threshold is chosen on the same pairs, half of each kind.

    From the lowest score up, each pair that the threshold passes is one more judged right (a
    different one) or one less (a same one). Of scores that say nothing, this is a walk of as many
    steps up as down in random order, and gets m above its start with probability
    C(n, n/2 + m) / C(n, n/2): reflection at m, which also gives Smirnov's exact test of two
    samples. It never ends below a half, so there is one side.
    """
    half = pairs // 2
    tail, chance, above = level / looks, 1.0, 0
    while chance > tail and above <= half:
        above += 1
        chance *= (half - above + 1) / (half + above)
    return (half + above) / pairs
