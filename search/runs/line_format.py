"""The form of a journal's lines: which fields a line has, and what each may hold.

What another version of this project noted besides is left as it is; what is known is checked, so
that no reader meets a text where it needs a number, or a trial's name that leads out of the run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from facesiam.config.trial import EpochMetrics
from facesiam.errors import shown

STATUSES = ("pending", "running", "interrupted", "failed", "done", "stopped")
NAME = re.compile(r"\w[\w.+\-]{0,199}", re.ASCII)
"""A trial's or a row's name: files are named after it, so it holds no separator of paths and does
not begin with a dot."""
MOST = 2**53
"""Of a whole number: up to it, every float is exact."""
SHARES = ("train_acc", "val_acc", "val_auc", "trunk_grad_zero", "trunk_live", "head_live")


class Form(NamedTuple):
    """What a field may hold."""

    holds: Callable[[Any], bool]
    says: str
    """In words, after "must be"."""


def is_number(value: Any) -> bool:
    """Say whether a value is a number that a float can hold; true and false are none, NaN is."""
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) < 10**300
    return isinstance(value, float)


def is_whole(value: object, low: int = 0) -> bool:
    """Say whether a value is a whole number from ``low`` up to ``MOST``."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= MOST


def is_name(value: object) -> bool:
    """Say whether a value can name a trial, and files after it."""
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def is_plain(value: Any) -> bool:
    """Say whether a value can be that of a setting."""
    return isinstance(value, str | bool) or (is_number(value) and math.isfinite(value))


def _share(value: Any) -> bool:
    return is_number(value) and (0 <= value <= 1 or value != value)


def _count(value: Any) -> bool:
    """Whole, also where it was written as a float; NaN where a state of before lacks it."""
    return is_number(value) and (value != value or (0 <= value <= MOST and value == int(value)))


def _or_none(form: Form) -> Form:
    return Form(lambda value: value is None or form.holds(value), f"{form.says}, or null")


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _settings(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(map(is_plain, value.values()))


def _parts(value: Any) -> bool:
    """Say whether a value is what a trial ran with, as ``facesiam.device.numerics`` notes it."""
    forms: dict[str, Callable[[Any], bool]] = {
        "epoch": is_whole,
        "threads": lambda threads: is_whole(threads, 1),
        **dict.fromkeys(("device", "precision", "processor"), lambda word: isinstance(word, str)),
    }
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(part, dict)
            and forms.keys() <= part.keys()
            and all(holds(part[name]) for name, holds in forms.items())
            for part in value
        )
    )


_NAME = Form(is_name, "a name of letters, digits, '-', '_', '.' and '+'")
_TEXT = Form(lambda value: isinstance(value, str), "a text")
_NUMBER = Form(is_number, "a number")
_COUNT = Form(_count, f"a whole number from 0 to {MOST:,}")
_SHARE = Form(_share, "a share from 0 to 1, or NaN")
_SECONDS = Form(
    lambda value: is_number(value) and not value < 0 and not value > 1e12,
    "0 or more, and at most 1e12",
)
_NUMBERED = Form(lambda value: is_whole(value, 1), "a whole number from 1")
_BOTH = {"trial": _NAME, "n": _NUMBERED}
TRIAL: dict[str, Form] = {
    **_BOTH,
    "status": Form(lambda value: value in STATUSES, f"one of {', '.join(STATUSES)}"),
    "row": _or_none(_NAME),
    "settings": Form(_settings, "settings with plain values"),
    "time": _NUMBER,
    "control": Form(lambda value: isinstance(value, bool), "true or false"),
    "stop_rule": _or_none(_TEXT),
    "stop_reason": _or_none(_TEXT),
    "stop_epoch": _or_none(Form(is_whole, "an epoch from 0")),
    "stop_rung": _or_none(_NUMBER),
    "stop_value": _or_none(_NUMBER),
    "stop_cutoff": _or_none(_NUMBER),
    "stop_peers": _or_none(Form(is_whole, "a whole number from 0")),
    "machine": _or_none(_TEXT),
    "key": _or_none(_TEXT),
    "reused": _or_none(_TEXT),
    "larger": Form(is_whole, "a whole number from 0"),
    "log": Form(_texts, "a list of texts"),
    "ran": Form(_parts, "parts of epoch, device, threads, precision and processor"),
}
EPOCH: dict[str, Form] = {
    **_BOTH,
    **{item.name: _NUMBER for item in fields(EpochMetrics)},
    **dict.fromkeys(SHARES, _SHARE),
    "updates": _COUNT,
    "seconds": _SECONDS,
    "val_pairs": Form(
        lambda value: is_number(value) and value == value and _count(value),
        f"a whole number from 0 to {MOST:,}",
    ),
    "epoch": Form(is_whole, "a whole number from 0"),
    "val_distinct": _or_none(Form(is_whole, "a whole number from 0")),
    "val_right": _or_none(_TEXT),  # which validation pairs were judged right
}
NEEDED = {"trial": TRIAL.keys() & {"trial", "status"}, "epoch": {"trial", "epoch"}}


def problem(row: object, epoch: bool) -> str | None:
    """Say what keeps a line from being a record of a trial, or of an epoch; None: nothing does.

    Args:
        row: what the line holds.
        epoch: of an epoch; else of a trial.
    """
    if not isinstance(row, dict):
        return "is not a record of a trial"
    form = EPOCH if epoch else TRIAL
    kind = "epoch" if epoch else "trial"
    if missing := NEEDED[kind] - row.keys():
        named = " and no ".join(sorted(missing))
        return (
            f"is not a record of a trial: no {named}"
            if not epoch
            else (f"is not a record of an epoch: no {named}")
        )
    return wrong(row, form)


def harmless(row: dict[str, Any]) -> dict[str, Any]:
    """Return a trial's line whose texts, a worker's own words among them, are safe to be shown."""
    for name in ("stop_rule", "stop_reason", "machine", "reused"):
        if isinstance(row.get(name), str):
            row[name] = " ".join(shown(row[name]).splitlines())
    if "log" in row:
        row["log"] = [" ".join(shown(text).splitlines()) for text in row["log"]]
    return row


def wrong(row: Mapping[str, Any], form: Mapping[str, Form]) -> str | None:
    """Say which field of a record holds what it must not, and what it holds; None: none does."""
    for name, value in row.items():
        if name in form and not form[name].holds(value):
            got = shown(ascii(value), 60)
            return f"{name} must be {form[name].says}, got {got}"
    return None
