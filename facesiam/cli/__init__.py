"""What every command does around its work: its exit code, and what a user sees of a failure."""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, TextIO, cast

from facesiam.cli import interrupts
from facesiam.errors import UserError, reason, shown

DONE, SOME_FAILED, WRONG_INPUT, STORAGE_FAILED = 0, 1, 2, 3
BROKEN = 70
"""Exit codes. 1 says that some trial failed, of search.compare that the candidate is worse, and
nothing else; 70 (EX_SOFTWARE of sysexits.h) that this program is at fault, which leaves a
traceback. Those of a signal are ``interrupts.CODES``."""
LIBRARIES = (
    "torch",
    "torchvision",
    "ray",
    "optuna",
    "pandas",
    "numpy",
    "PIL",
    "yaml",
    "rich",
    "scipy",
    "matplotlib",
    "plotly",
    "markdown_it",
    "pyarrow",
    "tensorboardX",
    "pytorch_metric_learning",
)
"""What pyproject.toml asks for, as it is imported."""
called_as: dict[str, str] = {}
"""By module the words that call a command, where they are not ``python -m MODULE``."""


def run(
    work: Callable[[], int],
    interrupted: str = "interrupted",
    refused: int = WRONG_INPUT,
    goes_on: bool = False,
) -> int:
    """Do a command's work, and turn what goes wrong on the user's side into a sentence.

    Args:
        work: returns the exit code.
        interrupted: what is said after a Ctrl-C.
        refused: the exit code where the system refused: a full disk, a folder that may not be
            written.
        goes_on: whether the work is worth more than what it shows: it goes on where stdout cannot
            be written any more, and ends with a sentence on SIGTERM too.

    Returns:
        The exit code: that of the work; 2 for wrong input; 130 after a Ctrl-C; where it goes on,
        143 after a SIGTERM, or the SIGHUP of a connection that was lost; 70 with a traceback where
        this program is at fault. A closed pipe behind stdout, as of ``| head``, ends a command
        quietly with 0, unless it goes on.
    """
    with _outlets(goes_on):
        return _handled(work, interrupted, refused, goes_on)


def _handled(work: Callable[[], int], interrupted: str, refused: int, all_signals: bool) -> int:
    """Do the work and return its exit code, as ``run``."""
    printable()
    try:
        with interrupts.raised(all_signals):
            _find_temporary()
            code = work()
            sys.stdout.flush()
        return code
    except UserError as error:
        say(str(error))
        return WRONG_INPUT
    except BrokenPipeError:
        _discard(sys.stdout)
        return DONE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        say(f"{where}{reason(error)}")
        return refused
    except interrupts.Interrupted as signalled:
        say(interrupted.replace("interrupted", signalled.word, 1))
        return signalled.code
    except KeyboardInterrupt:
        say(interrupted)
        return interrupts.CODES["interrupted"]
    except Exception as error:  # Python's own exit code would be 1: that some trial failed
        if isinstance(error, ModuleNotFoundError) and error.name in LIBRARIES:
            say(
                f"{error.name} is not installed in {sys.executable}; `make setup` installs all "
                "that is needed into .venv, whose Python is .venv/bin/python"
            )
            return WRONG_INPUT
        say(traceback.format_exc().rstrip())
        return BROKEN


