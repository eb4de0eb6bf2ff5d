"""What a setting is: one named value with its meaning, type and bounds, and how it is read.

Free of torch and Ray, as config.py.
"""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

Value = bool | int | float | str
FEW = 12
"""Choices that a message lists."""


def setting(
    default: Value, help: str, *, above: float | None = None, low: float | None = None,
    high: float | None = None,
) -> Any:
    """Return a dataclass field that is a setting, with its meaning and bounds."""
    bounds = {"above": above, "low": low, "high": high}
    return field(default=default, metadata={"help": help, **bounds})


@dataclass(frozen=True)
class Setting:
    """One field of TrialConfig, as the checks, the schema and ``--set`` need it."""

    name: str
    type: type
    default: Value
    help: str
    choices: tuple[str, ...] = ()
    above: float | None = None
    low: float | None = None
    high: float | None = None

    def parse(self, text: str) -> Value:
        """Turn written text into a value by this setting's own type, so ``1e-5`` is a number.

        Raises:
            ValueError: the text is not of that type; the message is a sentence without the name.
        """
        if self.type is str:
            return text
        if self.type is bool:
            return _parse_bool(text)
        try:
            number = float(text)
        except ValueError:
            raise ValueError(f"must be {_article(self.type)}, got {text!r}") from None
        if self.type is int:
            if not number.is_integer():
                raise ValueError(f"must be a whole number, got {text}")
            return int(number)
        return number

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
            return f"must be above {self.above:g}, got {value:g}"
        if self.low is not None and value < self.low:
            return f"must be {self.low:g} or more, got {value:g}"
        if self.high is not None and value > self.high:
            return f"must be {self.high:g} or less, got {value:g}"
        return None

    def _not_a_choice(self, value: object) -> str:
        known = ", ".join(self.choices)
        if len(self.choices) > FEW:
            known = f"the {len(self.choices)} that there are ({', '.join(self.choices[:3])}, …)"
        return f"{value!r} is not one of {known}" + did_you_mean(str(value), self.choices)


def did_you_mean(name: str, names: Any) -> str:
    """Return '; did you mean X?' for the nearest of ``names``, or '' where none is near."""
    near = get_close_matches(name, list(names), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def positive(text: str) -> int:
    """Read a whole number from 1, for argparse."""
    if not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"must be a whole number from 1, got {text}")
    return int(text)


def _parse_bool(text: str) -> bool:
    word = text.lower()
    if word in ("true", "yes", "on"):
        return True
    if word in ("false", "no", "off"):
        return False
    raise ValueError(f"must be true or false, got {text!r}")


def _article(kind: type) -> str:
    return "a whole number" if kind is int else "a number"
