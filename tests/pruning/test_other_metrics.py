"""No rule stops a run of the 2019 study that is good by what its search is for, late or not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import SCHEDULES, SPACES

from facesiam.config import Value
from search.pruning.altered_curves import scheduled
from search.pruning.contests import by_protocol
from search.pruning.history import History, take_off
from search.pruning.late_start import Odds
from search.pruning.recorded_runs import Curve, shipped
from search.pruning.scheduler import Scheduler
from search.space import SearchSpace, load
from search.space.prune import pruning

WITHIN = 0.02
CODE1 = load(SPACES / "code1.yaml")


def searched(metric: str, mode: str) -> SearchSpace:
    """A space with the default rules and nothing that compares trials at rungs."""
    return replace(CODE1, metric=metric, mode=mode, prune=pruning())


def with_errors(curve: Curve) -> Curve:
    """The curve with an error rate, which none of them has: the share of wrong answers."""
    return replace(curve, rows=tuple(row | {"val_eer": 1 - row["val_acc"]} for row in curve.rows))


def good(runs: list[Curve], space: SearchSpace) -> list[Curve]:
    """The runs that come within 0.02 of the best."""
    key, objective = space.objective.key, space.objective
    top = max(key(curve.best(objective)) for curve in runs)
    return [curve for curve in runs if key(curve.best(objective)) >= top - WITHIN]


def leaves_chance(runs: list[Curve], space: SearchSpace) -> dict[str, int | None]:
    """The epoch at which each good run leaves chance."""
    return {
        curve.id: take_off(History(list(curve.rows), curve.settings))
        for curve in good(runs, space)
    }


def test_what_starts_late_is_good_by_one_metric_and_not_by_another() -> None:
    """Run 2 leaves chance in epoch 16: its accuracy ends 3 points below the best, its loss 0.01."""
    for metric, mode, expected in (
        ("val_loss", "min", {"2": 16, "3": 0, "5": 3}),
        ("val_acc", "max", {"5": 3, "6": 1}),
    ):
        space = searched(metric, mode)
        runs = by_protocol(shipped(), space)["cfp-pairs", 2800]
        assert leaves_chance(runs, space) == expected


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize(
    ("metric", "mode"),
    [
        ("val_acc", "max"),
        ("val_loss", "min"),
        ("train_acc", "max"),
        ("train_loss", "min"),
        ("val_eer", "min"),
    ],
)
def test_no_rule_stops_a_good_run_by_any_metric_under_any_schedule(
    metric: str, mode: str, schedule: dict[str, Value]
) -> None:
    """Each good run comes last, when all others have ended: the leader is as good as can be.

    The odds know nothing of its own curve.
    """
    space, odds = searched(metric, mode), Odds(shipped(), own=True)
    for recorded in by_protocol(shipped(), searched("val_acc", "max")).values():
        runs = [scheduled(with_errors(curve), schedule) for curve in recorded]
        for curve in good(runs, space):
            scheduler = Scheduler(space, odds)
            for other in runs:
                if other is not curve:
                    scheduler.begin(other.id, other.settings)
                    for epoch, row in enumerate(other.rows):
                        scheduler.add_epoch(other.id, row | {"epoch": epoch})
            scheduler.begin(curve.id, curve.settings)
            assert odds.runs(scheduler.histories[curve.id].name) == len(shipped()) - 1
            for epoch, row in enumerate(curve.rows[:-1]):
                scheduler.add_epoch(curve.id, row | {"epoch": epoch})
                assert scheduler.decide(curve.id) is None, (curve.id, epoch)


@pytest.mark.parametrize(
    ("metric", "mode", "stops"),
    [
        ("val_acc", "max", {60: 7, 240: 7}),
        ("train_loss", "min", {60: 14, 240: 16}),
        ("val_loss", "min", {60: None, 240: 43}),
    ],
)
def test_a_net_that_guesses_is_stopped_late_by_another_metric_than_accuracy(
    metric: str, mode: str, stops: dict[int, int | None]
) -> None:
    """It comes when the runs of code 1 have ended; the figures stand in docs/pruning.md."""
    space, row = searched(metric, mode), {"val_pairs": 2800.0, "seconds": 1.0}
    row |= {"val_acc": 0.5, "train_acc": 0.5, "val_loss": 0.6931, "train_loss": 0.6931}
    runs = by_protocol(shipped(), space)["cfp-pairs", 2800]
    for planned, stop in stops.items():
        scheduler = Scheduler(space, Odds(shipped()))
        for other in runs:
            scheduler.begin(other.id, other.settings)
            for epoch, known in enumerate(other.rows):
                scheduler.add_epoch(other.id, known | {"epoch": epoch})
        scheduler.begin("new", runs[0].settings | {"epochs": planned})
        found = None
        for epoch in range(planned - 1):
            scheduler.add_epoch("new", row | {"epoch": epoch})
            if (decision := scheduler.decide("new")) and found is None:
                assert decision.rule == "chance"
                found = epoch + 1
        assert found == stop
