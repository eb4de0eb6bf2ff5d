"""SIGTERM to the workers of trials on any machine, which save their states and end.

A process of the worker's own machine has to send the signal. On each other machine of a cluster an
actor without a core stands ready for that: a task would first start a process there, which takes
seconds where all cores train, of the few that a preempted machine has.

Workers import this file: its imports are light.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from search.tuning.ray_cluster import alive, worker_of
from search.tuning.ray_tasks import here, standing_actor


class Terminator:
    """The actor of one machine."""

    def terminate(self, pids: list[int]) -> None:
        """Send SIGTERM to processes of its machine."""
        terminate(pids)


def stand_ready() -> None:
    """Start the actor of each other machine that may run a trial, where it has none yet."""
    for node in alive():
        if node["NodeID"] != here() and node["Resources"].get("CPU"):
            _terminator(node["NodeID"])


def terminate_workers(trials: Iterable[Any]) -> None:
    """Send SIGTERM to the workers of Ray's trials."""
    pids: dict[str, list[int]] = {}
    for node, pid in filter(None, map(worker_of, trials)):
        pids.setdefault(node, []).append(pid)
    for node, processes in pids.items():
        if node == here():
            terminate(processes)
        else:
            _terminator(node).terminate.remote(processes)


def terminate(pids: Iterable[int]) -> None:
    """Send SIGTERM to processes of this machine."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _terminator(node: str) -> Any:
    """Return the actor of a machine; it is started where it is not there."""
    if node not in _terminators:
        _terminators[node] = standing_actor(Terminator, node)
    return _terminators[node]


_terminators: dict[str, Any] = {}
"""By machine; an actor lives as long as the reference to it here."""
