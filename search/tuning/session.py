"""One session of a search, from its start or a resume to its end, whoever asked for it.

The command ``search.run`` and the Python API drive a search through this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facesiam import cli
from facesiam.cli.terminal import WHOLE, columns, doing, fitted
from facesiam.errors import UserError, counted, reason, shown
from facesiam.files import write_text
from facesiam.fingerprint import keys
from search.runs import layout
from search.runs.journal import read_trials
from search.runs.lock import locked
from search.space.file_dump import dump
from search.tuning import preparation, run_folder, warm_start
from search.tuning.preparation import Search

if TYPE_CHECKING:
    from rich.console import Console, Group

    from facesiam.fingerprint import Key
    from search.resources.allocation import Allocation
    from search.runs.mirror import Mirror
    from search.tuning.live_table import LiveTable, View
    from search.tuning.search_state import SearchStop


@dataclass(frozen=True)
class Session:
    """A search that has begun: Ray runs, and no other search may use the run's folder."""

    search: Search
    shares: Allocation
    key: Key
    table: LiveTable
    mirror: Mirror | None

    @property
    def missing(self) -> str | None:
        """What is not where the run lies, once the session is over; None: all of it is there."""
        if not self.mirror or not self.mirror.trouble:
            return None
        return f"{self.mirror.trouble}; what is missing there is in {self.search.setup.run}"


@dataclass(frozen=True)
class Outcome:
    """How a session ended."""

    search: Search
    stop: SearchStop | None
    """What cut it short; None: it came to its end."""
    failed: int = 0
    """Trials that failed."""
    readable: bool = True
    """Whether the run can be shown: not where its folder failed on the way."""


@contextmanager
def begun(
    search: Search,
    console: Console,
    view: Callable[[Callable[[], Group]], View] | None = None,
) -> Iterator[Session]:
    """Within this Ray runs, and the run's folder, or what is behind its URL, is this search's.

    Args:
        search: the search.
        console: where it is shown.
        view: of ``LiveTable``.
    """
    options, space, setup = search.options, search.space, search.setup
    doing(f"joining the cluster at {setup.address}" if setup.address else "starting Ray")
    shares = preparation.allocate(search, lambda line: say(console, line))
    from search.runs.mirror import Mirror
    from search.tuning import resumption  # it imports Ray, whose environment is set by now
    from search.tuning.live_table import LiveTable

    key = keys(
        search.data.key,
        setup.weights,
        "cuda" if shares.has_gpus else "cpu",
        lambda net: max(1, int(shares.of(net)[0])),
    )
    count = space.count()
    table = LiveTable(count, space.objective, console, space.varied(), space.minutes, view=view)
    many = "all trials" if count is None else counted(count, "trial")
    say(console, f"{many} into {search.place}")
    data = str(options.data or space.data), search.data.key
    with (
        locked(setup.run),
        Mirror(setup.storage, table.say) if setup.storage else nullcontext() as mirror,
        run_folder.claimed(options, space, setup.run, setup.storage, data),
    ):
        if options.resume:
            told = resumption.told(setup.run, count, options.trials)
            say(console, fitted(told, columns(WHOLE)))
        if options.warm_start and not options.resume:
            warm_start.write(setup.run, search.known)
        yield Session(search, shares, key, table, mirror)


def drive(session: Session, trainable: type[Any] | None = None) -> Outcome:
    """Run the trials of a search, and write its tables.

    Args:
        session: the search, which has begun.
        trainable: what a worker runs for a trial; None: ``facesiam.trainable.FaceTrial``.
    """
    try:
        return _drive(session, trainable)
    except OSError as error:  # the folder cannot be written, or another program writes to it
        from search.tuning.search_state import SearchStop, StopReason

        where = error.filename or session.search.setup.run
        stop = SearchStop(StopReason.FAILED, f"{where}: {reason(error)}")
        return Outcome(session.search, stop, readable=False)


def _drive(session: Session, trainable: type[Any] | None) -> Outcome:
    from search.analysis import ranked_trials
    from search.runs import manifest
    from search.tuning import driver

    search, console = session.search, session.table.console
    run, shares = search.setup.run, session.shares
    write_text(run / layout.SPACE, dump(search.space))
    options = search.options
    if manifest.begin(
        run,
        search.space,
        search.data,
        options.command,
        shares.nodes,
        search.inactive,
        options.arguments,
    ):
        say(
            console,
            "the trainer's code, its libraries or plugins are not those that this run began "
            "with: its trials may not be comparable",
        )
    if note := preparation.sampler_note(search, shares.concurrent):
        say(console, note)
    stop = driver.run(
        shares,
        session.table,
        trainable,
        key=session.key,
        reusable=search.reusable,
        mirror=session.mirror,
        on_ray_death=lambda why: _end_without_ray(session, why),
        callbacks=search.callbacks,
    )
    manifest.end(run, stop is None, "" if stop else session.table.ended_by)
    if read_trials(run):
        ranked_trials.write(run)
    return Outcome(search, stop, session.table.counts["failed"])


def _end_without_ray(session: Session, why: str) -> int:
    """Leave the run's folder as at any other end, where Ray has died and holds this process."""
    from search.analysis import ranked_trials
    from search.runs import manifest

    run = session.search.setup.run
    session.table.__exit__(None, None, None)
    with suppress(OSError, UserError):  # the journal has it all
        manifest.end(run, False)
        ranked_trials.write(run)
        if session.mirror:
            session.mirror.__exit__()
    say(session.table.console, failure(session.search, why))
    return cli.STORAGE_FAILED


def failure(search: Search, why: str) -> str:
    """Return why a search ended before its end, and how to go on with it."""
    if (search.setup.run / layout.MANIFEST).exists():
        more = f"Nothing that was noted is lost. Go on with:\n  {search.options.resume_command}"
    else:
        more = "Nothing had begun."
    return f"stopped: {why}\n{more}"


def copies(search: Search) -> list[str]:
    """Return where the trackers keep their copies of a run that has ended; a text each."""
    return [where for callback in search.callbacks if (where := callback.kept)]


def say(console: Console, text: str) -> None:
    """Show text that may hold what was read from files."""
    console.print(shown(text), markup=False, highlight=False, soft_wrap=True)
