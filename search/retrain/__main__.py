"""Train a trial of a run again and test its best epoch.

With `--protocol` it is tested on other pairs as well, cfp-10fold being CFP's own ten folds: ten
trainings. With `--ensemble N` nothing is trained: the scores of the N best trials, with the
weights that the run kept, are averaged. Nor with `--soup`, which averages their weights into one
net.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from facesiam import cli
from facesiam.cli.terminal import doing
from facesiam.config.settings import positive, random_seed, rate
from facesiam.data.formats.cfp_lists import TEN_FOLD
from facesiam.data.protocol_checks import PROTOCOLS
from facesiam.data.split import ALL_FOLDS
from facesiam.plugins import loading
from search.retrain.options import RetrainOptions
from search.runs import layout
from search.runs.layout import RunError
from search.runs.remote import open_run


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code: 0 done, 2 wrong input, 130 interrupted."""
    options = RetrainOptions(**vars(parser().parse_args(argv)))
    said = "interrupted; the same command goes on with it"
    return cli.run(lambda: _main(options), said, goes_on=True)


def _main(options: RetrainOptions) -> int:
    run, console = open_run(options.run), Console(stderr=True, markup=False)
    doing(f"reading {options.run}")
    tested = tests(run, options, console)
    from search.report import evaluation  # it takes seconds to import

    for protocol in dict.fromkeys(row["protocol"] for row in tested):
        if protocol == TEN_FOLD:  # printed as each seed was done
            continue
        mine = [row for row in tested if row["protocol"] == protocol]
        evaluation.print_table(mine)
        evaluation.print_rates(mine)
    if set(row["protocol"] for row in tested) - {TEN_FOLD} and not options.ensemble:
        net = next(run.glob("retrain/soup/*/weights.pt")) if options.soup else options.run
        export = f"{cli.program('facesiam.export')} {net} --out DIR"
        console.print(f"for use elsewhere: {export}", highlight=False, soft_wrap=True)
    return 0


def tests(run: Path, options: RetrainOptions, console: Console) -> list[dict[str, Any]]:
    """Train and test as the options say.

    Args:
        run: folder of the run.
        options: of the command line.
        console: for progress.

    Returns:
        The figures of each test, as in test.json, and of each of the ten folds.

    Raises:
        UserError: as ``seeds.retrain``, ``ensemble.evaluate`` and ``soup.evaluate``.
    """
    _load_plugins(options, run, console)
    if options.far and TEN_FOLD in options.protocols:
        raise RunError(f"--far: not with --protocol {TEN_FOLD}, whose folds have thresholds each")
    if options.folds and TEN_FOLD not in options.protocols:
        raise RunError(f"--folds is of --protocol {TEN_FOLD}")
    from search.retrain import ensemble, seeds, soup  # they take seconds to import

    if options.soup:
        return soup.evaluate(run, options, console)
    work = ensemble.evaluate if options.ensemble else seeds.retrain
    return work(run, options, console)


def _load_plugins(options: RetrainOptions, run: Path, console: Console) -> None:
    """Run the plugins that are given, and say which are not those of the run."""
    known = {plugin.sha256 for plugin in layout.space(layout.folder_of(run)).plugins}
    for plugin in loading.load_all(options.plugin):
        if plugin.sha256 not in known:
            console.print(f"{plugin.file} is no plugin of {run}, or has changed since")


def _folds(text: str) -> tuple[int, ...]:
    numbers = text.split(",")
    if not set(numbers) <= set(map(str, ALL_FOLDS)):
        raise argparse.ArgumentTypeError(f"must be numbers from 1 to 10 as in 1,2, got {text}")
    return tuple(dict.fromkeys(int(n) for n in numbers))


def _rates(text: str) -> list[float]:
    return [rate(part) for part in text.split(",")]


def parser(kind: type[cli.Parser] = cli.Parser) -> argparse.ArgumentParser:
    """Return the parser of the command line, of a kind that says what is wrong in its own way."""
    parser = kind(prog=cli.program("search.retrain"), description=__doc__)
    parser.add_argument("run", metavar="RUN", help="run folder, such as ray_results/code2")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--rank", type=positive, default=1, help="place in the table (1)")
    which.add_argument("--trial", help="id of the trial, instead of its rank")
    which.add_argument(
        "--ensemble",
        type=positive,
        metavar="N",
        help="the mean score of the N best trials, with the weights that the run kept; 1: the "
        "best one's own",
    )
    which.add_argument(
        "--soup",
        action="store_true",
        help="one net of the mean weights of the nets that the run kept: the best one, and each "
        "other with which the validation pairs are not judged worse",
    )
    parser.add_argument(
        "--seeds",
        type=positive,
        default=1,
        help="how many, from its own (1); those that are done are not trained again",
    )
    parser.add_argument("--seed", type=random_seed, help="the first of them, instead of its own")
    parser.add_argument("--epochs", type=positive, help="epochs, instead of the trial's own")
    parser.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help="threads of torch, instead of those that the trial ran with; another number of them "
        "gives another net",
    )
    _add_tests(parser)
    parser.add_argument("--data", help="the run's data, if it has moved")
    parser.add_argument("--weights", help="file or folder with pretrained weights")
    loading.add_option(parser)
    return parser


def _add_tests(parser: argparse.ArgumentParser) -> None:
    """Add the options that say on which pairs, and at which thresholds, a net is tested."""
    parser.add_argument(
        "--protocol",
        dest="protocols",
        action="append",
        default=[],
        choices=PROTOCOLS,
        metavar="NAME",
        help=f"test on these pairs: {', '.join(PROTOCOLS)}; more than once for several "
        "(the trial's own)",
    )
    parser.add_argument(
        "--far",
        type=_rates,
        action="extend",
        default=[],
        metavar="RATE,…",
        help="also choose the threshold whose false-accept rate on validation pairs is at most "
        "this, such as 1e-3, and give the rates of the test pairs at it; more than once for "
        "several. The pairs are those of the trial's fpr_pairs; where these are images or people, "
        "its own fpr is tested, too",
    )
    parser.add_argument(
        "--folds",
        type=_folds,
        default=(),
        metavar="N,…",
        help="which of the ten folds (all); those that are done are not trained again",
    )


if __name__ == "__main__":
    sys.exit(main())
