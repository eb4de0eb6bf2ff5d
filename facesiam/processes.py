"""Processes of this machine, by their numbers."""

from __future__ import annotations

import os


def runs_elsewhere(pid: int) -> bool:
    """Return whether another process of this machine than this one has a number and runs."""
    if pid == os.getpid() or not 0 < pid < 2**31:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True
