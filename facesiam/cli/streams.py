"""stdout and stderr of a command, which are written as long as that is possible."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO, cast

from facesiam.errors import reason


def say(text: str) -> None:
    """Print to stderr where that is still possible."""
    with suppress(OSError, ValueError):  # closed, or on a full disk: there is nobody to tell
        print(text, file=sys.stderr, flush=True)


def printable() -> None:
    """Have stdout and stderr write what their encoding lacks as escapes, instead of raising."""
    for given in (sys.stdout, sys.stderr):
        stream = given.stream if isinstance(given, Outlet) else given
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


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
        discard(self.stream)
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
def outlets(goes_on: bool) -> Iterator[None]:
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


@contextmanager
def hidden_stderr() -> Iterator[None]:
    """Within this what any code of this process, C++ too, writes to stderr goes nowhere."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


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


def discard(stream: TextIO) -> None:
    """Point a stream at nothing: the interpreter would complain when it flushes at its end."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
    except (OSError, ValueError, io.UnsupportedOperation):
        pass
