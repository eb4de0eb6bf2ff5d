"""Accuracy, Wilson's interval, AUC and EER: numbers worked out by hand, and slow oracles."""

from __future__ import annotations

import math

import numpy as np
import pytest

from facesiam.evaluation.calibration import calibration
from facesiam.evaluation.metrics import (
    METRICS,
    accuracy,
    auc,
    eer,
    roc,
    ties,
    true_accepts,
    verification,
    wilson,
)

SAME, OTHER = 0, 1


def test_accuracy_counts_same_above_zero_and_other_below() -> None:
    assert accuracy([0.9, -0.4, -0.1, 0.6], [SAME, SAME, OTHER, OTHER]) == 0.5


def test_log_odds_of_exactly_zero_are_judged_different() -> None:
    assert accuracy([0.0], [SAME]) == 0.0
    assert accuracy([0.0], [OTHER]) == 1.0


def test_nan_is_a_wrong_answer_for_either_class() -> None:
    assert accuracy([math.nan, math.nan, 2.0, -2.0], [SAME, OTHER, SAME, OTHER]) == 0.5


def test_sure_pairs_are_ranked_by_their_log_odds() -> None:
    # As probabilities all but the last are exactly 1: no same pair above the highest other one.
    log_odds, label = [800.0, 90.0, 60.0, 50.0, -3.0], [SAME, SAME, OTHER, SAME, OTHER]
    assert true_accepts(log_odds, label, 1e-3) == pytest.approx(2 / 3)
    assert auc(log_odds, label) == pytest.approx(5 / 6)
    assert ties(log_odds, label) == 0
    probability = 1 / (1 + np.exp(-np.array(log_odds)))
    assert true_accepts(probability, label, 1e-3) == 0 and ties(probability, label) == 4


def test_ties_are_pairs_with_the_score_of_one_of_the_other_kind() -> None:
    # 0.7 twice of one kind is no tie; 0.5 is shared by three, two of them of one kind.
    assert ties([0.7, 0.7, 0.5, 0.5, 0.5, 0.1], [SAME, SAME, SAME, SAME, OTHER, OTHER]) == 3
    assert ties([], []) == 0


@pytest.mark.parametrize("seed", range(3))
def test_tied_groups_are_accepted_whole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    score, label = rng.integers(-2, 3, 300).astype(float), rng.integers(0, 2, 300)
    shuffled = rng.permutation(300)  # no order within a group may count
    for measure in (auc, eer, lambda s, y: true_accepts(s, y, 0.3)):
        assert measure(score, label) == measure(score[shuffled], label[shuffled])
    accepted = {(score[label == SAME] >= cut).mean() for cut in np.unique(score)}
    assert true_accepts(score, label, 0.3) in accepted


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
    ("scores", "label"),
    [([0.2, 0.9], [0, 0]), ([], []), ([0.2, math.nan], [0, 1])],
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
    scores = rng.normal(0.1 - 0.2 * label, 0.15)
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
    measured = verification([0.9, 0.8, -0.2, -0.1], [0, 0, 1, 1])
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


def test_true_accepts_keep_the_promise_about_false_ones() -> None:
    score = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    label = [SAME, OTHER, SAME, SAME, OTHER, OTHER]
    assert true_accepts(score, label, 0.0) == pytest.approx(1 / 3)  # above 0.8 there is one
    assert true_accepts(score, label, 0.33) == pytest.approx(1 / 3)  # one of three is 0.3333…
    assert true_accepts(score, label, 1 / 3) == 1.0
    assert math.isnan(true_accepts([0.5], [SAME], 0.1))
    tied = true_accepts([0.5, 0.5], [SAME, OTHER], 0.5)
    assert tied == 0.0  # no threshold accepts the one without the other


def test_true_accepts_are_those_of_every_threshold_tried() -> None:
    rng = np.random.default_rng(2)
    score, label = rng.integers(0, 30, 200) / 30, rng.integers(0, 2, 200)
    for most in (0.0, 0.01, 0.1, 0.5, 1.0):
        best = 0.0
        for threshold in [*np.unique(score), 2.0]:
            accepted = score >= threshold
            if accepted[label == OTHER].mean() <= most:
                best = max(best, accepted[label == SAME].mean())
        assert true_accepts(score, label, most) == pytest.approx(best)


def test_verification_has_an_interval_for_each_measure() -> None:
    rng = np.random.default_rng(3)
    label = np.repeat([SAME, OTHER], 400)
    score = rng.normal(np.where(label == SAME, 1, -1))
    found = verification(score, label)
    assert set(found) == set(METRICS)
    for name in METRICS:
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"], name
    assert found["tpr_at_fpr_1e-2"]["value"] >= found["tpr_at_fpr_1e-3"]["value"]


