"""Callback: what a user's own code, or a tracker, is told of a running search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from facesiam.config import Value
from search.runs.journal import read_events, read_trials
from search.runs.line_format import TRIALS, EpochLine, TrialLine
from search.space import SearchSpace


@dataclass
class TrialRecord:
    """What is known of one trial."""

    settings: Mapping[str, Value]
    cost: Mapping[str, float] = field(default_factory=dict)
    """What its net costs in use, as ``on_cost`` tells it; empty: not measured."""
    epochs: dict[int, EpochLine] = field(default_factory=dict)
    """What each epoch measured, by epoch from 0, as ``on_epoch`` tells it."""
    status: str = "pending"
    """One of ``line_format.STATUSES``."""
    reason: str | None = None
    """Why it was stopped, failed or was interrupted; None: it was not."""
    began: float | None = None
    """When it first ran, in seconds since 1970; None: it has not."""
    ended: float | None = None
    """When its status was noted, in seconds since 1970; None: in this session."""


class Callback:
    """Is told what happens in a search; every method does nothing until a subclass overrides it.

    A callback runs in the process that drives the search, in a thread of its own: its methods are
    called one after the other, in the order of the events, and a slow one delays nothing. One that
    raises is reported once, in a sentence; the search goes on, and the callback is told of the
    later events all the same.

    A trial may begin more than once: after a crash, an interruption or a shortage of memory it
    goes on from its last saved state, and the epochs since then are told again. The last record of
    an epoch counts. What a method is given is also given to the other callbacks: it must not be
    changed.

    Example:
        class Printer(Callback):
            def on_epoch(self, trial, record):
                print(trial, record["epoch"], record["val_acc"])
    """

    @property
    def label(self) -> str:
        """What the messages call this callback."""
        return f"the callback {type(self).__name__}"

    @property
    def lacks(self) -> str:
        """A sentence on what it did not get, for the end of the search; empty: it got all."""
        return ""

    @property
    def kept(self) -> str:
        """Where it keeps a copy of the run, for the end of the search; empty: it keeps none."""
        return ""

    def on_search_start(
        self, run: Path, space: SearchSpace, resumed: Mapping[str, TrialRecord]
    ) -> None:
        """A search begins.

        Args:
            run: folder of the run.
            space: what is searched.
            resumed: the trials of earlier sessions, by name; empty for a new run.
        """

    def on_trial_start(self, trial: str, settings: Mapping[str, Value]) -> None:
        """A trial begins to run, or goes on.

        It comes before any ``on_trial_end`` of the trial, even where that ended before a worker
        was ready for it.

        Args:
            trial: its name.
            settings: every setting, also those that do not differ between trials.
        """

    def on_cost(self, trial: str, cost: Mapping[str, float]) -> None:
        """What the net of a trial costs in use is known: once, before its first ``on_epoch``.

        Args:
            trial: its name.
            cost: ``params``, ``macs`` (multiply-accumulates of a pair) and ``latency_ms``
                (milliseconds of a pair on the trial's device).
        """

    def on_epoch(self, trial: str, record: EpochLine) -> None:
        """A trial has ended an epoch.

        Args:
            trial: its name.
            record: ``epoch``, from 0, and the metrics by name, as a line of epochs.jsonl has them.
        """

    def on_trial_end(self, trial: str, status: str, reason: str | None) -> None:
        """A trial runs no more.

        Args:
            trial: its name.
            status: done, stopped, failed; interrupted: ``--resume`` goes on with it; pending: it
                is tried again.
            reason: why, where it was not done.
        """

    def on_search_end(self, stop: str | None) -> None:
        """The search ends.

        Args:
            stop: what cut it short; None: it came to its end.
        """


def reason_of(rule: str | None, why: str | None, spared: bool = False) -> str | None:
    """Return why a trial ended, as people read it.

    Args:
        rule: that stopped it, error or interrupted; None: nothing did.
        why: the reason.
        spared: the rule would have stopped it, and it ran on as a control.
    """
    if why is None:
        return None
    text = why if rule in (None, "error", "interrupted") else f"{rule}: {why}"
    return f"ran on as control; {text}" if spared else text


def recorded_trials(run: Path) -> dict[str, TrialRecord]:
    """Return what the journal of a run has of its trials, by name, in the order of their start.

    Raises:
        JournalError: the journal cannot be read, or lacks lines.
    """
    trials = {name: _record(line) for name, line in read_trials(run).items()}
    for file, row in read_events(run):
        trial = trials[row["trial"]]
        if file != TRIALS:
            own = ("n", "trial")
            trial.epochs[row["epoch"]] = {k: v for k, v in row.items() if k not in own}
        elif row["status"] == "running" and trial.began is None:
            trial.began = row.get("time")
    return trials


def _record(line: TrialLine) -> TrialRecord:
    """Return what a trial's last line says, without its epochs."""
    spared = bool(line.get("control")) and line["status"] == "done"
    reason = reason_of(line.get("stop_rule"), line.get("stop_reason"), spared)
    return TrialRecord(
        settings=line.get("settings") or {},
        cost=line.get("cost") or {},
        status=line["status"],
        reason=reason,
        ended=line.get("time"),
    )
