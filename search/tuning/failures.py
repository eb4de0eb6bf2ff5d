"""The kinds of failure of a trial, and whether and when the trial is tried again.

A trial is tried again after a cause that may be gone by then: a worker or a machine that died,
storage that cannot be reached. It is not after one that would return: settings that do not work, a
bug.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from facesiam.errors import shown

MEMORY, PREEMPTED, STORAGE, LOST, BUG = "memory", "preempted", "storage", "lost", "bug"
RETRIES = 3
"""How often a trial is tried again that dies without having reported another epoch."""
FIRST_WAIT = 2.0
"""Seconds before the first of them; twice as long before each further one."""
LOG_LINES = 10
"""How many of its log's last lines are kept of a trial that failed."""
UNKNOWN = "the worker died"
_KINDS = {
    MEMORY: r"OutOfMemory(Error)?\b|node running low on memory",
    PREEMPTED: r"\.Preempted: ",
    STORAGE: r"\.StorageError: ",
    LOST: r"The actor (died|is dead|is unavailable)|actor \S+ is unavailable|[Oo]wner\S* .*died"
    r"|node (dying|has died)|runtime environment|Worker exit type|\.Unseen: ",
}
"""Pattern of each kind in a traceback, or in what Ray gives instead; the first match counts."""
_MEMORY_KILL = re.compile(
    r"node running low on memory"
    r"(?:\. Memory on the node \(IP: (\S+),.*was (\S+) used / (\S+) limit)?"
)
"""Ray's monitor has ended workers: pages of text, with the command line of every process."""


def error_of(trial: Any) -> str:
    """Return the traceback of a trial's last failure.

    From Ray's file on this machine: ``trial.get_error`` looks where it is copied to later.
    """
    try:
        text = Path(trial.error_file).read_text(errors="replace")
    except (OSError, TypeError):
        return UNKNOWN
    return text.split("Failure # ")[-1]  # a trial that is tried again has the earlier ones too


def kind_of(error: str) -> str:
    """Return the kind of failure that a traceback is of."""
    # Ray puts this sentence in front of an error that the trial's own code raised at its start.
    error = error.replace("The actor died because of an error raised in its creation task", "")
    for kind, words in _KINDS.items():
        if re.search(words, error):
            return kind
    return LOST if error == UNKNOWN else BUG


def reason_of(error: str) -> str:
    """Return the sentence of a worker's traceback that a user needs."""
    if killed := _MEMORY_KILL.search(error):
        ip, used, limit = killed.groups()
        where = f" ({used} of {limit} in use on {ip})" if ip else ""
        return f"the machine's memory ran low{where}, so Ray ended the worker"
    for name in ("OutOfMemory", "OutOfMemoryError", "StorageError", "Preempted", "Unseen"):
        if found := re.search(rf"^(?:\w+\.)*{name}: (.*)$", error, re.MULTILINE):
            return shown(found[1])
    if kind_of(error) == LOST:
        pid, ip = (re.search(rf"\b{name}: (\S+)", error) for name in ("pid", "ip"))
        who = "the machine died" if "node has died" in error else UNKNOWN
        where = f"process {pid[1]} on {ip[1]}" if pid and ip else ""
        return f"{who} ({where})" if where else who
    lines = [shown(line.strip()) for line in error.strip().splitlines() if line.strip()]
    return (lines[-1] if lines else UNKNOWN)[:300]


def describe(error: OSError) -> str:
    """Return what the system could not do, with the file where the error names one."""
    said = str(error.strerror or error)
    return said if error.filename is None else f"{error.filename}: {said}"


def last_lines(log: Path) -> list[str]:
    """Return the last lines of a trial's log; none where it has none, or not on this machine."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [shown(line.rstrip()[:300]) for line in text.splitlines() if line.strip()][-LOG_LINES:]


class Retries:
    """Counts how often each trial died, and says when it may start again."""

    def __init__(self) -> None:
        self._deaths: dict[str, tuple[int, int]] = {}
        self._not_before: dict[str, float] = {}

    def next_delay(self, trial: str, epochs: int) -> float | None:
        """Return the seconds after which a trial that died is tried again; None: it is given up.

        Args:
            trial: its id.
            epochs: how many it has reported. A trial that gets further each time is never given
                up: it does not die by its own fault, but as machines are taken away.
        """
        deaths, reached = self._deaths.get(trial, (0, -1))
        deaths = 1 if epochs > reached else deaths + 1
        self._deaths[trial] = deaths, max(epochs, reached)
        if deaths > RETRIES:
            return None
        wait = FIRST_WAIT * 2.0 ** (deaths - 1)
        self._not_before[trial] = time.monotonic() + wait
        return wait

    def is_ready(self, trial: str) -> bool:
        """Say whether a trial's time has come."""
        return time.monotonic() >= self._not_before.get(trial, 0.0)

    def forget(self, trial: str) -> None:
        """Forget a trial that has ended."""
        self._deaths.pop(trial, None)
        self._not_before.pop(trial, None)
