"""A race of a run's best trials: a search of its own, whose rows are their further trainings.

It runs beside the run, as RUN-race, through the driver that every search has. Its space has a
`race:`, by which the sampler hands out the rows round by round (search.analysis.raced_rows). So it
is resumed from its journal like any search, and every command that reads a run reads its folder.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from facesiam.errors import masked
from facesiam.files import exists
from search.runs import layout
from search.runs.line_format import TRIALS
from search.runs.remote import above, run_in
from search.runs.reuse import RunRefused
from search.space.finalists import Finalists, Race
from search.space.run_options import Raced, RunOptions
from search.tuning.preparation import Search, short

if TYPE_CHECKING:
    from search.analysis.race_result import RaceResult

HANDED_ON = (
    *("data", "format", "weights", "plugin", "log", "optuna"),
    *("concurrent", "cpus", "gpus", "address"),
)
"""Options of a search that its race has too."""


def options(run: Path, url: str | None, asked: Finalists | None, given: RunOptions) -> RunOptions:
    """Return the options of the search that races a run's best trials, or goes on with that.

    Args:
        run: folder of the run whose trials are raced.
        url: of the run, where it lies behind one.
        asked: how they are raced; None: as the run's space says.
        given: where the race runs and on what; the name of its run, if it is not the usual one.

    Raises:
        NothingToRace: the run has no two finalists.
        RunRefused: there is a race of this name that is another one.
    """
    from search.analysis import raced_finalists  # it imports pandas

    name = given.name or raced_finalists.name_of(run)
    out = above(url) if url else str(run.parent)
    space = layout.space(run)
    if space.race:
        raise RunRefused(f"{run} is the race of {space.race.of}'s best trials; name that run")
    terms = asked or space.finalists or Finalists()
    folder = run_in(out, name)
    known = _begun(folder)
    race = raced_finalists.choose(run, terms)
    if known and (known.of, known.terms, [*known.trials]) != (run.name, terms, [*race.trials]):
        raise RunRefused(
            f"{folder} is a race {raced_finalists.described(known)}, and this is one "
            f"{raced_finalists.described(race)}; give it another --name"
        )
    rows = layout.space(folder).rows if known else raced_finalists.rows(run, race)
    return dataclasses.replace(
        given,
        space=str(run / layout.SPACE),
        name=name,
        out=out,
        resume=bool(known),
        race=Raced(known or race, rows, raced_finalists.unfinished(run)),
        arguments=_arguments(given, run, out, name),
    )


def after(given: RunOptions, run: Path, url: str | None) -> RunOptions:
    """Return the options of the race that follows a search whose space has `finalists:`.

    Args:
        given: options of the search, which has come to its end.
        run: its folder.
        url: of the run, where it lies behind one.

    Raises:
        NothingToRace, RunRefused: as ``options``.
    """
    kept = {name: getattr(given, name) for name in HANDED_ON}
    again, command = given.resume_command, given.command
    return options(run, url, None, RunOptions("", **kept, command=command, resume_call=again))


def finished(given: RunOptions) -> RaceResult | None:
    """Return what a race has come to that has nothing more to train; None where it has."""
    if not given.resume or given.dry_run:
        return None
    from search.analysis import raced_run

    folder = run_in(given.out, str(given.name))
    if not exists(folder / TRIALS):
        return None
    result = raced_run.read(folder)
    return result if result.winner else None


def place_of(search: Search) -> str:
    """Return where the run lies whose finalists a race has raced, as it is typed here."""
    race = search.space.race
    assert race
    if search.setup.storage:
        from facesiam.storage.bucket import join

        return join(above(search.setup.storage), race.of)
    return short(search.setup.run.parent / race.of)


def _arguments(given: RunOptions, run: Path, out: str, name: str) -> list[str]:
    """Return what would say of a race's options the same on the command line of search.run."""
    words = [str(run / layout.SPACE), "--out", out, "--name", name]
    for option in HANDED_ON:
        value = getattr(given, option)
        several = value if isinstance(value, list | tuple) else [] if value is None else [value]
        for one in several:
            words += [f"--{option}", str(one)]
    return [masked(word) for word in words]


def _begun(folder: Path) -> Race | None:
    """Return what is raced in a folder; None where nothing was begun there.

    Raises:
        RunRefused: another run is there.
    """
    if not exists(folder / layout.MANIFEST):
        return None
    race = layout.space(folder).race
    if race is None:
        raise RunRefused(f"{folder} is no run of a race; give the race another --name")
    return race
