"""When each trial ran, as the journal notes it, and the hours of work of a search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.runs.journal import read_events
from search.runs.line_format import EPOCHS


@dataclass
class Period:
    """A stretch of time in which a worker ran a trial."""

    trial: str
    start: float
    """Seconds since 1970."""
    end: float = math.nan
    machine: str = ""
    epochs: list[dict[str, Any]] = field(default_factory=list)
    """Lines of the epochs that ended in it."""

    def cut(self) -> None:
        """End it with its last epoch, as no end was noted."""
        self.end = self.start + sum(map(_seconds, self.epochs))

    def times(self) -> list[float]:
        """Return when each epoch ended, reckoned back from the end by their seconds."""
        left, found = 0.0, []
        for line in reversed(self.epochs):
            found.append(max(self.start, self.end - left))
            left += _seconds(line)
        return found[::-1]


def periods(folder: Path) -> list[Period]:
    """Return what ran when, in order of start; what still runs ends with its last epoch.

    Raises:
        JournalError: the journal cannot be read.
    """
    found: list[Period] = []
    open_ones: dict[str, Period] = {}
    for name, line in read_events(folder):
        trial = line["trial"]
        if name == EPOCHS:
            if trial in open_ones:
                open_ones[trial].epochs.append(line)
        elif line.get("status") == "running" and line.get("time") is not None:
            if trial in open_ones and _is_note(line, open_ones[trial]):
                continue
            if trial in open_ones:  # its driver was killed
                open_ones[trial].cut()
            open_ones[trial] = Period(trial, line["time"])
            found.append(open_ones[trial])
        elif trial in open_ones and line.get("time") is not None:
            ended = open_ones.pop(trial)
            ended.end, ended.machine = line["time"], line.get("machine") or ""
    for still in open_ones.values():
        still.cut()
    return sorted((one for one in found if one.end >= one.start), key=lambda one: one.start)


def _is_note(line: Mapping[str, Any], on: Period) -> bool:
    """Return whether a line of a trial that runs notes something of it, and is no new start.

    What it is computed with and what its net costs are noted once they are known, and the control
    group when it is spared.
    """
    last = on.epochs[-1]["epoch"] if on.epochs else None
    told = bool({"ran", "cost"} & line.keys())
    return told or bool(line.get("control")) and line.get("stop_epoch") == last


def _seconds(line: Mapping[str, Any]) -> float:
    """Return how long an epoch took; 0 where that is not known."""
    seconds = line.get("seconds")
    return float(seconds) if seconds is not None and seconds > 0 else 0.0


class Clock:
    """Turns a time into hours of work, or minutes: times in which no trial ran are left out."""

    def __init__(self, ran: Sequence[Period]) -> None:
        """Remember when any of these periods was on."""
        self.busy: list[tuple[float, float]] = []
        for one in ran:
            if self.busy and one.start <= self.busy[-1][1]:
                start, end = self.busy.pop()
                self.busy.append((start, max(end, one.end)))
            else:
                self.busy.append((one.start, one.end))

        worked = sum(end - start for start, end in self.busy)
        self.unit, self.seconds = ("hours", 3600.0) if worked >= 3600 else ("minutes", 60.0)

    def at(self, time: float) -> float:
        """Return the hours or minutes of work before a time."""
        return sum(min(max(time, start), end) - start for start, end in self.busy) / self.seconds
