"""The command that compares two tested nets on the same test pairs.

    python -m search.compare RUN_A RUN_B [--protocol NAME] [--seed N] [--json]
    python -m search.compare RUN RUN --trial-a TRIAL --trial-b TRIAL
    python -m search.compare old/scores.csv RUN_B --fail-if-worse 0.5

A is the baseline and B the candidate: what is shown is B's accuracy less A's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from facesiam import cli
from facesiam.cli.terminal import WHOLE, columns, fitted, folded
from facesiam.config.settings import number, positive, random_seed
from facesiam.data.formats.cfp_lists import TEN_FOLD
from facesiam.errors import counted
from facesiam.files import exists
from search.runs.layout import RunError

if TYPE_CHECKING:
    import pandas as pd

    from search.analysis.kept_tests import KeptTest
    from search.analysis.paired_difference import PairedDifference

WORSE = 1
"""Exit code where --fail-if-worse finds the candidate worse."""
ABOUT = (
    "Compare two tested nets on the same test pairs: the difference of their accuracies, its 95 % "
    "interval, and McNemar's exact test. A is the baseline, B the candidate. Each is a run, a "
    "trial's folder in its retrain folder, or a scores.csv."
)
T = TypeVar("T", str, int)
Tests: TypeAlias = "list[KeptTest]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0; 1 where B is worse; 2 for wrong input."""
    options = parser().parse_args(arguments)
    return cli.run(lambda: _main(options))


def _main(options: argparse.Namespace) -> int:
    from search.analysis import kept_tests

    a = kept_tests.find(options.run_a, options.trial_a, options.rank, "--trial-a")
    b = kept_tests.find(options.run_b, options.trial_b, options.rank, "--trial-b")
    if options.protocol == TEN_FOLD:
        raise RunError(f"{TEN_FOLD}: name the scores of a fold instead, as fold-01/scores-FF.csv")
    a, b, _ = _agreed(a, b, lambda test: test.protocol, options.protocol, "on", "--protocol")
    a, b, seeds = _agreed(a, b, lambda test: test.seed, options.seed, "with seed", "--seed")
    one, other = a[0], b[0]
    compared = _compared(one, other)
    points = options.fail_if_worse
    worse = points is not None and compared.interval[1] < -points / 100
    if options.json:
        print(json.dumps(_record(one, other, compared, points, worse), indent=2))
    else:
        lines = _lines(one, other, compared, seeds)
        lines[:3] = [folded(line, columns(WHOLE), rest=" " * 19) for line in lines[:3]]
        cli.show(fitted("\n".join(lines), columns()))
    if points is not None:
        cli.say(_verdict(compared, points, worse))
    return WORSE if worse else cli.DONE


def _agreed(
    a: Tests, b: Tests, of: Callable[[KeptTest], T | None], asked: T | None, how: str, option: str
) -> tuple[Tests, Tests, list[T | None]]:
    """Return the tests of both sides with the same protocol or seed, and all that both have.

    Args:
        a: tests of the baseline.
        b: tests of the candidate.
        of: returns the protocol or the seed of a test; None fits any.
        asked: which one is meant; None: the first seed, the protocol that A names first.
        how: the words before it.
        option: of search.retrain, that makes it.

    Raises:
        RunError: a side lacks what was asked for, or they have none in common.
    """
    known = [list(dict.fromkeys(map(of, tests))) for tests in (a, b)]
    for tests, has in zip((a, b), known, strict=True):
        if asked is not None and not {asked, None} & set(has):
            command = tests[0].command(f"{option} {asked}")
            raise RunError(f"{tests[0].name}: not tested {how} {asked}; `{command}` tests it")
    mine, theirs = known
    both = theirs if None in mine else [each for each in mine if each in theirs or None in theirs]
    if not both:
        said = [", ".join(map(str, has)) for has in known]
        raise RunError(
            f"{a[0].name} is tested {how} {said[0]}, {b[0].name} {how} {said[1]}; "
            f"`{b[0].command(f'{option} {mine[0]}')}` tests B as A is"
        )
    chosen = asked if asked is not None else both[0]
    one, other = ([test for test in tests if of(test) in (None, chosen)] for tests in (a, b))
    return one, other, both


def _compared(a: KeptTest, b: KeptTest) -> PairedDifference:
    """Return the difference of two tests.

    Raises:
        RunError: they are of other data or other pairs, or a scores file is missing or damaged.
    """
    from search.analysis import scores

    if a.data and b.data and a.data != b.data:
        raise RunError(
            f"{a.label} and {b.label} are tested on other data (content {a.data[:12]} and "
            f"{b.data[:12]}): nothing can be said of the same pairs"
        )
    if a.scores.absolute() == b.scores.absolute():
        raise RunError(f"{a.label}: both are this test; --trial-a and --trial-b name two of a run")
    read = [_scores(test) for test in (a, b)]
    compared = scores.paired(*read)
    if compared is None:
        raise RunError(f"{a.scores} and {b.scores} are not of the same pairs: {_why(a, b, *read)}")
    return compared


def _scores(test: KeptTest) -> pd.DataFrame:
    from search.analysis import scores

    if not exists(test.scores):
        raise RunError(
            f"{test.scores}: missing; the same search.retrain command writes it anew, and trains "
            "nothing whose weights are there"
        )
    return scores.by_pair(scores.read(test.scores), test.scores)


