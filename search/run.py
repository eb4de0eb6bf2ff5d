"""Run a search: ``python -m search.run spaces/code2.yaml``.

This file defines the command and nothing that is sent to a worker. What is heavy (torch, Ray) is
imported after the space file and the options have been checked, so a mistake is told at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesiam import cli
from facesiam.cli import DONE, INTERRUPTED, SOME_FAILED, STORAGE_FAILED, TERMINATED, interrupts
from facesiam.config.trial import Value, geometry_of
from facesiam.errors import UserError, masked, shown
from facesiam.files import exists, is_dir, write_text
from facesiam.fingerprint import keys
from search import cli as arguments
from search.runs import layout
from search.runs.journal import read_trials
from search.runs.lock import locked
from search.runs.reuse import RunRefused, lent, refuse_changes
from search.space import SearchSpace, contradictions, load, shipped
from search.space.constraints import check
from search.tuning import warm_start

if TYPE_CHECKING:
    from rich.console import Console

    from facesiam.data.dataset import FaceData
    from facesiam.fingerprint import Key
    from search.resources.allocation import Allocation, Setup
    from search.runs.mirror import Mirror
    from search.runs.reuse import ReusableTrial
    from search.tuning.live_table import Board
    from search.tuning.warm_start import WarmStartTrial

CODES = {"interrupted": INTERRUPTED, "terminated": TERMINATED}


def main(argv: list[str] | None = None, trainable: type[Any] | None = None) -> int:
    """Run the command; return its exit code.

    0: done, or its minutes are over. 1: some trial failed. 2: wrong input, nothing was written.
    3: the storage failed, and --resume goes on once it is back. 70: this program is at fault,
    which leaves a traceback. 130: interrupted. 143: terminated, by SIGTERM.

    Args:
        argv: the arguments; None: those of the process.
        trainable: what a worker runs for a trial; None: ``facesiam.trainable.FaceTrial``.
    """
    options = arguments.parser().parse_args(argv)
    # Not sys.argv of a caller: in a notebook that is the kernel's.
    options.given = sys.argv[1:] if argv is None else list(argv)
    options.trainable = trainable
    return cli.run(
        lambda: _main(options), "interrupted before the search began", STORAGE_FAILED, goes_on=True
    )


def resolve(options: argparse.Namespace) -> SearchSpace:
    """Return the space with what the options change in it.

    Raises:
        SpaceError: the file, a --set or --rows is wrong.
    """
    space = load(shipped.space_file(options.space), strict=True).override(options.set)
    changes: dict[str, object] = {}
    if options.rows:
        if options.algorithm not in (None, "rows"):
            raise RunRefused(f"--algorithm {options.algorithm}: --rows runs rows; leave one out")
        rows = space.rows_named([row for row in options.rows.split(",") if row])
        changes |= {"rows": rows, "algorithm": "rows"}
    if options.seeds > 1 and not options.ablate:
        raise RunRefused("--seeds is of --ablate; search.retrain trains the best trial with more")
    if options.ablate:
        from search.tuning import ablation

        if options.rows or options.algorithm not in (None, "rows"):
            raise RunRefused("--ablate runs rows of its own: leave out --rows and --algorithm")
        if why := ablation.foreign(space, options.ablate):
            raise RunRefused(f"--ablate {options.ablate}: not of this space: its best has {why}")
        rows = ablation.rows(space, options.ablate, 1, options.seeds)
        changes |= {"rows": rows, "algorithm": "rows", "fixed": {}, "search": {}, "minutes": 0.0}
    for name in ("algorithm", "trials", "minutes", "seed"):
        if (value := getattr(options, name)) is not None:
            changes[name] = value
    changed = dataclasses.replace(space, **changes)  # type: ignore[arg-type]
    for name in ("trials", "seed"):
        if getattr(options, name) is not None and (why := contradictions.unused(changed, name)):
            raise RunRefused(f"--{name} {getattr(options, name)}: {why}")
    return check(changed.override(options.set) if options.ablate else changed)


def run_folder(options: argparse.Namespace, space: SearchSpace) -> tuple[Path, str | None]:
    """Return the absolute folder of the run, and its URL where `--out` is one.

    It is checked to be free or, with --resume, to exist.

    Raises:
        RunRefused: the name is taken, is no name, or the folder cannot be written.
        StorageError: the URL cannot be reached.
    """
    name = options.name or space.name
    if not re.fullmatch(r"[\w][\w.\-]*", name):
        raise RunRefused(f"--name {name}: letters, digits, '-', '_' and '.' only")
    if ":/" in options.out:
        run, url = _behind(options, name)
    else:
        run, url = Path(options.out).absolute() / name, None
        if not options.resume and not options.dry_run and _taken(run):
            raise RunRefused(f"{run} exists; go on with --resume, or give another --name")
    if options.resume:
        _refuse_foreign(space, run, url)
    nearest = next(p for p in (run, *run.parents) if exists(p))
    try:
        # By trying: permissions say nothing of /proc, of a full disk or of a read-only mount.
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise RunRefused(
            f"--out {options.out}: {nearest} cannot be written to ({error.strerror or error})"
        ) from None
    return run, url


def _refuse_foreign(space: SearchSpace, run: Path, url: str | None) -> None:
    """Refuse to go on with a run that is not there, or is not of this space."""
    if not exists(run / "manifest.json"):
        near = "" if url else _near(run.name, run.parent)
        raise RunRefused(f"--resume: there is no run at {url or run}{near}")
    refuse_changes(run, space)


def _check_again(options: argparse.Namespace, space: SearchSpace, setup: Setup, key: str) -> None:
    """Check the run's folder once more, now that the lock keeps others out of it.

    While this start packed the data or waited for Ray, another one may have begun a run of the
    same name, ended it, or gone on with it under an edited space.

    Args:
        options: of the command.
        space: what to search.
        setup: where.
        key: of the data.

    Raises:
        RunRefused: as ``run_folder``.
    """
    if options.resume:
        _refuse_foreign(space, setup.run, setup.storage)
        _refuse_other_data(setup.run, key, str(options.data or space.data))
    elif _taken(setup.run):
        where = setup.storage or setup.run
        raise RunRefused(
            f"{where} exists, begun by another command since this one was started; go on with "
            "--resume, or give another --name"
        )


def _taken(run: Path) -> bool:
    """Say whether a folder has anything but the lock of a start that failed."""
    return exists(run) and (not is_dir(run) or any(f.name != ".lock" for f in run.iterdir()))


def _behind(options: argparse.Namespace, name: str) -> tuple[Path, str]:
    """Return the folder here and the URL of a run behind a URL, as ``run_folder``."""
    from facesiam.bucket import join
    from search.runs.mirror import Mirror, fetched, folder_for

    if not re.match(r"\w[\w+.-]*://[^/?]|file:///", options.out):
        raise RunRefused(f"--out {options.out}: no URL; such as s3://bucket/runs or file:///path")
    url = join(options.out, name)
    run = folder_for(url)
    if options.resume:
        fetched(url)
    elif not options.dry_run:
        mirror = Mirror(url, print)
        mirror.bucket.patience = ()  # somebody waits for an answer
        if mirror.exists():
            raise RunRefused(f"{url} exists; go on with --resume, or give another --name")
        if exists(run / "manifest.json"):
            raise RunRefused(
                f"{run} has a run of which nothing has come to {url}; go on with --resume, or "
                "give another --name"
            )
    return run, url


def _main(options: argparse.Namespace) -> int:
    from search.pruning.inactive_rules import cannot_act

    space = resolve(options)
    run, url = run_folder(options, space)
    if options.weights and not exists(Path(options.weights)):
        raise RunRefused(f"--weights {options.weights}: no such file or folder")
    _check_known(options, space, run)
    if options.dry_run:
        from search.resources.allocation import check_address
        from search.resources.plan import describe

        if options.address:
            check_address(options.address)
        print(describe(space, Path(options.out), options))
        return DONE
    cli.needs_docstrings()
    silent = cannot_act(space)
    setup, data = _prepare(options, space, run)
    setup = dataclasses.replace(setup, storage=url)
    taken = lent(options.reuse)
    known = _known(options, space, data)
    for line in silent:
        print(f"rule {line}")
    try:
        return _search(options, space, setup, data, taken, known)
    except KeyboardInterrupt as error:
        if not (run / "manifest.json").exists():
            raise
        word = error.word if isinstance(error, interrupts.Interrupted) else "interrupted"
        print(f"{word}; go on with:\n  {_resume_command(options)}", file=sys.stderr)
        return CODES[word]


def _prepare(options: argparse.Namespace, space: SearchSpace, run: Path) -> tuple[Setup, FaceData]:
    """Check everything that needs the machine, cheapest first; then pack the data."""
    from search.resources.allocation import (
        Allocation,
        Setup,
        check_address,
        check_gpus,
        this_machine,
    )

    configs = list(space.examples())
    setup = Setup(
        run=run,
        data="",
        address=options.address,
        concurrent=options.concurrent,
        cpus=options.cpus,
        gpus=options.gpus,
        dashboard=options.dashboard,
    )
    if options.dashboard:
        _check_dashboard(options)
    if options.address:
        check_address(options.address)
    else:
        check_gpus(space, options.gpus)
        Allocation(space, setup, this_machine())  # refuses what no trial could get
    index = _index(options, space, run, configs)
    from facesiam.data.preparation import prepare
    from facesiam.nets.pretrained import find_weights
    from facesiam.nets.trunks import check_net

    pretrained = sorted({str(c["net"]) for c in configs if c["pretrained"]})
    for net in space.nets():
        check_net(net)
    weights = {net: str(find_weights(net, options.weights)) for net in pretrained}
    if options.weights and not pretrained:
        print(f"--weights {options.weights}: not used, no trial starts from pretrained weights")
    geometries = sorted({geometry_of(config) for config in configs})
    data = prepare(index.source, geometries)
    return dataclasses.replace(setup, data=str(data.folder), weights=weights), data


def _index(
    options: argparse.Namespace,
    space: SearchSpace,
    run: Path,
    configs: Sequence[Mapping[str, Value]],
) -> FaceData:
    """Open the data's lists and check what they tell, before a download or minutes of packing."""
    from facesiam.data.preparation import prepare

    data = prepare(options.data or space.data, [])
    asked = ("protocol", "people", "pair_seed", "fold")
    for protocol, people, seed, fold in {tuple(c[name] for name in asked) for c in configs}:
        for part in ("train", "val", "test"):
            data.pairs(protocol, part, people=people, seed=seed, fold=fold)  # type: ignore[arg-type]
    if options.resume:
        _refuse_other_data(run, data.key, data.source)
    return data