def _find_temporary() -> None:
    """Have a folder for temporary files, without which torch is not even imported.

    Raises:
        UserError: there is none.
    """
    try:
        tempfile.gettempdir()
        return
    except FileNotFoundError as error:
        none = reason(error)
    for place in (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm"):
        if place and os.access(place, os.W_OK | os.X_OK):
            os.environ["TMPDIR"] = place
            return
    raise UserError(f"{none}; set TMPDIR to a folder that can be written")


def printable() -> None:
    """Have stdout and stderr write what their encoding lacks as escapes, instead of raising."""
    for given in (sys.stdout, sys.stderr):
        stream = given.stream if isinstance(given, Outlet) else given
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class NoDocstrings(UserError):
    """Python was started so that Ray cannot be imported."""


def needs_docstrings() -> int:
    """Refuse to go on without docstrings, which Ray edits while it is imported.

    Returns:
        The exit code of having them: 0.

    Raises:
        NoDocstrings: Python runs with -OO.
    """
    if sys.flags.optimize > 1:
        raise NoDocstrings(
            "python -OO strips docstrings, without which Ray cannot be imported; "
            "use -O, or PYTHONOPTIMIZE=1"
        )
    return DONE


def say(text: str) -> None:
    """Print to stderr where that is still possible."""
    with suppress(OSError, ValueError):  # closed, or on a full disk: there is nobody to tell
        print(text, file=sys.stderr, flush=True)


def show(text: object) -> None:
    """Print to stdout what may hold text of a file: without its control characters."""
    print(shown(text, longest=100_000))


def program(module: str) -> str:
    """Return the words that call a command, such as ``python -m search.run``.

    Where this command was called by the name of all, ``siamsearch run``, they are of that kind.
    """
    return called_as.get(module, f"python -m {module}")


class Parser(argparse.ArgumentParser):
    """Reads a command line; what it says of a wrong one is safe to print, as a UserError is.

    No text or path may be empty: that is what a shell makes of "$DATA" where nothing set it.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.register("type", None, _text)
        self.register("type", Path, lambda given: Path(_text(given)))

    def error(self, message: str) -> NoReturn:
        """Say how the command is used and what is wrong, and exit with 2."""
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message and unknown.startswith("--"):
            near = get_close_matches(unknown.split()[0], self._option_string_actions, n=1)
            message += f"; did you mean {near[0]}?" if near else ""
        super().error(shown(message))

    def _print_message(self, message: str, file: Any = None) -> None:
        printable()
        super()._print_message(message, file)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Exit; what was shown leaves the process here, where that fails without a traceback."""
        try:
            sys.stdout.flush()
        except (AttributeError, OSError, ValueError):
            if sys.stdout is not None:
                _discard(sys.stdout)
        super().exit(status, message)


def _text(given: str) -> str:
    if not given:
        raise argparse.ArgumentTypeError("is empty")
    return given


class Outlet(io.TextIOBase):
    """A text stream that is switched off for good once it cannot be written, instead of raising.

    Args:
        stream: the stream behind it.
        name: what it is called where its end is told, on stderr; "": that is told nobody.
    """

    def __init__(self, stream: TextIO, name: str = "") -> None:
        self.stream, self.name = stream, name

    def write(self, text: str) -> int:
        """Write the text, or nothing."""
        try:
            self.stream.write(text)
        except (OSError, ValueError) as error:
            self._switch_off(error)
        return len(text)

    def flush(self) -> None:
        """Have what was written leave this process, or nothing."""
        try:
            self.stream.flush()
        except (OSError, ValueError) as error:
            self._switch_off(error)

    def _switch_off(self, error: Exception) -> None:
        name, self.name = self.name, ""
        # What lies in its buffer goes nowhere now, nor does what other code writes there.
        _discard(self.stream)
        self.stream = io.StringIO() if self.stream.closed else self.stream
        if name:
            say(f"{name} cannot be written ({reason(error)}): nothing more is shown there")

    def fileno(self) -> int:
        """Return the descriptor behind it."""
        return self.stream.fileno()

    def isatty(self) -> bool:
        """Say whether it is a terminal."""
        return not self.stream.closed and self.stream.isatty()

    def writable(self) -> bool:
        """Say yes: what cannot be written is thrown away."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Name of its encoding."""
        return self.stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """What it does with what its encoding lacks."""
        return self.stream.errors


@contextmanager
def _outlets(goes_on: bool) -> Iterator[None]:
    """Within this stderr never raises, nor does stdout where the work goes on without it.

    A descriptor that was closed when this process began is taken up: the next file that is opened
    would get its number, and have written into it whatever is meant to be shown.
    """
    _take_up_closed()
    out, err = sys.stdout, sys.stderr
    given = out or _nothing(), Outlet(err or _nothing())
    sys.stdout = cast(TextIO, Outlet(given[0], "stdout")) if goes_on else given[0]
    sys.stderr = cast(TextIO, given[1])
    try:
        yield
    finally:
        if goes_on:
            sys.stdout.flush()
        sys.stdout, sys.stderr = out, err


def _nothing() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")


def _take_up_closed() -> None:
    """Have the three standard descriptors lead nowhere where they were closed."""
    for standard in range(3):
        try:
            os.fstat(standard)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)  # the lowest that is free
            if nowhere != standard:
                os.dup2(nowhere, standard)
                os.close(nowhere)
            os.set_inheritable(standard, True)


def _discard(stream: TextIO) -> None:
    """Point a stream at nothing: the interpreter would complain when it flushes at its end."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
    except (OSError, ValueError, io.UnsupportedOperation):
        pass
