"""Servers of the tests: a free port of loopback, and the answer of one that starts."""

from __future__ import annotations

import json
import socket
import subprocess
import time
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
