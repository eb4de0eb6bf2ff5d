"""Processes of this machine: which of them run, and where this one writes its output."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from facesiam import cli


def runs_elsewhere(pid: int) -> bool:
    """Return whether a process with this number, other than this one, runs on this machine."""
    if pid == os.getpid() or not 0 < pid < 2**31:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def redirect_output(path: Path) -> None:
    """Write all further output of this process, stdout and stderr, to a new file.

    Raises:
        OSError: it cannot be written, or it is a link.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    file = os.open(path, flags, 0o666)
    cli.printable()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a full disk: no reason to lose a trial
            stream.flush()
    for standard in (1, 2):
        os.dup2(file, standard)
    os.close(file)
