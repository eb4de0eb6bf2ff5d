"""The lease of a run behind a URL: an object there that names the driver that writes to it."""

from __future__ import annotations

import json
import os
import platform
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facesiam.device.processes import runs_elsewhere
from facesiam.storage.bucket import Bucket
from search.runs.line_format import JournalError, parsed

RENEWAL_SECONDS, EXPIRY_SECONDS = 10.0, 60.0
"""Seconds between two renewals, and without one until another driver may take over."""
LOCK = "lock.json"


class Lease:
    """Reserves a run behind a URL for this driver, as long as it is renewed.

    Args:
        bucket: of the run.
        say: shows the user that another driver's renewal is waited for.
    """

    def __init__(self, bucket: Bucket, say: Callable[[str], None]) -> None:
        self._bucket, self._say = bucket, say
        self._token = uuid.uuid4().hex
        self._written = -RENEWAL_SECONDS

    def take(self) -> None:
        """Take the run, but wait until another driver's lease has expired.

        Raises:
            JournalError: another driver renewed its lease meanwhile.
            StorageError: the URL cannot be reached.
        """
        held = self._bucket.read(LOCK)
        if held:
            sign = _holder(held)
            mine = sign["host"] == _host()
            dead = mine and not runs_elsewhere(sign["pid"])
            who = f"process {sign['pid']} on {sign['host']}"
            if not dead:
                wait = f"{EXPIRY_SECONDS:.0f} s for a sign of life from it"
                self._say(f"{self._bucket.url}: {who} had it; {wait}")
            began = time.monotonic()
            while not dead and time.monotonic() - began < EXPIRY_SECONDS:
                time.sleep(min(1.0, EXPIRY_SECONDS / 10))
                now = self._bucket.read(LOCK)
                if now is None:
                    break  # it has ended
                if now != held:
                    raise JournalError(
                        f"{self._bucket.url}: another search is running in it, {who}"
                    )
        self._write()

    def renew(self) -> None:
        """Renew the lease where it is time.

        Raises:
            JournalError: another driver has taken the run over.
            StorageError: the URL cannot be reached.
        """
        if time.monotonic() - self._written < RENEWAL_SECONDS:
            return
        sign = self._bucket.read(LOCK)
        held = _holder(sign) if sign else {}
        if held and held["token"] != self._token:
            raise JournalError(
                f"{self._bucket.url}: process {held['pid']} on {held['host']} has taken it over"
            )
        self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        sign = {"host": _host(), "pid": os.getpid(), "token": self._token, "time": time.time()}
        self._bucket.write(LOCK, json.dumps(sign).encode())

    def release(self) -> None:
        """Give the run up, so that another driver need not wait."""
        self._bucket.remove(Path(LOCK))


def _holder(held: bytes) -> dict[str, Any]:
    """Return host, pid and token of a lease; of a damaged one those of no process."""
    sign, why = parsed(held)
    forms = {"host": str, "pid": int, "token": str}
    if (
        why is None
        and isinstance(sign, dict)
        and all(isinstance(sign.get(name), form) for name, form in forms.items())
        and 0 < sign["pid"] < 2**31
    ):
        return {name: sign[name] for name in forms}
    return {"host": "a machine that is not known", "pid": 0, "token": ""}


def _host() -> str:
    return platform.node()
