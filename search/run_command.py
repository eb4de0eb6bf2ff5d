"""The command ``python -m search.run spaces/code2.yaml``, which runs a search.

This file defines the command and nothing that is sent to a worker. What is heavy (torch, Ray) is
imported after the space file and the options have been checked: a mistake is reported at once.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from facesiam import cli
from facesiam.cli import interrupts
from facesiam.errors import UserError, shown
from facesiam.files import write_text
from facesiam.fingerprint import keys
from search.cli import read_options
from search.runs import layout
from search.runs.journal import read_trials
from search.runs.lock import locked
from search.space import SearchSpace
from search.space.run_options import RunOptions
from search.tuning import preparation, run_folder, warm_start
from search.tuning.preparation import Search

if TYPE_CHECKING:
    from rich.console import Console

    from facesiam.fingerprint import Key
    from search.resources.allocation import Allocation
    from search.runs.mirror import Mirror
    from search.tuning.live_table import LiveTable
    from search.tuning.search_state import SearchStop


@dataclass(frozen=True)
class Session:
    """A search that has begun: Ray runs, and no other search may use the run's folder."""

    search: Search
    shares: Allocation
    key: Key
    table: LiveTable
    mirror: Mirror | None


@dataclass(frozen=True)
class Outcome:
    """How a search ended."""

    search: Search
    stop: SearchStop | None
    """What cut it short; None: it came to its end."""
    failed: int
    """Trials that failed."""


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
        lambda: _main(options, trainable),
        "interrupted before the search began",
        cli.STORAGE_FAILED,
        goes_on=True,
    )


def _main(options: RunOptions, trainable: type[Any] | None) -> int:
    space, run, url = preparation.check(options)
    if options.dry_run:
        return _plan(options, space)
    cli.needs_docstrings()
    search = preparation.prepare(options, space, run, url)
    for line in search.inactive:
        print(f"rule {line}")
    try:
        return _run(search, trainable)
    except KeyboardInterrupt as error:
        if not (run / layout.MANIFEST).exists():
            raise
        word = error.word if isinstance(error, interrupts.Interrupted) else "interrupted"
        print(f"{word}; go on with:\n  {options.resume_command}", file=sys.stderr)
        return interrupts.CODES[word]


def _plan(options: RunOptions, space: SearchSpace) -> int:
    """Show what a search would run, and what it would cost."""
    from search.resources.allocation import check_address
    from search.resources.plan import describe

    if options.address:
        check_address(options.address)
    print(describe(space, Path(options.out), options))
    return cli.DONE


def _run(search: Search, trainable: type[Any] | None) -> int:
    """Begin a search, drive it and show what came of it; return the exit code."""
    from rich.console import Console

    console = Console()
    with begun(search, console) as session:
        try:
            outcome = drive(session, trainable)
        except OSError as error:
            where = error.filename or search.setup.run
            code = _show_failure(search, console, f"{where}: {error.strerror}")
        else:
            code = show(outcome, console)
    if session.mirror and session.mirror.trouble:
        missing = f"{session.mirror.trouble}; what is missing there is in {search.setup.run}"
        return _show_failure(search, console, missing)
    return code


@contextmanager
def begun(search: Search, console: Console) -> Iterator[Session]:
    """Within this Ray runs, and the run's folder, or what is behind its URL, is this search's."""
    options, space, setup = search.options, search.space, search.setup
    shares = preparation.allocate(search, lambda line: _say(console, line))
    from search.runs.mirror import Mirror
    from search.tuning.live_table import LiveTable

    key = keys(
        search.data.key,
        setup.weights,
        "cuda" if shares.has_gpus else "cpu",
        lambda net: max(1, int(shares.of(net)[0])),
    )
    count = space.count()
    table = LiveTable(count, space.objective, console)
    many = "all trials" if count is None else f"{count} trial{'s' * (count != 1)}"
    _say(console, f"{many} into {setup.storage or _short(setup.run)}")
    data = str(options.data or space.data), search.data.key
    with (
        locked(setup.run),
        Mirror(setup.storage, table.say) if setup.storage else nullcontext() as mirror,
        run_folder.claimed(options, space, setup.run, setup.storage, data),
    ):
        if options.warm_start and not options.resume:
            warm_start.write(setup.run, search.known)
        yield Session(search, shares, key, table, mirror)


