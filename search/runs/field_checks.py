"""Checks of the fields of a JSON record: what a field may hold, and what is said otherwise."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from facesiam.errors import shown

NAME = re.compile(r"\w[\w.+\-]{0,199}", re.ASCII)
"""A trial's or a row's name: files are named after it, so it holds no separator of paths and does
not begin with a dot."""
MAX_WHOLE = 2**53
"""Of a whole number: up to it, every float is exact."""


class FieldCheck(NamedTuple):
    """What a field may hold."""

    holds: Callable[[Any], bool]
    expected: str
    """In words, after "must be"."""


def is_number(value: Any) -> bool:
    """Say whether a value is a number that a float can hold; true and false are none, NaN is."""
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) < 10**300
    return isinstance(value, float)


def is_whole(value: object, low: int = 0) -> bool:
    """Say whether a value is a whole number from ``low`` up to ``MAX_WHOLE``."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= MAX_WHOLE


def is_name(value: object) -> bool:
    """Say whether a value can name a trial, and files after it."""
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def is_plain(value: Any) -> bool:
    """Say whether a value can be that of a setting."""
    return isinstance(value, str | bool) or (is_number(value) and math.isfinite(value))


def or_none(check: FieldCheck) -> FieldCheck:
    """Return a check that lets null pass too."""
    return FieldCheck(
        lambda value: value is None or check.holds(value), f"{check.expected}, or null"
    )


TEXT = FieldCheck(lambda value: isinstance(value, str), "a text")
TRUTH = FieldCheck(lambda value: isinstance(value, bool), "true or false")
NUMBER = FieldCheck(is_number, "a number")
WHOLE = FieldCheck(is_whole, "a whole number from 0")


def invalid_field(row: Mapping[str, Any], checks: Mapping[str, FieldCheck]) -> str | None:
    """Return a sentence about the first field that holds what it must not; None where none does.

    Args:
        row: the record.
        checks: by the field's name; other fields may hold anything.
    """
    for name, value in row.items():
        if name in checks and not checks[name].holds(value):
            got = shown(ascii(value), 60)
            return f"{name} must be {checks[name].expected}, got {got}"
    return None
