"""What is saved of a training: the state to resume from, and the best epoch's weights.

The weights of an epoch are written before the state that follows it, so a saved state has its best
epoch's weights beside it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facesiam.config import TrialConfig
from facesiam.device.arithmetic import ComputeHistory
from facesiam.errors import WeightsError
from facesiam.evaluation import right_pairs
from facesiam.nets.checkpoint import Writer, model_file
from facesiam.objective import Objective
from facesiam.storage.folder import Storage
from facesiam.training.loop import Training

SAVING_SHARE = 0.05
"""Largest share of the time that saving the state may cost."""
ASSUMED_BYTES_PER_SECOND = 500e6
"""Assumed speed of the first save, before one has been timed."""


def saved_state(storage: Storage, trial: str) -> dict[str, Any]:
    """Return the state to resume from; empty where there is none, or none that can be read."""
    try:
        return storage.load(state_file(trial)) or {}
    except WeightsError as error:
        return starting_over(trial, error)


def starting_over(trial: str, error: Exception) -> dict[str, Any]:
    """Report a state that cannot be used, and return an empty one."""
    print(f"{state_file(trial)}: starting over ({error})", flush=True)
    return {}


def state_file(trial: str) -> Path:
    """Return the name of a trial's state in the run's storage."""
    return Path("state") / f"{trial}.pt"


def weights_file(trial: str) -> Path:
    """Return the name of a trial's weights there."""
    return Path("weights") / f"{trial}.pt"


class Saver:
    """Knows the epochs of a training so far, and saves its state and its best weights.

    Args:
        training: what is saved.
        writer: writes to the storage in which the files have their names.
        files: names of those of the state and of the best epoch's weights.
        data: key of the data's content, for the file of the weights.
        objective: decides which epoch is best; of equals the first.
        keep_threshold: the score from which on weights are kept; None: from any on.
        ran: what the training is computed with, saved with the state.
        key: of the training, saved with the state.
    """

    def __init__(
        self,
        training: Training,
        writer: Writer,
        *,
        files: tuple[Path, Path],
        data: str,
        objective: Objective,
        keep_threshold: float | None,
        ran: ComputeHistory,
        key: str = "",
    ) -> None:
        self.training, self.writer, self.data = training, writer, data
        self.state_file, self.weights_file = files
        self.objective, self.keep_threshold = objective, objective.key(keep_threshold)
        self.ran, self.trained_key = ran, key
        self.best = -float("inf")
        """Key of the best epoch's score; more is better."""
        self.history: list[dict[str, Any]] = []
        """Metrics of the epochs so far."""
        self.saved_at = time.monotonic()

    def load(self, state: Mapping[str, Any]) -> None:
        """Have the training go on from a saved state.

        Raises:
            ValueError: it is of other settings.
            KeyError: it lacks something.
        """
        self.best, self.history = float(state["best"]), list(state["history"])
        self.training.load(state)
        self.saved_at = time.monotonic()

    def right(self, metrics: Mapping[str, Any]) -> str | None:
        """Return the validation pairs that were predicted right, if the epoch is the best so far.

        Best by the search's metric or by the accuracy: the analysis compares these epochs.
        """
        assert self.training.right is not None
        before = max((row["val_acc"] for row in self.history), default=-1.0)
        is_best = self._key(metrics) > self.best or metrics["val_acc"] > before
        return right_pairs.pack(self.training.right) if is_best else None

    def add(self, metrics: dict[str, Any]) -> None:
        """Note an epoch, and write its weights where they are the best that are to be kept.

        Raises:
            Exception: what an earlier write failed with.
        """
        self.history.append(metrics)
        score = metrics[self.objective.metric]
        value = self.objective.key(score)
        if value > self.best:
            self.best = value
            if value >= self.keep_threshold:
                resolved = {"precision": self.ran[-1]["precision"]}  # "auto" differs elsewhere
                self.writer.write(
                    self.weights_file,
                    model_file(
                        self.training.weights(),
                        TrialConfig.from_dict({**self.training.config.to_dict(), **resolved}),
                        epoch=metrics["epoch"],
                        data=self.data,
                        **{"val_acc": metrics["val_acc"], **self.objective.noted(score)},
                    ),
                )

    def save_when_cheap(self) -> None:
        """Save the state where that takes at most SAVING_SHARE of the time since the last save."""
        assumed = _size(self.training) / ASSUMED_BYTES_PER_SECOND
        cost = self.writer.seconds.get(self.state_file, assumed)
        dear = cost > SAVING_SHARE * (time.monotonic() - self.saved_at)
        if not dear and not self.writer.busy(self.state_file):
            self.saved_at = time.monotonic()
            self.save()

    def save(self) -> None:
        """Have the state be written, by the writer's thread."""
        kept = {"best": self.best, "history": self.history, "ran": self.ran}
        if self.trained_key:
            kept["key"] = self.trained_key
        self.writer.write(self.state_file, {**self.training.state(), **kept})

    def _key(self, metrics: Mapping[str, Any]) -> float:
        return self.objective.key(metrics[self.objective.metric])


def _size(training: Training) -> int:
    """Return the bytes of the weights, of Adam's two moments and of the averaged weights."""
    averaged = training.average.nbytes if training.average else 0
    return averaged + 3 * sum(master.nbytes for master in training.optimizer.masters.values())
