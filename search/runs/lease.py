"""The sign of life behind a run's URL, which says which driver has the run."""

from __future__ import annotations

import json
import os
import platform
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facesiam.bucket import Bucket
from facesiam.processes import runs_elsewhere
from search.runs.line_format import JournalError, parsed

SIGNING, SILENCE = 10.0, 60.0
"""Seconds between a driver's signs of life, and without one until another may take over."""
LOCK = "lock.json"


class Lease:
    """Says behind a run's URL that this driver has the run, for as long as it renews that.

    Args:
        bucket: of the run.
        say: told when another driver's sign is waited for.
    """

    def __init__(self, bucket: Bucket, say: Callable[[str], None]) -> None:
        self._bucket, self._say = bucket, say
        self._token = uuid.uuid4().hex
        self._written = -SIGNING

    def take(self) -> None:
        """Take the run, after a driver that has it was silent for SILENCE.

        Raises:
            JournalError: another driver has it, and lives.
            StorageError: the URL cannot be reached.
        """
        held = self._bucket.read(LOCK)
        if held:
            sign = _signed_by(held)
            mine = sign["host"] == _host()
            dead = mine and not runs_elsewhere(sign["pid"])
            who = f"process {sign['pid']} on {sign['host']}"
            if not dead:
                self._say(
                    f"{self._bucket.url}: {who} had it; {SILENCE:.0f} s for a sign of life from it"
                )
            began = time.monotonic()
            while not dead and time.monotonic() - began < SILENCE:
                time.sleep(min(1.0, SILENCE / 10))
                now = self._bucket.read(LOCK)
                if now is None:
                    break  # it has ended
                if now != held:
                    raise JournalError(
                        f"{self._bucket.url}: another search is running in it, {who}"
                    )
        self._write()

    def renew(self) -> None:
        """Give a sign of life where it is time.

        Raises:
            JournalError: another driver has taken the run over.
            StorageError: the URL cannot be reached.
        """
        if time.monotonic() - self._written < SIGNING:
            return
        sign = self._bucket.read(LOCK)
        held = _signed_by(sign) if sign else {}
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
        """Let another driver have the run at once."""
        self._bucket.remove(Path(LOCK))


def _signed_by(held: bytes) -> dict[str, Any]:
    """Return host, pid and token of a sign of life; of one that says none, that nobody has."""
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
