"""What is known of a trial: the band of guessing by hand and by brute force, and the best."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from facesiam.evaluation.calibration import calibration
from facesiam.evaluation.metrics import accuracy
from search.pruning.history import LEVEL, History, take_off
from search.pruning.significance import critical_accuracy as edge
from search.pruning.significance import critical_calibrated_accuracy as chosen_edge


def history(scores: list[float], pairs: int | None = 100, epochs: int = 10) -> History:
    """A trial with these validation accuracies."""
    rows: list[dict[str, float]] = [{"val_acc": score} for score in scores]
    for row in rows if pairs is not None else []:
        row["val_pairs"] = pairs or 0
    return History(rows, {"epochs": epochs})


def test_the_edge_of_ten_pairs_is_nine_right() -> None:
    """At a level of 0.05 each tail may have 0.025: P(9 or 10 of 10) = 11/1024 = 0.011 is within,
    P(8 or more) = 56/1024 = 0.055 is not. With three looks each has 0.0083, so it takes all ten:
    1/1024. With 26 looks each has 0.00096 and nothing can prove it."""
    assert edge(10, 1, 0.05) == 0.9
    assert edge(10, 3, 0.05) == 1.0
    assert edge(10, 25, 0.05) == 1.0 and edge(10, 26, 0.05) > 1


@pytest.mark.parametrize("pairs", [1, 7, 50, 101, 400])
@pytest.mark.parametrize("looks", [1, 9, 60])
def test_the_edge_is_the_least_that_is_unlikely_enough(pairs: int, looks: int) -> None:
    """By brute force: k right is beyond the edge when P(k or more of fair coins) is at most the
    tail's share of the level."""
    for level in (0.01, 0.2):
        tail, beyond, right = level / (2 * looks), 0, pairs + 1
        while (beyond + math.comb(pairs, right - 1)) / 2**pairs <= tail:
            right -= 1
            beyond += math.comb(pairs, right)
        assert edge(pairs, looks, level) == right / pairs


def test_a_net_takes_off_on_either_side_of_a_half() -> None:
    """100 pairs and 10 looks at a level of 0.01: the band is 0.34 to 0.66, its edges outside it.

    P(67 or more of 100) = 0.00044 is below 0.01 / 20 = 0.0005, P(66 or more) = 0.0009 is not."""
    assert edge(100, 10, LEVEL) == 0.67
    assert take_off(history([0.5, 0.66, 0.34, 0.5])) is None
    assert take_off(history([0.5, 0.66, 0.67, 0.9])) == 2
    assert take_off(history([0.5, 0.33, 0.5])) == 1  # surely wrong is not guessing either
    assert take_off(history([math.nan, 0.5, 0.8])) == 2


def test_a_threshold_chosen_on_two_pairs_of_each_kind_is_right_in_one_order_of_six() -> None:
    """From the lowest score up, D a different pair and S a same one: DDSS has all four right;
    DSDS, DSSD and SDDS three; SDSD and SSDD two. So P(1.0) = 1/6, P(0.75 or more) = 4/6."""
    assert chosen_edge(4, 1, 0.67) == 0.75
    assert chosen_edge(4, 1, 0.66) == chosen_edge(4, 1, 0.17) == chosen_edge(4, 2, 0.34) == 1
    assert chosen_edge(4, 1, 0.16) > 1


