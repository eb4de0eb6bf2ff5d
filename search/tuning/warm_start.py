"""The warm start of TPE: scores of earlier runs, or of the rows of the 2019 study.

    python -m search.run spaces/code2.yaml --warm-start ray_results/earlier --warm-start documents

TPE begins with the trials that the space could have suggested: their searched settings are within
the space's domains. The fixed settings may have been others, except those that decide what is
measured. The trials are kept in the run's prior.json, for --resume.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from facesiam.config import TrialConfig, Value
from facesiam.errors import counted
from facesiam.files import exists, write_text
from search.pruning import run_histories
from search.pruning.stop_decision import HOPELESS
from search.runs import layout
from search.runs.json_files import read_known
from search.runs.remote import open_run
from search.space import SearchSpace
from search.space.domains import active
from search.tuning.trial_ranking import progress_of

DOCUMENTS = "documents"
"""The word for the 2019 study's nineteen rows, as it is typed."""
MUST = ("protocol", "fold", "people", "pair_seed")
"""Settings that decide what a score is a score of: they must be the space's own."""


class WarmStartTrial(NamedTuple):
    """A trial of an earlier run, and its score."""

    settings: dict[str, Value]
    """All settings, those that the space fixes as the space has them."""
    value: float | None
    """Best value of the space's metric; None: a rule stopped the trial before it had one."""
    step: int
    """Epochs that it ran."""
    status: str
    """Status in the journal: done, stopped, …"""
    source: str
    """Run of the trial, and its name there."""
    rule: str | None = None
    """Rule that stopped it."""
    scores: Sequence[float] = ()
    """The best so far by age, as of ``trial_ranking.Progress``; what an older prior.json lacks."""
    planned: int | None = None
    learned: bool = True
    schedule: str = ""


def gather(
    runs: Iterable[str], space: SearchSpace, data: str | None = None
) -> tuple[list[WarmStartTrial], list[str]]:
    """Return the trials of earlier runs that the space could have suggested, best first.

    Args:
        runs: run folders, or the word documents for the rows of the 2019 study.
        space: what is to be searched.
        data: key of the data's content; runs on other data are left out. The rows of the 2019
            study were run on CFP, and are taken whatever the data are.

    Returns:
        The trials, and a line a run that says how many were taken and why others were not.

    Raises:
        RunError, SpaceError: no such run, or it cannot be read.
    """
    taken: list[WarmStartTrial] = []
    said = []
    for run in runs:
        why = Counter[str]()
        before = len(taken)
        folder = _folder(run)
        other = data is not None and folder is not None and _data_of(folder) != data
        for known in _trials(folder, space):
            if other:
                why["other data"] += 1
                continue
            fitted = _fitted(known.settings, space, why)
            if fitted is not None and (known.value is not None or known.rule in HOPELESS):
                taken.append(known._replace(settings=fitted, source=f"{run}/{known.source}"))
            elif fitted is not None:
                why[f"no {space.metric}"] += 1
        left = ", ".join(f"{count} with {reason}" for reason, count in why.most_common())
        number = len(taken) - before
        said.append(
            f"warm start: {number} of {counted(number + why.total(), 'trial')} of {run}"
            + (f"; left out: {left}" if left else "")
        )
    return sorted(taken, key=lambda one: -space.objective.key(one.value)), said


def write(run: Path, known: Iterable[WarmStartTrial]) -> None:
    """Write the trials into the folder of a run."""
    lines = [
        one._asdict() | {"scores": [s if math.isfinite(s) else None for s in one.scores]}
        for one in known
    ]
    write_text(run / layout.WARM_START, json.dumps(lines, indent=1) + "\n")


def read(run: Path) -> list[WarmStartTrial]:
    """Return the trials that ``write`` wrote; [] where it wrote none."""
    file = run / layout.WARM_START
    if not exists(file):
        return []
    more = WarmStartTrial._field_defaults
    needed = [name for name in WarmStartTrial._fields if name not in more]
    found = [WarmStartTrial(**one) for one in read_known(file, needed, more)]
    return [
        one._replace(scores=tuple(math.nan if score is None else score for score in one.scores))
        for one in found
    ]


def _trials(run: Path | None, space: SearchSpace) -> Iterator[WarmStartTrial]:
    """Yield each trial of a run, its settings as they were, its name there as its source."""
    if run is None:
        yield from _documents(space)
        return
    _, known, epochs = layout.read(run)
    defaults = TrialConfig().to_dict()
    for line in known.values():
        # A run of before some setting was there ran with what is its default now.
        if noted := line.get("settings"):
            line["settings"] = {**defaults, **noted}
    for name, history in run_histories.of_run(known, epochs, space).items():
        line, rows, settings = known[name], history.rows, dict(history.settings)
        scores = [row.get(space.metric) for row in rows]  # which an older run may lack
        values = [float(score) for score in scores if score is not None]
        finite = [value for value in values if math.isfinite(value)]
        best = space.objective.best(finite) if finite else None
        went = progress_of(history, space)
        status, rule = line["status"], line.get("stop_rule")
        yield WarmStartTrial(
            settings,
            best,
            len(rows),
            status,
            name,
            rule if status == "stopped" else None,
            went.scores,
            went.planned,
            went.learned,
            went.schedule,
        )


def _folder(run: str) -> Path | None:
    """Return the folder of a run; None of the 2019 study's rows, which have none."""
    return None if run == DOCUMENTS and not Path(run).exists() else open_run(run)


def _data_of(run: Path) -> str:
    """Return the key of the data that a run was made with."""
    return str((layout.manifest(run).get("data") or {}).get("key"))


def _documents(space: SearchSpace) -> Iterator[WarmStartTrial]:
    """Yield the 2019 study's rows, as they really ran, with the published validation accuracy."""
    from search.analysis import published

    for name, row in published.rows().items():
        if "val" in row.published:
            value = float(row.published["val"]) / 100 if space.metric == "val_acc" else None
            yield WarmStartTrial(
                dict(row.settings), value, int(row.settings["epochs"]), "done", name
            )


def _fitted(
    settings: Mapping[str, Value], space: SearchSpace, why: Counter[str]
) -> dict[str, Value] | None:
    """Return the settings that the space would have given the trial; else None, counted in why."""
    if not settings:
        why["no settings"] += 1
        return None
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
    if folder := _folder(run):
        layout.space(folder)
