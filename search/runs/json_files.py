"""The JSON files of a run folder besides its journal, each checked where it is read."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypedDict, cast

from facesiam.errors import FileError
from facesiam.files import read_json
from search.runs.field_checks import (
    NUMBER,
    TEXT,
    TRUTH,
    WHOLE,
    FieldCheck,
    invalid_field,
    is_number,
    is_plain,
    or_none,
)

MOST_BYTES = 2**26
"""Of such a file; the largest, a warm start's scores of thousands of trials, has a few MB."""
KEY = re.compile(r"\w[\w.\-]{0,127}", re.ASCII)
"""Of data, whose folder in the cache bears it."""


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _command(value: Any) -> bool:
    return TEXT.holds(value) or (isinstance(value, list) and all(map(TEXT.holds, value)))


_OBJECT = FieldCheck(_object, "an object")
_DATA = {
    "source": TEXT,
    "key": FieldCheck(lambda v: TEXT.holds(v) and bool(KEY.fullmatch(v)), "the key of data"),
}
_SESSIONS = FieldCheck(
    lambda value: isinstance(value, list) and bool(value) and all(map(_object, value)),
    "a list of one session or more",
)
MANIFEST = {
    "name": TEXT,
    "started": TEXT,
    "finished": or_none(TEXT),
    "commit": or_none(TEXT),
    "command": FieldCheck(_command, "a command"),
    "metric_reason": TEXT,
    "data": or_none(_OBJECT),
    "sessions": _SESSIONS,
}
KNOWN = {
    "settings": FieldCheck(
        lambda value: _object(value) and all(map(is_plain, value.values())),
        "settings with plain values",
    ),
    "value": or_none(NUMBER),
    "status": TEXT,
    "source": TEXT,
    "rule": or_none(TEXT),
    "schedule": TEXT,
    "learned": TRUTH,
    "planned": or_none(WHOLE),
    "step": WHOLE,
    "scores": FieldCheck(
        lambda value: (
            isinstance(value, list) and all(score is None or is_number(score) for score in value)
        ),
        "a list of numbers",
    ),
}


class Session(TypedDict, total=False):
    """One driver's part in a run: from its start, or a --resume, to its end."""

    started: str
    """In UTC, as ISO 8601; so is the end."""
    finished: str | None
    command: str
    """As it was given, without secrets; ``run(…)`` where it was called from Python."""
    arguments: list[str]
    """Of the command line, or what would say the same there; missing: not noted."""
    commit: str | None
    trainer: str
    """Hash of the trainer's code."""
    sampler: int
    """Version of what TPE chooses by; missing: 1."""
    enqueued: int
    """Configurations to try first, which space.yaml has; missing: none."""
    plugins: list[dict[str, Any]]
    """File, SHA-256 and parts of each plugin; missing: none."""
    nodes: list[dict[str, float]]
    """CPUs and GPUs of each machine."""
    cannot_act: list[str]
    """A sentence for each pruning rule that could stop no trial."""
    ended_by: str
    """Why the search came to its end before its last trial; missing: it did not."""


class Manifest(TypedDict, total=False):
    """What a run was made with; a field that an older version did not note is missing."""

    name: str
    started: str
    finished: str | None
    """None unless the search came to its end."""
    command: str
    seed: int
    algorithm: str
    metric: str
    mode: str
    metric_reason: str
    """Why the metric is not the default, where the space file did not say it."""
    rated_pairs: dict[str, dict[str, int | str]]
    """By protocol the numbers of people and pairs that val_tpr_at_fpr rests on, and the SHA-256 of
    the names of their images; missing: the run ranks by another metric."""
    versions: dict[str, str]
    """Of Python and of the packages that numbers depend on."""
    commit: str | None
    machine: dict[str, Any]
    data: dict[str, str] | None
    """Their source, and the key of their content."""
    sessions: list[Session]


def read_manifest(path: Path) -> Manifest:
    """Return what a manifest.json holds.

    Raises:
        MissingFileError: there is none.
        FileError: it cannot be read, or a field of it is none that a driver writes.
    """
    noted = read_object_of(path, MANIFEST)
    if why := invalid_field(noted.get("data") or {}, _DATA):
        raise FileError(f"{path}: data, {why}")
    return cast(Manifest, noted)


def data_of(noted: Manifest, path: Path) -> tuple[str, str, str]:
    """Return where a run's data came from, the key of their content, and their format.

    Args:
        noted: its manifest.
        path: of that, for the message.

    Raises:
        FileError: the manifest does not tell.
    """
    data = noted.get("data") or {}
    if not {"source", "key"} <= data.keys():
        raise FileError(f"{path}: has no data with source and key, so what ran here is not known")
    return data["source"], data["key"], data.get("format", "cfp")  # before there was another


def read_known(path: Path, needed: Collection[str], more: Collection[str]) -> list[dict[str, Any]]:
    """Return what a prior.json holds: the trials that a run was warm-started with.

    Args:
        path: of the file.
        needed: fields that each has.
        more: fields that each may have besides.

    Raises:
        FileError: it cannot be read, or is no such list.
    """
    known = read_json(path, MOST_BYTES)
    if not isinstance(known, list) or not all(map(_object, known)):
        raise FileError(f"{path}: must hold a list of known trials")
    for number, one in enumerate(known, 1):
        why = invalid_field(one, KNOWN)
        if not why and (lacks := set(needed) - one.keys()):
            why = f"has no {' and no '.join(sorted(lacks))}"
        if not why and (other := one.keys() - set(needed) - set(more)):
            why = f"has what this version does not know: {', '.join(sorted(other))}"
        if why:
            raise FileError(f"{path}: known trial {number}: {why}")
    return known


def read_object_of(path: Path, form: Mapping[str, FieldCheck]) -> dict[str, Any]:
    """Return the JSON object that a file holds, whose fields have this form.

    Raises:
        FileError: it cannot be read, or holds something else.
    """
    held = read_json(path, MOST_BYTES)
    if not isinstance(held, dict):
        raise FileError(f"{path}: must hold one JSON object, got {type(held).__name__}")
    if why := invalid_field(held, form):
        raise FileError(f"{path}: {why}")
    return held
