"""Recorded curves as if under a schedule: which recorded epoch each epoch shows."""

from __future__ import annotations

from search.pruning.altered_curves import scheduled
from search.pruning.late_start import Odds
from search.pruning.recorded_runs import Curve, shipped


def test_a_cosine_shows_after_each_epoch_the_one_that_the_sum_of_rates_has_come_to() -> None:
    """After n of 10 epochs the rates sum to n / 2 + 10 sin(π n / 10) / 2π: 0.99, 1.9, 2.8, …, 5."""
    curve = Curve("x", {"epochs": 10}, tuple({"val_acc": float(n)} for n in range(10)))
    found = scheduled(curve, {"schedule": "cosine"})
    assert [row["val_acc"] for row in found.rows] == [0, 0, 1, 2, 3, 3, 3, 3, 3, 4]
    assert found.settings == {"epochs": 10, "schedule": "cosine"}


def test_the_odds_know_a_run_that_a_schedule_has_stretched_as_their_own() -> None:
    first, second = shipped()[:2]
    odds = Odds(shipped(), own=True)
    assert odds.knows(scheduled(first, {"schedule": "onecycle"}))
    other = Curve(first.id, second.settings, second.rows)
    assert not odds.knows(scheduled(other, {"schedule": "onecycle"}))