def _refuse_other_data(run: Path, key: str, source: str) -> None:
    """Refuse to go on with a run on data that are not those which it began with."""
    began, was = layout.data_of(run)
    if was != key:
        raise RunRefused(
            f"--resume: {run} was started on other data ({began}, content "
            f"{was[:12]}; {source} has {key[:12]})"
        )


def _check_known(options: argparse.Namespace, space: SearchSpace, run: Path) -> None:
    """Refuse a warm start that cannot be, before anything is prepared."""
    if not options.warm_start:
        return
    if options.resume and not exists(run / layout.WARM_START):
        raise RunRefused("--warm-start: this run began without one; leave it out, or start anew")
    if space.algorithm != "tpe":
        raise RunRefused(f"--warm-start: algorithm {space.algorithm} learns of no score; tpe does")
    for earlier in options.warm_start:
        warm_start.check(earlier)


def _known(
    options: argparse.Namespace, space: SearchSpace, data: FaceData
) -> list[WarmStartTrial]:
    """Return what the search is warm-started with, and say what was taken."""
    if options.resume or not options.warm_start:
        return []  # a run that goes on has what it began with
    known, said = warm_start.gather(options.warm_start, space, data.key)
    for line in said:
        print(line)
    return known


def _search(
    options: argparse.Namespace,
    space: SearchSpace,
    setup: Setup,
    data: FaceData,
    taken: Mapping[str, ReusableTrial],
    known: list[WarmStartTrial],
) -> int:
    from rich.console import Console

    from search.tuning import ray_session

    console = Console()
    if unused := ray_session.set_environment(local=not setup.address):  # before Ray reads it
        _say(console, f"of no effect here, but in the environment: {', '.join(unused)}")
    from search.resources import sharing
    from search.resources.allocation import Allocation
    from search.runs.mirror import Mirror
    from search.tuning import driver, ray_cluster
    from search.tuning.live_table import Board

    ray_cluster.connect(setup.address, setup.dashboard)
    interrupts.check()
    if setup.dashboard and (address := ray_cluster.dashboard()):
        _say(console, f"dashboard: http://{address}")
    nodes = ray_cluster.wait_for_machines(setup.address, lambda line: _say(console, line))
    if setup.address and not setup.storage:
        ray_cluster.check_shared(setup.run)
    at_once = sharing.measure(
        space,
        setup,
        nodes,
        (options.data or space.data) == "drawn",
        driver.probe_on(setup),
        lambda line: _say(console, line),
    )
    interrupts.check()
    shares = Allocation(space, setup, nodes, at_once)
    key = keys(
        data.key,
        setup.weights,
        "cuda" if shares.has_gpus else "cpu",
        lambda net: max(1, int(shares.of(net)[0])),
    )
    count = space.count()
    board = Board(count, space.objective, console)
    shown = setup.storage or _shown(setup.run)
    many = "all trials" if count is None else f"{count} trial{'s' * (count != 1)}"
    _say(console, f"{many} into {shown}")
    with locked(setup.run):
        if not setup.storage:
            with _begun(options, space, setup, data.key, known):
                return _run(options, space, setup, shares, board, data, key, taken, None)
        with (
            Mirror(setup.storage, board.say) as mirror,
            _begun(options, space, setup, data.key, known),
        ):
            code = _run(options, space, setup, shares, board, data, key, taken, mirror)
    if mirror.trouble:
        missing = f"{mirror.trouble}; what is missing there is in {setup.run}"
        return _failed(options, console, setup.run, missing)
    return code