def test_a_curve_goes_from_corner_to_corner() -> None:
    false, true = roc([0.9, 0.8, 0.7], [SAME, OTHER, SAME])
    assert false.tolist() == [0, 0, 1, 1] and true.tolist() == [0, 0.5, 0.5, 1]
    with pytest.raises(ValueError, match="pairs of both kinds"):
        roc([0.9], [SAME])


def test_the_threshold_is_where_most_are_right_and_in_the_middle() -> None:
    score = [0.9, 0.7, 0.6, 0.4, 0.3, 0.1]
    label = [SAME, SAME, OTHER, SAME, OTHER, OTHER]
    threshold, slope = calibration(score, label)
    # Five of six are right between 0.6 and 0.7, and between 0.3 and 0.4: the second of the two.
    assert threshold == pytest.approx(0.65) and slope > 0
    assert calibration([1.0, 2.0, 3.0], [OTHER, OTHER, SAME])[0] == pytest.approx(2.5)
    assert calibration([1.0, 2.0], [SAME, SAME])[0] < 1.0
    assert calibration([1.0, 2.0], [OTHER, OTHER])[0] > 2.0


def test_the_threshold_is_the_best_of_all_that_are_tried() -> None:
    rng = np.random.default_rng(4)
    label = rng.integers(0, 2, 500)
    score = rng.normal(np.where(label == SAME, 0.6, 0.2), 0.3)
    threshold, _ = calibration(score, label)
    tried = [np.mean((score > cut) == (label == SAME)) for cut in np.linspace(-1, 2, 3001)]
    assert np.mean((score > threshold) == (label == SAME)) >= max(tried)


def test_the_slope_is_that_of_the_likeliest_probabilities() -> None:
    rng = np.random.default_rng(5)
    score = rng.normal(0, 1, 4000)
    label = np.where(rng.random(4000) < 1 / (1 + np.exp(-3 * score)), SAME, OTHER)
    threshold, slope = calibration(score, label)

    def likelihood(slope: float) -> float:
        signed = np.where(label == SAME, 1, -1) * (score - threshold)
        return float(-np.log1p(np.exp(-slope * signed)).sum())

    assert slope == pytest.approx(3, rel=0.1)
    assert likelihood(slope) > max(likelihood(slope * 1.01), likelihood(slope / 1.01))
    assert calibration([0.0, 1.0], [OTHER, SAME])[1] > 50  # no mistake: as sure as can be said


@pytest.mark.parametrize("score", [[], [math.nan], [math.inf]])
def test_a_threshold_needs_numbers(score: list[float]) -> None:
    with pytest.raises(ValueError, match="calibration needs pairs"):
        calibration(score, [SAME] * len(score))


def test_no_slope_is_so_steep_that_scores_beyond_these_become_equal() -> None:
    label = [0, 0, 1, 1]
    threshold, slope = calibration([0.9, 0.52, 0.51, 0.1], label)
    assert threshold == pytest.approx(0.515) and slope == pytest.approx(30 / 0.415)
    probability = 1 / (1 + np.exp(-slope * (np.array([0.95, 0.9, 0.52, 0.0]) - threshold)))
    assert len(set(probability)) == 4 and probability.min() > 0 and probability.max() < 1


def test_a_pair_that_is_there_three_times_says_no_more_than_once() -> None:
    rng = np.random.default_rng(4)
    label = np.repeat([SAME, OTHER], 100)
    scores = rng.normal(0.1 - 0.2 * label, 0.15)
    once = verification(scores, label, seed=1)
    thrice = verification(np.tile(scores, 3), np.tile(label, 3), 1, np.tile(np.arange(200), 3))
    assert thrice == once and once["accuracy"]["n"] == 200
    taken = verification(np.tile(scores, 3), np.tile(label, 3), seed=1)["auc"]
    assert taken["high"] - taken["low"] < 0.7 * (once["auc"]["high"] - once["auc"]["low"])


def test_a_pair_that_is_there_twice_counts_twice_in_the_value_and_once_in_n() -> None:
    measured = verification([1.0, 1.0, -1.0, -1.0], [0, 0, 0, 1], distinct=[7, 7, 8, 9])
    accuracy_ = measured["accuracy"]
    assert (accuracy_["value"], accuracy_["n"]) == (0.75, 3)
    assert (accuracy_["low"], accuracy_["high"]) == wilson(2, 3)


def test_the_two_ways_round_of_a_pair_are_drawn_together() -> None:
    """One same pair, above the different one in one order and below it in the other: 0.5 whatever
    is drawn. Apart they would give 0 and 1 as well."""
    measured = verification([1.0, -1.0, 0.5], [0, 0, 1], distinct=[4, 4, 2])
    assert measured["auc"] == {"value": 0.5, "low": 0.5, "high": 0.5}