def _why(a: KeptTest, b: KeptTest, one: pd.DataFrame, other: pd.DataFrame) -> str:
    """Return in what the pairs of two tests differ, and what can be done."""
    from search.analysis.mcnemar import PAIR_SETTINGS

    lacking = [
        len(mine.index.difference(theirs.index)) for mine, theirs in ((one, other), (other, one))
    ]
    if not any(lacking):
        return "they do not agree on who is the same person"
    said = f"{lacking[0]:,} of {len(one):,} are A's alone, {lacking[1]:,} of {len(other):,} B's"
    differ = [
        f"{name} {a.settings[name]} and {b.settings[name]}"
        for name in PAIR_SETTINGS
        if name in a.settings and name in b.settings and a.settings[name] != b.settings[name]
    ]
    if differ:
        said += f" ({', '.join(differ)})"
    return f"{said}; tests of both by search.retrain with the same --protocol are needed"


def _lines(
    a: KeptTest, b: KeptTest, compared: PairedDifference, seeds: Sequence[int | None]
) -> list[str]:
    from facesiam.evaluation.metrics import wilson
    from search.analysis.formatting import interval

    n = compared.n
    shares = [
        interval(share, *wilson(round(share * n), n))
        for share in (compared.accuracy_a, compared.accuracy_b)
    ]
    protocol = a.protocol or b.protocol
    of = f" of {protocol}" if protocol else ""
    lines = [
        f"A, the baseline:   {a.label}: {shares[0]} %",
        f"B, the candidate:  {b.label}: {shares[1]} %",
        f"B - A:             {_points(compared)}, of the same {n:,} test pairs{of}, each once",
        f"{counted(compared.only_a, 'pair')} that only A has right, {compared.only_b:,} that "
        "only B has; "
        f"exact McNemar p {compared.p:.2g}",
    ]
    lines += _thresholds(a, b)
    if len(seeds) > 1:
        others = ", ".join(map(str, seeds))
        lines.append(f"two nets, not two settings: both have the seeds {others} (--seed)")
    if not (a.data and b.data):
        unknown = a if not a.data else b
        lines.append(f"which data {unknown.label} was tested on is not known: the paths agree")
    return lines


def _thresholds(a: KeptTest, b: KeptTest) -> list[str]:
    """Return the lines on the thresholds that the two accuracies stand on."""
    from facesiam.evaluation.thresholds import describe_threshold

    mine, theirs = (describe_threshold(test.threshold, test.protocol) for test in (a, b))
    if mine == theirs:
        return [f"threshold of both: {mine}"]
    return [f"threshold of A: {mine}", f"threshold of B: {theirs}"]


def _points(compared: PairedDifference) -> str:
    low, high = (f"{100 * end:+.1f}" for end in compared.interval)
    return f"{100 * compared.value:+.1f} points [{low}, {high}]"


def _verdict(compared: PairedDifference, points: float, worse: bool) -> str:
    more = f" by more than {points:g} points" if points else ""
    if worse:
        return f"B is worse than A{more}: the whole interval, {_points(compared)}, is below"
    return f"B is not shown to be worse than A{more}: {_points(compared)}"


def _record(
    a: KeptTest, b: KeptTest, compared: PairedDifference, points: float | None, worse: bool
) -> dict[str, Any]:
    low, high = compared.interval
    sides = {
        side: {
            "name": test.label,
            "scores": str(test.scores),
            "accuracy": accuracy,
            "threshold": test.threshold,
        }
        for side, test, accuracy in (
            ("a", a, compared.accuracy_a),
            ("b", b, compared.accuracy_b),
        )
    }
    return {
        **sides,
        "protocol": a.protocol or b.protocol,
        "data": a.data if a.data == b.data else None,
        "n": compared.n,
        "only_a": compared.only_a,
        "only_b": compared.only_b,
        "difference": {"value": compared.value, "low": low, "high": high},
        "p": compared.p,
        "fail_if_worse": points,
        "worse": worse if points is not None else None,
    }


def _percentage(text: str) -> float:
    try:
        points = number(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not 0 <= points < 100:
        raise argparse.ArgumentTypeError(f"must be from 0 to below 100, got {text}")
    return points


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.Parser(prog=cli.program("search.compare"), description=ABOUT)
    parser.add_argument("run_a", metavar="RUN_A", help="the baseline, such as ray_results/code2")
    parser.add_argument(
        "run_b", metavar="RUN_B", help="the candidate; the same run for two trials"
    )
    parser.add_argument("--trial-a", metavar="TRIAL", help="id of A's trial, or ensemble-N")
    parser.add_argument("--trial-b", metavar="TRIAL", help="id of B's trial, or ensemble-N")
    parser.add_argument(
        "--rank", type=positive, default=1, help="place of trials that are not named (1)"
    )
    which = "tests on these pairs (those on A's own protocol, if B has them)"
    parser.add_argument("--protocol", metavar="NAME", help=which)
    parser.add_argument("--seed", type=random_seed, help="of both (the lowest that both have)")
    parser.add_argument(
        "--fail-if-worse",
        nargs="?",
        type=_percentage,
        const=0.0,
        metavar="POINTS",
        help="exit with 1 where B is worse than A by more than so many percentage points (0), "
        "that is, the whole 95 %% interval of the difference is below -POINTS",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON instead")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