def _say_who_chooses(
    console: Console,
    options: argparse.Namespace,
    space: SearchSpace,
    setup: Setup,
    shares: Allocation,
) -> None:
    """Say where `algorithm: tpe` means less than it says: it chooses nothing, or otherwise."""
    from search.resources.plan import who_chooses
    from search.runs import manifest

    if space.algorithm != "tpe":
        return
    if options.resume:
        if manifest.sampler_changed(setup.run):
            _say(
                console,
                "TPE has changed since this run was last gone on with: what it chooses "
                "from now on is not what it would have chosen then",
            )
        return
    text, chosen = who_chooses(space, shares.concurrent, len(warm_start.read(setup.run)))
    if not chosen:
        _say(console, text)


@contextmanager
def _begun(
    options: argparse.Namespace,
    space: SearchSpace,
    setup: Setup,
    key: str,
    known: list[WarmStartTrial],
) -> Iterator[None]:
    """Within this the folder, which is locked, is this run's; one that never began leaves none."""
    _check_again(options, space, setup, key)
    try:
        if options.warm_start and not options.resume:
            warm_start.write(setup.run, known)
        yield
    finally:
        if not options.resume and not (setup.run / "manifest.json").exists():
            shutil.rmtree(setup.run, ignore_errors=True)  # nothing but what this start made


