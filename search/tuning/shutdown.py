"""The orderly end of a search by Ctrl-C, SIGTERM or its time limit: trials save their states."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from facesiam.cli.interrupts import WORDS
from search.tuning.search_state import SearchStop, StopReason
from search.tuning.worker_termination import terminate_workers

SAVE_SECONDS = 8.5
"""How long the trials have to save their states. A preempted machine has not much more than 10."""


class Stoppable(Protocol):
    """A search that can be asked to end, as by its ``Recorder``."""

    stop: SearchStop | None
    trials: dict[str, Any]
    terminate: Callable[[list[Any]], None]


def end_now() -> None:
    """End, from any thread, a search whose ``stop`` is set, as a second signal would."""
    if _threads:
        _raise_in(_threads[-1])
    elif callable(signal.getsignal(signal.SIGALRM)):
        os.kill(os.getpid(), signal.SIGALRM)


@contextmanager
def on_signals(
    recorder: Stoppable, minutes: float = 0.0, say: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Within this context a first signal halts the search, and a second one ends it at once.

    No trial of a halted search starts. Each that runs saves its state after its current step, and
    the search ends when all have, or after SAVE_SECONDS with KeyboardInterrupt.

    Args:
        recorder: of the search.
        minutes: time after which the search is halted as by a signal; 0: never.
        say: is told of a first signal, on a thread of its own: a signal may come while the main
            one writes; None: nobody is.

    On another thread than the main one, which alone has signals, only the time limit holds.
    """
    if threading.current_thread() is not threading.main_thread():
        with _on_thread(recorder, minutes):
            yield
        return
    handlers = _Handlers(recorder, say)
    recorder.terminate = _terminate
    ends = [number for number in WORDS if not _ignored(number)]
    before = {number: signal.signal(number, handlers.on_signal) for number in ends}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, handlers.on_alarm)
    signal.setitimer(signal.ITIMER_REAL, 60 * minutes)  # 0 sets none
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _on_thread(recorder: Stoppable, minutes: float) -> Iterator[None]:
    """Within this a search on a thread without signals is halted when its time is up."""
    recorder.terminate = _terminate
    searching, over = threading.get_ident(), threading.Event()

    def halt() -> None:
        """Wait for the time limit, then for the trials that save their states."""
        if over.wait(60 * minutes):
            return
        recorder.stop = SearchStop(StopReason.TIME_UP)
        _terminate(list(recorder.trials.values()))
        if not over.wait(SAVE_SECONDS):
            _raise_in(searching)

    if minutes:
        threading.Thread(target=halt, daemon=True, name="time limit").start()
    _threads.append(searching)
    try:
        yield
    finally:
        _threads.remove(searching)
        over.set()


_threads: list[int] = []
"""Threads without signals on which a search runs."""


def _raise_in(thread: int) -> None:
    """Raise KeyboardInterrupt in another thread, when it next executes Python."""
    interrupt = ctypes.py_object(KeyboardInterrupt)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), interrupt)


class _Handlers:
    """What is done on a signal and on an alarm; the arguments are those of ``on_signals``."""

    def __init__(self, recorder: Stoppable, say: Callable[[str], None] | None) -> None:
        self.recorder, self.say = recorder, say

    def on_signal(self, number: int, _frame: Any) -> None:
        """Halt the search, or end it where it is halted."""
        if self.recorder.stop:
            if number == signal.SIGHUP:  # the shell and the system may both send one
                return
            raise KeyboardInterrupt
        word = WORDS[signal.Signals(number)]
        self._halt(StopReason(word))
        if self.say:
            text = f"{word}: saving, at most {SAVE_SECONDS:g} s; once more ends at once"
            threading.Thread(target=self.say, args=(text,), daemon=True).start()

    def on_alarm(self, _number: int, _frame: Any) -> None:
        """Halt the search, as its time is up; or end it, as the time for saving is."""
        if self.recorder.stop:
            raise KeyboardInterrupt
        self._halt(StopReason.TIME_UP)

    def _halt(self, reason: StopReason) -> None:
        self.recorder.stop = SearchStop(reason)
        signal.setitimer(signal.ITIMER_REAL, SAVE_SECONDS)
        _terminate(list(self.recorder.trials.values()))


def _ignored(number: signal.Signals) -> bool:
    """Say whether a signal stays ignored, as nohup asks for."""
    return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN


def _terminate(trials: list[Any]) -> None:
    """Tell the workers of these trials to end, on a thread: a signal handler must not wait."""
    threading.Thread(target=terminate_workers, args=[trials], daemon=True).start()
