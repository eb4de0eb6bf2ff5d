"""The machines of a search and what each trial gets of them, in CPUs and GPUs.

Knows nothing of Ray, and imports torch only to count GPUs, so that a mistake is reported at once.
"""

from __future__ import annotations

import math
import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from facesiam.config.rounding import rounded_down
from facesiam.device.cores import cores
from facesiam.errors import UserError, counted
from search.space import SearchSpace
from search.space.domains import Amount


class DriverError(UserError, ValueError):
    """A run that cannot start on this machine or cluster; the text says why."""


class RayStartError(DriverError):
    """A Ray that does not start on this machine, though nothing that was asked for is wrong."""

    exit_code = 3
    """As where it dies later: the same command may do when the machine is less busy."""


@dataclass(frozen=True)
class Setup:
    """The folder, data and machines of a run."""

    run: Path
    data: str
    """Folder of the packed data."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """File of pretrained weights per net name."""
    address: str | None = None
    concurrent: int | None = None
    cpus: float | None = None
    """CPUs a trial, instead of the space's."""
    gpus: float | None = None
    storage: str | None = None
    """URL of the run where it lies behind one; `run` is then its folder on this machine."""
    dashboard: bool = False


HTTP2_BEGINS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""What a client of HTTP/2 sends first: its preface and an empty SETTINGS frame."""
HTTP2_SETTINGS = 4


def check_address(address: str) -> None:
    """Refuse, within seconds, an address where no Ray cluster answers.

    Raises:
        DriverError: it is not of the form host:port, or nothing answers there.
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
        with socket.create_connection((match[1], int(match[2])), timeout=3) as connection:
            is_ray = _may_be_ray(connection)
    except OSError as error:
        raise DriverError(
            f"--address {address}: nothing answers there ({error.strerror or error}); start a "
            "head with: ray start --head"
        ) from None
    if not is_ray:
        raise DriverError(
            f"--address {address}: something else than Ray answers there; give the port that "
            "`ray start --head` names, 6379 unless --port says another (8265 is the dashboard's)"
        )


def _may_be_ray(connection: socket.socket) -> bool:
    """Return whether what answers is a gRPC server, such as Ray's head, or answers nothing yet.

    Ray itself asks others for minutes. An HTTP/2 server begins with a SETTINGS frame (RFC 9113,
    3.4): a length of three bytes, then the type.
    """
    if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
        return True
    connection.settimeout(1)
    try:
        connection.sendall(HTTP2_BEGINS)
        answer = connection.recv(9)
    except TimeoutError:
        return True
    return len(answer) > 3 and answer[3] == HTTP2_SETTINGS


def check_gpus(space: SearchSpace, gpus: float | None) -> None:
    """Refuse, before Ray starts, a local run that asks for more GPUs than this machine has.

    Raises:
        DriverError: says how many there are.
    """
    there = int(this_machine()[0].gpus)
    for net in space.nets():
        requested = gpus if gpus is not None else space.resources.for_net(net)[1]
        if requested != "auto" and requested > there:
            given = "--gpus" if gpus is not None else f"resources of {net}: gpus"
            raise DriverError(
                f"{given} {requested:g}: more than the {counted(there, 'GPU')} of this machine; "
                "use --gpus "
                f"{min(there, 1)}, or --address for a cluster"
            )


class Node(NamedTuple):
    """The resources of a machine of the cluster."""

    cpus: float
    gpus: float


def this_machine() -> list[Node]:
    """Return this machine alone, without Ray."""
    from facesiam.device.hardware import gpu_names  # torch takes seconds to import

    return [Node(float(cores()), float(len(gpu_names())))]


