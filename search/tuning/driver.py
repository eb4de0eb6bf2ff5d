"""The driver of a search: runs its trials by Ray Tune, from the first or from where it stopped.

Ray places trials on the cluster and moves their results. What a run consists of is in our own
journal: resuming reads that, and never unpickles anything.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.error import TuneError
from ray.tune.search import Searcher

from facesiam import cli
from facesiam.config import Value
from facesiam.errors import named
from facesiam.files import digest
from facesiam.fingerprint import Key
from facesiam.plugins import loading
from facesiam.trainable import FaceTrial, measured
from facesiam.training.throughput import Share, Way
from search.resources import sharing
from search.resources.allocation import Allocation, Setup
from search.runs.mirror import Mirror
from search.runs.reuse import ReusableTrial
from search.tracking.callback import Callback
from search.tracking.dispatcher import CUT_PATIENCE
from search.tuning import journal_replay, ray_folder, ray_watchdog
from search.tuning.file_server import serve_files
from search.tuning.live_table import LiveTable
from search.tuning.ray_cluster import LOOK_SECONDS, machines
from search.tuning.recorder import Recorder
from search.tuning.search_state import SearchStop, StopReason
from search.tuning.shutdown import on_signals
from search.tuning.worker_termination import stand_ready

PROBE_SECONDS = 1800
"""How long a search waits for a machine to be free and measured."""
DOUBLINGS = 12
"""Sizes of share: a trial that runs out of memory gets the next one."""


def run(
    shares: Allocation,
    table: LiveTable,
    trainable: type[tune.Trainable] | None = None,
    *,
    key: Key | None = None,
    reusable: Mapping[str, ReusableTrial] | None = None,
    mirror: Mirror | None = None,
    on_ray_death: Callable[[str], int] | None = None,
    callbacks: Sequence[Callback] = (),
) -> SearchStop | None:
    """Run a search, or what is left of it, into the folder of its run.

    Args:
        shares: the space, where it is searched, and what each trial gets. Ray runs.
        table: shows the search.
        trainable: what a worker runs for a trial; None: ``FaceTrial``.
        key: gives a trial's key; None: no trial has one.
        reusable: finished trials of earlier runs, by key, that are not run again.
        mirror: of a run that lies behind a URL.
        on_ray_death: called on another thread where Ray has died and this call hangs within it;
            takes the reason, and returns the exit code with which the process ends.
        callbacks: are told what happens; a slow or a failing one changes nothing of the search.

    Returns:
        What cut the search short; None: it came to its end.

    Raises:
        ForeignWriteError: another program writes to the run, so this search has left it.
    """
    setup = shares.setup
    state = journal_replay.replay(shares.space, setup.run)
    recorder = Recorder(state, setup.run, table, shares, key, reusable, mirror, callbacks)
    try:
        recorder.start()
        ray_folder.make(setup.run, setup.storage)
        if setup.address:
            stand_ready()
        tuner = _tuner(recorder, shares, trainable or FaceTrial)
        _fit(tuner, recorder, on_ray_death or _show_death)
    except BaseException as error:  # of this program, of Ray or of the folder
        recorder.record.callbacks.close(named(error), CUT_PATIENCE)
        raise
    ray_folder.remove_secrets(setup.run, setup.storage)
    try:
        stop = recorder.close()
    except OSError as error:
        stop = SearchStop.failed(error)
    if recorder.record.journal.foreign:  # the run is another search's now, its manifest too
        raise recorder.record.journal.foreign
    return stop


def _fit(tuner: tune.Tuner, recorder: Recorder, on_ray_death: Callable[[str], int]) -> None:
    """Run Ray Tune until the search ends, and enter in the recorder what cut it short."""
    try:
        with (
            recorder.table,
            on_signals(recorder, recorder.space.minutes, recorder.table.say),
            ray_watchdog.watched(recorder, on_ray_death),
        ):
            tuner.fit()
    except KeyboardInterrupt:
        pass
    except OSError as error:  # the disk that the journal is on, or Ray's files
        recorder.stop = SearchStop.failed(error)
    except TuneError as error:  # so Ray wraps them, where it is its own
        if os.strerror(errno.ENOSPC) not in str(error):
            raise
        full = f"Ray's files: {os.strerror(errno.ENOSPC)}"
        recorder.stop = SearchStop(StopReason.FAILED, full)


def _show_death(why: str) -> int:
    """Say why the process ends; return its exit code, that of storage that failed."""
    cli.say(why)
    return cli.STORAGE_FAILED


def _tuner(recorder: Recorder, shares: Allocation, trainable: type[tune.Trainable]) -> tune.Tuner:
    setup = shares.setup
    sessions = len(list((setup.run / "ray").glob("session*")))
    server = serve_files(Path(setup.data), setup.weights) if setup.address and setup.data else None
    return tune.Tuner(
        tune.with_resources(trainable, trial_resources(shares)),
        tune_config=tune.TuneConfig(
            search_alg=RaySearcher(recorder, shares, server),
            scheduler=recorder.state.scheduler,
            num_samples=-1,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.config["trial"],
        ),
        run_config=tune.RunConfig(
            name=f"session{sessions + 1}",
            storage_path=str(setup.run / "ray"),
            verbose=0,
            progress_reporter=_Silence(),
            callbacks=[recorder],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )


class _Silence(tune.ProgressReporter):
    """Reports nothing: in a notebook Ray's own clears the cell's output, whatever ``verbose``."""

    def should_report(self, trials: list[Any], done: bool = False) -> bool:
        """Return whether to report."""
        return False

    def report(self, trials: list[Any], done: bool, *sys_info: str) -> None:
        """Report nothing."""


def sharing_probe(setup: Setup) -> sharing.Probe:
    """Return the function that measures, on a machine of the cluster, how trials share it."""

    def probe(settings: Mapping[str, Value], cores: int, gpu: bool) -> Share:
        """Return what was measured; one trial at once where no machine is free in time."""
        server = serve_files(Path(setup.data), setup.weights) if setup.address else None
        task: Any = ray.remote(num_cpus=cores, num_gpus=float(gpu))(measured)
        contents = _contents(setup, settings) if server else {}
        asked = task.remote(
            settings,
            setup.data,
            dict(setup.weights),
            cores,
            gpu,
            server,
            contents,
            loading.sources(),
        )
        try:
            found: Share = ray_watchdog.get(asked, PROBE_SECONDS)
        except ray.exceptions.GetTimeoutError:  # the cluster is busy: one at once, as unmeasured
            ray.cancel(asked, force=True)
            nothing = Way(1, cores, 0.0, 0.0, 0.0)
            return Share(nothing, [nothing])
        return found

    return probe


def trial_resources(shares: Allocation) -> Callable[[dict[str, Any]], tune.PlacementGroupFactory]:
    """Return the function that gives Ray the resources of a trial, by its config."""
    groups = {
        (net, larger): placement(*shares.of(net, larger))
        for net in shares.space.nets()
        for larger in range(DOUBLINGS)
    }
    # Ray sends this function to the workers. It refers to nothing of ours, or they would import
    # all of this package, optuna and scipy with it, before a trial starts.
    most = DOUBLINGS - 1
    return lambda config: groups[config["settings"]["net"], min(config["larger"], most)]


def placement(cpus: float, gpus: float) -> tune.PlacementGroupFactory:
    """Return Ray's form of a share."""
    return tune.PlacementGroupFactory([{"CPU": cpus} | ({"GPU": gpus} if gpus else {})])


