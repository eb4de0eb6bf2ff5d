"""What every command does around its work: its exit code, and what a user sees of a failure."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable

from facesiam.errors import UserError, reason

DONE, SOME_FAILED, WRONG_INPUT, STORAGE_FAILED, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 130, 143
"""Exit codes. 1 says that some trial failed, and nothing else."""


def run(
    work: Callable[[], int], interrupted: str = "interrupted", refused: int = WRONG_INPUT
) -> int:
    """Do a command's work, and turn what goes wrong on the user's side into a sentence.

    Args:
        work: returns the exit code.
        interrupted: what is said after a Ctrl-C.
        refused: the exit code where the system refused: a full disk, a folder that may not be
            written.

    Returns:
        The exit code: that of the work; 2 for wrong input; 130 after a Ctrl-C. A closed pipe
        behind stdout, as of ``| head``, ends a command quietly with 0.
    """
    printable()
    try:
        code = work()
        sys.stdout.flush()
        return code
    except UserError as error:
        say(str(error))
        return WRONG_INPUT
    except BrokenPipeError:
        _discard_stdout()
        return DONE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        say(f"{where}{reason(error)}")
        return refused
    except KeyboardInterrupt:
        say(interrupted)
        return INTERRUPTED


def printable() -> None:
    """Have stdout and stderr write what their encoding lacks as escapes, instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """Print to stderr where that is still possible."""
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):  # closed, or on a full disk: there is nobody to tell
        pass


def _discard_stdout() -> None:
    """Point stdout at nothing: the interpreter would complain when it flushes at its end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, io.UnsupportedOperation):
        pass