def drive(session: Session, trainable: type[Any] | None = None) -> Outcome:
    """Run the trials of a search, and write its tables.

    Args:
        session: the search, which has begun.
        trainable: what a worker runs for a trial; None: ``facesiam.trainable.FaceTrial``.

    Raises:
        OSError: the run's folder cannot be written, or another program writes to it.
    """
    from search.analysis import ranked_trials
    from search.runs import manifest
    from search.tuning import driver

    search, console = session.search, session.table.console
    run, shares = search.setup.run, session.shares
    write_text(run / layout.SPACE, search.space.dump())
    command = search.options.command
    if manifest.begin(run, search.space, search.data, command, shares.nodes, search.inactive):
        _say(
            console,
            "the trainer's code, its libraries or plugins are not those that this run began "
            "with: its trials may not be comparable",
        )
    if note := preparation.sampler_note(search, shares.concurrent):
        _say(console, note)
    stop = driver.run(
        shares,
        session.table,
        trainable,
        key=session.key,
        reusable=search.reusable,
        mirror=session.mirror,
        on_ray_death=lambda why: _end_without_ray(session, why),
    )
    manifest.end(run, stop is None)
    if read_trials(run):
        ranked_trials.write(run)
    return Outcome(search, stop, session.table.counts["failed"])


def show(outcome: Outcome, console: Console) -> int:
    """Show what a search came to and how to go on with it; return the exit code."""
    from search.tuning.search_state import StopReason

    search, stop = outcome.search, outcome.stop
    _show_results(search, console)
    if stop and stop.reason is StopReason.FAILED:
        return _show_failure(search, console, str(stop))
    if stop:
        over = stop.reason is StopReason.TIME_UP
        why = f"{search.space.minutes:g} minutes are over" if over else str(stop)
        _say(console, f"{why}; go on with:\n  {search.options.resume_command}")
        if not over:
            return interrupts.CODES[stop.reason.value]
    if search.options.report or search.space.report:
        from search.report.page import report

        _say(console, f"report: {_short(report([search.setup.run]))}")
    if not stop and not outcome.failed:
        where = search.setup.storage or _short(search.setup.run)
        retrain = cli.program("search.retrain")
        _say(console, f"test its best trial: {retrain} {shlex.quote(where)}")
    return cli.SOME_FAILED if outcome.failed else cli.DONE


def _show_results(search: Search, console: Console) -> None:
    """Show the ranked trials, and what the pruning rules did."""
    from search.analysis import ranked_trials, rule_audit
    from search.analysis.trial_table import table

    run = search.setup.run
    if known := read_trials(run):
        trials, _ = ranked_trials.load(run)
        _say(console, table(trials, 20, ranking=ranked_trials.ranking(run)))
        if text := rule_audit.text(rule_audit.record(trials, rule_audit.planned(run, trials))):
            _say(console, f"\n{text}\n")
    else:
        _say(console, "no trial has started")
    if (size := search.space.size()) is not None and search.space.algorithm != "rows":
        ended = [trial for trial in known.values() if trial["status"] in ("done", "stopped")]
        _say(console, f"explored {len(ended)} of {size} configurations")
    _say(console, f"run: {search.setup.storage or _short(run)}")


def _end_without_ray(session: Session, why: str) -> int:
    """Leave the run's folder as at any other end, where Ray has died and holds this command."""
    from search.analysis import ranked_trials
    from search.runs import manifest

    run = session.search.setup.run
    session.table.__exit__(None, None, None)
    with suppress(OSError, UserError):  # the journal has it all
        manifest.end(run, False)
        ranked_trials.write(run)
        if session.mirror:
            session.mirror.__exit__()
    return _show_failure(session.search, session.table.console, why)


def _show_failure(search: Search, console: Console, why: str) -> int:
    """Say why the search ended and how to go on with it."""
    if (search.setup.run / layout.MANIFEST).exists():
        more = f"Nothing that was noted is lost. Go on with:\n  {search.options.resume_command}"
    else:
        more = "Nothing had begun."
    _say(console, f"stopped: {why}\n{more}")
    return cli.STORAGE_FAILED


def _say(console: Console, text: str) -> None:
    console.print(shown(text), markup=False, highlight=False, soft_wrap=True)


def _short(path: Path) -> str:
    """Return a path as short as it can be typed here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
