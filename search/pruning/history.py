"""The history of a trial, as the pruning rules see it: what it scored, and its take-off."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from facesiam.config import Value
from facesiam.config.constraints import PAIR_LOSSES
from facesiam.config.trial import is_calibrated
from facesiam.objective import Objective
from search.pruning import schedule_progress, significance
from search.space.prune import pruning

LEVEL: float = pruning(True)["chance"]["level"]
"""Probability that a net that guesses leaves the chance band in any of its epochs."""
REST = 0.01
"""Share of that level which the area under the curve and the loss each add to it."""
LEARNING = 0.55
"""Training accuracy that a net cannot reach if its answers do not depend on the images."""
FITTED = 0.6
"""Training loss, in nats, that a net cannot reach if its answers do not depend on the images."""
WAIT = 1 / 3
"""Share of a trial's epochs for which ASHA waits for its take-off."""


@dataclass
class History:
    """A trial's epochs (a dict of EpochMetrics each, from 0 on), settings and competitors."""

    rows: list[Mapping[str, Any]] = field(default_factory=list)
    settings: Mapping[str, Value] = field(default_factory=dict)
    leader: float = math.nan
    """The best val_acc that any other trial of the search has had so far."""
    name: str = ""
    level: float = LEVEL
    metric: str = "val_acc"
    """The metric of the search."""
    leader_score: float = math.nan
    """The best of that metric that any other trial has had so far."""
    gain: Callable[[float], float] = field(default=lambda within: 0.0, compare=False)
    """The most that any trial of the same schedule which came within so much of the best has
    gained since this point of the schedule."""

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
    def balanced_pairs(self) -> int:
        """Number of validation pairs, half of each kind; 0 where that is not so or not known.

        The first people of CFP's pair lists have more pairs of one kind than of the other, so
        that a net that always says "same" is right more often than that.
        """
        unequal = self.settings.get("protocol") == "cfp-pairs" and self.settings.get("people")
        return 0 if unequal else self.pairs

    @property
    def calibrated(self) -> bool:
        """Whether the threshold of each epoch is the one with the best validation accuracy."""
        return is_calibrated(self.settings)

    def band(self) -> float:
        """Return the accuracy up to which this trial is taken to guess; NaN where not known."""
        looks = max(self.planned, len(self.rows))
        if not self.balanced_pairs:
            return math.nan
        if self.calibrated:
            return significance.critical_calibrated_accuracy(
                self.balanced_pairs, looks, self.level
            )
        return significance.critical_accuracy(self.balanced_pairs, looks, self.level)

    @property
    def best_other(self) -> float:
        """The best of the search's metric that any other trial has had so far; NaN: none."""
        return self.leader if self.metric == "val_acc" else self.leader_score

    def full_rate_epochs(self, epochs: int | None = None) -> float:
        """Return its epochs, or its first so many, each counted by its share of `lr`."""
        number = len(self.rows) if epochs is None else epochs
        return schedule_progress.full_rate_epochs(self.settings, number, self.planned)

    def warmup_adjusted(self, epochs: int | None = None) -> float:
        """Return its epochs, those before the highest rate counted by their share of it."""
        number = len(self.rows) if epochs is None else epochs
        return schedule_progress.warmup_adjusted(self.settings, number, self.planned)

    def best(self, metric: str = "val_acc") -> tuple[float, int]:
        """Return the highest value so far and its epoch, ties to the earlier; NaN, -1 if none."""
        values = [row.get(metric, math.nan) for row in self.rows]
        at = Objective(metric).best_epoch(values)
        return (math.nan, -1) if at is None else (values[at], at)


def take_off(history: History) -> int | None:
    """Return the first epoch that was better than guessing; None: the trial is still at chance.

    It is the first whose accuracy left the band, or for which another measure says the same: a
    net whose scores rank the pairs may still call all of them alike. 0 where there is no band, or
    where the pairs are so few that even a perfect accuracy lies within it.
    """
    bound = history.band()
    if not bound <= 1:
        return 0
    first = departure(history, bound)
    return first[0] if first else None


def departure(history: History, bound: float) -> tuple[int, str] | None:
    """Return the first epoch that was better than guessing, and the measure that says so.

    The area under the ROC curve and the loss get ``REST`` of the level each, on top of it.

    Args:
        history: of a trial.
        bound: the edge of its accuracy's band.
    """
    away = bound - 0.5 - 1e-9  # 0.5 - 0.33 is a hair less than 0.67 - 0.5 in floating point
    calibrated, metric = history.calibrated, history.metric
    looks, level = max(history.planned, len(history.rows)), REST * history.level
    area = significance.critical_auc_deviation(history.balanced_pairs, looks, level)
    loss = math.log(2) - significance.critical_loss_gain(history.balanced_pairs, looks, level)
    for epoch, row in enumerate(history.rows):
        beyond = row.get("val_acc", 0.5) - 0.5
        # A score of NaN is a wrong answer, so a net that diverged has an accuracy below a half;
        # and with a threshold chosen on the pairs, there is none but such a net.
        wrong_way = not (calibrated or math.isnan(row.get("val_loss", 0.0)))
        if (abs(beyond) if wrong_way else beyond) >= away:
            return epoch, "val_acc"
        if abs(row.get("val_auc", 0.5) - 0.5) >= area:
            return epoch, "val_auc"
        # Only where the search is for the loss, as the losses of some recordings are drawn
        # trends; elsewhere a net with such a loss ranks the pairs better than guessing, too.
        if metric == "val_loss" and row.get("val_loss", 1.0) <= loss:
            return epoch, "val_loss"
        if metric in ("train_acc", "train_loss") and _fits(history, row):
            return epoch, metric
    return None


def _fits(history: History, row: Mapping[str, Any]) -> bool:
    """Say whether it tells the training pairs apart.

    That counts only where the search is for a training metric: in all other searches a net that
    learns the training pairs by heart, and nothing else, is at chance.
    """
    comparable = history.settings.get("loss", "two") in PAIR_LOSSES
    return bool(
        row.get("train_acc", 0.5) >= LEARNING
        or (comparable and row.get("train_loss", math.inf) < FITTED)
    )


def waited_for(history: History, epochs: int) -> bool:
    """Say whether ASHA still waits for take-off after so many epochs."""
    return history.full_rate_epochs(epochs) < WAIT * history.full_rate_epochs(history.planned)
