"""A race from Python: the options of ``search.race``, and what the race came to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from search import race as command
from search.api import wording
from search.api.opened import Run
from search.api.searching import alone_in_process
from search.tuning import racing

if TYPE_CHECKING:
    from search.analysis.race_result import RaceResult


def race(made: Run, given: dict[str, Any]) -> RaceResult | None:
    """Race the best trials of a run, as ``Run.race``.

    Args:
        made: the run.
        given: the options, by name.
    """
    from search.analysis import raced_run

    progress, place = given.pop("progress", True), made.url or str(made.folder)
    with wording.python_words():
        words = wording.arguments(given)
        asked = wording.read(command.parser(wording.Reader), [*words, "--", place])
        call = wording.call(f"load({made.place!r}).race", [], given)
        options = command.options(asked, call)
        if over := racing.finished(options):
            return over
        raced = alone_in_process(options, (), progress)
    return None if options.dry_run else raced_run.read(raced.folder)
