"""The overfit rule: curves worked out by hand, and the 2019 study's own curves and decisions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from search.analysis import overfitting, published
from search.analysis.overfitting import (
    CURVES,
    WINDOW,
    OverfitResult,
    at_chance,
    detect_overfit,
    smooth,
)

TABLES = dict(zip("123456ABCDEGHIJKLM", "TFF…TTTFFTT…TF……TT", strict=True))
"""The Overfit column of the 2019 study's two tables; row F left no curve."""
DISAGREE = {"C": "T"}
"""Table F, text “has overfit”: the rule sides with the text."""

FLAT = [0.5] * 10
FALLING = [1.0 - 0.09 * epoch for epoch in range(10)]
LEARNED = [0.8] * 10


def rule(*curves: list[float]) -> OverfitResult:
    """What the rule says of the four curves, in the order of CURVES."""
    return detect_overfit(dict(zip(CURVES, curves, strict=True)))


def overfits(*curves: list[float]) -> bool | None:
    return rule(*curves).overfit


def on_recorded() -> dict[str, str]:
    found = {}
    for row in TABLES:
        curve = published.recorded_curve(row)
        assert curve is not None
        found[row] = published.letter(detect_overfit(curve).overfit)
    return found


def test_agrees_with_17_of_the_studys_18_decisions() -> None:
    assert on_recorded() == TABLES | DISAGREE


@pytest.mark.parametrize("row", ["4", "G", "J", "K"])
def test_a_recorded_net_at_chance_stays_undecided(row: str) -> None:
    assert on_recorded()[row] == "…"


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("RISE", 0.38, 1.3), ("GAP", 0.107, 0.129), ("AT_CHANCE", 0.53, 0.75), ("WINDOW", 5, 8)],
)
def test_how_far_each_bound_can_move_without_changing_a_decision(
    name: str, low: float, high: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in (low, high):
        monkeypatch.setattr(overfitting, name, bound)
        assert on_recorded() == TABLES | DISAGREE, bound


def test_validation_loss_that_turned_while_training_loss_fell() -> None:
    # smoothed: lowest mean is 0.4 (first five epochs), the last is 0.8: up 100 %
    turned = [0.4] * 5 + [0.8] * 5
    assert overfits(FALLING, turned, LEARNED, LEARNED) is True
    # up 25 %, which is not above half
    assert overfits(FALLING, [0.4] * 5 + [0.5] * 5, LEARNED, LEARNED) is False


def test_a_training_loss_that_rose_too_is_no_overfit() -> None:
    rising = [0.4] * 5 + [0.8] * 5
    assert overfits(rising, rising, LEARNED, LEARNED) is False


def test_the_gap_alone_is_enough() -> None:
    assert overfits(FALLING, FLAT, [0.93] * 10, LEARNED) is True
    assert overfits(FALLING, FLAT, [0.91] * 10, LEARNED) is False


def test_undecided_at_chance_or_on_a_short_run() -> None:
    assert overfits(FALLING, FLAT, [0.99] * 10, [0.5] * 10) is None
    short = slice(WINDOW - 1)
    assert rule(FALLING[short], FLAT[short], LEARNED[short], LEARNED[short]).reason == (
        "fewer than 5 epochs"
    )
    assert overfits([], [], [], []) is None


def test_an_epoch_with_an_endless_loss_is_left_out() -> None:
    """One pair that was answered with endless certainty says nothing of the trend."""
    ends = [*FLAT[:-1], math.inf]
    assert overfits(FALLING, ends, LEARNED, LEARNED) is False
    assert overfits(FALLING, [math.inf] * 10, LEARNED, LEARNED) is None


def test_one_epoch_above_chance_is_still_chance() -> None:
    # as the 2019 study's row G: 57.7 % once, in the last epoch
    assert at_chance([0.5] * 9 + [0.577])
    assert not at_chance([0.5] * 5 + [0.6] * 5)
    assert at_chance([math.nan, math.nan]) and at_chance([])


def test_epochs_with_a_value_missing_are_left_out() -> None:
    nan = math.nan
    with_hole = rule([*FALLING, nan], [*FLAT, 9.0], [*LEARNED, 0.8], [*LEARNED, 0.8])
    assert with_hole == rule(FALLING, FLAT, LEARNED, LEARNED)


def test_the_result_says_its_numbers() -> None:
    turned = [0.4] * 5 + [0.8] * 5
    assert rule(FALLING, turned, [0.9] * 10, LEARNED).reason == (
        "after 10 epochs: validation loss +100 % from its minimum, gap +10.0 points"
    )


def test_smooth_is_the_mean_of_neighbours() -> None:
    curve = np.array([1.0, 2, 3, 4, 5, 6])
    assert smooth(curve).tolist() == pytest.approx([3.0, 4.0])
    assert smooth(curve[:2]).tolist() == pytest.approx([1.5])