def _contents(setup: Setup, settings: Mapping[str, Value]) -> dict[str, str]:
    """Return the SHA-256 of the pretrained weights that a trial starts from, by net."""
    net = str(settings["net"])
    if not settings["pretrained"] or net not in setup.weights:
        return {}
    return {net: digest(Path(setup.weights[net]))}


class RaySearcher(Searcher):
    """Ray's interface to the sampler; how a trial ended reaches the sampler by the Recorder.

    Args:
        recorder: of the search.
        shares: what each trial gets.
        server: name of the actor that has the files which other machines do not see; None: all
            machines see them.
    """

    def __init__(self, recorder: Recorder, shares: Allocation, server: str | None = None) -> None:
        super().__init__()
        self.recorder, self.shares, self.server = recorder, shares, server
        self.counted = time.monotonic()

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """Return the next trial's config; None: there is none yet; FINISHED: there are no more."""
        self._count_machines()
        suggestion = self.recorder.next() if self._room() or self.recorder.over() else None
        if suggestion is None:
            return self.FINISHED if self.recorder.over() else None
        space, setup = self.recorder.space, self.shares.setup
        larger = self.recorder.state.doublings.get(suggestion.trial, 0)
        cpus, gpus = self.shares.of(str(suggestion.settings["net"]), larger)
        return {
            "trial": suggestion.trial,
            "settings": suggestion.settings,
            "cpus": cpus,
            "gpus": gpus,
            "device": "cuda" if gpus else "cpu",
            "noted": self.recorder.state.epochs_noted(suggestion.trial),
            "cost": self.recorder.state.costs.get(suggestion.trial),
            "run": setup.storage or str(setup.run),
            "data": setup.data,
            "file_server": self.server,
            "weights": dict(setup.weights),
            "metric": space.metric,
            "mode": space.mode,
            "contents": _contents(setup, suggestion.settings) if self.server else {},
            "keep_threshold": self.recorder.state.keep_threshold(),
            "larger": larger,
            "pauses": self.recorder.state.scheduler.pauses(suggestion.settings),
            "plugins": loading.sources(),
        }

    def _room(self) -> bool:
        """Say whether one more trial could run: a trial suggested any earlier rests on less."""
        running, doublings = self.recorder.state.running, self.recorder.state.doublings
        taken = sum(
            self.shares.part(str(one.settings["net"]), doublings.get(trial, 0))
            for trial, one in running.items()
        )
        return len(running) < self.shares.concurrent and taken < 1 - 1e-9

    def _count_machines(self) -> None:
        """Adapt, now and then, how many trials run at once to the machines that are there."""
        now = time.monotonic()
        if self.shares.setup.address and now - self.counted > LOOK_SECONDS:
            self.counted = now
            stand_ready()
            room = self.shares.at_once_on(machines())
            if not room and self.shares.concurrent:
                self.recorder.table.say("no machine can run a trial now; waiting for one")
            self.shares.concurrent = room

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: the Recorder notes the end, and knows more of it."""

    def save(self, checkpoint_path: str) -> None:
        """Write the empty file that Ray asks for: the journal holds the state."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see ``save``."""

    def __getstate__(self) -> dict[str, Any]:
        return {}
