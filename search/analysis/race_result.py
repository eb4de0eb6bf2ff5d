"""What a race has come to: its table, who is taken, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from facesiam.cli.terminal import fitted
from facesiam.config import SETTINGS
from facesiam.errors import counted
from facesiam.evaluation.right_pairs import Bools
from search.analysis.best_chance import chances, pair_variance
from search.analysis.elimination import Standing
from search.analysis.formatting import NOTHING, aligned, percent, shown_value
from search.analysis.pareto import amount as cost_amount
from search.analysis.raced_rows import RacedRows
from search.space import SearchSpace
from search.space.combinations import listed
from search.space.effect import has_effect
from search.space.finalists import Race, row_of

OF_SEEDS = (
    "tested is which settings train the better net over seeds, on the same validation pairs; of "
    "other pairs that says nothing"
)
OF_PAIRS = (
    "tested is which settings train the better net over seeds, on the same validation pairs; the "
    "chances reckon with other pairs, too"
)


@dataclass(frozen=True)
class RaceResult:
    """What is known of a race that runs or has run."""

    space: SearchSpace
    """Of the race's own run."""
    race: Race
    rows: RacedRows
    epochs: int
    """That its trainings have run."""
    right: Sequence[Mapping[int, Bools]] | None
    """Of each finalist by round, which validation pairs were judged right; None where that is not
    known of all, or not what is ranked by."""
    failed: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    """By finalist and seed, why a training failed."""

    def __str__(self) -> str:
        return text(self)

    @property
    def trials(self) -> list[str]:
        """The finalists, by their names in the search, the best there first."""
        return list(self.race.trials)

    @cached_property
    def standing(self) -> Standing:
        """What the whole rounds say."""
        return self.rows.standing()

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """(finalists, seeds) the metric of each training that counts; NaN of one that does not."""
        known = self.rows.known()
        return known if self.space.objective.maximizes else -known

    @cached_property
    def chances(self) -> NDArray[np.float64] | None:
        """The chance of each finalist to be the best; None before the second seed."""
        of_pairs = pair_variance(self.right) if self.right else 0.0
        return chances(self.rows.known(), of_pairs)

    @property
    def winner(self) -> str | None:
        """The finalist that is taken; None while the race goes on."""
        taken = self.standing.taken
        return None if taken is None else self.trials[taken]

    @property
    def all_epochs(self) -> int:
        """Epochs of all finalists with all seeds."""
        return sum(int(self.space.row_settings(id)["epochs"]) for id in self.space.rows)

    @property
    def settings(self) -> list[dict[str, object]]:
        """The settings of each finalist, those that differ between them only."""
        seed = self.rows.seeds[0]
        every = [self.space.row_settings(row_of(trial, seed)) for trial in self.trials]
        differ = [n for n in SETTINGS if len({str(one[n]) for one in every}) > 1]
        return [{n: one[n] if has_effect(n, one) else None for n in differ} for one in every]

    def amount(self, difference: float) -> str:
        """Return a difference of the metric as people read it, turned so that more is better."""
        objective = self.space.objective
        if not np.isfinite(difference):
            return "any amount"
        return f"{100 * difference:.1f} points" if objective.unit else f"{difference:.4f}"

    def frame(self) -> pd.DataFrame:
        """Return a row per finalist, who is taken and who was in longest first.

        Columns: ``trial``, the settings that differ, the cost that decides between equals (such as
        ``macs``), ``searched`` (its metric in the search),
        ``seeds``, ``mean``, ``std``, ``better_at_most`` (than the one that is taken), ``chance``
        (to be the best), ``out_after`` (round) and ``taken``.
        """
        standing, scores = self.standing, self.scores
        counts = np.isfinite(scores).sum(1)
        leader = self._leader()
        chances = self.chances
        made = [
            {
                "trial": trial,
                **self.settings[at],
                **({self.race.cost: self.race.trials[trial].cost} if self.race.cost else {}),
                "searched": self.race.trials[trial].score,
                "seeds": int(counts[at]),
                "mean": float(np.nanmean(scores[at])) if counts[at] else np.nan,
                "std": float(np.nanstd(scores[at], ddof=1)) if counts[at] > 1 else np.nan,
                "better_at_most": np.nan if at == leader else standing.bounds[at, leader],
                "chance": np.nan if chances is None else chances[at],
                "out_after": standing.out[at][0] if at in standing.out else pd.NA,
                "taken": at == standing.taken,
            }
            for at, trial in enumerate(self.trials)
        ]
        frame = pd.DataFrame(made).astype({"trial": "string", "out_after": "Int64"})
        order = sorted(range(len(made)), key=self._place)
        return frame.iloc[order].reset_index(drop=True)

    def _leader(self) -> int:
        """Return the finalist that the others are compared with."""
        if self.standing.taken is not None:
            return self.standing.taken
        means = np.nan_to_num(self.standing.means, nan=-np.inf)
        return max(self.standing.alive, key=lambda one: means[one])

    def _place(self, at: int) -> tuple[bool, int, float]:
        gone = self.standing.out.get(at, (10**9,))[0]
        return at != self._leader(), -gone, -float(np.nan_to_num(self.standing.means[at]))


