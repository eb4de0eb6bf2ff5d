"""The watch over the Ray that runs a search: a daemon of this machine or a cluster's head may die.

Ray does not tell its driver. Without a raylet every trial is tried again in vain. Without a head
Ray ends the driver's process after a minute, with nothing noted.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import ray

from facesiam import cli
from search.tuning import ray_session
from search.tuning.ray_cluster import this_node
from search.tuning.recorder import Recorder
from search.tuning.search_state import SearchStop, StopReason
from search.tuning.shutdown import SAVE_SECONDS, end_now
from search.tuning.worker_termination import terminate

LOOK_SECONDS = 2.0
"""Between two looks."""
SILENCE_SECONDS = 40.0
"""How long a cluster's head may not answer, as it may be starting again. After 60 seconds Ray ends
this process."""
STUCK_SECONDS = 6.0
"""How long a search that was asked to end may take before it counts as hanging within Ray."""
DAEMONS = ("raylet", "gcs_server")


class RayDied(OSError):
    """Ray has died; the text says which part of it."""


class RayWatch:
    """Checks whether the Ray of this process is alive."""

    def __init__(self) -> None:
        self.node = this_node()
        self.raylet = _raylet(self.node.raylet_socket_name)
        self.heard = time.monotonic()

    def lost(self) -> str | None:
        """Return a sentence on what has died; None while all is alive."""
        for daemon, process in self.node.dead_processes():  # those that this process started
            if daemon in DAEMONS:
                return f"Ray's {daemon} has died{_exit_text(process.returncode)}"
        if self.raylet and _started(self.raylet[0]) != self.raylet[1]:
            return "the raylet of this machine has died"
        if self._answers():
            self.heard = time.monotonic()
        silent = time.monotonic() - self.heard
        if silent > SILENCE_SECONDS:
            return f"Ray's head at {self.node.gcs_address} has not answered for {silent:.0f} s"
        return None

    def workers(self) -> list[int]:
        """Return the processes of this machine in which trials run."""
        if not self.raylet:
            return []
        named = {pid: ray_session.name_of(pid) for pid in ray_session.children(self.raylet[0])}
        return [pid for pid, name in named.items() if name.startswith("ray::ResourceTrainable")]

    def _answers(self) -> bool:
        host, _, port = self.node.gcs_address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=LOOK_SECONDS).close()
        except OSError:
            return False
        return True


def get(asked: Any, seconds: float) -> Any:
    """Return what a task returned, as ``ray.get``.

    Raises:
        RayDied: Ray has died meanwhile.
        GetTimeoutError: it has not ended within so many seconds.
    """
    watch, until = RayWatch(), time.monotonic() + seconds
    while not ray.wait([asked], timeout=LOOK_SECONDS)[0] and time.monotonic() < until:
        if why := watch.lost():
            died.append(why)
            raise RayDied(why)
    return ray.get(asked, timeout=0)


@contextmanager
def watched(recorder: Recorder, on_ray_death: Callable[[str], int]) -> Iterator[None]:
    """Within this context a search whose Ray has died is halted, and then ended.

    The trials that still run on this machine save their states first. They can do so without a
    head, and not without a raylet.

    Args:
        recorder: of the search.
        on_ray_death: called where the watching thread has to end the process, as the main one
            waits within Ray for a head that will never answer; takes the sentence on what has
            died, shows it, and returns the exit code.
    """
    watch, over = RayWatch(), threading.Event()

    def look() -> None:
        """Look at Ray until the context ends, on a thread of its own."""
        while not over.wait(LOOK_SECONDS):
            if why := watch.lost():
                died.append(why)
                recorder.stop = SearchStop(StopReason.FAILED, why)
                terminate(watch.workers())
                over.wait(SAVE_SECONDS)
                end_now()
                if not over.wait(STUCK_SECONDS):
                    _end(recorder, on_ray_death, why)
                return

    thread = threading.Thread(target=look, daemon=True, name="watch")
    thread.start()
    try:
        yield
    finally:
        over.set()


def _end(recorder: Recorder, on_ray_death: Callable[[str], int], why: str) -> NoReturn:
    """End the process in place of a main thread that hangs."""
    code = cli.STORAGE_FAILED
    try:
        recorder.close()
        code = on_ray_death(why)
    finally:  # whatever went wrong on the way: nothing else will end the process
        exit_now(code)


died: list[str] = []
"""Sentences on what has died of this process's Ray."""


def exit_now(code: int) -> NoReturn:
    """End the process of a command whose Ray has died: Python's own exit would wait for Ray."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    ray_session.end()
    os._exit(code)


def _raylet(socket_name: str) -> tuple[int, str] | None:
    """Return number and start of the raylet with this socket; None where it cannot be seen."""
    option = f"--raylet_socket_name={socket_name}".encode()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            given = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if option in given and given[0].endswith(b"raylet"):
            pid = int(place.name)
            return (pid, start) if (start := _started(pid)) else None
    return None


def _started(pid: int) -> str | None:
    """Return when a process was started, in the system's ticks; None: it runs no more."""
    fields = ray_session.status_of(pid)
    return None if not fields or fields[0] in "ZX" else fields[19]


def _exit_text(code: int) -> str:
    """Return how a daemon ended, in brackets."""
    if code >= 0:
        return f" (exit code {code})"
    more = ", as the system does that runs out of memory" if code == -signal.SIGKILL else ""
    return f" ({signal.Signals(-code).name}{more})"
