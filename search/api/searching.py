"""``run``: a search from Python, from the space to the Run that it leaves."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from facesiam import cli
from facesiam.config import Value
from facesiam.errors import StorageError, masked
from facesiam.nearby import RESULTS
from search.api import notebook, wording
from search.api.opened import Run
from search.cli.run_parser import parser
from search.runs import layout
from search.runs.layout import RunError
from search.runs.reuse import RunRefused
from search.space import SearchSpace
from search.space.file_dump import dump
from search.space.finalists import NothingToRace
from search.space.run_options import RunOptions
from search.tracking.callback import Callback
from search.tuning import preparation, racing, ray_lifetime, session
from search.tuning.preparation import Search
from search.tuning.session import Outcome, say

if TYPE_CHECKING:
    from rich.console import Console

Place: TypeAlias = str | os.PathLike[str]
Space: TypeAlias = Place | Mapping[str, Any] | SearchSpace


class SearchInterrupted(KeyboardInterrupt):
    """A search that Ctrl-C has ended: its trials have saved their states.

    It is a KeyboardInterrupt, so that what comes after the search does not run either.
    """

    def __init__(self, run: Run, text: str) -> None:
        super().__init__(text)
        self.run = run
        """What has run so far; ``run.resume()`` goes on with it."""


class SearchFailed(StorageError):
    """A search whose storage, or whose Ray, has failed: nothing that was noted is lost."""

    def __init__(self, run: Run, text: str) -> None:
        super().__init__(text)
        self.run = run
        """What has run so far; ``run.resume()`` goes on with it once the cause is mended."""


def run(  # noqa: PLR0913 - every option of the command, by its name
    space: Space,
    data: Place | None = None,
    *,
    name: str | None = None,
    out: Place = RESULTS,
    trials: int | None = None,
    minutes: float | None = None,
    stop_when: Mapping[str, float] | None = None,
    seed: int | None = None,
    algorithm: str | None = None,
    rows: str | Sequence[str] | None = None,
    set: Mapping[str, Value | Sequence[Value]] | Sequence[str] = (),
    enqueue: Sequence[Mapping[str, Value]] = (),
    format: str | None = None,
    weights: Place | None = None,
    plugin: Place | Sequence[Place] = (),
    concurrent: int | None = None,
    cpus: int | None = None,
    gpus: float | None = None,
    address: str | None = None,
    resume: bool = False,
    reuse: Place | Run | Sequence[Place | Run] = (),
    warm_start: Place | Run | Sequence[Place | Run] = (),
    ablate: Place | Run | None = None,
    seeds: int | None = None,
    log: str | Sequence[str] = (),
    optuna: str | None = None,
    dashboard: bool = False,
    report: bool = False,
    dry_run: bool = False,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> Run:
    """Run a search, and return what it leaves; the options are those of ``search.run``.

    In a terminal and in a notebook a live table shows the trials that run, elsewhere a line is
    printed for each trial that ends. Ray is started for the search and ended after it, unless it
    ran before. One search at a time runs in a process.

    Example::

        space = {"fixed": {"net": "alexnet"}, "search": {"lr": {"low": 1e-4, "high": 1e-2}}}
        found = run(space, "faces.zip", name="first", trials=5)

    Args:
        space: name of a shipped space (``"code2"``), path of a space file, a mapping with the keys
            of one, or the ``space`` of another Run.
        data: path of a dataset, or ``"drawn"``; None: as the space says.
        name: of the run and its folder; None: that of the space, of a mapping without one "space".
        out: folder or URL of the runs.
        trials: how many, for the algorithms that choose.
        minutes: after which the search halts; ``resume=True`` goes on for as many.
        stop_when: ``{"gain": 0.3}`` ends it once the trials left would gain fewer points.
        seed: of the search.
        algorithm: how the next trial is chosen, instead of as the space says.
        rows: ids of the rows to run, of a space that has rows.
        set: settings to fix, or to narrow, by name.
        enqueue: configurations to try first, each some searched settings by name.
        format: what the data are read as; None: recognised.
        weights: file or folder of pretrained weights, instead of a download.
        plugin: files that register nets, losses and metrics.
        concurrent: trials that run at once; None: as many as fit.
        cpus: CPU cores of each trial.
        gpus: GPUs of each trial; 0.5: two share one.
        address: of a Ray cluster, ``"auto"`` or HOST:PORT; None: this machine alone.
        resume: go on with the run of this name, or extend it.
        reuse: earlier runs from which finished trials are taken where they are the same.
        warm_start: earlier runs whose scores TPE begins with.
        ablate: earlier run whose best trial is run with one searched setting changed at a time.
        seeds: how many, of `ablate`.
        log: trackers that every trial is logged to: ``"mlflow"``, ``"wandb"``.
        optuna: URL of an Optuna storage where a study is kept, for optuna-dashboard.
        dashboard: serve Ray's dashboard, on loopback.
        report: write the report at the end.
        dry_run: print the plan, and start nothing; there is nothing at the Run's folder then.
        callbacks: are told what happens, each on a thread of its own; see
            ``search.tracking.callback``. They are not noted, so a resume takes them again.
        progress: show the search while it runs.

    Returns:
        The run. A search whose minutes are over returns, too: ``finished`` is False then. Failed
        trials are in ``trials``, with their reason.

    Raises:
        UserError: an option, the space, the data or the machine does not fit; the text says what
            to do. Its subclasses are SpaceError (the space), RunRefused (the run's folder),
            DataError, WeightsError, PluginError, DriverError (Ray) and OptionError.
        SearchFailed: the storage or Ray has failed on the way; its ``run`` can be resumed.
        SearchInterrupted: Ctrl-C, or the notebook's interrupt; its ``run`` can be resumed. Before
            the first trial it is a plain KeyboardInterrupt, and nothing is left.
    """
    given = dict(locals())
    for needless in ("space", "callbacks", "progress"):
        del given[needless]
    with wording.python_words():
        return alone_in_process(_options(space, given, callbacks), callbacks, progress)


def alone_in_process(options: RunOptions, callbacks: Sequence[Callback], progress: bool) -> Run:
    """Run a search, and the race that its space asks for, where no other one runs; as ``run``."""
    if not _alone.acquire(blocking=False):
        raise RunRefused("another search runs in this process; wait for it to end")
    try:
        with ray_lifetime.used():
            made = _search(options, callbacks, progress)
            if not options.dry_run and made.space.finalists and made.finished:
                _race(options, made, callbacks, progress)
            return made
    finally:
        _alone.release()


def _race(options: RunOptions, made: Run, callbacks: Sequence[Callback], progress: bool) -> None:
    """Run the race that a search's space asks for, or say why there is none."""
    try:
        again = racing.after(options, made.folder, made.url)
    except (NothingToRace, RunRefused) as error:  # the search itself is done
        cli.say(str(error))
        return
    if not racing.finished(again):
        _search(again, callbacks, progress)
    if options.report or made.space.report:
        from search.report.page import report_there

        report_there(made.folder, made.url)


_alone = threading.Lock()
"""Held by the search that runs in this process."""


def _options(space: Space, given: dict[str, Any], callbacks: Sequence[Callback]) -> RunOptions:
    """Return the options of a call, checked as those of the command line are."""
    _check_lists(given["enqueue"], callbacks)
    content = space if isinstance(space, Mapping) else None
    if isinstance(space, SearchSpace):
        content = yaml.safe_load(dump(space))
    enqueue, rows = given.pop("enqueue"), given["rows"]
    called = wording.call("run", [space], {**given, "enqueue": enqueue, "callbacks": callbacks})
    if rows is not None and not isinstance(rows, str):
        given["rows"] = ",".join(rows)
    file = "space" if content is not None else wording.text("space", space)
    words = wording.arguments(given)
    return RunOptions(
        **wording.read(parser(wording.Reader), [*words, "--", file]),
        enqueue=enqueue,
        content=content,
        command=called,
        arguments=[masked(word) for word in (file, *words)],
    )


def _check_lists(enqueue: object, callbacks: object) -> None:
    """Refuse what is no list of configurations, or of callbacks.

    Raises:
        wording.OptionError: the text says which.
    """
    if not isinstance(enqueue, Sequence) or not all(isinstance(x, Mapping) for x in enqueue):
        raise wording.OptionError("enqueue: takes a list of mappings, such as [{'lr': 1e-3}]")
    if not isinstance(callbacks, Sequence):
        raise wording.OptionError(f"callbacks: takes a list, got a {type(callbacks).__name__}")
    for one in callbacks:
        if not isinstance(one, Callback):
            what = f"{one.__name__} itself" if isinstance(one, type) else f"a {type(one).__name__}"
            raise wording.OptionError(
                f"callbacks: takes instances of search.tracking.callback.Callback, got {what}"
            )


def _search(options: RunOptions, callbacks: Sequence[Callback], progress: bool) -> Run:
    space, folder, url = preparation.check(options)
    made = Run(folder, url)
    if options.dry_run:
        from search.resources.plan import describe

        notes = preparation.notes(options, space)
        print(wording.in_python(describe(space, Path(options.out), options, notes=notes)))
        return made
    cli.needs_docstrings()
    if not options.race:
        resumed = f"load({made.place!r}).resume()"
        options = dataclasses.replace(options, resume_call=resumed)
    console, view = notebook.console(progress)
    shown = partial(say, console) if progress else None
    ready = preparation.prepare(options, space, folder, url, shown)
    ready = dataclasses.replace(ready, callbacks=(*ready.callbacks, *callbacks))
    for line in ready.inactive:
        say(console, f"rule {line}")
    try:
        outcome, missing = _driven(ready, console, view)
    except KeyboardInterrupt:
        if not (folder / layout.MANIFEST).exists():
            raise
        raise SearchInterrupted(made, f"interrupted; {_goes_on(options)}") from None
    return _ended(made, outcome, missing, console)


def _driven(
    ready: Search, console: Console, view: notebook.MakeView | None
) -> tuple[Outcome, str | None]:
    """Drive a search to its end; return how it ended, and what is not where the run lies."""
    with session.begun(ready, console, view) as begun:
        outcome = session.drive(begun)
        if outcome.readable and (ready.options.report or ready.space.report):
            with suppress(RunError):  # nothing to report: no epoch has ended
                say(console, f"report: {preparation.short(Run(ready.setup.run).report())}")
    return outcome, begun.missing


def _ended(made: Run, outcome: Outcome, missing: str | None, console: Console) -> Run:
    """Return the run of a search that has ended as it should, or raise how else it ended."""
    from search.tuning.search_state import StopReason

    options, stop = outcome.search.options, outcome.stop
    if stop and stop.reason is StopReason.FAILED:
        raise SearchFailed(made, session.failure(outcome.search, str(stop)))
    if missing:
        raise SearchFailed(made, session.failure(outcome.search, missing))
    if stop and stop.reason is not StopReason.TIME_UP:
        if stop.reason is StopReason.TERMINATED:
            signal.raise_signal(signal.SIGTERM)  # whose handler is the caller's again
        raise SearchInterrupted(made, f"{stop}; {_goes_on(options)}")
    if stop:
        minutes = f"{outcome.search.space.minutes:g} minutes are over"
        say(console, f"{minutes}; {_goes_on(options)}")
    for where in session.copies(outcome.search):
        say(console, where)
    return made


def _goes_on(options: RunOptions) -> str:
    return f"go on with:\n  {options.resume_command}"