def text(result: RaceResult, width: int = 120) -> str:
    """Return the table of a race and the sentences under it."""
    lines = [_table(result, width), *(fitted(line, width) for line in sentences(result))]
    return "\n".join(lines)


def sentences(result: RaceResult) -> list[str]:
    """Return what came of a race: who is taken and how sure that is, what else was to be named."""
    said = [verdict(result), *_failures(result)]
    if result.winner:
        first = result.trials[0]
        at = 0
        chance = "" if result.chances is None else f", a chance of {percent(result.chances[at])} %"
        said.append(
            f"the search alone would have named {first} too{chance} to be the best"
            if first == result.winner
            else f"the search alone would have named {first}{chance} to be the best"
        )
        said.append(
            f"the race took {result.epochs:,} of the {result.all_epochs:,} epochs of "
            f"{counted(len(result.trials), 'finalist')} with "
            f"{counted(len(result.rows.seeds), 'seed')} each"
        )
    return [*said, OF_PAIRS if result.right else OF_SEEDS]


def _failures(result: RaceResult) -> list[str]:
    """Return a sentence for each finalist of which a training failed: which seeds, and why."""
    said = []
    for trial, why in result.failed.items():
        seeds = [f"seed {seed} ({reason})" for seed, reason in sorted(why.items())]
        if len(why) > 1 and len(set(why.values())) == 1:
            seeds = [f"seeds {listed([*map(str, sorted(why))])} ({next(iter(why.values()))})"]
        known = int(np.isfinite(result.scores[result.trials.index(trial)]).sum())
        if known:
            them = "it" if len(why) == 1 else "them"
            others = counted(known, "other seed")
            without = f"without {them} the race compares {trial} by its {others}"
        elif not result.winner:
            without = f"no training of {trial} has a score yet"
        elif np.isfinite(result.scores).any():
            without = f"no training of {trial} has a score, so another finalist is taken"
        else:
            without = "no finalist has a score, so the one that the search named stays"
        said.append(f"{trial} failed with {listed(seeds)}: {without}")
    return said


def verdict(result: RaceResult) -> str:
    """Return who is taken, and how sure that is; who is still in while the race goes on."""
    standing, terms = result.standing, result.race.terms
    if standing.taken is None or result.winner is None:
        still = ", ".join(result.trials[one] for one in standing.alive)
        return f"after {counted(standing.rounds, 'whole round')} {still} are still in"
    if len(result.trials) == 1:
        return f"{result.winner} is the only finalist, so there is nothing to race"
    bound, level = standing.bound(standing.taken), f"{100 * (1 - terms.level):g} % sure"
    if bound <= 0:
        return (
            f"{result.winner} wins: each of the others is shown to be worse ({level}, all at once)"
        )
    if bound <= terms.within:
        return (
            f"{result.winner} is taken: none of the others is better by more than "
            f"{result.amount(bound)} ({level}, all at once)"
        )
    equal = ", ".join(result.trials[one] for one in standing.alive)
    return (
        f"{equal} are not told apart by {counted(standing.rounds, 'seed')}: {result.winner} is "
        f"taken, {_why(result)}; another one may be better by {result.amount(bound)} ({level})"
    )


def _why(result: RaceResult) -> str:
    """Return why one of several that are not told apart is taken."""
    taken = result.standing.taken
    means = result.standing.means
    assert taken is not None
    alive = means[result.standing.alive]
    if np.isnan(alive).all():
        return "as the search's best, since no training has a score"
    if means[taken] < np.nanmax(alive):
        return (
            f"the cheapest ({result.race.cost}) of those within "
            f"{result.amount(result.race.terms.within)} of the best"
        )
    return "which has the best mean"


def _table(result: RaceResult, width: int) -> str:
    frame, objective = result.frame(), result.space.objective
    names = list(result.settings[0])
    unit = f",{objective.unit}" if objective.unit else ""
    cost = [result.race.cost] if result.race.cost else []
    headers = ["finalist", *names, *cost, f"searched{unit}", "seeds", f"mean ± std{unit}"]
    headers += ["may be better\nby, at most", "best,\nchance", "out after\nseeds"]
    cells = [
        [
            row["trial"],
            *(shown_value(row[name]) for name in names),
            *(cost_amount(name, row[name]) for name in cost),
            objective.shown(row["searched"]),
            str(row["seeds"]),
            _spread(result, row["mean"], row["std"]),
            NOTHING if pd.isna(row["better_at_most"]) else _bound(result, row["better_at_most"]),
            NOTHING if pd.isna(row["chance"]) else f"{percent(row['chance'])} %",
            "taken" if row["taken"] else shown_value(row["out_after"]),
        ]
        for row in frame.to_dict("records")
    ]
    left = [header == "finalist" for header in headers]
    return aligned(headers, cells, left, width=width)


def _bound(result: RaceResult, amount: float) -> str:
    return "worse" if amount <= 0 else result.amount(amount)


def _spread(result: RaceResult, mean: float, std: float) -> str:
    if pd.isna(mean):
        return NOTHING
    scale = 100 if result.space.objective.unit else 1
    digits = 1 if scale == 100 else 4
    spread = "" if pd.isna(std) else f" ± {scale * std:.{digits}f}"
    return f"{scale * mean:.{digits}f}{spread}"
