"""Whole searches against those of Ray Tune and Optuna, played on a recorded table of trainings.

    nice -n 19 python scripts/bench_search.py record --out FOLDER   hours of CPU, resumable
    python scripts/bench_search.py play --table FOLDER              regret of each, 50 seeds
    python scripts/bench_search.py live --minutes 20 --trials 100 --out FOLDER
                                                                    real Ray on both sides

docs/benchmark.md says what is recorded, how searches are played on it, and how to read it.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

from facesiam import cli
from facesiam.config.settings import did_you_mean, positive
from facesiam.config.trial import packing_of
from facesiam.errors import UserError

SPACE = Path(__file__).parent / "search_bench" / "space.yaml"
TABLE = Path(__file__).parent.parent / "ray_results" / "reference" / "bench-search"

MOST = 10_000
"""Trials of a live search that its minutes end."""


def main() -> int:
    """Read the command line and run one of the commands; return the exit code."""
    args = _parser().parse_args()
    return cli.run(lambda: args.run(args) or 0)


def _parser() -> cli.Parser:
    parser = cli.Parser(description=(__doc__ or "").split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    record = commands.add_parser("record", help="record the table; goes on where it was killed")
    record.add_argument("--out", type=Path, required=True, help="the table's folder")
    record.add_argument("--configurations", type=positive, default=150)
    record.set_defaults(run=_record)
    play = commands.add_parser("play", help="play whole searches on a recorded table")
    play.add_argument("--table", type=Path, default=TABLE, help="a folder of `record`")
    play.add_argument("--seeds", type=positive, default=50)
    play.add_argument("--workers", type=positive, default=4)
    play.add_argument("--methods", nargs="+", metavar="METHOD", help="some of them, by name")
    play.add_argument("--figure", type=Path, help="file for the figure, such as regret.png")
    play.set_defaults(run=_play)
    live = commands.add_parser("live", help="the same with real Ray on both sides")
    live.add_argument("--space", type=Path, default=SPACE, help="what both sides search")
    live.add_argument("--data", help="a dataset; without it the drawn people of `record`")
    live.add_argument("--minutes", type=positive, required=True, help="of each search")
    live.add_argument(
        "--trials", type=positive, required=True, help="of ours, which halving has to know"
    )
    live.add_argument("--methods", nargs="+", metavar="METHOD", help="some of them, by name")
    live.add_argument("--seeds", type=positive, default=3)
    live.add_argument("--workers", type=positive, default=2)
    live.add_argument(
        "--out", type=Path, required=True, help="folder; what is in it is not run again"
    )
    live.set_defaults(run=_live)
    return parser


def _record(args: argparse.Namespace) -> None:
    from search_bench.record import record

    record(args.out, args.configurations)


def _play(args: argparse.Namespace) -> None:
    import optuna
    from search_bench.methods import METHODS
    from search_bench.playing import Played, play
    from search_bench.regret import draw, report, save
    from search_bench.table import load_table

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("hpbandster").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")  # of HpBandSter, which calls what its packages deprecate
    table = load_table(args.table)
    names = _methods(args, METHODS)
    played: dict[str, list[Played]] = {}
    for name in names:
        for seed in range(args.seeds):
            space = dataclasses.replace(table.space, seed=seed, trials=len(table.curves))
            searched = play(table, METHODS[name](space), args.workers)
            played.setdefault(name, []).append(searched)
        print(f"{name}: {args.seeds} searches played", file=sys.stderr, flush=True)
    print(report(table, played, args.workers))
    if args.figure:
        title = f"{len(table.curves)} configurations, {args.seeds} seeds"
        save(draw(table, played, args.workers, title), args.figure)


def _live(args: argparse.Namespace) -> None:
    from search_bench.live import SIDES, Task, compare
    from search_bench.record import drawn_people, weights_of

    from facesiam.data.preparation import prepare
    from search.space import load

    names = _methods(args, SIDES)
    space = load(args.space).packed()
    space = dataclasses.replace(space, trials=MOST, minutes=0.0)
    packings = {packing_of(settings) for settings in space.examples()}
    data = args.data or str(drawn_people())
    packed = prepare(data, packings).folder
    task = Task(
        space,
        data,
        packed,
        weights_of(space),
        60 * args.minutes,
        args.trials,
        args.workers,
        args.out,
    )
    args.out.mkdir(parents=True, exist_ok=True)
    print(compare(task, args.seeds, names))


def _methods(args: argparse.Namespace, known: Iterable[str]) -> list[str]:
    """Return the methods asked for; without any, those known."""
    for name in args.methods or ():
        if name not in known:
            raise UserError(f"--methods {name}: no such method{did_you_mean(name, known)}")
    return args.methods or list(known)


if __name__ == "__main__":
    sys.exit(main())
