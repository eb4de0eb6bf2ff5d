"""How often `stop_when` ends a search too early, and how often its interval holds.

    python scripts/check_stop_when.py --searches 200 --seed 0
    python scripts/check_stop_when.py --searches 200 --seed 0 --asha
    python scripts/check_stop_when.py --curves DIR --metric val_loss --mode min --learned 0.66 \
        --gain 0.02 --searches 40

Whole searches are played, at random and by Optuna's TPE, and after each trial it is asked what the
trials left would gain. Without --curves the scores are drawn: an accuracy with its peak inside a
space of four settings, a noise of half a point, three trials in ten that never learn, and 48
epochs in which the others approach their score. --curves is a run or a table of curves, read as
`search.replay --curves` reads it, and may be given several times; a suggestion becomes the nearest
row that no trial has had, by the ranks of the settings. With --asha the search's own ASHA stops
trials (grace 3, factor 4), one after the other, and a stopped one has the score that it had by
then.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
from pandas.api.types import is_numeric_dtype

from facesiam import cli
from facesiam.config.settings import did_you_mean
from facesiam.evaluation.metrics import wilson
from facesiam.objective import Objective
from search.pruning import recorded_runs
from search.pruning.asha import Asha
from search.pruning.going_on import Ended, outlook
from search.pruning.recorded_runs import Curve
from search.runs.layout import RunError

FIRST = 5
"""Trials after which it is asked first."""
EPOCHS = 48
"""Of a drawn trial."""
ASHA = {"grace": 3, "factor": 4, "compare": "epoch", "noise": 0.0}
Point = npt.NDArray[np.float64]
Score = Callable[[Point, np.random.Generator], float]


class Table(NamedTuple):
    """Recorded trials: ranks of their settings in [0, 1], and scores of which more is better."""

    name: str
    ranks: npt.NDArray[np.float64]
    """(trials, settings)."""
    best: npt.NDArray[np.float64]
    """(trials, epochs): the best score so far."""
    learned: float
    """A score that no guess reaches."""

    def play(
        self, chosen: Iterator[Point], tell: Callable[[float], None], trials: int, asha: bool
    ) -> list[float]:
        """Return the scores of a search; minus infinity of a trial that never learned."""
        left, found = np.ones(len(self.best), dtype=bool), []
        rule = Asha(ASHA, Objective(), self.best.shape[1]) if asha else None
        for number in range(min(trials, len(self.best))):
            away = ((self.ranks - next(chosen)) ** 2).sum(1)
            row = int(np.where(left, away, math.inf).argmin())
            left[row] = False
            score = self._reached(row, rule, f"{number}")
            found.append(score if score > self.learned else -math.inf)
            tell(found[-1])
        return found

    def _reached(self, row: int, rule: Asha | None, name: str) -> float:
        """Return the best score of a trial up to its end, or to where it is stopped."""
        for age, score in enumerate(self.best[row] if rule else (), 1):
            if rule and rule.decide(name, age, float(score), 0):
                return float(score)
        return float(self.best[row, -1])


def read(folder: Path, metric: str, mode: str, learned: float, first: int = 0) -> list[Table]:
    """Return the tables of a run or of a table of curves, one for each protocol in it.

    A trial learned if its best is better than ``learned``. Its epochs are no setting here, as
    those that were recorded count. A trial that was stopped has the score that it had by then.

    Args:
        folder: as ``search.replay --curves`` takes it, but not of several.
        metric: whose scores are taken.
        mode: whether more (max) or less (min) of it is better.
        learned: a score that no guess reaches.
        first: of a table of curves, the number of the first epoch that was trained.

    Raises:
        RunError: as ``recorded_runs.read``, or no trial has the metric, or has learned by it.
    """
    contests: dict[tuple[str, int], list[Curve]] = {}
    for curve in recorded_runs.read(folder, first):
        contests.setdefault(curve.contest, []).append(curve)
    every = [curve for curves in contests.values() for curve in curves]
    known = dict.fromkeys(name for curve in every for row in curve.rows for name in row)
    if metric not in known:
        raise RunError(f"{folder}: has no metric {metric}{did_you_mean(metric, known)}")
    sign, found = 1.0 if mode == "max" else -1.0, list[Table]()
    for (protocol, pairs), curves in contests.items():
        kind = f", {protocol}, {pairs} validation pairs" * (len(contests) > 1)
        best = _best_so_far(curves, metric, sign)
        if not (best[:, -1] > sign * learned).any():
            raise RunError(
                f"{folder}{kind}: no trial has a {metric} better than {learned:g}; --learned says "
                "which score no guess reaches"
            )
        found.append(Table(folder.name + kind, _ranks(curves), best, sign * learned))
    return found


def _best_so_far(curves: Sequence[Curve], metric: str, sign: float) -> npt.NDArray[np.float64]:
    """Return the best score of each trial up to each epoch, more is better (trials, epochs)."""
    scores = np.full((len(curves), max(len(curve.rows) for curve in curves)), -math.inf)
    for scored, curve in zip(scores, curves, strict=True):
        scored[: len(curve.rows)] = [sign * row.get(metric, math.nan) for row in curve.rows]
    # After a NaN, which is a divergence, the best so far stays; before any score there is none.
    best: npt.NDArray[np.float64] = np.fmax.accumulate(scores, axis=1)
    return np.where(np.isnan(best), -math.inf, best)


def _ranks(curves: Sequence[Curve]) -> npt.NDArray[np.float64]:
    """Return the ranks of the settings that differ, in [0, 1]; without one, below all others."""
    settings = pd.DataFrame([curve.settings for curve in curves]).drop(columns="epochs")
    coded = settings.apply(
        lambda one: one if is_numeric_dtype(one) else one.astype(str).astype("category").cat.codes
    )
    coded = coded.loc[:, coded.nunique(dropna=False) > 1]
    ranks: npt.NDArray[np.float64] = coded.rank(pct=True, na_option="top").to_numpy(dtype=float)
    return ranks


def drawn(rng: np.random.Generator) -> Table:
    """Return a table of 2,000 drawn trials of four settings."""
    ranks = rng.random((2000, 4))
    away = ((ranks - rng.uniform(0.2, 0.8, 4)) ** 2 * rng.uniform(0.05, 0.6, 4)).sum(1)
    scores = 0.9 - away + 0.005 * rng.standard_normal(2000)
    scores = np.where(rng.random(2000) < 0.3, -math.inf, scores)
    pace = np.random.default_rng(0).uniform(3, 12, (2000, 1))
    share = -np.expm1(-np.arange(1, EPOCHS + 1) / pace)
    best = scores[:, None] - 0.4 * (1 - share / share[:, -1:])
    return Table("drawn", ranks, best, -math.inf)


def search(table: Table, sampler: str, trials: int, seed: int, asha: bool) -> list[float]:
    """Return the scores of a search on a table, in its order."""
    size = table.ranks.shape[1]
    if sampler == "random":
        rng = np.random.default_rng(seed)
        return table.play((rng.random(size) for _ in iter(int, 1)), lambda _: None, trials, asha)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed), direction="maximize"
    )
    asked: list[optuna.Trial] = []
    ends = table.best[:, -1]
    worst = float(np.min(ends[ends > table.learned]))

    def suggest() -> Iterator[Point]:
        while True:
            asked.append(study.ask())
            yield np.array([asked[-1].suggest_float(str(n), 0, 1) for n in range(size)])

    return table.play(
        suggest(), lambda score: study.tell(asked[-1], max(score, worst)) and None, trials, asha
    )


class Judged(NamedTuple):
    """What became of a search."""

    looks: int
    held: int
    """Looks whose interval held the gain of the trials left."""
    at: int
    """Trials that had ended when the search was ended."""
    lost: float
    """What the trials left would have gained; 0 of a search that was not ended."""
    ended: bool


def judge(scores: Sequence[float], gain: float) -> Judged:
    """Ask after each trial, up to the end, and see what the trials left gained."""
    best = np.maximum.accumulate(scores)
    looks = held = 0
    end: int | None = None
    for done in range(FIRST, len(scores)):
        tried = [Ended(score) for score in scores[:done]]
        found = outlook(tried, len(scores) - done)
        if found is None:
            continue
        true = float(best[-1] - best[done - 1])
        looks += 1
        held += found.low <= true + 1e-12 and true <= found.high + 1e-12
        if end is None and found.high < gain:
            end = done
    lost = float(best[-1] - best[end - 1]) if end else 0.0
    return Judged(looks, held, end or len(scores), lost, end is not None)


def show(name: str, judged: Sequence[Judged], gain: float, trials: int) -> None:
    """Print a line."""
    ended = [one for one in judged if one.ended]
    early = sum(one.lost > gain for one in ended)
    low, high = wilson(early, len(judged))
    looks = sum(one.looks for one in judged)
    held = sum(one.held for one in judged) / max(1, looks)
    run = np.mean([one.at for one in judged]) / trials
    print(
        f"{name}: interval holds {held:.3f} of {looks} looks; ends {len(ended)} of {len(judged)}, "
        f"after {100 * run:.0f} % of the trials in the mean of all; too early {early} "
        f"({100 * early / max(1, len(judged)):.1f} % [{100 * low:.1f}, {100 * high:.1f}] of all), "
        f"lost by ending {np.mean([one.lost for one in judged]):.2g}",
        flush=True,
    )


def main() -> int:
    """Print a line per table and sampler; return the exit code, 2 for wrong input."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    parser = cli.Parser(description=__doc__)
    parser.add_argument("--searches", type=int, default=200, help="of each table and sampler")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--gain", type=float, default=0.003, help="in the metric, not in points")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--curves", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--metric", default="val_acc")
    parser.add_argument("--mode", choices=("max", "min"), default="max")
    parser.add_argument("--learned", type=float, default=0.5, help="a score that no guess reaches")
    parser.add_argument("--first", type=int, default=0, help="first trained epoch of a table")
    parser.add_argument("--asha", action="store_true", help="have ASHA stop trials")
    options = parser.parse_args()
    return cli.run(lambda: _main(options))


def _main(options: argparse.Namespace) -> int:
    how = options.metric, options.mode, options.learned, options.first
    tables = [table for folder in options.curves for table in read(folder, *how)]
    for sampler in ("random", "tpe"):
        every: list[Judged] = []
        chosen: list[Table | None] = [*tables] or [None]
        for table in chosen:
            judged = []
            for number in range(options.searches):
                seed = options.seed * options.searches + number
                one = table or drawn(np.random.default_rng([seed, 1]))
                scores = search(one, sampler, options.trials, seed, options.asha)
                judged.append(judge(scores, options.gain))
            show(
                f"{table.name if table else 'drawn'}, {sampler}",
                judged,
                options.gain,
                options.trials,
            )
            every += judged
        if len(tables) > 1:
            show(f"all, {sampler}", every, options.gain, options.trials)
    return cli.DONE


if __name__ == "__main__":
    sys.exit(main())
