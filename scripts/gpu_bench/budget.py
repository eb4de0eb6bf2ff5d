"""The running of the parts, each in a process of its own that is cut when its time is over.

A part that crashes, hangs or fills the GPU's memory costs itself and its share of the minutes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from facesiam import cli

from .parts import PARTS, missing, summarise
from .record import Record

END_SECONDS = 15.0
"""What a part that is told to end has for that, as a search that saves its trials' states."""


def run_parts(
    record: Record,
    minutes: float,
    command: Callable[[str, float], Sequence[str]],
    names: Sequence[str],
) -> list[str]:
    """Run the parts that are not done, in their order; return the figures that are missing.

    What a part leaves of its share the later ones have.

    Args:
        record: of the figures.
        minutes: for all of them.
        command: returns the command of a part in so many seconds.
        names: of the parts.
    """
    began = time.monotonic()
    waiting = [name for name in PARTS if name in names and not record.done(name)]
    for at, name in enumerate(waiting):
        left = 60 * minutes - (time.monotonic() - began) - END_SECONDS  # of one that is cut
        shares = [PARTS[one].share for one in waiting[at:]]
        seconds = max(0.0, left) * shares[0] / sum(shares)
        cli.say(f"{name}: {seconds:.0f} s")
        start = time.monotonic()
        code = _run(command(name, seconds), seconds)
        record.read()
        summarise(name, record)
        if code is None:
            how = "cut"
        elif code or missing(name, record):
            how = f"failed, exit code {code}" if code else "failed"
        else:
            how = "done"
        record.end(name, time.monotonic() - start, how)
        cli.say(f"{name}: {how} after {time.monotonic() - start:.0f} s")
    return [f"{name}/{figure}" for name in names for figure in missing(name, record)]


def _run(command: Sequence[str], seconds: float) -> int | None:
    """Run a part; return its exit code, or None where it was cut."""
    child = subprocess.Popen(command, stdout=sys.stderr, start_new_session=True)
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a part and what it has started, if it still runs."""
    with suppress(ProcessLookupError):
        if child.poll() is None:
            child.terminate()  # a search hands that on to its trials
            with suppress(subprocess.TimeoutExpired):
                child.wait(END_SECONDS)
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def end_with_parent() -> None:
    """Have this process end once the one that started it is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="parent").start()
