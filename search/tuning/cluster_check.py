"""The examination of a Ray: does it start or answer, do its machines run tasks and send objects.

Each step that fails ends the examination of what builds on it, never the program.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ray

from facesiam.errors import counted, first_line
from search.resources.allocation import DriverError
from search.resources.findings import Finding, fail, note, ok
from search.resources.machine_report import MachineReport, examine
from search.tuning import ray_cluster, ray_environment, ray_tasks

PAYLOAD_BYTES = 4 * 2**20
"""Sent to each machine and back. Ray sends what is below 100 KiB within the call, and larger
objects through its object stores, which have ports of their own."""
ANSWER_SECONDS = 60
"""How long a machine is waited for; the first task on it sets up its environment."""


class ClusterCheck:
    """The findings of a Ray, and the reports of its machines once ``steps`` is through.

    Args:
        address: of a cluster; None: a Ray that is started on this machine.
        packages: whose versions the machines tell.
        out: folder of the runs; None: the runs lie behind a URL.
        url: of the runs; None: they lie in a folder.
    """

    def __init__(
        self, address: str | None, packages: Sequence[str], out: Path | None, url: str | None
    ) -> None:
        self.address, self.packages, self.out, self.url = address, packages, out, url
        self.reports: dict[str, MachineReport] = {}
        """By address, of the machines of a cluster that answered."""
        self.skews: dict[str, float] = {}
        """Seconds by which their clocks are ahead of this machine's."""

    def steps(self) -> Iterator[Finding]:
        """Yield the findings as they are made."""
        ray_environment.set_environment(local=self.address is None)
        began = time.monotonic()
        try:
            ray_cluster.connect(self.address)
        except DriverError as error:
            yield fail(
                "Ray", str(error), "docs/cluster.md#ports-and-security" * bool(self.address)
            )
            return
        took = time.monotonic() - began
        if self.address is None:
            yield ok("Ray", f"{ray.__version__} starts on this machine, in {took:.1f} s")
        nodes = ray_cluster.alive()
        if self.address:
            cpus, gpus = (
                sum(node["Resources"].get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU")
            )
            yield ok(
                "Ray",
                f"{ray.__version__} at {self.address}: {counted(len(nodes), 'machine')}, "
                f"{cpus:g} CPUs, {gpus:g} GPUs",
            )
            yield self._token()
            if not cpus:
                yield fail(
                    "Ray",
                    "no machine of the cluster has a core to give",
                    "start a worker: ray start --address=HEAD:6379",
                )
        yield from self._ask(nodes)

    def _token(self) -> Finding:
        if os.environ.get("RAY_AUTH_MODE") == "token":
            # Of this machine's variable nobody knows whether the cluster's head has it, too.
            return ok(
                "token",
                "this machine sends one, and the cluster takes it; it asks for one where its head "
                "was started with RAY_AUTH_MODE=token",
            )
        return note(
            "token",
            "none: whoever reaches the cluster's ports can run code on it",
            "RAY_AUTH_MODE=token and one RAY_AUTH_TOKEN on all machines",
        )

    def _ask(self, nodes: Sequence[dict[str, Any]]) -> Iterator[Finding]:
        """Have each machine examine itself; yield what stands in the way."""
        out = self.out
        payload = ray.put(bytes(PAYLOAD_BYTES))
        with _token_in(out) as token:
            asked: dict[str, Any] = {
                node["NodeManagerAddress"]: ray.remote(_examine)
                .options(
                    num_cpus=0, num_returns=2, scheduling_strategy=ray_tasks.on(node["NodeID"])
                )
                .remote(
                    self.packages,
                    str(out) if out else None,
                    token,
                    self.url,
                    payload,
                )
                for node in nodes
            }
            for address, (report, back) in asked.items():
                yield from self._answer(address, report, back)
        for node in nodes if self.address else ():
            if (address := node["NodeManagerAddress"]) in self.reports:
                self.skews[address] = _skew(node["NodeID"])

    def _answer(self, address: str, report: Any, back: Any) -> Iterator[Finding]:
        try:
            found: MachineReport = ray.get(report, timeout=ANSWER_SECONDS)
        except ray.exceptions.GetTimeoutError:
            yield fail(
                address,
                f"does not run a task within {ANSWER_SECONDS} s",
                "all ports must be open between the machines: docs/cluster.md#ports-and-security",
            )
            return
        except ray.exceptions.RayError as error:
            yield fail(address, f"cannot run a task: {first_line(error)}", "look at its log")
            return
        try:
            ray.get(back, timeout=ANSWER_SECONDS)
        except ray.exceptions.RayError:
            yield fail(
                address,
                f"runs tasks, but an object of {PAYLOAD_BYTES >> 20} MiB does not come back",
                "open the port of the object store: --object-manager-port of ray start",
            )
            return
        self.reports[address] = found
        if self.address:
            yield ok(
                address,
                f"Python {found.python}, {found.cores} cores, {found.memory_gib:.0f} GiB, "
                f"{len(found.usable_gpus)} GPUs; tasks and objects come and go",
            )
        else:
            yield ok("ports", "a task runs on loopback, and its objects come back")


@contextlib.contextmanager
def _token_in(folder: Path | None) -> Iterator[str]:
    """Have a file in a folder, or the nearest one above; yield its name, "" where none can be."""
    with contextlib.ExitStack() as kept:
        name = ""
        if folder:
            with contextlib.suppress(OSError):  # ``try_folder`` on each machine says so
                place = next(place for place in (folder, *folder.parents) if place.exists())
                file = kept.enter_context(
                    tempfile.NamedTemporaryFile(dir=place, prefix=".siamsearch-")
                )
                name = Path(file.name).name
        yield name


def _skew(node: str) -> float:
    """Return by how many seconds a machine's clock is ahead; it has run a task before."""
    asks = ray.remote(_clock).options(num_cpus=0, scheduling_strategy=ray_tasks.on(node))
    found = []
    for _ in range(3):  # of three questions the one that was answered first tells most
        began = time.time()
        there: float = ray.get(asks.remote(), timeout=ANSWER_SECONDS)
        ended = time.time()
        found.append((ended - began, there - (began + ended) / 2))
    return min(found)[1]


def _clock() -> float:
    return time.time()


def _examine(
    packages: Sequence[str], folder: str | None, token: str, url: str | None, payload: bytes
) -> tuple[MachineReport, bytes]:
    return examine(packages, folder, token, url), payload
