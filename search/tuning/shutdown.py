"""SIGTERM, Ctrl-C, time that is up: the trials that run save their state, the search ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from facesiam.cli.interrupts import WORDS
from search.tuning.ray_cluster import terminate_workers
from search.tuning.recorder import Recorder
from search.tuning.search_state import SearchStop, StopReason

SECONDS = 8.5
"""How long the trials have to save their states. A preempted machine has not much more than 10."""


@contextmanager
def on_signals(recorder: Recorder, minutes: float = 0.0) -> Iterator[None]:
    """Within this, a first signal halts the search, and a second one ends it at once.

    Halted, no trial starts, each that runs saves its state after its step at hand, and the search
    ends when all have, or after SECONDS with KeyboardInterrupt.

    Args:
        recorder: of the search.
        minutes: after which it is halted as by a signal; 0: never.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread has signals
        return

    def first(number: int, frame: Any) -> None:
        if recorder.stop:
            if number == signal.SIGHUP:  # the shell and the system may both send one
                return
            raise KeyboardInterrupt
        halt(StopReason(WORDS[signal.Signals(number)]))

    def alarm(number: int, frame: Any) -> None:
        if recorder.stop:
            raise KeyboardInterrupt
        halt(StopReason.TIME_UP)

    def halt(reason: StopReason) -> None:
        recorder.stop = SearchStop(reason)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        _aside(list(recorder.trials.values()))

    recorder.terminate = _aside
    before = {number: signal.signal(number, first) for number in WORDS if not _waived(number)}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, 60 * minutes)  # 0 sets none
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _waived(number: signal.Signals) -> bool:
    """Say whether a signal is to stay ignored, as nohup has it."""
    return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN


def _aside(trials: list[Any]) -> None:
    threading.Thread(target=terminate_workers, args=[trials], daemon=True).start()
