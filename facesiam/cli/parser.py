"""The parser of command lines that all commands share."""

from __future__ import annotations

import argparse
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from facesiam.cli.streams import discard, printable
from facesiam.errors import shown


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

    def add_subparsers(self, **options: Any) -> Any:
        """Add commands, whose own parsers read their arguments, and say which one is empty."""
        commands = super().add_subparsers(**options)
        commands.type = str
        return commands

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            near = get_close_matches(str(value), [str(one) for one in action.choices or ()], n=1)
            error.message += f"; did you mean {near[0]}?" if near else ""
            raise

    def _print_message(self, message: str, file: Any = None) -> None:
        printable()
        super()._print_message(message, file)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Exit; what was shown leaves the process here, where that fails without a traceback."""
        try:
            sys.stdout.flush()
        except (AttributeError, OSError, ValueError):
            if sys.stdout is not None:
                discard(sys.stdout)
        super().exit(status, message)


def _text(given: str) -> str:
    if not given:
        raise argparse.ArgumentTypeError("is empty")
    return given
