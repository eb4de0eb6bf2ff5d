"""A trial as a Ray Tune trainable: the only module of this package that uses Ray.

A worker runs one trial after another. The state to resume from and the best epoch's weights
(``facesiam.training.saving``) are written to the run's storage by a thread of their own, and
outlive the worker, the driver and Ray's session.

A worker that receives SIGTERM (preemption, or the driver ends) saves its state within the epoch,
after the present step.
"""

from __future__ import annotations

import faulthandler
import functools
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray import tune

from facesiam import cli
from facesiam.config import TrialConfig, Value
from facesiam.config.trial import packing_of
from facesiam.data.dataset import Fetch, open_packed
from facesiam.data.fetched_files import local_data, local_weights
from facesiam.device import arithmetic, gpu_memory, reproducibility
from facesiam.device.cuda_graph import free_workspaces
from facesiam.device.hardware import is_out_of_memory
from facesiam.device.processes import redirect_output
from facesiam.errors import StorageError, WeightsError, first_line
from facesiam.nets.checkpoint import Writer
from facesiam.objective import Objective
from facesiam.plugins import loading
from facesiam.storage.bucket import is_url
from facesiam.storage.folder import opened
from facesiam.training.inference_cost import cost_in_training
from facesiam.training.loop import Halted, Training
from facesiam.training.saving import Saver, saved_state, starting_over, state_file, weights_file
from facesiam.training.throughput import Share, share_of


class OutOfMemory(RuntimeError):
    """The trial needed more memory than its device has."""


class Unseen(RuntimeError):
    """This machine does not see the run's folder; another one may."""


class Preempted(RuntimeError):
    """The worker received SIGTERM; the trial's state is saved, within its epoch."""


