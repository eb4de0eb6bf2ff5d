"""What a setting is: one named value with its meaning, type and bounds, and how it is read.

Imports neither torch nor Ray. The settings themselves are the fields of TrialConfig (trial.py).
"""

from __future__ import annotations

import math
import re
from argparse import ArgumentTypeError
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from facesiam.config.lookalikes import odd, plainly

Value = bool | int | float | str
FEW = 12
"""Choices that a message lists."""


def setting(
    default: Value,
    *,
    above: float | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """Return the field of a setting, with its bounds; its docstring says what it is."""
    return field(default=default, metadata={"above": above, "low": low, "high": high})


@dataclass(frozen=True)
class Setting:
    """One field of TrialConfig, as the checks, the schema and ``--set`` need it."""

    name: str
    type: type
    default: Value
    choices: tuple[str, ...] = ()
    above: float | None = None
    low: float | None = None
    high: float | None = None
    meant: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Choices by what others call them, in lower case, with `_` between words."""

    def parse(self, text: str) -> Value:
        """Turn written text into a value by this setting's own type, so ``1e-5`` is a number.

        Raises:
            ValueError: the text is not of that type; the message is a sentence without the name.
        """
        if self.type is str:
            return text
        if self.type is bool:
            return _parse_bool(text)
        return whole(text) if self.type is int else number(text)

    def problem(self, value: object) -> str | None:
        """Say in a sentence why ``value`` cannot be this setting, or None where it can."""
        if self.choices:
            return None if value in self.choices else self._not_a_choice(value)
        if self.type is bool:
            return None if isinstance(value, bool) else f"must be true or false, got {value!r}"
        wanted = (int,) if self.type is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, wanted):
            return f"must be {_article(self.type)}, got {value!r}"
        if not math.isfinite(value):
            return f"must be finite, got {value}"
        if self.above is not None and value <= self.above:
            return f"must be above {_short(self.above)}, got {_short(value)}"
        if self.low is not None and value < self.low:
            return f"must be {_short(self.low)} or more, got {_short(value)}"
        if self.high is not None and value > self.high:
            return f"must be {_short(self.high)} or less, got {_short(value)}"
        return None

    def _not_a_choice(self, value: object) -> str:
        known = ", ".join(self.choices)
        if len(self.choices) > FEW:
            known = f"the {len(self.choices)} that there are ({', '.join(self.choices[:3])}, …)"
        text = str(value)
        near = did_you_mean(text, self.choices, self.meant)
        return f"{value!r} is not one of {known}{odd(text)}{near}"


@dataclass(frozen=True)
class Meant:
    """What others call the choices of a setting: an annotation of its type, for ``Setting``."""

    words: Mapping[str, str]


def did_you_mean(name: str, names: Any, meant: Mapping[str, str] | None = None) -> str:
    """Return '; did you mean X?' for the nearest of ``names``, or '' where none is near.

    Args:
        name: what was written.
        names: those that there are.
        meant: some of them by what others call them, in lower case, with `_` between words: it
            goes before what is spelt alike.
    """
    word = re.sub(r"[\W_]+", "_", plainly(name[:200]).lower()).strip("_")
    near = (meant or {}).get(word) or nearest(name, names)
    return f"; did you mean {near}?" if near else ""


def nearest(name: str, names: Any) -> str:
    """Return the nearest of ``names`` to a misspelt one; '' where none is near."""
    if len(name) > 200:
        return ""
    known = list(names)
    meant = plainly(name).strip(" '\"")
    near = [meant] if meant in known and meant != name else get_close_matches(meant, known, n=1)
    # Differing in case only is near, and no match to the letter.
    near = near or [each for each in known if each.lower() == meant.lower()][:1]
    return str(near[0]) if near else ""


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
"""Python's float() also takes 1_000, other alphabets' digits and spaces around, all slips."""
_LEADING_ZERO = re.compile(r"[+-]?0\d")


def number(text: str, kind: str = "a number") -> float:
    """Read a number as one types it: digits, a point, an exponent.

    Args:
        text: what is written.
        kind: what it should be, in the message.

    Raises:
        ValueError: it is none; the message is a sentence without a name, with what may be meant.
    """
    if _NUMBER.fullmatch(text) and not _LEADING_ZERO.match(text):
        return float(text)
    meant = plainly(text).strip(" '\"").replace("_", "")
    if _LEADING_ZERO.match(meant):  # octal to some readers of YAML and decimal to others
        meant = re.sub(r"^([+-]?)0+(?=\d)", r"\1", meant)
    near = f"; did you mean {meant}?" if _NUMBER.fullmatch(meant) and len(meant) < 30 else ""
    raise ValueError(f"must be {kind}, got {text!r}{odd(text)}{near}")


def whole(text: str) -> int:
    """Read a whole number, ``1e3`` too.

    Raises:
        ValueError: as ``number``.
    """
    read = number(text, "a whole number")
    if not read.is_integer():
        raise ValueError(f"must be a whole number, got {text}")
    return int(read)


MOST = 1_000_000
"""Of what is counted on a command line."""


def positive(text: str) -> int:
    """Read a whole number from 1, for argparse."""
    return _within(text, 1, MOST, "from 1", f"and at most {MOST:,}")


def random_seed(text: str) -> int:
    """Read a seed, for argparse: a whole number that every generator takes."""
    most = 2**31 - 1
    return _within(text, 0, most, f"from 0 to {most}", f"from 0 to {most}")


def rate(text: str) -> float:
    """Read a rate such as ``1e-3``, above 0 and below 1, for argparse."""
    try:
        read = number(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    if not 0 < read < 1:
        raise ArgumentTypeError(f"must be above 0 and below 1, got {text}")
    return read


def _within(text: str, low: int, high: int, below: str, above: str) -> int:
    try:
        read = whole(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    if low <= read <= high:
        return read
    bound = below if read < low else above
    raise ArgumentTypeError(f"must be a whole number {bound}, got {text}")


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _parse_bool(text: str) -> bool:
    word = text.lower()
    if word in ("true", "yes", "on"):
        return True
    if word in ("false", "no", "off"):
        return False
    raise ValueError(f"must be true or false, got {text!r}{odd(text)}")


def _article(kind: type) -> str:
    return "a whole number" if kind is int else "a number"
