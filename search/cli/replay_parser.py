"""The command line of ``search.replay``."""

from __future__ import annotations

import argparse

from facesiam import cli
from facesiam.config import SETTINGS
from facesiam.config.settings import number, positive, random_seed
from search.pruning import recorded_runs
from search.space.wandb_words import GOALS


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.Parser(
        prog=cli.program("search.replay"),
        description="What a space's pruning rules would have cost and saved on recorded runs.",
    )
    parser.add_argument(
        "space",
        metavar="SPACE",
        nargs="?",
        help="space file whose prune: is tried (of a table of curves: the defaults, with halving)",
    )
    _add_curves(parser)
    _add_orders(parser)
    _add_altered(parser)
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="fix a setting, such as epochs=60, which caps the runs",
    )
    parser.add_argument("--json", metavar="FILE", help="also write the figures there")
    parser.add_argument(
        "--figure",
        metavar="FILE",
        help="also draw epochs spent against the chance of keeping the best",
    )
    return parser


def _add_curves(parser: argparse.ArgumentParser) -> None:
    """Add what is replayed, and what counts in it."""
    parser.add_argument(
        "--curves",
        metavar="DIR",
        default=str(recorded_runs.SHIPPED),
        help="a run folder, a folder of CSVs, a table of curves (epochs.parquet or epochs.csv, "
        "and trials.csv) or a folder of such; without it the runs of the 2019 study",
    )
    parser.add_argument(
        "--metric", metavar="NAME", help="column that decides (that of the space, or val_acc)"
    )
    parser.add_argument(
        "--mode",
        type=lambda text: GOALS.get(text, text),
        choices=["max", "min"],
        help="whether more or less of it is better (min of losses)",
    )
    parser.add_argument(
        "--chance",
        metavar="X",
        type=_number,
        help="score of a guess, for the rule chance where that is on (chance: {score: X} in a "
        "space file); without a SPACE, and beside halving unless the SPACE has chance, it is off",
    )
    parser.add_argument(
        "--within",
        metavar="X",
        type=_margin,
        help="the best is kept by a run that ends within X of it (0.005)",
    )
    parser.add_argument(
        "--first",
        metavar="N",
        type=_epoch,
        default=0,
        help="number of the first trained epoch in a table, 1 where epoch 0 is before training; "
        "those before it are left out (0)",
    )


def _add_orders(parser: argparse.ArgumentParser) -> None:
    """Add how the runs arrive, and what their rules are compared with."""
    parser.add_argument(
        "--workers", metavar="W", type=positive, default=4, help="runs that go on at once (4)"
    )
    parser.add_argument(
        "--orders", metavar="N", type=positive, default=100, help="random orders of arrival (100)"
    )
    drawn = parser.add_mutually_exclusive_group()
    drawn.add_argument(
        "--trials",
        metavar="N",
        type=positive,
        help="draw so many trials with replacement for each order",
    )
    drawn.add_argument(
        "--draw",
        metavar="N",
        type=positive,
        help="draw so many trials without replacement for each order",
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help="compare with the schedulers of Ray, the pruners of Optuna and PASHA, with the grace "
        "and the factor of the space and with their own defaults",
    )
    parser.add_argument(
        "--seed", metavar="S", type=random_seed, default=0, help="of the orders (0)"
    )


def _add_altered(parser: argparse.ArgumentParser) -> None:
    """Add as what else the recorded runs are replayed than as they ran."""
    parser.add_argument(
        "--late",
        metavar="E",
        type=positive,
        default=0,
        help="as if the best run had guessed for E epochs first",
    )
    parser.add_argument(
        "--schedule",
        choices=SETTINGS["schedule"].choices,
        default="constant",
        help="as if the learning rate of all runs, recorded at a constant one, had followed it: "
        "a net is taken to move in proportion to its rate",
    )
    parser.add_argument(
        "--warmup",
        metavar="SHARE",
        type=_warmup,
        default=0.0,
        help="the same with this share of the epochs in which the rate rises first",
    )


def _margin(text: str) -> float:
    """Read a distance between scores, for argparse."""
    value = _number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, got {text}")
    return value


def _warmup(text: str) -> float:
    """Read a share of the epochs, for argparse."""
    value = _number(text)
    if problem := SETTINGS["warmup"].problem(value):
        raise argparse.ArgumentTypeError(problem)
    return value


def _number(text: str) -> float:
    """Read a number, for argparse."""
    try:
        return number(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _epoch(text: str) -> int:
    """Read the number of an epoch, for argparse."""
    return 0 if text == "0" else positive(text)
