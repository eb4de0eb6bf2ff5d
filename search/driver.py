"""SearchSpace → Ray Tune: resources, the trainable, the scheduler, and the journal of a run.

Ray is the engine: it places trials on the cluster and moves their results. What a run consists of
is in our own journal, so resuming reads that and never unpickles anything.
"""

from __future__ import annotations

import math
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher

from facesiam.train import gpu_names
from facesiam.trainable import FaceTrial
from search.board import Board
from search.recorder import Recorder
from search.space import SearchSpace

OBJECT_STORE_BYTES = 256 * 2**20
"""Ray's shared store of a local run: results are small and the pixels are mapped from a file."""


class DriverError(ValueError):
    """A run that cannot start on this machine or cluster; the text says why."""


@dataclass(frozen=True)
class Setup:
    """Where and on what a run runs."""

    run: Path
    data: str
    """Folder of the packed data."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """File of pretrained weights per net name."""
    address: str | None = None
    concurrent: int | None = None
    cpus: float | None = None
    """CPUs a trial, over what the space says."""
    gpus: float | None = None


def run(space: SearchSpace, setup: Setup, board: Board) -> bool:
    """Run the search, or what is left of it, into ``setup.run``.

    Returns:
        Whether it came to its end; False after Ctrl-C.

    Raises:
        DriverError: no such cluster, or a trial asks for more than any machine has.
    """
    connect(setup.address)
    shares = Shares(space, setup, cluster())
    recorder = Recorder(space, setup.run, board)
    tuner = tune.Tuner(
        tune.with_resources(FaceTrial, shares.placement),
        tune_config=tune.TuneConfig(
            search_alg=Searching(recorder, shares), scheduler=recorder.scheduler, num_samples=-1,
            reuse_actors=True, max_concurrent_trials=shares.concurrent,
            trial_dirname_creator=lambda trial: trial.config["trial"],
        ),
        run_config=tune.RunConfig(
            name=f"session{recorder.session}", storage_path=str(setup.run / "ray"), verbose=0,
            callbacks=[recorder], checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    try:
        with board:
            tuner.fit()
    except KeyboardInterrupt:
        pass
    return recorder.close()


def connect(address: str | None) -> None:
    """Start Ray on this machine, or join the cluster at `address`; quietly, once a process.

    Raises:
        DriverError: nobody answers there.
    """
    os.environ.update(_QUIET)
    if ray.is_initialized():
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        # On loopback: a run for this machine alone opens no port to others.
        ray.init(
            include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1", **quiet,
        )
        return
    check_address(address)
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise DriverError(f"--address {address}: {str(error).splitlines()[0]}") from None


def check_address(address: str) -> None:
    """Refuse, within seconds, an address where nobody answers.

    Raises:
        DriverError: not of the form host:port, or nobody there.
    """
    if address == "auto":
        return
    match = re.fullmatch(r"(?:ray://)?([^:/]+):(\d+)", address)
    if not match:
        raise DriverError(f"--address {address}: write auto, HOST:PORT or ray://HOST:PORT")
    try:
        socket.create_connection((match[1], int(match[2])), timeout=3).close()
    except OSError as error:
        raise DriverError(
            f"--address {address}: nobody answers there ({error.strerror or error}); start a "
            "head with: ray start --head"
        ) from None


def check_gpus(space: SearchSpace, gpus: float | None) -> None:
    """Refuse, before Ray starts, a local run that asks for more GPUs than this machine has.

    Raises:
        DriverError: says how many there are.
    """
    there = len(gpu_names())
    for net in space.nets():
        asked = gpus if gpus is not None else space.resources.for_net(net)[1]
        if asked != "auto" and asked > there:
            given = "--gpus" if gpus is not None else f"resources of {net}: gpus"
            raise DriverError(
                f"{given} {asked:g}: more than the {there} GPUs of this machine; use --gpus "
                f"{min(there, 1)}, or --address for a cluster"
            )


def cluster() -> dict[str, float]:
    """Return the nodes, CPUs and GPUs of the cluster that this process is connected to."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    alive = len([node for node in nodes if node["Alive"]])
    return {"nodes": alive, "cpus": resources.get("CPU", 0.0), "gpus": resources.get("GPU", 0.0)}


class Shares:
    """What each trial gets of the cluster, and how many run at once."""

    def __init__(self, space: SearchSpace, setup: Setup, cluster: Mapping[str, float]) -> None:
        self.space, self.setup = space, setup
        self.cpus, self.gpus = cluster["cpus"], cluster["gpus"]
        needs = [self.of(net) for net in space.nets()]
        for cpus, gpus in needs:
            for name, asked, there in (("cpus", cpus, self.cpus), ("gpus", gpus, self.gpus)):
                if asked > there:
                    raise DriverError(
                        f"resources: a trial asks for {asked:g} {name} and there are {there:g}"
                    )
        fit = min(
            min(self.cpus // cpus, self.gpus // gpus if gpus else math.inf) for cpus, gpus in needs
        )
        # Different nets may fit more of one kind; Ray places them, this only bounds the queue.
        self.concurrent = setup.concurrent or max(1, int(fit))

    def of(self, net: str) -> tuple[float, float]:
        """Return (CPUs, GPUs) of a trial with this net; `auto` is resolved here."""
        cpus, gpus = self.space.resources.for_net(net)
        gpus = self.setup.gpus if self.setup.gpus is not None else gpus
        cpus = self.setup.cpus if self.setup.cpus is not None else cpus
        if gpus == "auto":
            gpus = 1.0 if self.gpus >= 1 else 0.0
        if cpus == "auto":
            slots = self.gpus / gpus if gpus else min(self.cpus, self.space.count() or self.cpus)
            slots = min(slots, self.setup.concurrent or slots)
            cpus = max(1, self.cpus // max(1, slots))
        return float(cpus), float(gpus)

    def placement(self, config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
        """Return Ray's form of a trial's share."""
        cpus, gpus = self.of(config["settings"]["net"])
        return tune.PlacementGroupFactory([{"CPU": cpus} | ({"GPU": gpus} if gpus else {})])


class Searching(Searcher):
    """Ray's view of the suggestions; endings reach the suggester by way of the Recorder."""

    def __init__(self, recorder: Recorder, shares: Shares) -> None:
        super().__init__()
        self.recorder, self.shares = recorder, shares

    def suggest(self, trial_id: str) -> dict[str, Any] | str:  # type: ignore[override]
        """Return the next trial's config, or Ray's word for "no more"."""
        suggestion = self.recorder.next()
        if suggestion is None:
            return self.FINISHED
        space, setup = self.recorder.space, self.shares.setup
        cpus, _ = self.shares.of(str(suggestion.settings["net"]))
        return {
            "trial": suggestion.trial, "settings": suggestion.settings, "cpus": cpus,
            "run": str(setup.run), "data": setup.data, "weights": dict(setup.weights),
            "metric": space.metric, "mode": space.mode,
        }

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: the Recorder knows more."""

    def save(self, checkpoint_path: str) -> None:
        """Write the empty file that Ray asks for: the journal holds the state."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see ``save``."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
