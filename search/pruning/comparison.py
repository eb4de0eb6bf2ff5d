"""Pruning policies compared on recorded runs: what each spends, and whether it keeps the best."""

from __future__ import annotations

import bisect
import itertools
import math
import statistics
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from facesiam.evaluation.metrics import wilson
from search.pruning import recorded_runs
from search.pruning.late_start import WITHIN, Odds
from search.pruning.peers.ray_schedulers import RayAsha
from search.pruning.recorded_runs import Curve
from search.pruning.rules import RULES
from search.pruning.simulator import (
    PATIENCE,
    THRESHOLD,
    Arrival,
    NoPruning,
    Orders,
    Outcome,
    Policy,
    SchedulerPolicy,
    ThresholdPolicy,
    by_first_epoch,
    simulate,
    top_k,
)
from search.space import SearchSpace
from search.space.prune import pruning

KEPT = 0.005
"""How near to the best a run counts as having kept it, by default half a point of accuracy."""

NOT_BY_RANK = (*RULES, "threshold")
"""Rules by which no good trial should stop. All others, the peers' too, rank the trials, and stop
good ones below better ones."""


class Margins(NamedTuple):
    """How far from the best a run may be, in units of the metric."""

    kept: float = KEPT
    """The best is kept where the best run that reached its end comes within this of it."""
    good: float = WITHIN
    """A run within this of the best is good: a rule should not stop it."""


DEFAULT = Margins()


@dataclass(frozen=True)
class PolicyResult:
    """The result of one policy over all orders of arrival."""

    policy: str
    kept: float
    """Share of the orders in which a run that ended came within a margin of the best drawn."""
    kept_low: float
    kept_high: float
    kept_best: float
    """The same for the very best."""
    epochs: float
    """Mean share of all recorded epochs that it spent, and the least and the most of any order."""
    epochs_low: float
    epochs_high: float
    hours: float
    """Mean wall-clock time on the workers."""
    stopped: dict[str, float]
    """Mean number of runs stopped, by rule."""
    false_stops: dict[str, int]
    """By run and rule, the orders in which a rule that is not by rank stopped a run that would
    have come near the best."""
    seen: float = math.nan
    """Share of the orders in which any run, stopped ones too, had come that near by its end."""
    top: float | None = None
    """Of "one epoch, then top k": the k."""

    @property
    def label(self) -> str:
        """Its name in a table, with its k."""
        if self.top is None:
            return self.policy
        return self.policy.replace(" k", f" {self.top:.1f}".removesuffix(".0"))


def best_run(runs: Sequence[Curve], searched: SearchSpace) -> Curve:
    """Return the run with the best score, the first of equals."""
    objective = searched.objective
    return max(runs, key=lambda curve: objective.key(curve.best(objective)))


def compare(
    runs: Sequence[Curve],
    searched: SearchSpace,
    orders: Orders,
    margins: Margins = DEFAULT,
    peers: bool = False,
) -> list[PolicyResult]:
    """Compare the rules of a space with other policies on the runs of one contest.

    Args:
        runs: recorded runs of one contest.
        searched: whose `prune:` is tried; its longest trial caps the runs.
        orders: in which they arrive.
        margins: what counts as near the best.
        peers: with all peers (peers/lineup.py), and not only Ray's ASHA.

    Returns:
        A result for each policy, the one of the space last.
    """
    drawn, workers = orders.drawn(runs), orders.workers
    policies = _policies(searched, peers)
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # numpy's, of NaN
        outcomes = {
            name: [simulate(order, make(), workers) for order in drawn]
            for name, make in policies.items()
        }
    own = list(policies)[-1]
    spent = statistics.mean(outcome.epochs for outcome in outcomes[own])
    k = _equal_k(drawn, spent, searched)
    # k is between two whole numbers: the orders alternate so that the mean cost is the same.
    top = [
        top_k(order, int(k + (number + 0.5) / len(drawn)), workers, searched)
        for number, order in enumerate(drawn)
    ]
    last = outcomes.pop(own)
    judged = _Judged.of(runs, searched, drawn, margins)
    rows = [_result(name, each, judged) for name, each in outcomes.items()]
    best_k = replace(_result("one epoch, then top k", top, judged), top=k)
    return [*rows, best_k, _result(own, last, judged)]


def every_k(
    runs: Sequence[Curve],
    searched: SearchSpace,
    orders: Orders,
    margins: Margins = DEFAULT,
) -> list[tuple[float, float]]:
    """Return (epochs, kept) of "one epoch, then top k" for twelve k from few runs to all.

    The arguments are those of ``compare``.
    """
    drawn = orders.drawn(runs)
    count, judged = len(drawn[0]), _Judged.of(runs, searched, drawn, margins)
    rows = [
        _result("", [top_k(o, k, orders.workers, searched) for o in drawn], judged)
        for k in sorted({max(1, round(count * part / 12)) for part in range(1, 13)})
    ]
    return [(row.epochs, row.kept) for row in rows]


