"""The run folder of a race: what its journal has come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from facesiam.evaluation.right_pairs import Bools, unpack
from facesiam.files import exists
from search.analysis.race_result import RaceResult
from search.analysis.raced_finalists import name_of
from search.analysis.raced_rows import RacedRows
from search.runs import journal, layout, line_format
from search.runs.layout import RunError
from search.runs.line_format import OVER, EpochLine
from search.runs.remote import beside


def read(folder: Path) -> RaceResult:
    """Return what a race's run has come to.

    Raises:
        RunError: it is no run of a race, or its journal is damaged.
    """
    space = layout.space(folder)
    if space.race is None:
        raise RunError(f"{folder}: not the run of a race")
    known, measured = journal.read(folder)
    rows, objective = RacedRows(space, space.race), space.objective
    outcomes: list[dict[int, Bools | None]] = [{} for _ in space.race.trials]
    failed: dict[str, dict[int, str]] = {}
    for name, line in known.items():
        rows.begin(name)
        if line["status"] in OVER:
            epochs = measured.get(name, [])
            best = objective.best_epoch([float(epoch[objective.metric]) for epoch in epochs])
            if best is not None and line["status"] != "failed":
                finalist, at = rows.cell(name)
                outcomes[finalist][at] = _right(epochs[best])
            score = None if best is None else float(epochs[best][objective.metric])
            rows.end(name, line["status"], score)
            if line["status"] == "failed":
                finalist, at = rows.cell(name)
                reason = str(line.get("stop_reason") or "no reason was noted")
                failed.setdefault(rows.trials[finalist], {})[rows.seeds[at]] = reason
    right = _all_known(outcomes) if objective.metric == "val_acc" else None
    return RaceResult(space, space.race, rows, sum(map(len, measured.values())), right, failed)


def _right(epoch: EpochLine) -> Bools | None:
    """Return which validation pairs a net judged right after an epoch; None: it was not kept."""
    count = int(epoch["val_pairs"])
    return unpack(epoch.get("val_right"), count, round(epoch["val_acc"] * count))


def _all_known(
    outcomes: Sequence[Mapping[int, Bools | None]],
) -> list[dict[int, Bools]] | None:
    """Return the outcomes; None where one is not known, or is of another number of pairs."""
    known = [{at: one for at, one in each.items() if one is not None} for each in outcomes]
    counts = {len(one) for each in known for one in each.values()}
    return known if len(counts) == 1 and sum(map(len, known)) == sum(map(len, outcomes)) else None


def of_run(run: Path, place: str | Path, best: str) -> RaceResult | None:
    """Return what the race of a run's best trials has come to; None where there is none, or yet.

    Args:
        run: folder of the run.
        place: where the run lies, beside its race: the folder, or the URL that was fetched to it.
        best: its best trial. A race without that says no more who wins: the search went on.

    Raises:
        RunError, SpaceError: the race's folder is damaged, or cannot be reached.
    """
    folder = beside(place, name_of(run))
    if not exists(folder / line_format.TRIALS) or not exists(folder / layout.SPACE):
        return None
    race = layout.space(folder).race
    if race is None or race.of != run.name or best not in race.trials:
        return None
    result = read(folder)
    return result if result.winner else None
