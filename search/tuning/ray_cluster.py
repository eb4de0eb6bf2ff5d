"""Sends this code, and the data where they are not seen, to the machines of a cluster."""

from __future__ import annotations

import os
import signal
import tempfile
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import facesiam
import search
from search.resources.allocation import DriverError

SECONDS = 120
"""How long a machine is waited for, its environment set up for the first time included."""

SAID = ("FACESIAM_GRAPHS",)
"""Variables of the driver's environment that the workers get; $FACESIAM_CACHE names a folder of
each machine."""


class Depot:
    """An actor on the driver's machine that hands out files, each put into Ray's store once.

    Ray brings an object to a machine once and maps it into every process there: of the pixels
    there is one copy a machine, as with a mapped file.

    Args:
        files: what may be asked for.
    """

    def __init__(self, files: Iterable[str]) -> None:
        self.files = set(files)
        self.known: dict[str, Any] = {}

    def file(self, path: str) -> list[Any]:
        """Return a reference to a file's array, or to its bytes, (n,) uint8.

        Raises:
            FileNotFoundError: it is not one of the files.
        """
        if path not in self.files:
            raise FileNotFoundError(f"{path}: not among the files of this run")
        if path not in self.known:
            pixels = path.endswith(".npy")
            array = np.load(path, mmap_mode="r") if pixels else np.fromfile(path, np.uint8)
            # A plain array: of a memmap, as of every subclass, each process would get a copy.
            self.known[path] = ray.put(np.asarray(array))
        return [self.known[path]]  # in a list, or Ray would send the content


def code() -> dict[str, Any]:
    """Return the runtime environment that brings both packages to every worker, and what the
    driver's environment says of how trials run."""
    places = [str(Path(str(package.__file__)).parent) for package in (facesiam, search)]
    said = {name: os.environ[name] for name in SAID if name in os.environ}
    return {"py_modules": places, "excludes": ["__pycache__"], "env_vars": said}


def open_depot(data: Path, weights: Mapping[str, str]) -> str:
    """Start the actor for a run's files; return the name under which workers find it."""
    files = (*map(str, sorted(data.glob("*.np[yz]"))), *sorted(weights.values()))
    if files in _open:
        return _open[files][0]
    name = f"depot-{uuid.uuid4().hex[:8]}"
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = (
        ray.remote(Depot)
        .options(
            name=name, num_cpus=0, scheduling_strategy=here, max_restarts=-1, max_task_retries=-1
        )
        .remote(files)
    )
    _open[files] = name, actor  # it lives as long as somebody holds it
    return name


_open: dict[tuple[str, ...], tuple[str, Any]] = {}


def check_shared(out: Path) -> None:
    """Refuse a folder for the run that not every machine of the cluster sees.

    Raises:
        DriverError: names the machine, and says what to do.
    """
    everyone: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    nodes = [node for node in everyone if node["Alive"]]
    if len(nodes) < 2:
        return
    nearest = next(place for place in (out, *out.parents) if place.exists())
    with tempfile.NamedTemporaryFile(dir=nearest, prefix=".siamsearch-") as token:
        asked = {
            node["NodeManagerAddress"]: ray.remote(_sees)
            .options(
                num_cpus=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            )
            .remote(token.name)
            for node in nodes
        }
        for address, answer in asked.items():
            try:
                sees = ray.get(answer, timeout=SECONDS)
            except ray.exceptions.GetTimeoutError:
                raise DriverError(f"machine {address} of the cluster does not answer") from None
            if not sees:
                raise DriverError(
                    f"--out {out}: machine {address} of the cluster does not see this folder; "
                    "give one that all of them share, or a URL such as --out s3://bucket/runs"
                )


def terminate(pids: Iterable[int]) -> None:
    """Send SIGTERM to processes of this machine.

    Here, as a machine that runs this for another one imports this file first, and soon.
    """
    for pid in pids:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pass


def _sees(path: str) -> bool:
    return Path(path).exists()
