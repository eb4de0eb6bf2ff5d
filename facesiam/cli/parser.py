"""The parser of command lines that all commands share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from facesiam.cli.streams import discard, printable
from facesiam.errors import shown


class Parser(argparse.ArgumentParser):
    """Reads a command line; what it says of a wrong one is safe to print, as a UserError is.

    No text or path may be empty: that is what a shell makes of "$DATA" where nothing set it.
    """

    settings: Collection[str] = ()
    """What the option --set of the command takes."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.register("type", None, _text)
        self.register("type", Path, lambda given: Path(_text(given)))

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and what lists the options, and exit with 2."""
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message and unknown.startswith("--") and unknown[2:3].strip():
            message += self._hint(*unknown.removeprefix("--").split())
        usage = f"{self.prog} --help lists what it takes"  # which itself takes a dozen lines
        self.exit(2, f"{self.prog}: error: {shown(message)}\n{usage}\n")

    def _hint(self, option: str, *rest: str) -> str:
        """Return what may have been meant by an option that is none, or ''; without its dashes."""
        name, _, value = option.partition("=")
        setting = name.replace("-", "_")
        if setting in self.settings:
            given = [one for one in rest[:1] if not one.startswith("--")]
            value = value or "".join(given) or "VALUE"
            return f"; did you mean --set {setting}={value}?"
        # Without dashes, which would make any two short names alike.
        known = [one[2:] for one in self._option_string_actions if one.startswith("--")]
        near = get_close_matches(name, known, n=1)
        return f"; did you mean --{near[0]}?" if near else ""

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
