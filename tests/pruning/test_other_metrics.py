"""No rule stops a run of the 2019 study that is good by what its search is for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import SPACES

from search.pruning.contests import by_protocol
from search.pruning.history import History, take_off
from search.pruning.recorded_runs import Curve, shipped
from search.pruning.scheduler import Scheduler
from search.space import SearchSpace, load
from search.space.prune import pruning

WITHIN = 0.02
CODE1 = load(SPACES / "code1.yaml")


def searched(metric: str, mode: str) -> SearchSpace:
    """A space with the default rules and nothing that compares trials at rungs."""
    return replace(CODE1, metric=metric, mode=mode, prune=pruning())


def good(runs: list[Curve], space: SearchSpace) -> list[Curve]:
    """The runs that come within 0.02 of the best."""
    key, objective = space.objective.key, space.objective
    top = max(key(curve.best(objective)) for curve in runs)
    return [curve for curve in runs if key(curve.best(objective)) >= top - WITHIN]


@pytest.mark.parametrize(
    ("metric", "mode", "late"),
    [
        # Run 2 leaves chance in epoch 16: its accuracy ends 3 points below the best, its loss 0.01.
        ("val_loss", "min", {"2": 16, "3": 0, "5": 3}),
        ("val_acc", "max", {"5": 3, "6": 1}),
        ("train_acc", "max", None),
        ("train_loss", "min", None),
    ],
)
def test_a_late_start_is_good_by_what_is_searched_for(
    metric: str, mode: str, late: dict[str, int] | None
) -> None:
    """Each good run comes last, when all others have ended: the leader is as good as can be."""
    space = searched(metric, mode)
    contests = by_protocol(shipped(), space)
    if late is not None:
        starts = {
            curve.id: take_off(History(list(curve.rows), curve.settings))
            for curve in good(contests["cfp-pairs", 2800], space)
        }
        assert starts == late
    for runs in contests.values():
        for curve in good(runs, space):
            scheduler = Scheduler(space)
            for other in runs:
                if other is not curve:
                    scheduler.begin(other.id, other.settings)
                    for epoch, row in enumerate(other.rows):
                        scheduler.add_epoch(other.id, row | {"epoch": epoch})
            scheduler.begin("again", curve.settings)
            for epoch, row in enumerate(curve.rows[:-1]):
                scheduler.add_epoch("again", row | {"epoch": epoch})
                assert scheduler.decide("again") is None, (curve.id, epoch)
