"""Permissions of files that hold for root too, for tests of what may not be read."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

VERSION_3 = 0x20080522
READS_ALL = 1 << 1 | 1 << 2
"""Capabilities of root that pass over the mode of a file: DAC_OVERRIDE and DAC_READ_SEARCH."""


@contextmanager
def permissions_hold() -> Iterator[None]:
    """Have root refused what a file's mode refuses, in this thread and those that it starts.

    Another user always is. Needs Linux's capabilities where the user is root (capset(2)).
    """
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None)
    this_thread = (ctypes.c_uint32 * 2)(VERSION_3, 0)
    # Effective, permitted and inheritable: of the capabilities 0 to 31, then of 32 to 63.
    held = (ctypes.c_uint32 * 6)()
    assert libc.capget(this_thread, held) == 0
    assert libc.capset(this_thread, type(held)(held[0] & ~READS_ALL, *held[1:])) == 0
    try:
        yield
    finally:
        assert libc.capset(this_thread, held) == 0