class Allocation:
    """The share of the machines that each trial gets, and how many trials run at once.

    Args:
        space: whose `resources:` apply.
        setup: of the command line, which goes before the space.
        nodes: the machines.
        at_once: by net, how many trials share a GPU, or a machine's cores where there are none;
            used for `auto`. Without it a trial gets a whole GPU, or an equal share of cores.

    Raises:
        DriverError: a trial asks for more than any machine has.
    """

    def __init__(
        self,
        space: SearchSpace,
        setup: Setup,
        nodes: Sequence[Node],
        at_once: Mapping[str, int] | None = None,
    ) -> None:
        self.space, self.setup, self.nodes = space, setup, nodes
        self.at_once = at_once or {}
        if not any(node.cpus > 0 for node in nodes):
            raise DriverError("no machine has a core to give: a trial needs one")
        self.has_gpus = any(node.gpus >= 1 for node in nodes)
        self.fit = self._fit(nodes)
        """By net, how many trials the machines can have at once."""
        for net, trials in self.fit.items():
            if not trials:
                cpus, gpus = self.of(net)
                most = Node(max(n.cpus for n in nodes), max(n.gpus for n in nodes))
                raise DriverError(
                    f"resources: a trial with {net} asks for {cpus:g} cpus and {gpus:g} gpus; "
                    f"no machine has both, the most are {most.cpus:g} and {most.gpus:g}"
                )
        self.concurrent = self.at_once_on(nodes)

    def at_once_on(self, nodes: Sequence[Node]) -> int:
        """Return how many trials these machines can have at once.

        Of nets with different shares, as many as fit of the smallest; Ray holds back the others.
        """
        self.fit = self._fit(nodes)
        return self.setup.concurrent or max(self.fit.values())

    def part(self, net: str, doublings: int = 0) -> float:
        """Return the part of all machines together that a trial with this net gets, in (0, 1].

        Args:
            net: its net.
            doublings: how often its share was doubled.
        """
        return min(1.0, float(2**doublings) / max(1, self.fit[net]))

    def of(self, net: str, doublings: int = 0) -> tuple[float, float]:
        """Return (CPUs, GPUs) of a trial with this net; `auto` is resolved here.

        Args:
            net: its net.
            doublings: how often the trial has run out of memory: each time doubles its share.
        """
        cpus, gpus = self.requested(net)
        if gpus == "auto":
            gpus = 1 / self._on_a_gpu(net) if self.has_gpus else 0.0
        if cpus == "auto":
            gpus = float(gpus)
            cpus = min(self._auto_cpus(net, node, gpus) for node in self._usable(gpus))
        cpus, gpus = float(cpus), float(gpus)
        if gpus:
            return cpus, gpus if gpus >= 1 else min(1.0, gpus * 2**doublings)
        return min(cpus * 2**doublings, max(cpus, *(node.cpus for node in self.nodes))), gpus

    def can_double(self, net: str, doublings: int) -> bool:
        """Say whether a trial can get more than it has."""
        return self.of(net, doublings + 1) != self.of(net, doublings)

    def describe(self, net: str, doublings: int = 0) -> str:
        """Return a trial's share in words."""
        cpus, gpus = self.of(net, doublings)
        return f"{gpus:g} gpus" if gpus else f"{cpus:g} cpus"

    def requested(self, net: str) -> tuple[Amount, Amount]:
        """Return (CPUs, GPUs) as requested, either of which may be `auto`."""
        cpus, gpus = self.space.resources.for_net(net)
        return (
            self.setup.cpus if self.setup.cpus is not None else cpus,
            self.setup.gpus if self.setup.gpus is not None else gpus,
        )

    def _on_a_gpu(self, net: str) -> int:
        """Return how many trials share a GPU: as measured, but none idles beside a shared one."""
        measured, count = self.at_once.get(net, 1), self.space.count()
        if count is None:
            return measured
        return min(measured, math.ceil(count / sum(node.gpus for node in self.nodes)))

    def _usable(self, gpus: float) -> Sequence[Node]:
        """Return the machines that have the GPUs, or all where none has.

        A cluster's head often has no CPU to give.
        """
        there = [node for node in self.nodes if node.cpus >= 1] or [
            node for node in self.nodes if node.cpus > 0
        ]
        return [node for node in there if node.gpus >= gpus] or there or self.nodes

    def _auto_cpus(self, net: str, node: Node, gpus: float) -> float:
        """Share a machine's cores among the trials that it will run at once."""
        if gpus:
            slots = max(1.0, rounded_down(node.gpus / gpus))
        elif net in self.at_once:
            slots = min(self.at_once[net], self.space.count() or math.inf)
        else:
            slots = min(node.cpus, self.space.count() or node.cpus)
        slots = max(1.0, min(slots, self.setup.concurrent or slots))
        # On a machine with less than a core to give, a trial gets all of it.
        return max(min(1.0, node.cpus), node.cpus // slots)

    def _fit(self, nodes: Sequence[Node]) -> dict[str, int]:
        return {net: sum(self._fits(net, node) for node in nodes) for net in self.space.nets()}

    def _fits(self, net: str, node: Node) -> int:
        cpus, gpus = self.of(net)
        at_once = rounded_down(node.cpus / cpus) if cpus else math.inf
        return int(min(at_once, rounded_down(node.gpus / gpus) if gpus else math.inf))
