"""Accuracy, Wilson's interval, AUC and EER: numbers worked out by hand, and slow oracles."""

from __future__ import annotations

import math

import numpy as np
import pytest

from facesiam.metrics import accuracy, auc, eer, verification, wilson

SAME, OTHER = 0, 1


def test_accuracy_counts_same_above_a_half_and_other_below() -> None:
    assert accuracy([0.9, 0.4, 0.1, 0.6], [SAME, SAME, OTHER, OTHER]) == 0.5


def test_a_probability_of_exactly_half_is_judged_different() -> None:
    assert accuracy([0.5], [SAME]) == 0.0
    assert accuracy([0.5], [OTHER]) == 1.0


def test_nan_is_a_wrong_answer_for_either_class() -> None:
    assert accuracy([math.nan, math.nan, 0.9, 0.1], [SAME, OTHER, SAME, OTHER]) == 0.5


def test_accuracy_of_no_pair_is_nan() -> None:
    assert math.isnan(accuracy([], []))


def test_wilson_by_hand() -> None:
    # 5 of 10: centre 0.5, half width z / (1 + z²/n) · sqrt(0.25/n + z²/(4 n²)), z = 1.959964
    low, high = wilson(5, 10)
    assert [low, high] == pytest.approx([0.236593, 0.763407], abs=1e-6)
    # 81 of 100, as printed by any textbook calculator
    assert list(wilson(81, 100)) == pytest.approx([0.7222, 0.8749], abs=5e-5)


def test_wilson_at_the_ends() -> None:
    low, high = wilson(0, 10)
    assert low == 0.0 and high == pytest.approx(0.277533, abs=1e-6)  # z² / (n + z²)
    assert wilson(10, 10)[1] == 1.0
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("right", "n"), [(-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(right: int, n: int) -> None:
    with pytest.raises(ValueError, match="within 0 and n = 5"):
        wilson(right, n)


def test_wilson_brackets_chance_as_the_documents_do() -> None:
    # FACTS: with n pairs chance spreads ± 0.98 / sqrt(n)
    low, high = wilson(1000, 2000)
    assert (high - low) / 2 == pytest.approx(0.98 / math.sqrt(2000), rel=0.01)


def test_auc_by_hand() -> None:
    # same: 0.8 0.6 0.4; other: 0.7 0.3. Pairs won: 0.8 beats both, 0.6 beats 0.3, 0.4 beats 0.3.
    assert auc([0.8, 0.6, 0.4, 0.7, 0.3], [0, 0, 0, 1, 1]) == pytest.approx(4 / 6)


def test_auc_counts_a_tie_as_half() -> None:
    assert auc([0.5, 0.5], [0, 1]) == 0.5


def test_eer_by_hand() -> None:
    # From the top: same, other, same, other. ROC: (0,0) (0,.5) (.5,.5) (.5,1) (1,1), and false
    # accepts equal false rejects at (.5, .5).
    assert eer([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1]) == pytest.approx(0.5)
    # One same of three below the only two others: (0, 2/3) then (1, 2/3): crossing at 1/3.
    assert eer([0.9, 0.8, 0.1, 0.5, 0.5], [0, 0, 0, 1, 1]) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("scores", "area", "rate"),
    [([0.9, 0.8, 0.2, 0.1], 1.0, 0.0), ([0.1, 0.2, 0.8, 0.9], 0.0, 1.0), ([0.3] * 4, 0.5, 0.5)],
    ids=["separated", "reversed", "constant"],
)
def test_the_three_extremes(scores: list[float], area: float, rate: float) -> None:
    assert auc(scores, [0, 0, 1, 1]) == area
    assert eer(scores, [0, 0, 1, 1]) == pytest.approx(rate)


@pytest.mark.parametrize("seed", range(5))
def test_auc_against_the_double_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, label = rng.integers(0, 12, 60) / 12, rng.integers(0, 2, 60)
    won = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a in scores[label == SAME]
        for b in scores[label == OTHER]
    ]
    assert auc(scores, label) == pytest.approx(sum(won) / len(won))


@pytest.mark.parametrize("seed", range(5))
def test_eer_lies_between_the_rates_at_the_thresholds_around_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, 80)
    scores = rng.normal(0.5 - 0.2 * label, 0.2).round(2)
    accepts, rejects = 0.0, 1.0
    for threshold in sorted(set(scores), reverse=True):
        before = accepts, rejects
        accepts = sum(s >= threshold for s in scores[label == OTHER]) / sum(label == OTHER)
        rejects = sum(s < threshold for s in scores[label == SAME]) / sum(label == SAME)
        if accepts >= rejects:
            break
    assert before[0] - 1e-12 <= eer(scores, label) <= accepts + 1e-12
    assert rejects - 1e-12 <= eer(scores, label) <= before[1] + 1e-12


@pytest.mark.parametrize(
    ("scores", "label"), [([0.2, 0.9], [0, 0]), ([], []), ([0.2, math.nan], [0, 1])],
    ids=["one class", "empty", "nan"],
)
def test_auc_and_eer_are_nan_where_nothing_is_ranked(
    scores: list[float], label: list[int]
) -> None:
    assert math.isnan(auc(scores, label)) and math.isnan(eer(scores, label))
    measured = verification(scores, label)
    assert math.isnan(measured["auc"]["low"]) and math.isnan(measured["eer"]["high"])
    assert measured["accuracy"]["n"] == len(label)


def test_verification_holds_the_values_and_brackets_them() -> None:
    rng = np.random.default_rng(3)
    label = np.repeat([SAME, OTHER], 200)
    scores = rng.normal(0.55 - 0.2 * label, 0.15)
    measured = verification(scores, label, seed=1)
    assert measured["accuracy"]["value"] == accuracy(scores, label)
    assert measured["auc"]["value"] == auc(scores, label)
    for name in ("accuracy", "auc", "eer"):
        assert measured[name]["low"] < measured[name]["value"] < measured[name]["high"]
    # Hanley and McNeil's standard error of an AUC of this size and n is about 0.02
    assert measured["auc"]["high"] - measured["auc"]["low"] == pytest.approx(4 * 0.02, abs=0.03)
    assert measured == verification(scores, label, seed=1)
    assert measured["auc"] != verification(scores, label, seed=2)["auc"]


def test_perfect_ranking_has_no_spread_in_the_bootstrap() -> None:
    measured = verification([0.9, 0.8, 0.2, 0.1], [0, 0, 1, 1])
    assert measured["auc"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert measured["eer"] == {"value": 0.0, "low": 0.0, "high": 0.0}


@pytest.mark.parametrize(
    ("scores", "label", "said"),
    [([0.1], [0, 1], r"\(1,\) and \(2,\)"), ([0.1], [2], "0 .same person. or 1")],
)
def test_refuses_what_is_not_scored_pairs(
    scores: list[float], label: list[int], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        accuracy(scores, label)
