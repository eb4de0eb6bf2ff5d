"""The lines of a journal: which fields a line has, and what each may hold.

Fields that another version of this project added are left as they are. Known fields are checked,
so that no reader finds a text where it needs a number, or a trial's name that is a path out of
the run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypedDict, get_args

from facesiam.cli import program
from facesiam.config import Value, metrics
from facesiam.config.costs import COSTS
from facesiam.errors import UserError, shown
from search.runs.field_checks import (
    MAX_WHOLE,
    NUMBER,
    TEXT,
    TRUTH,
    WHOLE,
    FieldCheck,
    invalid_field,
    is_name,
    is_number,
    is_plain,
    is_whole,
    or_none,
)

TRIALS, EPOCHS = "trials.jsonl", "epochs.jsonl"
"""The two files of a journal."""
LONGEST = 2**20
"""Bytes that a line may have: the longest that is written, with a failed trial's log, has 4 kB."""
Event = tuple[str, dict[str, Any]]
"""The name of a file, and a line of it."""
Status = Literal["pending", "running", "interrupted", "failed", "done", "stopped"]
STATUSES: tuple[str, ...] = get_args(Status)
OVER: tuple[str, ...] = ("done", "stopped", "failed")
"""Of trials that have ended."""


ENQUEUED, RANDOM = "enqueued", "random"
"""Of `chosen_by`, beside the names of algorithms."""


class TrialLine(TypedDict, total=False):
    """A line of trials.jsonl; the last value of each field counts."""

    n: int
    """Number of the line, from 1, counted over both files."""
    trial: str
    status: Status
    row: str | None
    """The row of the space that it is, None where the sampler chose it."""
    chosen_by: str | None
    """What chose its settings: the algorithm, by its name; ``random``, before that had scores;
    ``enqueued``, the space's list of what to try first; None or missing: not known."""
    enqueued: bool
    """Of older runs: one of the configurations that the space had tried first; missing: not."""
    settings: dict[str, Value]
    time: float
    """Seconds since 1970."""
    control: bool
    """A rule would have stopped it, and it runs on so that the rule can be checked."""
    stop_rule: str | None
    stop_reason: str | None
    stop_epoch: int | None
    """Epoch of the decision, from 0."""
    stop_rung: float | None
    """Epochs of ASHA's rung."""
    stop_value: float | None
    stop_cutoff: float | None
    """What the score was compared with."""
    stop_peers: int | None
    """Trials at the rung, or recorded runs behind the odds."""
    machine: str | None
    key: str | None
    """Hash of settings, data, weights and the trainer's code."""
    reused: str | None
    """The run and the trial that its results were taken from."""
    larger: int
    """How often it was given more of a machine after it ran out of memory."""
    log: list[str]
    """The end of a failed trial's output."""
    ran: list[dict[str, Any]]
    """From which epoch on it ran on which device, with which threads and precision."""
    cost: dict[str, float]
    """What its net costs in use (``facesiam.config.costs``)."""


def is_paused(line: Mapping[str, Any]) -> bool:
    """Say whether a trial is paused at a rung, by its last line: pending for a reason of no rule.

    With a rule it is one of the control group that is to be tried again.
    """
    reasoned = line.get("stop_rule") is None and line.get("stop_reason") is not None
    return line.get("status") == "pending" and reasoned


EpochLine = dict[str, Any]
"""A line of epochs.jsonl: ``n``, ``trial``, and by name every field of EpochMetrics."""
SHARES = (
    *("train_acc", "val_acc", "val_auc", metrics.TPR, *metrics.ENDS[metrics.TPR]),
    *("trunk_grad_zero", "trunk_live", "head_live"),
)


def _share(value: Any) -> bool:
    return is_number(value) and (0 <= value <= 1 or value != value)


