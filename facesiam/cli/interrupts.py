"""Signals that end a command: at any moment with a sentence, and never swallowed.

A KeyboardInterrupt is raised wherever the program happens to be, and code of others may catch it
there, turn it into an error of its own, or be called back where nothing can be raised. So the
signal is remembered as well, and the second one ends the process whatever it does.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

WORDS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "terminated",  # a connection that was dropped
}
CODES = {"interrupted": 130, "terminated": 143}
"""Exit codes of a command that a signal ended, by what happened."""


class Interrupted(KeyboardInterrupt):
    """A signal that ends a command."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.word = WORDS[signal.Signals(number)]
        self.code = CODES[self.word]


def while_importing() -> None:
    """Have a Ctrl-C end a command's start quietly: for seconds it only imports.

    For packages, at their top, where they are imported to be run by ``python -m``.
    """
    if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def _leave(_number: int, _frame: Any) -> NoReturn:
    with suppress(OSError):
        os.write(2, b"interrupted\n")
    os._exit(CODES["interrupted"])


@contextmanager
def raised(all_of_them: bool) -> Iterator[None]:
    """Within this a signal raises Interrupted, in the main thread; a second one ends the process.

    Args:
        all_of_them: SIGTERM and SIGHUP too, unless the latter is ignored, as by nohup.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread has signals
        return
    _seen.clear()
    numbers = [number for number in WORDS if all_of_them or number == signal.SIGINT]
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    before = {
        number: signal.signal(number, _told)
        for number in numbers
        if not (ignored and number == signal.SIGHUP)
    }
    if before[signal.SIGINT] is _leave:
        before[signal.SIGINT] = signal.default_int_handler
    unraisable, sys.unraisablehook = sys.unraisablehook, _quiet(sys.unraisablehook)
    try:
        yield
        check()
    except Interrupted:
        raise
    except BaseException:
        check()  # it may be what became of the interrupt
        raise
    finally:
        sys.unraisablehook = unraisable
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: not of Python's
        _seen.clear()


def check() -> None:
    """Raise Interrupted where a signal came, and whatever it raised was caught by somebody."""
    if _seen:
        raise Interrupted(_seen[0])


_seen: list[int] = []


def _told(number: int, _frame: Any) -> None:
    _seen.append(number)
    if len(_seen) > 1 and number != signal.SIGHUP:  # shell and system may both send one of those
        os._exit(Interrupted(_seen[0]).code)
    if len(_seen) == 1:
        raise Interrupted(number)


def _quiet(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a hook that says nothing of an interrupt where nothing can be raised."""

    def said(what: Any) -> None:
        """Say what could not be raised."""
        if not (what.exc_type and issubclass(what.exc_type, Interrupted)):
            hook(what)

    return said
