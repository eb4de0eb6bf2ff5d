"""What the rules know of a trial: its epochs, its settings, and whether it still guesses."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from facesiam.config.trial import Value, is_calibrated
from facesiam.objective import Objective
from search.pruning import noise, schedule_progress

LEVEL = 0.01
"""How likely a net that guesses leaves the band of chance at all, over all its epochs."""
REST = 0.01
"""What the area under the curve and the loss may take of that level on top, each of them."""
LEARNING = 0.55
"""Training accuracy that no net has whose answers do not depend on the images."""
FITTED = 0.6
"""Training loss, in nats, that no net reaches whose answers do not depend on the images."""
WAIT = 1 / 3
"""Share of a trial's epochs for which ASHA waits for its take-off; then it is judged as it is."""
PAIR_LOSSES = ("single", "two")
"""Losses of which a guess has ln 2; those of embeddings and identities have other scales."""


@dataclass
class History:
    """What is known of a trial: one dict of EpochMetrics per epoch, from 0 on, and the rest."""

    rows: list[Mapping[str, Any]] = field(default_factory=list)
    settings: Mapping[str, Value] = field(default_factory=dict)
    leader: float = math.nan
    """The best val_acc that any other trial of the search has had so far."""
    name: str = ""
    level: float = LEVEL
    metric: str = "val_acc"
    """What the search is for."""
    top: float = math.nan
    """The best of that metric that any other trial has had so far; of val_acc it is `leader`."""
    gain: Callable[[float], float] = field(default=lambda within: 0.0, compare=False)
    """The most that trials of the same schedule, of those that have come within so much of the
    best, have gained since they were at this point of it."""

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

    @property
    def rival(self) -> float:
        """The best of the search's metric that any other trial has had so far; NaN: none has."""
        return self.leader if self.metric == "val_acc" else self.top

    def at_full_rate(self, epochs: int | None = None) -> float:
        """Return what its epochs, or its first so many, come to at the full learning rate."""
        number = len(self.rows) if epochs is None else epochs
        return schedule_progress.at_full_rate(self.settings, number, self.planned)

    def climbed(self, epochs: int | None = None) -> float:
        """Return the same, epochs from the schedule's highest rate on in full."""
        number = len(self.rows) if epochs is None else epochs
        return schedule_progress.climbed(self.settings, number, self.planned)

    def best(self, metric: str = "val_acc") -> tuple[float, int]:
        """Return the highest value so far and its epoch, ties to the earlier; NaN, -1 if none."""
        values = [row.get(metric, math.nan) for row in self.rows]
        at = Objective(metric).best_epoch(values)
        return (math.nan, -1) if at is None else (values[at], at)


def take_off(history: History) -> int | None:
    """Return the first epoch in which it did better than guessing; None: it still guesses.

    That is the first whose accuracy left the band, or of which another measure says as much: a
    net whose scores rank the pairs may still call all of them the same. 0 where there is no band,
    or where it has no outside: with so few pairs nothing tells a net that guesses from a good one.
    """
    bound = history.band()
    if not bound <= 1:
        return 0
    found = departure(history, bound)
    return found and found[0]


def departure(history: History, bound: float) -> tuple[int, str] | None:
    """Return the first epoch that was better than guessing, and the measure that says so.

    The area under the ROC curve and the loss are held to ``REST`` of the level, as what they take
    comes on top of it.

    Args:
        history: of a trial.
        bound: the edge of its accuracy's band.
    """
    away = bound - 0.5 - 1e-9  # 0.5 - 0.33 is a hair less than 0.67 - 0.5 in floating point
    calibrated, metric = history.calibrated, history.metric
    looks, level = max(history.planned, len(history.rows)), REST * history.level
    area = noise.auc_edge(history.coins, looks, level)
    loss = math.log(2) - noise.loss_edge(history.coins, looks, level)
    for epoch, row in enumerate(history.rows):
        beyond = row.get("val_acc", 0.5) - 0.5
        # A score of NaN is a wrong answer, so a net that diverged has an accuracy below a half;
        # and with a threshold chosen on the pairs, there is none but such a net.
        wrong_way = not (calibrated or math.isnan(row.get("val_loss", 0.0)))
        if (abs(beyond) if wrong_way else beyond) >= away:
            return epoch, "val_acc"
        if abs(row.get("val_auc", 0.5) - 0.5) >= area:
            return epoch, "val_auc"
        # Of a search for the loss alone, as the losses of some recordings are drawn trends; a net
        # whose loss says so ranks the pairs better than guessing, too.
        if metric == "val_loss" and row.get("val_loss", 1.0) <= loss:
            return epoch, "val_loss"
        if metric in ("train_acc", "train_loss") and _fits(history, row):
            return epoch, metric
    return None


def _fits(history: History, row: Mapping[str, Any]) -> bool:
    """Say whether it tells the training pairs apart.

    That counts where the search is for it alone: a net that learns those by heart, and nothing
    else, is at chance for all other searches.
    """
    comparable = history.settings.get("loss", "two") in PAIR_LOSSES
    return bool(
        row.get("train_acc", 0.5) >= LEARNING
        or (comparable and row.get("train_loss", math.inf) < FITTED)
    )


def waited_for(history: History, epochs: int) -> bool:
    """Say whether ASHA still waits after so many epochs, each counted by its learning rate."""
    return history.at_full_rate(epochs) < WAIT * history.at_full_rate(history.planned)


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