def _count(value: Any) -> bool:
    """Whole, also where it was written as a float; NaN where an older state lacks it."""
    return is_number(value) and (
        value != value or (0 <= value <= MAX_WHOLE and value == int(value))
    )


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _settings(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(map(is_plain, value.values()))


def _parts(value: Any) -> bool:
    """Return whether a value is what a trial ran with (``facesiam.device.arithmetic``)."""
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


def _costs(value: Any) -> bool:
    return isinstance(value, dict) and all(
        is_number(value.get(name)) and 0 <= value[name] <= MAX_WHOLE for name in COSTS
    )


_NAME = FieldCheck(is_name, "a name of letters, digits, '-', '_', '.' and '+'")
_COUNT = FieldCheck(_count, f"a whole number from 0 to {MAX_WHOLE:,}")
_SHARE = FieldCheck(_share, "a share from 0 to 1, or NaN")
_SECONDS = FieldCheck(
    lambda value: is_number(value) and not value < 0 and not value > 1e12,
    "0 or more, and at most 1e12",
)
_NUMBERED = FieldCheck(lambda value: is_whole(value, 1), "a whole number from 1")
_BOTH = {"trial": _NAME, "n": _NUMBERED}
TRIAL: dict[str, FieldCheck] = {
    **_BOTH,
    "status": FieldCheck(lambda value: value in STATUSES, f"one of {', '.join(STATUSES)}"),
    "row": or_none(_NAME),
    "chosen_by": or_none(TEXT),
    "enqueued": TRUTH,
    "settings": FieldCheck(_settings, "settings with plain values"),
    "time": NUMBER,
    "control": TRUTH,
    "stop_rule": or_none(TEXT),
    "stop_reason": or_none(TEXT),
    "stop_epoch": or_none(FieldCheck(is_whole, "an epoch from 0")),
    "stop_rung": or_none(NUMBER),
    "stop_value": or_none(NUMBER),
    "stop_cutoff": or_none(NUMBER),
    "stop_peers": or_none(WHOLE),
    "machine": or_none(TEXT),
    "key": or_none(TEXT),
    "reused": or_none(TEXT),
    "larger": WHOLE,
    "log": FieldCheck(_texts, "a list of texts"),
    "ran": FieldCheck(_parts, "parts of epoch, device, threads, precision and processor"),
    "cost": FieldCheck(_costs, f"numbers from 0: {', '.join(COSTS)}"),
}
EPOCH: dict[str, FieldCheck] = {
    **_BOTH,
    **dict.fromkeys(metrics.FIELDS, NUMBER),
    **dict.fromkeys(SHARES, _SHARE),
    "updates": _COUNT,
    "seconds": _SECONDS,
    "val_pairs": FieldCheck(
        lambda value: is_number(value) and value == value and _count(value),
        f"a whole number from 0 to {MAX_WHOLE:,}",
    ),
    "epoch": WHOLE,
    "val_distinct": or_none(WHOLE),
    "val_right": or_none(TEXT),  # which validation pairs were judged right
}
NEEDED = {False: {"trial", "status"}, True: {"trial", "epoch"}}
"""Fields that each line has, by whether it is one of an epoch."""


def invalid_line(row: object, epoch: bool) -> str | None:
    """Return why a line is no valid record of a trial, or of an epoch; None where it is one.

    Args:
        row: what the line holds.
        epoch: whether it shall be a record of an epoch.
    """
    if not isinstance(row, dict):
        return "is not a record of a trial"
    form = EPOCH if epoch else TRIAL
    if missing := NEEDED[epoch] - row.keys():
        kind = "an epoch" if epoch else "a trial"
        return f"is not a record of {kind}: no {' and no '.join(sorted(missing))}"
    return invalid_field(row, form | dict.fromkeys(metrics.OWN, NUMBER) if epoch else form)


def chosen_by(line: Mapping[str, Any]) -> str | None:
    """Return what chose a trial's settings; None where an older run did not note it."""
    return ENQUEUED if line.get("enqueued") else line.get("chosen_by")


def displayable(row: dict[str, Any]) -> dict[str, Any]:
    """Return a trial's line whose texts, some of them a worker's, are safe to be printed."""
    for name in ("stop_rule", "stop_reason", "machine", "reused", "chosen_by"):
        if isinstance(row.get(name), str):
            row[name] = " ".join(shown(row[name]).splitlines())
    if "log" in row:
        row["log"] = [" ".join(shown(text).splitlines()) for text in row["log"]]
    return row


class JournalError(UserError, ValueError):
    """A run folder's file that cannot be read; the text names the file and the line."""


def repair_hint() -> str:
    """Return the end of a message on a damaged journal."""
    return f"{program('search.results')} RUN --repair brings it to what is known for sure"


def parsed(line: bytes) -> tuple[Any, str | None]:
    """Return what a line of JSON holds, and why it cannot be read: '' where it is no JSON."""
    try:
        return json.loads(line.decode("utf-8")), None
    except UnicodeDecodeError:
        return None, " in UTF-8"
    except RecursionError:
        return None, " that can be read, it is nested too deeply"
    except ValueError:
        return None, ""