def _run(
    options: argparse.Namespace,
    space: SearchSpace,
    setup: Setup,
    shares: Allocation,
    board: Board,
    data: FaceData,
    key: Key,
    taken: Mapping[str, ReusableTrial],
    mirror: Mirror | None,
) -> int:
    from search.analysis import frames
    from search.pruning.inactive_rules import cannot_act
    from search.runs import manifest
    from search.tuning import driver
    from search.tuning.search_state import StopReason

    console = board.console
    try:
        write_text(setup.run / "space.yaml", space.dump())
        if manifest.begin(
            setup.run, space, data, _command(options), shares.nodes, cannot_act(space)
        ):
            _say(
                console,
                "the trainer's code or its libraries are not those that this run began "
                "with: its trials may not be comparable",
            )
        _say_who_chooses(console, options, space, setup, shares)
        stop = driver.run(
            space,
            setup,
            shares,
            board,
            options.trainable,
            key=key,
            reusable=taken,
            mirror=mirror,
            dead_end=lambda why: _dead_end(options, setup, board, mirror, why),
        )
        manifest.end(setup.run, stop is None)
        if read_trials(setup.run):
            frames.write(setup.run)
    except OSError as error:
        where = error.filename or setup.run
        return _failed(options, console, setup.run, f"{where}: {error.strerror}")
    _say_results(console, space, setup)
    if stop and stop.reason.value in CODES:
        _say(console, f"{stop}; go on with:\n  {_resume_command(options)}")
        return CODES[stop.reason.value]
    if stop and stop.reason is StopReason.TIME_UP:
        said = f"{space.minutes:g} minutes are over; go on with:\n  {_resume_command(options)}"
        _say(console, said)
    elif stop:
        return _failed(options, console, setup.run, str(stop))
    if options.report or space.report:
        from search.report.page import report

        _say(console, f"report: {_shown(report([setup.run]))}")
    return SOME_FAILED if board.counts["failed"] else DONE


