"""Thresholds for a false-accept rate, and the rates at them, on scores worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from facesiam.config import Value
from facesiam.evaluation.metrics import wilson
from facesiam.evaluation.thresholds import (
    Judged,
    at_far,
    describe_threshold,
    far_digits,
    fewest_pairs,
    own_threshold,
    rates_at,
    recorded_threshold,
    threshold_at,
    too_few,
)


def judged(same: list[float], different: list[float], distinct: list[int] | None = None) -> Judged:
    labels = np.array([0] * len(same) + [1] * len(different))
    return Judged(
        np.array(same + different), labels, None if distinct is None else np.array(distinct)
    )


TEN = judged([4.5, 8.5, 9.5, 20.0], [float(score) for score in range(10)])
"""Different pairs with the scores 0 to 9, so that 0.1 is one of them."""


@pytest.mark.parametrize(
    ("far", "threshold", "accepted"),
    [
        (0.05, 9.0, 0),  # none of ten may be accepted: the largest score
        (0.1, 8.0, 1),
        (0.19, 8.0, 1),
        (0.3, 6.0, 3),  # 10 times 0.3 is 3.0000000000000004 or 2.9999999999999996
        (0.7, 2.0, 7),
        (0.99, 0.0, 9),
    ],
)
def test_as_many_different_pairs_are_accepted_as_the_rate_allows(
    far: float, threshold: float, accepted: int
) -> None:
    assert threshold_at(TEN.score, TEN.label, far) == threshold
    assert (TEN.score[TEN.label == 1] > threshold).sum() == accepted
    assert rates_at(TEN, threshold)[0]["value"] == accepted / 10
    # A threshold just below would accept more than is allowed.
    assert rates_at(TEN, threshold - 1e-9)[0]["value"] > far


def test_equal_scores_are_accepted_together_or_not_at_all() -> None:
    score, label = [1.0, 2.0, 2.0, 2.0, 3.0], [1] * 5
    assert [threshold_at(score, label, far) for far in (0.2, 0.4, 0.6, 0.8)] == [2, 2, 2, 1]


def test_a_hundred_pairs_of_any_rate() -> None:
    score = np.arange(100.0)
    for percent in range(1, 100):
        threshold = threshold_at(score, np.ones(100, int), percent / 100)
        assert (score > threshold).sum() == percent, percent  # 0.29 times 100 is below 29


def test_rates_have_the_interval_of_the_distinct_pairs() -> None:
    # The same two pictures twice, among both kinds.
    pairs = judged([1, 1, 3, 4], [0, 0, 0, 5, 5], [1, 1, 2, 3, 4, 4, 5, 6, 6])
    false, true = rates_at(pairs, 2.0)
    assert (false["value"], false["n"]) == (2 / 5, 3) and (true["value"], true["n"]) == (0.5, 3)
    assert (false["low"], false["high"]) == wilson(1, 3)
    assert (true["low"], true["high"]) == wilson(2, 3)
    assert rates_at(pairs, 5.0)[0]["value"] == 0.0  # above, not at


def test_a_score_that_is_no_number_is_not_accepted() -> None:
    false, true = rates_at(judged([math.nan, 3.0], [math.nan, -1.0]), 0.0)
    assert (false["value"], true["value"]) == (0.0, 0.5)
    false, true = rates_at(judged([1.0], []), 0.0)
    assert math.isnan(false["value"]) and (false["low"], false["high"], false["n"]) == (0, 1, 0)


def test_validation_chooses_and_test_pairs_give_what_they_give() -> None:
    test = judged([8.5, 7.0, 30.0], [8.1, 8.2, 1.0, 9.5])
    (tenth, fifth) = at_far(TEN, test, [0.1, 0.2])
    assert (tenth["asked"], tenth["threshold"], tenth["different"]) == (0.1, 8.0, 10)
    assert (tenth["val_far"]["value"], tenth["val_tar"]["value"]) == (0.1, 0.75)
    assert (tenth["test_far"]["value"], tenth["test_tar"]["value"]) == (0.75, 2 / 3)
    assert (tenth["test_far"]["n"], tenth["test_tar"]["n"]) == (4, 3)
    assert fifth["threshold"] == 7.0 and fifth["test_tar"]["value"] == 2 / 3


def test_too_few_pairs_are_told() -> None:
    enough, few = at_far(TEN, TEN, [0.1, 1e-3])
    assert too_few(enough) == ""
    assert few["threshold"] == 9.0 and few["val_far"]["value"] == 0
    assert too_few(few) == (
        "FAR 0.001 needs 1,000 validation pairs of two people, and there are 10: the threshold is "
        "the largest score of these, which says little of that rate"
    )
    found = [fewest_pairs(far) for far in (0.1, 0.3, 1e-2, 1e-3, 1e-6)]
    assert found == [10, 4, 100, 1000, 1_000_000]


@pytest.mark.parametrize("far", [0.0, 1.0, -0.1, math.nan])
def test_what_is_no_rate_is_refused(far: float) -> None:
    with pytest.raises(ValueError, match="must be above 0 and below 1"):
        threshold_at(TEN.score, TEN.label, far)


def test_a_threshold_needs_different_pairs_with_scores() -> None:
    for pairs in (judged([1.0], []), judged([1.0], [math.nan])):
        with pytest.raises(ValueError, match="needs different pairs, and scores that are numbers"):
            threshold_at(pairs.score, pairs.label, 0.1)


def test_a_threshold_is_where_logits_are_equal_unless_validation_pairs_decide() -> None:
    calibrated: list[dict[str, Value]] = [
        {"join": "cosine"},
        {"join": "distance", "calibrate": False},
        {"join": "difference", "calibrate": True},
    ]
    plain: list[dict[str, Value]] = [
        {},
        {"join": "concat"},
        {"join": "linear", "calibrate": False},
    ]
    assert {own_threshold(settings) for settings in calibrated} == {"validation pairs"}
    assert {own_threshold(settings) for settings in plain} == {"equal logits"}
    words = "where most validation pairs of cfp-pairs are judged right"
    assert describe_threshold("validation pairs", "cfp-pairs") == words
    assert "no pairs chose" in describe_threshold("equal logits", "cfp-pairs")
    assert describe_threshold(None) == "not recorded"


@pytest.mark.parametrize(
    ("figures", "origin"),
    [
        ({"threshold": "equal logits", "members": ["0001"]}, "equal logits"),
        ({"threshold": "validation pairs", "config": {"join": "concat"}}, "validation pairs"),
        ({"members": ["0001"]}, "validation pairs"),  # older versions chose every ensemble's
        ({"config": {"join": "cosine"}}, "validation pairs"),
        ({"config": {"join": "concat"}}, "equal logits"),
        ({"config": {}}, None),
        ({"threshold": 0.5}, None),
        ({}, None),
    ],
)
def test_what_decided_the_threshold_of_an_older_test_is_told_where_it_is_known(
    figures: dict[str, Any], origin: str | None
) -> None:
    assert recorded_threshold(figures) == origin


def test_a_false_accept_rate_is_shown_with_a_digit_more_than_the_one_asked_for() -> None:
    shown = {0.25: "25.00", 0.01: "1.00", 1e-3: "0.10", 1e-4: "0.010", 1e-5: "0.0010"}
    for asked, text in shown.items():
        assert f"{100 * asked:.{far_digits(asked)}f}" == text