@pytest.mark.parametrize("pairs", [6, 10, 12])
def test_the_chosen_edge_is_what_calibration_finds_in_scores_that_say_nothing(pairs: int) -> None:
    """By brute force: each order of as many same as different pairs, judged at the threshold that
    ``calibration`` chooses on them."""
    found = []
    for places in itertools.combinations(range(pairs), pairs // 2):
        same = np.isin(np.arange(pairs), places)
        scores = np.arange(pairs, dtype=float)
        found.append(accuracy(scores > calibration(scores, same)[0], same))
    for level in (0.02, 0.1, 0.5):
        bound = chosen_edge(pairs, 1, level)
        assert np.mean(np.array(found) >= bound - 1e-9) <= level
        assert np.mean(np.array(found) >= bound - 1 / pairs - 1e-9) > level


@pytest.mark.parametrize(
    ("settings", "chosen"),
    [
        ({"join": "cosine"}, True),
        ({"join": "distance"}, True),
        ({"join": "concat", "calibrate": True}, True),
        ({"join": "concat"}, False),
        ({}, False),
    ],
)
def test_the_band_is_that_of_how_the_threshold_came_about(
    settings: dict[str, str | bool], chosen: bool
) -> None:
    """Ten looks at a level of 0.01 of 100 pairs, half of each kind: C(100, 69) / C(100, 50) =
    0.00056 is below 0.001, C(100, 68) / C(100, 50) = 0.0014 is not, so 50 + 19 right."""
    assert math.comb(100, 69) * 1000 < math.comb(100, 50) < math.comb(100, 68) * 1000
    known = history([0.5, 0.68, 0.69])
    known.settings = {"epochs": 10, **settings}
    assert known.band() == (0.69 if chosen else 0.67)
    assert take_off(known) == (2 if chosen else 1)
    known.rows = [{"val_acc": 0.0, "val_pairs": 100}]  # of scores that are no numbers
    assert take_off(known) == (None if chosen else 0)


def test_more_epochs_make_the_band_wider() -> None:
    """60 looks: 0.01 / 120 = 0.000083 a tail; P(69 or more of 100) = 0.00009, P(70 or more) =
    0.00004. Epochs beyond those planned count too."""
    assert take_off(history([0.69] * 3, epochs=60)) is None
    assert take_off(history([0.70], epochs=60)) == 0
    assert take_off(history([0.69] * 60, epochs=10)) is None
    # Twice the level: 0.00017 a tail.
    lenient = history([0.69], epochs=60)
    lenient.level = 0.02
    assert take_off(lenient) == 0


def test_the_band_is_of_the_trials_own_pairs_epochs_and_level() -> None:
    """The numbers of the tests above; P(66 or more of 100) = 0.0009 is below 0.02 / 20 = 0.001."""
    assert history([0.5]).band() == 0.67
    assert history([0.5], epochs=60).band() == history([0.5] * 60).band() == 0.70
    known = history([0.5])
    known.level = 0.02
    assert known.band() == 0.66
    assert math.isnan(history([0.5], None).band()) and math.isnan(history([0.5], 0).band())


@pytest.mark.parametrize(
    ("protocol", "people", "coins"),
    [
        ("cfp-pairs", 0, 100),  # all of them
        ("cfp-pairs", None, 100),
        ("cfp-pairs", 50, 0),
        ("frontal-triplets", 50, 100),  # a triplet is a pair of each kind
        ("frontal-triplets", 0, 100),
    ],
)
def test_pairs_of_cfps_first_people_are_no_fair_coins(
    protocol: str, people: int | None, coins: int
) -> None:
    known = history([0.5, 0.5, 0.9])
    known.settings = {"epochs": 10, "protocol": protocol}
    if people is not None:
        known.settings |= {"people": people}
    assert (known.pairs, known.balanced_pairs) == (100, coins)
    # Nothing is known of a band then, so that nobody guesses.
    assert take_off(known) == (2 if coins else 0)
    assert math.isnan(known.band()) == (coins == 0)


def test_a_contest_is_a_protocol_and_a_number_of_pairs() -> None:
    known = history([0.5], pairs=200)
    assert known.contest == ("", 200) and History().contest == ("", 0)
    known.settings = {"protocol": "cfp-pairs", "people": 50}
    assert known.contest == ("cfp-pairs", 200)


@pytest.mark.parametrize("pairs", [None, 0])
def test_without_a_number_of_pairs_there_is_no_band(pairs: int | None) -> None:
    assert take_off(history([0.5, 0.5], pairs)) == 0


def test_so_few_pairs_that_nothing_is_outside_the_band_say_nothing_of_guessing() -> None:
    """Ten looks leave 0.0005 a tail: ten right of 10 have 1/1024 = 0.00098, eleven of 11 have
    1/2048 = 0.00049."""
    assert history([0.5], pairs=10).band() > 1 and history([0.5], pairs=11).band() == 1
    assert take_off(history([0.5] * 10, pairs=10)) == 0
    assert take_off(history([0.5, 10 / 11, 1.0], pairs=11)) == 2
    assert take_off(history([10 / 11] * 10, pairs=11)) is None


def test_a_net_of_nan_has_not_taken_off_though_its_accuracy_is_far_from_a_half() -> None:
    """Every pair counts as wrong: 0.0 is no better than guessing. Truly wrong verdicts are."""
    diverged = history([0.5, 0.0])
    diverged.rows = [
        {**row, "val_loss": loss}
        for row, loss in zip(diverged.rows, (0.69, math.nan), strict=True)
    ]
    assert take_off(diverged) is None
    assert take_off(history([0.5, 0.0])) == 1


def test_the_best_is_the_first_of_equals_and_never_nan() -> None:
    assert history([0.5, 0.8, 0.8, 0.7]).best() == (0.8, 1)
    assert history([math.nan, 0.4, math.nan, 0.6]).best() == (0.6, 3)
    for nothing in ([], [math.nan, math.nan]):
        best, epoch = history(nothing).best()
        assert math.isnan(best) and epoch == -1


def test_what_it_does_not_know_is_zero() -> None:
    assert (History().epoch, History().planned, History().pairs) == (-1, 0, 0)
    known = history([0.5, 0.6], 200, 60)
    assert (known.epoch, known.planned, known.pairs) == (1, 60, 200)


def test_true_accepts_have_a_guess_and_a_noise_of_their_own() -> None:
    """A net that guesses accepts as many of one kind as of the other."""
    row = {"val_tpr_at_fpr": 0.5, "val_tpr_at_fpr_low": 0.4, "val_tpr_at_fpr_high": 0.6}
    history = History([row], {"fpr": 1e-3}, metric="val_tpr_at_fpr")
    assert history.said_guess({}) == 1e-3 and history.said_guess({"score": 0.2}) == 0.2
    assert history.noise() == pytest.approx(0.1 / 1.959964)
    history.typical = 0.08
    assert history.noise() == 0.08
    history.metric = "val_loss"
    assert math.isnan(history.said_guess({})) and history.noise() == 0.08
