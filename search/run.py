"""Run a search: ``python -m search.run spaces/code2.yaml``.

This file defines the command and nothing that is sent to a worker. What is heavy (torch, Ray) is
imported after the space file and the options have been checked, so a mistake is told at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from facesiam.config import GEOMETRY, SETTINGS, ConfigError, TrialConfig, Value, positive
from search.journal import JournalError, locked, write_atomically
from search.space import ALGORITHMS, SearchSpace, SpaceError, load

if TYPE_CHECKING:
    from rich.console import Console

    from facesiam.data import FaceData
    from search.machine import Setup

DONE, SOME_FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130


class RunRefused(ValueError):
    """A run that cannot start as it was asked for; the text says why and what to do."""


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code.

    0: done. 1: some trial failed. 2: wrong input, nothing was written. 130: interrupted.
    """
    options = _parser().parse_args(argv)
    try:
        return _main(options)
    except _wrong_input() as error:
        print(error, file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("interrupted before the search began", file=sys.stderr)
        return INTERRUPTED


def resolve(options: argparse.Namespace) -> SearchSpace:
    """Return the space with what the options change in it.

    Raises:
        SpaceError: the file, a --set or --rows is wrong.
    """
    space = load(options.space).override(options.set)
    changes: dict[str, object] = {}
    if options.rows:
        if options.algorithm not in (None, "rows"):
            raise RunRefused(f"--algorithm {options.algorithm}: --rows runs rows; leave one out")
        rows = space.rows_named([row for row in options.rows.split(",") if row])
        changes |= {"rows": rows, "algorithm": "rows"}
    for name in ("algorithm", "trials", "seed"):
        if (value := getattr(options, name)) is not None:
            changes[name] = value
    return dataclasses.replace(space, **changes).checked()  # type: ignore[arg-type]


def run_folder(options: argparse.Namespace, space: SearchSpace) -> Path:
    """Return the absolute folder of the run, checked to be free (or, with --resume, to exist).

    Raises:
        RunRefused: the name is taken, is no name, or the folder cannot be written.
    """
    name = options.name or space.name
    if not re.fullmatch(r"[\w][\w.\-]*", name):
        raise RunRefused(f"--name {name}: letters, digits, '-', '_' and '.' only")
    out = Path(options.out).absolute()
    run = out / name
    if options.resume and not (run / "manifest.json").exists():
        raise RunRefused(f"--resume: there is no run at {run}" + _near(name, out))
    if not options.resume and not options.dry_run and run.exists():
        raise RunRefused(f"{run} exists; go on with --resume, or give another --name")
    if options.resume and (run / "manifest.json").exists():
        _same_space(run, space)
    nearest = next(p for p in (run, *run.parents) if p.exists())
    try:
        # By trying: permissions say nothing of /proc, of a full disk or of a read-only mount.
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise RunRefused(
            f"--out {options.out}: {nearest} cannot be written to ({error.strerror or error})"
        ) from None
    return run


def _main(options: argparse.Namespace) -> int:
    space = resolve(options)
    run = run_folder(options, space)
    if options.weights and not Path(options.weights).exists():
        raise RunRefused(f"--weights {options.weights}: no such file or folder")
    if options.dry_run:
        from search.estimate import describe
        from search.machine import check_address

        if options.address:
            check_address(options.address)
        print(describe(space, Path(options.out), options))
        return DONE
    setup, data = _prepare(options, space, run)
    try:
        return _search(options, space, setup, data)
    except KeyboardInterrupt:
        if not (run / "manifest.json").exists():
            raise
        print(f"interrupted; go on with:\n  {_resume_command()}", file=sys.stderr)
        return INTERRUPTED


def _prepare(
    options: argparse.Namespace, space: SearchSpace, run: Path
) -> tuple[Setup, FaceData]:
    """Check everything that needs the machine, cheapest first; then pack the data."""
    from search.machine import Setup, Shares, check_address, check_gpus, this_machine

    configs = list(space.examples())
    setup = Setup(
        run=run, data="", address=options.address, concurrent=options.concurrent,
        cpus=options.cpus, gpus=options.gpus,
    )
    if options.address:
        check_address(options.address)
    else:
        check_gpus(space, options.gpus)
        Shares(space, setup, this_machine())  # refuses what no trial could get
    index = _index(options, space, run, configs)
    from facesiam.data import prepare
    from facesiam.weights import find_weights

    pretrained = sorted({str(c["net"]) for c in configs if c["pretrained"]})
    weights = {net: str(find_weights(net, options.weights)) for net in pretrained}
    geometries = sorted({GEOMETRY[str(config["protocol"])] for config in configs})
    data = prepare(index.source, geometries)
    return dataclasses.replace(setup, data=str(data.folder), weights=weights), data


def _index(
    options: argparse.Namespace, space: SearchSpace, run: Path,
    configs: Sequence[Mapping[str, Value]],
) -> FaceData:
    """Open the data's lists and check what they tell, before a download or minutes of packing."""
    from facesiam.data import prepare

    data = prepare(options.data or space.data, [])
    for protocol, people, seed in {(c["protocol"], c["people"], c["pair_seed"]) for c in configs}:
        for part in ("train", "val", "test"):
            data.pairs(protocol, part, people=people, seed=seed)  # type: ignore[arg-type]
    if options.resume:
        was = json.loads((run / "manifest.json").read_text())["data"]
        if was["key"] != data.key:
            raise RunRefused(
                f"--resume: {run} was started on other data ({was['source']}, content "
                f"{was['key'][:12]}; {data.source} has {data.key[:12]})"
            )
    return data


def _search(
    options: argparse.Namespace, space: SearchSpace, setup: Setup, data: FaceData
) -> int:
    from rich.console import Console

    from search import driver, manifest, results, sharing, verdicts
    from search.board import Board
    from search.machine import Shares

    console = Console()
    driver.connect(setup.address)
    nodes = driver.cluster()
    at_once = sharing.measure(
        space, setup, nodes, (options.data or space.data) == "drawn", driver.probe_on(setup),
        lambda line: _say(console, line),
    )
    shares = Shares(space, setup, nodes, at_once)
    setup.run.mkdir(parents=True, exist_ok=options.resume)
    board = Board(space.count(), space.metric, space.mode, console)
    count = space.count()
    _say(console, f"{'all' if count is None else count} trials into {_shown(setup.run)}")
    with locked(setup.run):
        write_atomically(setup.run / "space.yaml", space.dump())
        manifest.begin(setup.run, space, data, _command(), nodes)
        finished = driver.run(space, setup, shares, board)
        manifest.end(setup.run, finished)
    results.write(setup.run)
    trials, _ = results.load(setup.run)
    if len(trials):
        _say(console, results.table(trials, 20))
        if said := verdicts.text(verdicts.record(trials, verdicts.planned(setup.run, trials))):
            _say(console, f"\n{said}\n")
    _say(console, f"run: {_shown(setup.run)}")
    if not finished:
        _say(console, f"interrupted; go on with:\n  {_resume_command()}")
        return INTERRUPTED
    if options.report or space.report:
        from search.report import report

        _say(console, f"report: {_shown(report([setup.run]))}")
    return SOME_FAILED if board.counts["failed"] else DONE


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _same_space(run: Path, space: SearchSpace) -> None:
    """Refuse to resume with other settings: the trials that are done would not belong."""
    was = load(run / "space.yaml")
    differ = [
        name for name in ("fixed", "search", "rows", "algorithm", "seed", "metric", "mode")
        if getattr(was, name) != getattr(space, name)
    ]
    if differ:
        began = json.loads((run / "manifest.json").read_text())["command"]
        raise RunRefused(
            f"--resume: these parts of the space are not what {run} was started with: "
            f"{', '.join(differ)}. It was started as\n  {began}\nAdd --resume to that, or give "
            "another --name"
        )


def _near(name: str, out: Path) -> str:
    runs = [p.parent.name for p in out.glob("*/manifest.json")]
    near = get_close_matches(name, runs, n=1)
    return f"; did you mean --name {near[0]}?" if near else ""


def _shown(path: Path) -> str:
    """Return a path as short as it can be typed here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _command() -> str:
    return "python -m search.run " + shlex.join(sys.argv[1:])


def _resume_command() -> str:
    command = _command()
    return command if "--resume" in sys.argv else f"{command} --resume"


def _wrong_input() -> tuple[type[Exception], ...]:
    """Return the errors that are the user's to mend, without importing what was not needed."""
    wrong: list[type[Exception]] = [SpaceError, RunRefused, ConfigError, JournalError]
    for module, name in (
        ("facesiam.archive", "DataError"), ("facesiam.weights", "WeightsError"),
        ("search.machine", "DriverError"), ("search.results", "RunError"),
    ):
        if module in sys.modules:
            wrong.append(getattr(sys.modules[module], name))
    return tuple(wrong)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m search.run", description="Run the search that a space file describes.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="settings for --set:\n" + "\n".join(
            f"  {name} ({default})" for name, default in TrialConfig().to_dict().items()
        ),
    )
    parser.add_argument("space", help="space file, such as spaces/code2.yaml")
    parser.add_argument("--data", help="CFP zip, its folder, or the word drawn")
    parser.add_argument("--weights", help="file or folder of ImageNet weights, no download")
    parser.add_argument("--name", help="name of the run (the space's)")
    parser.add_argument("--out", default="ray_results", help="folder of the runs (ray_results)")
    parser.add_argument("--algorithm", choices=ALGORITHMS, help="over what the space says")
    parser.add_argument("--rows", help="run only these of the documents' rows, such as A,B")
    parser.add_argument("--trials", type=positive, help="number of trials, for random and tpe")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="fix a setting"
    )
    parser.add_argument("--seed", type=_seed, help="seed of the search")
    parser.add_argument("--concurrent", type=positive, help="trials at once (as many as fit)")
    parser.add_argument("--cpus", type=positive, help="CPUs a trial")
    parser.add_argument("--gpus", type=_share, help="GPUs a trial, such as 0.5")
    parser.add_argument("--address", help="Ray cluster: auto or HOST:PORT (a Ray of its own)")
    parser.add_argument("--resume", action="store_true", help="go on with a run of this name")
    parser.add_argument("--dry-run", action="store_true", help="show the plan, start nothing")
    parser.add_argument("--report", action="store_true", help="write the report at the end")
    return parser


def _seed(text: str) -> int:
    setting = SETTINGS["seed"]  # the search's own seed has the same bounds as a trial's
    try:
        seed = setting.parse(text)
        problem = setting.problem(seed)
    except ValueError as error:
        problem = str(error)
    if problem:
        raise argparse.ArgumentTypeError(problem)
    return int(seed)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1e6:
        raise argparse.ArgumentTypeError(f"must be a number from 0, got {text}")
    return share


if __name__ == "__main__":
    sys.exit(main())