def _policies(searched: SearchSpace, peers: bool) -> dict[str, Callable[[], Policy]]:
    """Return what makes each policy, by its name; the last one is that of the space."""
    odds = Odds(recorded_runs.shipped(), own=True)
    own = replace(searched, prune=searched.prune | {"control": 0.0})
    bare = replace(own, prune=own.prune | dict.fromkeys(RULES, False))
    asha = searched.prune["asha"] or pruning(True)["asha"]
    policies: dict[str, Callable[[], Policy]] = {"everything": NoPruning}
    if searched.metric == "val_acc":
        policies[f"below {THRESHOLD} for {PATIENCE}"] = ThresholdPolicy
    policies["Ray's ASHA"] = lambda: RayAsha(asha, searched.objective, searched.max_epochs())
    if peers:
        from search.pruning.peers import lineup  # Optuna takes a second to import

        policies |= lineup.peers(asha, searched.objective, searched.max_epochs())
    shown = {"asha": "ASHA", "halving": "halving"}
    halves = " and ".join(text for rule, text in shown.items() if searched.prune[rule])
    if not halves:
        return policies | {"rules only": lambda: SchedulerPolicy(own, odds)}
    policies[f"our {halves}, no rules"] = lambda: SchedulerPolicy(bare, odds)
    return policies | {f"{halves} and rules": lambda: SchedulerPolicy(own, odds)}


def _equal_k(orders: Sequence[Sequence[Arrival]], epochs: float, searched: SearchSpace) -> float:
    """Return the k, at least 1, with which "one epoch, then top k" comes to so many epochs."""
    costs = []  # of every k from 0 on, by order
    for order in orders:
        lengths = [len(run.curve.rows) - 1 for run in by_first_epoch(order, searched)]
        costs.append(list(itertools.accumulate(lengths, initial=len(order))))
    means = [statistics.fmean(each) for each in zip(*costs, strict=True)]
    k = max(1, bisect.bisect_right(means, epochs) - 1)
    if k + 1 >= len(means):
        return float(len(means) - 1)
    return k + max(0.0, (epochs - means[k]) / (means[k + 1] - means[k] or 1))


class _Judged(NamedTuple):
    """What the outcomes of a policy are held against."""

    orders: Sequence[Sequence[Arrival]]
    scores: Mapping[str, Sequence[float]]
    """The best score so far of each recorded run after each of its epochs, as ``Objective.key``
    has it, by its id."""
    margins: Margins

    @classmethod
    def of(
        cls,
        runs: Sequence[Curve],
        searched: SearchSpace,
        orders: Sequence[Sequence[Arrival]],
        margins: Margins = DEFAULT,
    ) -> _Judged:
        """Return it for recorded runs, each scored by the best epoch of the space's metric."""
        objective = searched.objective
        keys = {
            curve.id: [objective.key(row.get(objective.metric)) for row in curve.rows]
            for curve in runs
        }
        best = {name: list(itertools.accumulate(each, max)) for name, each in keys.items()}
        return cls(orders, best, margins)


def _result(name: str, outcomes: Sequence[Outcome], judged: _Judged) -> PolicyResult:
    scores, margins = judged.scores, judged.margins
    kept = exact = seen = 0
    shares, rules, false = [], Counter[str](), Counter[str]()
    for order, outcome in zip(judged.orders, outcomes, strict=True):
        top = max(scores[run.curve.id][-1] for run in order)
        best = max((scores[run.curve.id][-1] for run in outcome.finished), default=-math.inf)
        kept, exact = kept + (best >= top - margins.kept), exact + (best >= top)
        seen += _best_seen(order, outcome, scores) >= top - margins.kept
        shares.append(outcome.epochs / sum(len(run.curve.rows) for run in order))
        rules.update(str(stop.rule) for stop in outcome.stops.values())
        of = {run.name: run.curve.id for run in order}
        wrong = {
            f"{of[run]} ({stop.rule})"
            for run, stop in outcome.stops.items()
            if stop.rule in NOT_BY_RANK and scores[of[run]][-1] >= top - margins.good
        }
        false.update(wrong)
    low, high = wilson(kept, len(outcomes))
    return PolicyResult(
        name,
        kept / len(outcomes),
        low,
        high,
        exact / len(outcomes),
        statistics.mean(shares),
        min(shares),
        max(shares),
        statistics.mean(outcome.seconds for outcome in outcomes) / 3600,
        {rule: count / len(outcomes) for rule, count in sorted(rules.items())},
        dict(sorted(false.items())),
        seen / len(outcomes),
    )


def _best_seen(
    order: Sequence[Arrival], outcome: Outcome, scores: Mapping[str, Sequence[float]]
) -> float:
    """Return the best score that any run had by its end or its stop."""
    found = -math.inf
    for run in order:
        stop = outcome.stops.get(run.name)
        last = -1 if stop is None or stop.epoch is None else stop.epoch
        found = max(found, scores[run.curve.id][last])
    return found
