"""The history of a trial, as the pruning rules see it: what it scored, and its take-off."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from facesiam.config import Value
from facesiam.config.constraints import PAIR_LOSSES
from facesiam.config.metrics import ENDS, TPR
from facesiam.config.trial import is_calibrated
from facesiam.objective import Objective
from search.pruning import schedule_progress, significance
from search.pruning.scatter import Scatter
from search.pruning.stop_decision import HOPELESS
from search.space.prune import pruning

LEVEL: float = pruning(True)["chance"]["level"]
"""Probability that a net that guesses leaves the chance band in any of its epochs."""
REST = 0.01
"""Share of that level which the area under the curve and the loss each add to it."""
LEARNING = 0.55
"""Training accuracy that a net cannot reach if its answers do not depend on the images."""
FITTED = 0.6
"""Training loss, in nats, that a net cannot reach if its answers do not depend on the images."""
RESOLUTION = 1e-3
"""Share of the score of a guess that no noise is taken to stay below: such a score is rounded."""
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
    mode: str = "max"
    """Whether more (max) or less (min) of it is better."""
    guess: float = math.nan
    """The score of a guess in that metric; NaN: not said."""
    scatter: Scatter = field(default_factory=Scatter, compare=False)
    """Of that metric, where no standard error of it is known."""
    typical: float = math.nan
    """The median scatter of the contest's trials; NaN: not known."""
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
    def objective(self) -> Objective:
        """What the search optimises."""
        return Objective(self.metric, self.mode)

    def said_guess(self, options: Mapping[str, Any]) -> float:
        """Return the score of a guess: what options of the rule ``chance`` say, else ``guessed``.

        Args:
            options: of the rule.
        """
        return float(options.get("score", guessed(self.metric, self.settings)))

    @property
    def measured(self) -> bool:
        """Whether the exact noise of the search's metric is known."""
        return bool(self.pairs) and significance.is_known(self.objective)

    def noise(self) -> float:
        """Return the noise of one epoch of the search's metric; NaN: not known.

        It is the trial's own scatter, the typical one, or what the interval of the last epoch
        says where the metric has one, whichever is largest: few epochs may lie close together by
        luck.
        """
        each = (self.scatter.deviation, self.typical, self._recorded_error())
        return max((one for one in each if not math.isnan(one)), default=math.nan)

    def _recorded_error(self) -> float:
        """Return the standard error that the metric's interval in the last epoch has, or NaN."""
        if self.metric not in ENDS or not self.rows:
            return math.nan
        low, high = (float(self.rows[-1].get(end, math.nan)) for end in ENDS[self.metric])
        return (high - low) / (2 * significance.Z)

    def edge(self) -> float:
        """Return the score of the search's metric up to which this trial is taken to guess.

        The score of a guess, and as much better than it as noise of the metric's scatter, were it
        normal, comes to in any of the planned epochs with a probability of at most ``level``.
        NaN where the score of a guess is not said, or the exact band of a guess is known.
        """
        if math.isnan(self.guess) or self.band() <= 1:
            return math.nan
        noise, key = self.noise(), self.objective.key(self.guess)
        away = significance.critical_deviation(max(self.planned, len(self.rows)), self.level)
        least = RESOLUTION * abs(self.guess)
        return self.objective.key(key + max(least, 0.0 if math.isnan(noise) else away * noise))

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
        """Return the best value so far and its epoch, ties to the earlier; NaN, -1 if none."""
        values = [row.get(metric, math.nan) for row in self.rows]
        mode = self.mode if metric == self.metric else "max"
        at = Objective(metric, mode).best_epoch(values)
        return (math.nan, -1) if at is None else (values[at], at)


def guessed(metric: str, settings: Mapping[str, Value]) -> float:
    """Return what a net that guesses scores in a metric, where that is known; else NaN.

    Of true accepts at a rate of false accepts it is that rate. Of the metrics with a band of
    guessing it is not asked.
    """
    return float(settings.get("fpr", math.nan)) if metric == TPR else math.nan


def take_off(history: History) -> int | None:
    """Return the first epoch that was better than guessing; None: the trial is still at chance.

    It is the first whose accuracy left the band, or for which another measure says the same: a
    net whose scores rank the pairs may still call all of them alike. Where there is no band, or
    where the pairs are so few that even a perfect accuracy lies within it, it is the first whose
    score of the search's metric passed ``History.edge``; 0 where that is not known either.
    """
    bound = history.band()
    if not bound <= 1:
        return _beyond(history, history.edge())
    first = departure(history, bound)
    return first[0] if first else None


def has_learned(history: History, stopped_by: str | None) -> bool:
    """Say whether a trial has learned anything.

    Args:
        history: of a trial that has an epoch.
        stopped_by: the rule that stopped it; None: none did.

    Returns:
        False where it was stopped as dead, at chance or diverged, or never beat a guess.
    """
    return stopped_by not in HOPELESS and take_off(history) is not None


def _beyond(history: History, edge: float) -> int | None:
    """Return the first epoch with a score better than the edge; 0 where that is NaN."""
    if math.isnan(edge):
        return 0
    metric, better = history.metric, history.objective.better
    return next(
        (n for n, row in enumerate(history.rows) if better(row.get(metric, math.nan), edge)), None
    )


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
