"""The command line of ``search.run``."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import get_args

from facesiam import cli
from facesiam.config import SETTINGS
from facesiam.config.settings import did_you_mean, number, positive, random_seed
from facesiam.config.trial import DataFormat
from facesiam.errors import masked
from facesiam.nearby import RESULTS
from facesiam.plugins import loading
from search.space.algorithms import ALGORITHMS, MEANT, OTHER_WORDS
from search.space.log import LOGS
from search.space.run_options import RunOptions


def read_options(arguments: Sequence[str] | None = None) -> RunOptions:
    """Return the options of a command line.

    Args:
        arguments: those of the command line; None: of the process.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    # Not sys.argv of a caller: in a notebook that is the kernel's.
    command = masked(f"{cli.program('search.run')} {shlex.join(given)}")
    noted = [masked(argument) for argument in given]
    return RunOptions(**vars(parser().parse_args(given)), command=command, arguments=noted)


def parser(kind: type[cli.Parser] = cli.Parser) -> argparse.ArgumentParser:
    """Return the parser of the command line, of a kind that says what is wrong in its own way."""
    parser = kind(
        prog=cli.program("search.run"),
        description="Run the search that a space file describes.",
        epilog=f"`{cli.program('search.settings')}` lists the settings that --set takes; with the "
        "name of one it says its bounds, its choices and its default.",
    )
    parser.settings = SETTINGS
    parser.add_argument(
        "space",
        metavar="SPACE",
        help="space file, such as spaces/code2.yaml, or code2 for that one",
    )
    add_data(parser)
    parser.add_argument("--name", help="name of the run and its folder (that of the space file)")
    parser.add_argument("--out", default=RESULTS, help="folder or URL of the runs (ray_results)")
    parser.add_argument(
        "--algorithm",
        type=_algorithm,
        choices=ALGORITHMS,
        metavar="NAME",
        help=f"{', '.join(ALGORITHMS)}: instead of the space file's",
    )
    parser.add_argument("--rows", help="run only these of the space's rows, such as A,B")
    parser.add_argument("--trials", type=positive, help="number of trials, where they are chosen")
    parser.add_argument(
        "--minutes", type=amount, help="stop after so many minutes; --resume goes on for as many"
    )
    parser.add_argument(
        "--stop-when",
        type=_stop_when,
        metavar="gain=POINTS",
        help="end the search once the trials left would gain less (95 %% sure); gain=0: never",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="fix a setting, such as lr=1e-4, or narrow what is searched, as 'lr=[1e-4,1e-3]'; "
        "may be repeated",
    )
    parser.add_argument("--seed", type=random_seed, help="seed of the search")
    _add_execution(parser)
    return parser


def _add_execution(parser: argparse.ArgumentParser) -> None:
    """Add what the trials run on, and the earlier runs that they go on from."""
    add_machines(parser)
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run of this name, or extend it"
    )
    parser.add_argument(
        "--reuse",
        action="append",
        default=[],
        metavar="RUN",
        help="take finished trials from an earlier run where they are the same",
    )
    parser.add_argument(
        "--warm-start",
        action="append",
        default=[],
        metavar="RUN",
        help="have TPE begin with the scores of an earlier run, or, with the word documents "
        "instead of RUN, of the 2019 study's rows",
    )
    parser.add_argument(
        "--ablate",
        metavar="RUN",
        help="run the best trial of an earlier run with one searched setting changed at a time",
    )
    parser.add_argument("--seeds", type=positive, default=1, help="seeds of --ablate (1)")
    _add_output(parser)


def _add_output(parser: argparse.ArgumentParser) -> None:
    """Add what is shown and written beside the run folder."""
    parser.add_argument(
        "--dashboard", action="store_true", help="serve Ray's dashboard, on loopback"
    )
    add_trackers(parser)
    parser.add_argument("--dry-run", action="store_true", help="show the plan, start nothing")
    parser.add_argument("--report", action="store_true", help="write the report at the end")


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add what the trials train on and begin with."""
    parser.add_argument(
        "--data", help="a dataset: zip, folder or a file that lists it; or the word drawn"
    )
    parser.add_argument(
        "--format",
        choices=get_args(DataFormat),
        metavar="NAME",
        help=f"what the data are read as: {', '.join(get_args(DataFormat))} (recognised)",
    )
    parser.add_argument(
        "--weights", help="file or folder of pretrained weights, instead of a download"
    )
    loading.add_option(parser)


def add_machines(parser: argparse.ArgumentParser) -> None:
    """Add what the trials run on."""
    parser.add_argument(
        "--concurrent", type=positive, help="trials that run at once (as many as fit)"
    )
    parser.add_argument("--cpus", type=positive, help="CPUs of each trial")
    parser.add_argument("--gpus", type=amount, help="GPUs of each trial, such as 0.5")
    parser.add_argument(
        "--address",
        help="Ray cluster: auto or HOST:PORT (without it, Ray is started on this machine)",
    )


def add_trackers(parser: argparse.ArgumentParser) -> None:
    """Add where else the trials are logged."""
    parser.add_argument(
        "--log",
        choices=LOGS,
        action="append",
        default=[],
        help="also log every trial there; may be repeated",
    )
    parser.add_argument(
        "--optuna",
        metavar="URL",
        help="also keep a study there for optuna-dashboard, such as sqlite:///study.db",
    )


def _algorithm(word: str) -> str:
    known = (*ALGORITHMS, *OTHER_WORDS)
    if word not in known:
        raise argparse.ArgumentTypeError(
            f"invalid choice: {word!r} (choose from {', '.join(ALGORITHMS)})"
            f"{did_you_mean(word, known, MEANT)}"
        )
    return OTHER_WORDS.get(word, word)


def _stop_when(text: str) -> dict[str, float]:
    name, _, value = (part.strip() for part in text.partition("="))
    if name != "gain":
        raise argparse.ArgumentTypeError(f"must be gain=POINTS, such as gain=0.3, got {text!r}")
    gain = amount(value)
    return {"gain": gain} if gain else {}


def amount(text: str) -> float:
    """Return a number of minutes or GPUs."""
    try:
        value = number(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"must be a number from 0 and below 1e6, got {text}")
    return value
