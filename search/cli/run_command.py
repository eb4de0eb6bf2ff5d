"""The command ``python -m search.run spaces/code2.yaml``, which runs a search.

This file defines the command and nothing that is sent to a worker. What is heavy (torch, Ray) is
imported after the space file and the options have been checked: a mistake is reported at once.
"""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from facesiam import cli
from facesiam.cli import interrupts
from facesiam.cli.terminal import WHOLE, columns, doing, fitted
from facesiam.errors import counted
from search.cli.run_parser import read_options
from search.runs import layout
from search.runs.journal import read_trials
from search.runs.reuse import RunRefused
from search.space import SearchSpace
from search.space.finalists import NothingToRace
from search.space.run_options import RunOptions
from search.tuning import preparation, racing, session
from search.tuning.preparation import Search, short
from search.tuning.session import Outcome, say

if TYPE_CHECKING:
    from rich.console import Console


def leave(code: int) -> NoReturn:
    """End the process of the command: all is said and done, but Ray takes a second to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if (watch := sys.modules.get("search.tuning.ray_watchdog")) and watch.died:
        watch.exit_now(code)  # Ray would hang in the interpreter's end, or change the exit code
    sys.exit(code)


def main(argv: list[str] | None = None, trainable: type[Any] | None = None) -> int:
    """Run the command; return its exit code.

    0: done, or its minutes are over. 1: some trial failed. 2: wrong input, nothing was written.
    3: the storage failed, and --resume goes on once it is back. 70: this program is at fault,
    which leaves a traceback. 130: interrupted. 143: terminated, by SIGTERM.

    Args:
        argv: the arguments; None: those of the process.
        trainable: what a worker runs for a trial; None: ``facesiam.trainable.FaceTrial``.
    """
    options = read_options(argv)
    return cli.run(
        lambda: search_for(options, trainable),
        "interrupted before the search began",
        cli.STORAGE_FAILED,
        goes_on=True,
    )


def search_for(options: RunOptions, trainable: type[Any] | None = None) -> int:
    """Run the search that the options describe, and the race that its space asks for.

    Args:
        options: of the search, or of a race (``search.tuning.racing``).
        trainable: as of ``main``.

    Returns:
        The exit code.

    Raises:
        UserError: an option, the space, the data or the machine does not fit.
    """
    space, run, url = preparation.check(options)
    if options.dry_run:
        return _plan(options, space)
    cli.needs_docstrings()
    doing(f"{space.name}: reading the data")
    search = preparation.prepare(options, space, run, url)
    for line in search.inactive:
        print(fitted(f"rule {line}", columns()))
    try:
        code = _run(search, trainable)
    except KeyboardInterrupt as error:
        if not (run / layout.MANIFEST).exists():
            raise
        word = error.word if isinstance(error, interrupts.Interrupted) else "interrupted"
        print(f"{word}; go on with:\n  {options.resume_command}", file=sys.stderr)
        return interrupts.CODES[word]
    if space.finalists and layout.manifest(run).get("finished"):
        try:
            raced = racing.after(options, run, url)
        except (NothingToRace, RunRefused) as error:  # the search itself is done
            cli.say(str(error))
            cli.show(_test_best(search))
            return code
        count = len(raced.race.race.trials) if raced.race else 0
        cli.show(f"now follows a race of its best {count} trials, which may take another one")
        raced_code = race(raced, trainable)
        if options.report or space.report:
            cli.show(_report(run, url))
        return raced_code or code
    return code


def race(options: RunOptions, trainable: type[Any] | None = None) -> int:
    """Race a run's best trials, or go on with that, and show what came of it.

    Args:
        options: of ``search.tuning.racing``.
        trainable: as of ``main``.

    Returns:
        The exit code.

    Raises:
        UserError: as ``search_for``.
    """
    if over := racing.finished(options):
        from search.analysis import race_result

        cli.show(race_result.text(over, columns()))
        return cli.DONE
    return search_for(options, trainable)


def _plan(options: RunOptions, space: SearchSpace) -> int:
    """Show what a search would run, and what it would cost."""
    doing(f"{space.name}: making the plan")
    from search.resources.allocation import check_address
    from search.resources.plan import describe

    if options.address:
        check_address(options.address)
    notes = preparation.notes(options, space)
    print(describe(space, Path(options.out), options, columns(WHOLE), notes))
    return cli.DONE


def _run(search: Search, trainable: type[Any] | None) -> int:
    """Begin a search, drive it and show what came of it; return the exit code."""
    from rich.console import Console

    console = Console()
    with session.begun(search, console) as begun:
        code = show(session.drive(begun, trainable), console)
    if begun.missing:
        return _show_failure(search, console, begun.missing)
    return code


def show(outcome: Outcome, console: Console) -> int:
    """Show what a search came to and how to go on with it; return the exit code."""
    from search.tuning.search_state import StopReason

    search, stop = outcome.search, outcome.stop
    if outcome.readable:
        _show_results(search, console)
    if stop and stop.reason is StopReason.FAILED:
        return _show_failure(search, console, str(stop))
    if stop:
        over = stop.reason is StopReason.TIME_UP
        why = f"{search.space.minutes:g} minutes are over" if over else str(stop)
        say(console, f"{why}; go on with:\n  {search.options.resume_command}")
        if not over:
            return interrupts.CODES[stop.reason.value]
    if search.options.report or search.space.report:
        say(console, _report(search.setup.run))
    # After a search with finalists it is said which of them race, or that none can.
    if not stop and not outcome.failed and not search.space.finalists:
        say(console, _what_next(search))
    return cli.SOME_FAILED if outcome.failed else cli.DONE


def _what_next(search: Search) -> str:
    """Return what can be done with the best trial, of a race with the one that is taken."""
    if not search.space.race:
        return _test_best(search)
    from search.analysis import raced_run

    retrain = cli.program("search.retrain")

    winner = raced_run.read(search.setup.run).winner
    of = racing.place_of(search)
    return f"test the one that is taken: {retrain} {shlex.quote(of)} --trial {winner}"


def _test_best(search: Search) -> str:
    return f"test its best trial: {cli.program('search.retrain')} {shlex.quote(search.place)}"


def _report(run: Path, url: str | None = None) -> str:
    """Write the report of a run, behind a URL too where one is given; return where it is here."""
    doing("writing the report")
    from search.report.page import report_there

    return f"report: {short(report_there(run, url))}"


def _show_results(search: Search, console: Console) -> None:
    """Show the ranked trials, and what the pruning rules did; of a race, what came of it."""
    from search.analysis import race_result, raced_run, ranked_by, ranked_trials, rule_audit
    from search.analysis.trial_table import table
    from search.pruning import going_on

    run = search.setup.run
    if (known := read_trials(run)) and search.space.race:
        say(console, race_result.text(raced_run.read(run), columns()))
    elif known:
        trials, _ = ranked_trials.load(run)
        say(console, table(trials, 20, columns(), ranked_by.ranking(run)))
        if text := rule_audit.text(rule_audit.record(trials, rule_audit.planned(run, trials))):
            say(console, f"\n{fitted(text, columns())}\n")
        if text := going_on.told(run, search.space):
            say(console, f"{fitted(text, columns())}\n")
    else:
        say(console, "no trial has started")
    if (size := search.space.size()) is not None and search.space.algorithm != "rows":
        ended = [trial for trial in known.values() if trial["status"] in ("done", "stopped")]
        say(console, f"explored {len(ended)} of {counted(size, 'configuration')}")
    say(console, f"run: {search.place}")
    for where in session.copies(search):
        say(console, where)


def _show_failure(search: Search, console: Console, why: str) -> int:
    """Say why the search ended and how to go on with it."""
    say(console, session.failure(search, why))
    return cli.STORAGE_FAILED
