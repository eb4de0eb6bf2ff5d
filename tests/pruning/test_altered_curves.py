"""Recorded curves as if under a schedule: which recorded epoch each epoch shows."""

from __future__ import annotations

from search.pruning.altered_curves import delayed, scheduled
from search.pruning.late_start import Odds
from search.pruning.recorded_runs import Curve, shipped


def test_a_cosine_shows_after_each_epoch_the_one_that_the_sum_of_rates_has_come_to() -> None:
    """After n of 10 epochs the rates sum to n / 2 + 10 sin(π n / 10) / 2π: 0.99, 1.9, 2.8, …, 5."""
    curve = Curve("x", {"epochs": 10}, tuple({"val_acc": float(n)} for n in range(10)))
    found = scheduled(curve, {"schedule": "cosine"})
    assert [row["val_acc"] for row in found.rows] == [0, 0, 1, 2, 3, 3, 3, 3, 3, 4]
    assert found.settings == {"epochs": 10, "schedule": "cosine"}


def test_the_odds_know_an_altered_run_as_their_own_by_what_was_recorded() -> None:
    first, second = shipped()[:2]
    odds = Odds(shipped(), own=True)
    other = Curve(first.id, second.settings, second.rows)
    cosine = {"schedule": "cosine"}
    for run, known in ((first, True), (other, False)):
        altered = [
            run,
            scheduled(run, cosine),
            delayed(run, 4),
            scheduled(delayed(run, 4), cosine),
        ]
        altered.append(delayed(scheduled(run, cosine), 4).capped(20))
        assert [odds.knows(each) for each in altered] == [known] * 5
