"""Options given from Python as a command line, and messages about them in Python's words."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from facesiam import cli
from facesiam.errors import UserError, masked

FLAGS = ("resume", "dashboard", "dry-run", "report", "repair")
"""Options of the commands that take no value."""
_OPTION = re.compile(r"(?:argument )?(?<![\w-])--([a-z][a-z-]*)")


class OptionError(UserError, ValueError):
    """An option that is wrong, whatever the space or the run; the text names it."""


class Reader(cli.Parser):
    """Reads a command line that was made from a call: what is wrong is raised, not printed."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong."""
        raise OptionError(message)


def arguments(options: Mapping[str, Any]) -> list[str]:
    """Return options as words of a command line.

    Args:
        options: by name; None and False are left out, a sequence repeats the option, a mapping
            repeats it with KEY=VALUE.

    Raises:
        OptionError: an option has a value of a kind that no option takes.
    """
    words = []
    for name, value in options.items():
        option = "--" + name.replace("_", "-")
        for one in _values(name, value):
            said = text(name, one)
            if one is True:
                words.append(option)
            elif said.startswith("-"):
                words.append(f"{option}={said}")
            else:
                words += [option, said]
    return words


def _values(name: str, value: Any) -> list[Any]:
    """Return what an option is given as, once or several times."""
    if value is None or value is False:
        return []
    if name == "stop_when" and (not isinstance(value, Mapping) or [*value] != ["gain"]):
        raise OptionError(f'stop_when: must be such as {{"gain": 0.3}}, got {value!r}')
    if isinstance(value, Mapping):
        return [f"{key}={text(name, one)}" for key, one in value.items()]
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    return [value]


def text(name: str, value: Any) -> str:
    """Return a value as it is typed."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(text(name, one) for one in value)}]"
    value = _plain(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    place = getattr(value, "place", value)  # of a Run
    if isinstance(place, str | os.PathLike):
        return os.fspath(place)
    raise OptionError(f"{name}: a {type(value).__name__} is no value of an option")


def _plain(value: Any) -> Any:
    """Return a scalar of numpy or torch as Python has it; all else as it is."""
    item = getattr(value, "item", None)
    if not callable(item):
        return value
    try:
        return item()
    except (ValueError, TypeError, RuntimeError):  # an array of several
        return value


def read(parser: argparse.ArgumentParser, words: list[str]) -> dict[str, Any]:
    """Return what a parser of class Reader makes of the words, by name.

    Raises:
        OptionError: as ``Reader``.
    """
    return vars(parser.parse_args(words))


def call(name: str, given: list[Any], options: Mapping[str, Any]) -> str:
    """Return a call as text, without secrets: ``run('code2', trials=5)``."""
    said = [repr(_shown(value)) for value in given]
    said += [f"{key}={_shown(value)!r}" for key, value in options.items() if _is_given(value)]
    return masked(f"{name}({', '.join(said)})")


def _is_given(value: Any) -> bool:
    return value is not None and value is not False and not (value == () or value == [])


class _Name(str):
    """Text whose repr is itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _shown(value: Any) -> Any:
    """Return a value whose repr can be typed, or is short."""
    if isinstance(value, Mapping):
        return {str(key): _shown(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(one) for one in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if (plain := _plain(value)) is not value:
        return plain
    return getattr(value, "place", None) or _Name(f"<{type(value).__name__}>")


def in_python(said: str) -> str:
    """Return a message with options as Python has them: ``resume=True``, not ``--resume``.

    Indented lines stay, as they are commands.
    """
    lines = said.split("\n")
    return "\n".join(x if x.startswith(" ") else _OPTION.sub(_renamed, x) for x in lines)


def _renamed(found: re.Match[str]) -> str:
    name = found[1].replace("-", "_")
    return f"{name}=True" if found[1] in FLAGS else name


@contextmanager
def python_words() -> Iterator[None]:
    """Within this a UserError speaks of options as Python has them."""
    try:
        yield
    except UserError as error:
        if error.args and isinstance(error.args[0], str):
            error.args = (in_python(error.args[0]), *error.args[1:])
        raise
