"""Notices that Ray itself has died under a search: a daemon on this machine, a cluster's head.

Ray does not tell its driver. Without a raylet every trial is tried again in vain, and without a
head the driver's own process is ended after a minute, with nothing noted.
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
from search.tuning.ray_cluster import terminate, this_node
from search.tuning.recorder import Recorder
from search.tuning.search_state import SearchStop, StopReason
from search.tuning.shutdown import SECONDS

LOOK = 2.0
"""Seconds between two looks."""
SILENCE = 40.0
"""Seconds for which a cluster's head may not answer: it may be starting again. After 60 Ray ends
this process."""
STUCK = 6.0
"""Seconds after which a search that was told to end hangs within Ray."""
DAEMONS = ("raylet", "gcs_server")


class Lost(OSError):
    """Ray has died; the text says what of it."""


class Watch:
    """Looks whether the Ray of this process lives."""

    def __init__(self) -> None:
        self.node = this_node()
        self.raylet = _raylet(self.node.raylet_socket_name)
        self.heard = time.monotonic()

    def lost(self) -> str | None:
        """Return what has died; None while all lives."""
        for daemon, process in self.node.dead_processes():  # those that this process started
            if daemon in DAEMONS:
                return f"Ray's {daemon} has died{_told(process.returncode)}"
        if self.raylet and _started(self.raylet[0]) != self.raylet[1]:
            return "the raylet of this machine has died"
        if self._answers():
            self.heard = time.monotonic()
        silent = time.monotonic() - self.heard
        if silent > SILENCE:
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
            socket.create_connection((host.strip("[]"), int(port)), timeout=LOOK).close()
        except OSError:
            return False
        return True


def get(asked: Any, seconds: float) -> Any:
    """Return what a task returned, as ``ray.get``.

    Raises:
        Lost: Ray has died meanwhile.
        GetTimeoutError: it has not ended within so many seconds.
    """
    watch, until = Watch(), time.monotonic() + seconds
    while not ray.wait([asked], timeout=LOOK)[0] and time.monotonic() < until:
        if why := watch.lost():
            died.append(why)
            raise Lost(why)
    return ray.get(asked, timeout=0)


@contextmanager
def watched(recorder: Recorder, dead_end: Callable[[str], int]) -> Iterator[None]:
    """Within this a search whose Ray has died is halted, and then ended.

    The trials that still run on this machine save their states first, which they can without a
    head, and without a raylet cannot.

    Args:
        recorder: of the search.
        dead_end: told what has died where this thread has to end the process, as the search's own
            waits within Ray for a head that will never answer; shows it, returns the exit code.
    """
    watch, over = Watch(), threading.Event()

    def look() -> None:
        """Look now and then, on a thread of its own; halt the search once Ray has died."""
        while not over.wait(LOOK):
            if why := watch.lost():
                died.append(why)
                recorder.stop = SearchStop(StopReason.FAILED, why)
                terminate(watch.workers())
                over.wait(SECONDS)
                if callable(signal.getsignal(signal.SIGALRM)):  # see shutdown.py
                    os.kill(os.getpid(), signal.SIGALRM)
                if not over.wait(STUCK):
                    _end(recorder, dead_end, why)
                return

    thread = threading.Thread(target=look, daemon=True, name="watch")
    thread.start()
    try:
        yield
    finally:
        over.set()


def _end(recorder: Recorder, dead_end: Callable[[str], int], why: str) -> NoReturn:
    """End the process in place of a main thread that hangs."""
    code = cli.STORAGE_FAILED
    try:
        recorder.close()
        code = dead_end(why)
    finally:  # whatever went wrong on the way: nobody else will end it
        leave(code)


died: list[str] = []
"""What of this process's Ray has died."""


def leave(code: int) -> NoReturn:
    """End the process of a command whose Ray has died, which it cannot be asked to end itself."""
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


def _told(code: int) -> str:
    if code >= 0:
        return f" (exit code {code})"
    more = ", as the system does that runs out of memory" if code == -signal.SIGKILL else ""
    return f" ({signal.Signals(-code).name}{more})"
