"""Gaps in a journal: line numbers that are missing, and epochs that a trial must have had."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from facesiam.errors import counted, inflected
from facesiam.files import exists
from search.runs.line_format import EPOCHS, TRIALS, JournalError, repair_hint

MAX_NAMED = 5
"""The most trials, and ranges of numbers, that a message names."""
NO_RULE = (None, "error", "interrupted")
"""Values of `stop_rule` of trials that no rule stopped."""


class GapDetector:
    """Looks at the lines of a journal in order, and says at the end what is missing."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.number = 0
        self.lines: list[tuple[int, int]] = []
        """Ranges of missing numbers, first and last."""
        self.trials: dict[str, dict[str, Any]] = {}
        """By trial the fields that say how many epochs it must have."""
        self.epochs: dict[str, int] = {}
        """By trial the number after its last epoch."""
        self.holes: dict[str, set[int]] = {}
        self.strays: dict[str, None] = {}
        """Trials that have epochs and no line of their own, in order."""

    def over(
        self, events: Iterable[tuple[str, dict[str, Any]]]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the events unchanged, after looking at each."""
        for name, row in events:
            self._see(name, row)
            yield name, row

    def close(self) -> None:
        """Raise an error where something is missing.

        Raises:
            JournalError: says what is missing, and what to do.
        """
        missing = {trial: lost for trial in self.trials if (lost := self._lost(trial))}
        if not self.lines and not missing and not self.strays:
            return
        if not exists(self.run / TRIALS):  # of which a repair would leave nothing
            raise JournalError(
                f"{self.run}: {TRIALS} is missing, though {EPOCHS} has "
                f"{counted(sum(self.epochs.values()), 'epoch')} of "
                f"{counted(len(self.strays), 'trial')}; what they ran with stands in {TRIALS} "
                "alone: use a whole copy of both files"
            )
        said = []
        if self.lines:
            count = sum(last - first + 1 for first, last in self.lines)
            which = _listed([_range(first, last) for first, last in self.lines])
            which = f"{inflected(count, 'number')} {which}"
            said.append(f"{count} of its lines, {which}, {_are(count)} missing")
        if self.strays:
            names, count = _listed(list(self.strays)), len(self.strays)
            lines, trials = inflected(count, "line"), inflected(count, "trial")
            said.append(f"the {lines} of {trials} {names} {_are(count)} missing")
        if missing:
            each = [f"{_epochs(lost)} of trial {trial}" for trial, lost in missing.items()]
            said.append(f"{_listed(each)} {_are(sum(map(len, missing.values())))} missing")
        raise JournalError(
            f"{self.run}: the journal ({TRIALS}, {EPOCHS}) is not whole: {'; '.join(said)}. A "
            "copy that was made while a search was writing is like this, and so are files that "
            f"were cut. Use a whole copy of both files; or {repair_hint()}, and keeps them as "
            "they are"
        )

    def _see(self, name: str, row: Mapping[str, Any]) -> None:
        trial, number = row["trial"], row.get("n")
        if number is not None:
            if number > self.number + 1:
                self.lines.append((self.number + 1, number - 1))
            if number == self.number:
                raise JournalError(
                    f"{self.run}: {TRIALS} and {EPOCHS} both have a line number "
                    f"{number}, as where two searches wrote to one run; {repair_hint()}"
                )
            self.number = number
        if name == TRIALS:
            known = {key: row[key] for key in ("status", "stop_rule", "stop_epoch") if key in row}
            if "epochs" in row.get("settings", {}):
                known["planned"] = row["settings"]["epochs"]
            self.trials[trial] = {**self.trials.get(trial, {}), **known}
            return
        if trial not in self.trials:
            self.strays[trial] = None
        epoch, have = row["epoch"], self.epochs.get(trial, 0)
        if epoch > have:
            holes = self.holes.setdefault(trial, set())
            holes |= set(range(have, min(epoch, have + 10_000)))
        self.holes.get(trial, set()).discard(epoch)
        self.epochs[trial] = max(have, epoch + 1)

    def _lost(self, trial: str) -> list[int]:
        """Return the missing epochs of a trial."""
        have = self.epochs.get(trial, 0)
        return [*sorted(self.holes.get(trial, ())), *range(have, epochs_due(self.trials[trial]))]


def epochs_due(known: Mapping[str, Any]) -> int:
    """Return how many epochs the journal must have of a trial.

    Args:
        known: `status`, `planned` epochs, `stop_rule` and `stop_epoch`, as far as they are known.
    """
    planned = known.get("planned")
    if known["status"] == "done" and isinstance(planned, int) and not isinstance(planned, bool):
        return min(planned, 10_000)
    if known.get("stop_rule") not in NO_RULE and known.get("stop_epoch") is not None:
        return min(int(known["stop_epoch"]) + 1, 10_000)
    return 0


def _are(count: int) -> str:
    return inflected(count, "is", "are")


def _epochs(lost: list[int]) -> str:
    parts, start = [], 0
    for at in range(1, len(lost) + 1):
        if at == len(lost) or lost[at] != lost[at - 1] + 1:
            parts.append(_range(lost[start], lost[at - 1]))
            start = at
    return f"{inflected(len(lost), 'epoch')} {_listed(parts)}"


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"


def _listed(parts: list[str]) -> str:
    more = f" and {len(parts) - MAX_NAMED} more" if len(parts) > MAX_NAMED else ""
    return ", ".join(parts[:MAX_NAMED]) + more
