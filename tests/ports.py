"""Servers of the tests: a free port of loopback, and the answer of one that starts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen


def free_port() -> int:
    """Return a port of loopback that nothing listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answer(address: str) -> Any:
    """Return the JSON at an address."""
    with urlopen(address, timeout=60) as given:
        return json.load(given)


@contextmanager
def served(
    command: Sequence[str], health: str = "", cwd: Path | None = None, **environment: str
) -> Iterator[str]:
    """Run a server on a free port of loopback; yield its address, once it answers.

    Args:
        command: of the server; it gets ``--port``.
        health: path below the address that answers as soon as the server is there.
        cwd: folder that it runs in.
        environment: variables of its environment, besides those of this process.
    """
    port = free_port()
    running = subprocess.Popen(
        [*command, "--port", str(port)],
        env={**os.environ, "PYTHONPATH": "", **environment},
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/{health}", running)
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait()


def wait_for(address: str, served: subprocess.Popen[Any], seconds: float = 120) -> None:
    """Wait until a server that was started answers."""
    until = time.monotonic() + seconds
    while True:
        try:
            urlopen(address, timeout=60).close()
            return
        except OSError:
            assert served.poll() is None, "the server has ended"
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(0.2)
