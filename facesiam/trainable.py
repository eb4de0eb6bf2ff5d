"""One trial as Ray Tune runs it: the only file of this package that knows Ray.

The worker is reused from trial to trial. State to resume from and the best epoch's weights are
written into the run folder itself, on a thread of their own, so they outlive the worker, the
driver and Ray's session. The weights of an epoch come before the state that follows it: a state on
the disk has its best epoch's weights beside it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from ray import tune

from facesiam.config import TrialConfig
from facesiam.data import open_packed
from facesiam.saving import Writer, model_file
from facesiam.train import Training, epochs
from facesiam.weights import WeightsError, read_weights

SAVING_SHARE = 0.05
"""State is saved as often as that costs at most this share of the time."""
ASSUMED_BYTES_PER_SECOND = 500e6
"""What a first save is reckoned with, before one has been timed."""


class OutOfMemory(RuntimeError):
    """The trial needed more memory than its device has."""


class FaceTrial(tune.Trainable):
    """A trial.

    Its Ray config: trial, settings, data, weights, run, cpus, device, metric, mode; `noted`, the
    number of its epochs that the driver has in its journal; and `bar`, the score above which its
    weights are worth keeping, or None.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Open the data, build the net, and go on from a saved state where there is one."""
        self.training: Training | None = None
        self.writer = Writer()
        self._start(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial: of the last one only the pixels stay, which all trials share."""
        self._start(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch, or report one that was trained before the driver could note it."""
        if self.unnoted:
            return {**self.unnoted.pop(0), "done": False}
        assert self.training is not None
        with self._telling_memory():
            metrics = next(self.training).to_dict()
            self.history.append(metrics)
            self._keep_best(metrics)
            done = self.training.epoch >= self.training.config.epochs
            if done:  # the driver removes the state, once it has noted that the trial is done
                self.writer.flush()
            else:
                self._save_when_cheap()
        return {**metrics, "done": done}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Ray's own checkpoints are off; the state is in the run folder."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to do: ``setup`` finds the state in the run folder."""

    def cleanup(self) -> None:
        """Let go of the net."""
        self._forget()

    def _start(self, config: dict[str, Any]) -> None:
        self._forget()
        torch.set_num_threads(max(1, int(config["cpus"])))
        run, trial = Path(config["run"]), config["trial"]
        self.state_file = run / "state" / f"{trial}.pt"
        self.weights_file = run / "weights" / f"{trial}.pt"
        self.metric, self.sign = config["metric"], 1 if config["mode"] == "max" else -1
        self.bar = -float("inf") if config["bar"] is None else self.sign * config["bar"]
        with self._telling_memory():
            self._build(config)
            self._resume(config)
        self.saved_at = time.monotonic()

    def _build(self, config: dict[str, Any]) -> None:
        settings, data = TrialConfig.from_dict(config["settings"]), open_packed(config["data"])
        self.data_key = data.key
        self.training = epochs(settings, data, config["weights"], config["device"])
        self.best = -float("inf")
        self.history: list[dict[str, float]] = []
        self.unnoted: list[dict[str, float]] = []

    def _resume(self, config: dict[str, Any]) -> None:
        if not self.state_file.exists():
            return
        assert self.training is not None
        try:
            state = read_weights(self.state_file)
            self.best, self.history = float(state["best"]), list(state["history"])
            self.training.load(state)
            self.unnoted = self.history[config["noted"] :]
        except (WeightsError, ValueError, KeyError, TypeError, RuntimeError) as error:
            if _of_memory(error):
                raise
            # A state that cannot be used costs its epochs, not the trial. It may be half loaded.
            print(f"{self.state_file}: starting over ({error})")
            self.state_file.unlink(missing_ok=True)
            self._build(config)

    def _keep_best(self, metrics: dict[str, float]) -> None:
        value = self.sign * metrics[self.metric]
        if value > self.best:  # never true for NaN
            assert self.training is not None
            self.best = value
            if value >= self.bar:
                self.writer.write(self.weights_file, model_file(
                    self.training.weights(), self.training.config,
                    epoch=metrics["epoch"], val_acc=metrics["val_acc"], data=self.data_key,
                ))  # fmt: skip

    def _save_when_cheap(self) -> None:
        assert self.training is not None
        assumed = _size(self.training) / ASSUMED_BYTES_PER_SECOND
        cost = self.writer.seconds.get(self.state_file, assumed)
        dear = cost > SAVING_SHARE * (time.monotonic() - self.saved_at)
        if dear or self.writer.busy(self.state_file):
            return
        self.saved_at = time.monotonic()
        kept = {"best": self.best, "history": self.history}
        self.writer.write(self.state_file, {**self.training.state(), **kept})

    def _forget(self) -> None:
        """Let go of the trial, once what it has to leave is on the disk."""
        try:
            self.writer.flush()
        except Exception as error:  # not the next trial's fault
            print(f"{self.weights_file}: not written ({error})")
        self.writer.seconds.clear()
        self.training = None  # nothing refers back to it: a collection, 0.2 s, frees no more
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    @contextmanager
    def _telling_memory(self) -> Iterator[None]:
        """Turn every form of want of memory into OutOfMemory."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not _of_memory(error):
                raise
            epoch = self.training.epoch if self.training else 0
            first = (str(error) or type(error).__name__).splitlines()[0][:160]
            raise OutOfMemory(f"out of memory in epoch {epoch}: {first}") from None


def _of_memory(error: Exception) -> bool:
    """Say whether an error is want of memory, for which torch and CUDA have many words."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(words in said for words in (
        "out of memory", "not enough memory", "can't allocate", "alloc_failed",
    ))  # fmt: skip


def _size(training: Training) -> int:
    """Bytes of weights and of Adam's two moments."""
    return 3 * sum(master.nbytes for master in training.optimizer.masters.values())