class FaceTrial(tune.Trainable):
    """A trial in a Ray worker.

    Its Ray config has trial, settings, data, weights, run (folder or URL), cpus, gpus, device,
    metric and mode; `plugins`, the text of each by its file; `file_server`, the name of the actor
    that serves files which this machine does not see, or None; `contents`, the SHA-256 of the
    weights by net, where there is such an actor; `noted`, the number of its epochs in the journal;
    `cost`, what its net costs in use, where that was measured before; `keep_threshold`, the score
    from which on its weights are kept, or None; and `pauses`, the numbers of epochs after which
    the driver may pause it.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Open the data, build the net, and resume from a saved state where there is one."""
        self.training: Training | None = None
        self.saver: Saver | None = None
        self.stepping = self.ready = self.told_slow = False
        self.logs: Path | None = None
        self.storage = opened(config["run"])
        self.writer = Writer(self.storage.save)
        # And not a test, say, which keeps its signals and its output.
        self.worker = ray.is_initialized() and bool(ray.get_runtime_context().get_actor_id())
        if self.worker and threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGTERM, self._told_to_end)
        self._start(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start the next trial; of the last one only the images stay, which all trials share."""
        self._start(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch, or report again one that is not in the driver's journal."""
        if self.unnoted:
            return {**self.unnoted.pop(0), "done": False, **self._told()}
        assert self.training is not None and self.saver is not None
        self.stepping = True
        try:
            with self._telling_memory():
                metrics: dict[str, Any] = next(self.training).to_dict()
                metrics["val_right"] = self.saver.right(metrics)
                metrics["val_distinct"] = self.training.val_distinct
                self.saver.add(metrics)
                done = self.training.epoch >= self.training.config.epochs
                if done:  # the driver removes the state, once it has noted that the trial is done
                    self.writer.flush()
                elif self.training.epoch in self.pauses:  # another worker may go on with it
                    self.saver.save()
                    self.writer.flush()
                else:
                    self.saver.save_when_cheap()
        except Halted:
            raise self._saved() from None
        finally:
            self.stepping = False
        return {**metrics, "done": done, **self._told()}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Ray's own checkpoints are off; the state is in the run's storage."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to do: ``setup`` finds the state in the run's storage."""

    def cleanup(self) -> None:
        """Free the net."""
        self._forget()

    def _start(self, config: dict[str, Any]) -> None:
        self._forget()
        self.run, self.trial = config["run"], config["trial"]
        self.pauses = frozenset(config.get("pauses", ()))
        if self.worker:
            self._log()
        loading.take(config.get("plugins", ()))
        with self._telling_memory():
            training = self._resume(config, saved_state(self.storage, self.trial))
            self.cost = config.get("cost") or cost_in_training(training)
        self.ready = True

    def _log(self) -> None:
        """Write the output of this process, a crash's traceback too, to the log of the trial.

        Raises:
            Unseen: this machine does not see the run's folder.
            StorageError: there is no room for it.
        """
        if is_url(self.run):
            self.logs = self.logs or Path(tempfile.mkdtemp(prefix="siamsearch-"))
        elif Path(self.run).is_dir():
            self.logs = Path(self.run) / "logs"
        else:
            raise Unseen(f"{self.run}: this machine does not see the run's folder")
        folder = self.logs
        try:
            folder.mkdir(exist_ok=True)
            redirect_output(folder / f"{self.trial}.log")
        except OSError as error:
            raise StorageError(f"{folder}: {error.strerror}") from None
        faulthandler.enable(2)

    def _build(self, config: dict[str, Any], state: Mapping[str, Any]) -> Saver:
        """Make the training, with the arithmetic of its earlier epochs as far as possible."""
        fetch = _fetch(config.get("file_server"))
        settings = TrialConfig.from_dict(config["settings"])
        data = open_packed(config["data"], fetch)
        weights = local_weights(
            config["weights"] if settings.pretrained else {}, fetch, config.get("contents")
        )
        threads, ran = max(1, int(config["cpus"])), state.get("ran", ())
        now = reproducibility.current_arithmetic(
            settings.net, settings.precision, config["device"], threads
        )
        now, why = reproducibility.reproduce(ran, now, -1)
        torch.set_num_threads(now.threads)
        gpu_memory.limit(config["device"], config.get("gpus", 1.0))
        self.training = Training(settings, data, weights, config["device"], now.precision)
        self.ran = arithmetic.extend_history(ran, now, int(state.get("epoch", 0)))
        if why:
            epoch = int(state["epoch"])
            self.training.notes.append(f"epochs before {epoch} {why}: a net that neither gives")
        slow = reproducibility.emulation(now)
        if slow and not self.told_slow:  # once a worker, not for each of its trials
            self.told_slow = True
            self.training.notes.append(slow)
        self.unnoted: list[dict[str, Any]] = []
        self.saver = Saver(
            self.training,
            self.writer,
            files=(state_file(self.trial), weights_file(self.trial)),
            data=data.key,
            objective=Objective(config["metric"], config["mode"]),
            keep_threshold=config["keep_threshold"],
            ran=self.ran,
        )
        return self.saver

    def _resume(self, config: dict[str, Any], state: dict[str, Any]) -> Training:
        """Make the training, load its state, and return it."""
        try:
            saver = self._build(config, state)
            if state:
                saver.load(state)
                self.unnoted = saver.history[config["noted"] :]
            return saver.training
        except (WeightsError, ValueError, KeyError, TypeError, RuntimeError) as error:
            if not state or is_out_of_memory(error) or "cuda" in str(error).lower():
                raise  # that says nothing of the state
            # It may be half loaded.
            return self._build(config, starting_over(self.trial, error)).training

    def _saved(self) -> Preempted:
        """Save the state of a trial that must end, and return the error that says so."""
        assert self.training is not None and self.saver is not None
        self.saver.save()
        self.writer.flush()
        return Preempted(f"told to end in epoch {self.training.epoch}: its state is saved")

    def _told_to_end(self, number: int, frame: Any) -> None:
        """Handle SIGTERM: save the state, after the present step or, between epochs, at once."""
        training, saver = self.training, self.saver
        if training is not None and self.stepping and not training.halt.is_set():
            training.halt.set()
            return
        between = self.ready and not self.stepping
        if between and training and saver and 0 < training.epoch < training.config.epochs:
            saver.save()
            self.writer.flush()
        if callable(self.before):  # what Ray does
            self.before(number, frame)

    def _told(self) -> dict[str, Any]:
        """Return what the driver is told with each epoch, beside its metrics."""
        return {"ran": self.ran, "cost": self.cost, **self._said()}

    def _said(self) -> dict[str, list[str]]:
        """Return the training's new notes for the driver, and print them to the trial's log."""
        assert self.training is not None
        said = self.training.notes.copy()
        self.training.notes.clear()  # the list itself is what a captured step writes into
        for line in said:
            print(line, flush=True)
        return {"said": said} if said else {}

    def _forget(self) -> None:
        """Free the trial, once its files are written."""
        self.ready = False
        try:
            self.writer.flush()
        except Exception as error:  # not the next trial's fault
            cli.say(f"{weights_file(self.trial)}: not written ({error})")
        self.writer.seconds.clear()
        # Nothing refers back to them: a collection, 0.2 s, frees no more.
        self.training = self.saver = None
        if torch.cuda.is_available():
            free_workspaces()  # the graphs are gone with the training
            torch.cuda.empty_cache()

    @contextmanager
    def _telling_memory(self) -> Iterator[None]:
        """Within its ``with``, turn every error of missing memory into OutOfMemory."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            epoch = self.training.epoch if self.training else 0
            raise OutOfMemory(f"out of memory in epoch {epoch}: {first_line(error)}") from None


def measured(
    settings: Mapping[str, Value],
    data: str,
    weights: Mapping[str, str],
    cpus: int,
    gpu: bool,
    file_server: str | None,
    contents: Mapping[str, str] | None = None,
    plugins: Sequence[tuple[str, str]] = (),
) -> Share:
    """Return what ``throughput.share_of`` measures on this machine.

    Where it does not see the data, empty images take their place, which cost the same.
    """
    loading.take(plugins)
    fetch = _fetch(file_server)
    weights = local_weights(weights if settings["pretrained"] else {}, fetch, contents)
    with local_data(data, packing_of(settings), fetch) as folder:
        return share_of(settings, folder, weights, cpus, gpu)


def _fetch(file_server: str | None) -> Fetch | None:
    return functools.partial(_fetched, file_server) if file_server else None


def _fetched(file_server: str, path: Path) -> NDArray[np.uint8]:
    """Return a file of the driver's machine, in shared memory, once a machine."""
    refs: list[Any] = ray.get(ray.get_actor(file_server).file.remote(str(path)))
    array: NDArray[np.uint8] = ray.get(refs[0])
    return array
