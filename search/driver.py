"""SearchSpace → Ray Tune: resources, the trainable, the scheduler, and the journal of a run.

Ray is the engine: it places trials on the cluster and moves their results. What a run consists of
is in our own journal, so resuming reads that and never unpickles anything.
"""

from __future__ import annotations

import math
import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray import tune
from ray._private import ray_constants
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


def run(space: SearchSpace, setup: Setup, shares: Shares, board: Board) -> bool:
    """Run the search, or what is left of it, into ``setup.run``.

    Returns:
        Whether it came to its end; False after Ctrl-C.

    Args:
        space: what to search.
        setup: where, and on what.
        shares: what each trial gets; ``connect`` comes before it.
        board: where it is shown.
    """
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
        # On loopback: a run for this machine alone opens no port to others. Ray turns 127.0.0.1
        # into the outside address unless clusters are off, which it reads once, at import; the
        # variable is for its child processes.
        os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
        ray_constants.ENABLE_RAY_CLUSTER = False
        # "local", as without an address Ray would join whatever $RAY_ADDRESS names.
        ray.init(
            address="local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES,
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
    if address.startswith("ray://"):
        raise DriverError(
            f"--address {address}: Ray's client cannot run a search; start it on a machine of the "
            "cluster, with --address auto"
        )
    match = re.fullmatch(r"([^:/]+):(\d+)", address)
    if not match:
        raise DriverError(f"--address {address}: write auto or HOST:PORT")
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


class Node(NamedTuple):
    """What a machine of the cluster offers."""

    cpus: float
    gpus: float


def cluster() -> list[Node]:
    """Return the machines of the cluster that this process is connected to."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    offers = [node["Resources"] for node in nodes if node["Alive"]]
    return [Node(offer.get("CPU", 0.0), offer.get("GPU", 0.0)) for offer in offers]


def this_machine() -> list[Node]:
    """Return the same for this machine alone, without Ray."""
    return [Node(float(os.cpu_count() or 1), float(len(gpu_names())))]


class Shares:
    """What each trial gets, and how many run at once.

    Raises:
        DriverError: a trial asks for more than any machine has.
    """

    def __init__(self, space: SearchSpace, setup: Setup, nodes: Sequence[Node]) -> None:
        self.space, self.setup, self.nodes = space, setup, nodes
        self.has_gpus = any(node.gpus >= 1 for node in nodes)
        fit = {net: sum(self._fits(net, node) for node in nodes) for net in space.nets()}
        for net, trials in fit.items():
            if not trials:
                cpus, gpus = self.of(net)
                most = Node(max(n.cpus for n in nodes), max(n.gpus for n in nodes))
                raise DriverError(
                    f"resources: a trial with {net} asks for {cpus:g} cpus and {gpus:g} gpus; "
                    f"no machine has both, the most are {most.cpus:g} and {most.gpus:g}"
                )
        # Of nets with different shares, as many as fit of the smallest; Ray holds back the others.
        self.concurrent = setup.concurrent or max(fit.values())

    def of(self, net: str) -> tuple[float, float]:
        """Return (CPUs, GPUs) of a trial with this net; `auto` is resolved here."""
        cpus, gpus = self.space.resources.for_net(net)
        gpus = self.setup.gpus if self.setup.gpus is not None else gpus
        cpus = self.setup.cpus if self.setup.cpus is not None else cpus
        if gpus == "auto":
            gpus = 1.0 if self.has_gpus else 0.0
        if cpus == "auto":
            cpus = min(self._auto_cpus(node, float(gpus)) for node in self._usable(float(gpus)))
        return float(cpus), float(gpus)

    def placement(self, config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
        """Return Ray's form of a trial's share."""
        cpus, gpus = self.of(config["settings"]["net"])
        return tune.PlacementGroupFactory([{"CPU": cpus} | ({"GPU": gpus} if gpus else {})])

    def _usable(self, gpus: float) -> Sequence[Node]:
        """Return the machines that have the GPUs, or all where none has."""
        return [node for node in self.nodes if node.gpus >= gpus] or self.nodes

    def _auto_cpus(self, node: Node, gpus: float) -> float:
        """Share a machine's cores among the trials that it will run at once."""
        if gpus:
            slots = max(1.0, _whole(node.gpus / gpus))
        else:
            slots = min(node.cpus, self.space.count() or node.cpus)
        slots = min(slots, self.setup.concurrent or slots)
        return max(1.0, node.cpus // slots)

    def _fits(self, net: str, node: Node) -> int:
        cpus, gpus = self.of(net)
        return int(min(_whole(node.cpus / cpus), _whole(node.gpus / gpus) if gpus else math.inf))


def _whole(ratio: float) -> float:
    return math.floor(ratio + 1e-9)  # 1 / 0.1 must give 10


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
        cpus, gpus = self.shares.of(str(suggestion.settings["net"]))
        return {
            "trial": suggestion.trial, "settings": suggestion.settings, "cpus": cpus,
            "device": "cuda" if gpus else "cpu", "noted": self.recorder.noted(suggestion.trial),
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
