"""What is known before a search: scores of earlier runs, or of the documents' rows, for TPE.

    python -m search.run spaces/code2.yaml --warm-start ray_results/earlier --warm-start documents

A known trial is entered into the study where the space could have suggested it: its searched
settings are within the space's domains. What the space fixes may have been otherwise, but for the
settings that decide what is measured. They are kept in the run's prior.json, for --resume.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from facesiam.config import TrialConfig, Value
from facesiam.files import write_text
from search import folder
from search.parts import active
from search.space import SearchSpace, load

FILE = "prior.json"
DOCUMENTS = "documents"
"""Stands for the documents' nineteen rows."""
MUST = ("protocol", "fold", "people", "pair_seed")
"""Settings that decide what a score is a score of: they must be the space's own."""


class Known(NamedTuple):
    """A trial of which the score is known."""

    settings: dict[str, Value]
    """All settings, those that the space fixes as the space has them."""
    value: float
    """Best value of the space's metric."""
    step: int
    """Epochs that it ran."""
    status: str
    """done, or why not."""
    source: str
    """Its run and its name there."""


def gather(
    runs: Iterable[str], space: SearchSpace, data: str | None = None
) -> tuple[list[Known], list[str]]:
    """Return the trials of earlier runs that the space could have suggested, best first.

    Args:
        runs: run folders, or the word documents.
        space: what is to be searched.
        data: key of the data's content; runs on other data are left out. The documents' runs were
            on CFP, and are taken whatever the data is.

    Returns:
        The trials, and a line a run that says how many were taken and why others were not.

    Raises:
        RunError, SpaceError: no such run, or it cannot be read.
    """
    taken: list[Known] = []
    said = []
    for run in runs:
        why = Counter[str]()
        before = len(taken)
        other = data is not None and _data_of(run) not in (None, data)
        for settings, value, step, status, name in _trials(run, space):
            if other:
                why["other data"] += 1
                continue
            fitted = _fitted(settings, space, why)
            if fitted is not None and math.isfinite(value):
                taken.append(Known(fitted, value, step, status, f"{run}/{name}"))
            elif fitted is not None:
                why[f"no {space.metric}"] += 1
        left = ", ".join(f"{count} with {reason}" for reason, count in why.most_common())
        number = len(taken) - before
        said.append(
            f"warm start: {number} of {number + why.total()} trials of {run}"
            + (f"; left out: {left}" if left else "")
        )
    best = sorted(taken, key=lambda known: known.value, reverse=space.mode == "max")
    return best, said


def write(run: Path, known: Iterable[Known]) -> None:
    """Keep them with the run."""
    text = json.dumps([one._asdict() for one in known], indent=1)
    write_text(run / FILE, text + "\n")


def read(run: Path) -> list[Known]:
    """Return what ``write`` kept; nothing where it kept nothing."""
    file = run / FILE
    if not file.is_file():
        return []
    return [Known(**one) for one in json.loads(file.read_text(encoding="utf-8"))]


def _trials(
    run: str, space: SearchSpace
) -> Iterator[tuple[Mapping[str, Value], float, int, str, str]]:
    """Yield settings, best value, epochs, status and name of each trial of a run."""
    if run == DOCUMENTS and not Path(run).exists():
        yield from _documents(space)
        return
    _, known, epochs = folder.read(run)
    defaults = TrialConfig().to_dict()
    for name, line in known.items():
        rows: list[dict[str, Any]] = epochs.get(name, [])
        values = [float(row[space.metric]) for row in rows if row.get(space.metric) is not None]
        values = [value for value in values if math.isfinite(value)]
        pick = max if space.mode == "max" else min
        best = pick(values) if values else math.nan
        # A run of before some setting was there ran with what is its default now.
        yield {**defaults, **line["settings"]}, best, len(rows), line["status"], name


def _data_of(run: str) -> str | None:
    """Return the key of the data that a run was made with; None of the documents."""
    if run == DOCUMENTS and not Path(run).exists():
        return None
    return str((folder.manifest(folder.folder_of(run)).get("data") or {}).get("key"))


def _documents(
    space: SearchSpace,
) -> Iterator[tuple[Mapping[str, Value], float, int, str, str]]:
    """Yield the documents' rows, as they really ran, with their published validation accuracy."""
    from search import documents

    for name, row in documents.rows().items():
        if "val" in row.published:
            known = space.metric == "val_acc"
            value = float(row.published["val"]) / 100 if known else math.nan
            yield row.settings, value, int(row.settings["epochs"]), "done", name


def _fitted(
    settings: Mapping[str, Value], space: SearchSpace, why: Counter[str]
) -> dict[str, Value] | None:
    """Return the settings that the space would have given the trial; None, and why, without."""
    fitted = {**TrialConfig().to_dict(), **space.fixed}
    for name in MUST:
        if name not in space.search and settings[name] != fitted[name]:
            why[f"{name} {settings[name]}"] += 1
            return None
    for name, domain in space.ordered():
        if not active(domain, fitted):
            continue
        value = settings[name]
        if not domain.holds(value):
            shown = f"{value:g}" if isinstance(value, float) else value
            why[f"{name} {shown}"] += 1
            return None
        fitted[name] = value
    return fitted


def check(run: str) -> None:
    """Refuse a run that is not there.

    Raises:
        RunError, SpaceError: it is no run folder, or its space cannot be read.
    """
    if run != DOCUMENTS or Path(run).exists():
        load(folder.folder_of(run) / "space.yaml")
