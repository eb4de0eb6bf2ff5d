"""What every command does around its work: its exit code, and what a user sees of a failure."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable

from facesiam.cli import interrupts
from facesiam.cli.parser import Parser as Parser  # every command knows it from here
from facesiam.cli.streams import discard, outlets
from facesiam.cli.streams import printable as printable
from facesiam.cli.streams import say as say
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
    with outlets(goes_on):
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
        return error.exit_code
    except BrokenPipeError:
        discard(sys.stdout)
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


def show(text: object) -> None:
    """Print to stdout what may hold text of a file: without its control characters."""
    print(shown(text, longest=100_000))


def program(module: str) -> str:
    """Return the words that call a command, such as ``python -m search.run``.

    Where this command was called by the name of all, ``siamsearch run``, they are of that kind.
    """
    return called_as.get(module, f"python -m {module}")