def _say_results(console: Console, space: SearchSpace, setup: Setup) -> None:
    """Say what a search came to, however it ended."""
    from search.analysis import frames, rule_audit
    from search.analysis.trial_table import table

    if known := read_trials(setup.run):
        trials, _ = frames.load(setup.run)
        _say(console, table(trials, 20))
        if said := rule_audit.text(
            rule_audit.record(trials, rule_audit.planned(setup.run, trials))
        ):
            _say(console, f"\n{said}\n")
    else:
        _say(console, "no trial has started")
    if (size := space.size()) is not None and space.algorithm != "rows":
        ended = [trial for trial in known.values() if trial["status"] in ("done", "stopped")]
        _say(console, f"explored {len(ended)} of {size}")
    _say(console, f"run: {setup.storage or _shown(setup.run)}")


def _dead_end(
    options: argparse.Namespace, setup: Setup, board: Board, mirror: Mirror | None, why: str
) -> int:
    """Leave the run's folder as at any other end, where Ray has died and holds this command."""
    from search.analysis import frames
    from search.runs import manifest

    board.__exit__(None, None, None)
    with suppress(OSError, UserError):  # the journal has it all
        manifest.end(setup.run, False)
        frames.write(setup.run)
        if mirror:
            mirror.__exit__()
    return _failed(options, board.console, setup.run, why)


def _failed(options: argparse.Namespace, console: Console, run: Path, why: str) -> int:
    """Say why the search ended and how to go on with it."""
    if (run / "manifest.json").exists():
        more = f"Nothing that was noted is lost. Go on with:\n  {_resume_command(options)}"
    else:
        more = "Nothing had begun."
    _say(console, f"stopped: {why}\n{more}")
    return STORAGE_FAILED


def _check_dashboard(options: argparse.Namespace) -> None:
    if options.address:
        raise RunRefused("--dashboard: a cluster's is started with its head, ray start --head")
    from importlib.util import find_spec

    if not find_spec("aiohttp_cors"):
        raise RunRefused("--dashboard: its packages are missing; pip install 'ray[default]'")


def _say(console: Console, text: str) -> None:
    console.print(shown(text), markup=False, highlight=False, soft_wrap=True)


def _near(name: str, out: Path) -> str:
    runs = [p.parent.name for p in out.glob("*/manifest.json")]
    near = get_close_matches(name, runs, n=1)
    return f"; did you mean --name {near[0]}?" if near else ""


def _shown(path: Path) -> str:
    """Return a path as short as it can be typed here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _command(options: argparse.Namespace) -> str:
    return masked(f"{cli.program('search.run')} {shlex.join(options.given)}")


def _resume_command(options: argparse.Namespace) -> str:
    command = _command(options)
    command = command if options.resume else f"{command} --resume"
    if "***" in command:
        command += "\n(with the secret in place of ***: it is noted nowhere)"
    return command


if __name__ == "__main__":
    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said and done; Ray takes a second to end
    if (watch := sys.modules.get("search.tuning.ray_watchdog")) and watch.died:
        watch.leave(code)  # Ray would hang in the interpreter's end, or change the exit code
    sys.exit(code)
