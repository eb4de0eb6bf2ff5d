"""The noise of any metric, estimated from how it scatters."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from facesiam.objective import Objective
from search.pruning.history import History, take_off
from search.pruning.rules import chance, plateau
from search.pruning.scatter import Median, Noise, Scatter

LN2 = math.log(2)


def scatter(values: list[float]) -> float:
    """The scatter of epochs with these values."""
    made = Scatter()
    made.update(values)
    return made.deviation


def test_scatter_by_hand() -> None:
    """|0 - 0 + 1| = 1, |0 - 2 + 0| = 2 and |1 - 0 + 3| = 4: the median is 2."""
    assert scatter([0, 0, 1, 0, 3]) == pytest.approx(2 / math.sqrt(6) / 0.674490)
    assert math.isnan(scatter([0, 1, 0, 1]))  # two threes say too little
    assert scatter([5, 4, 3, 2, 1, 0]) == 0  # a trend is no noise


def test_scatter_of_normal_noise_is_its_deviation_whatever_the_trend_and_the_take_off() -> None:
    rng = random.Random(0)
    found = []
    for _ in range(200):
        values = [rng.gauss(0.7 - 0.001 * epoch, 0.01) for epoch in range(50)]
        values[20:] = [value - 0.2 for value in values[20:]]  # a take-off
        found.append(scatter(values))
    assert statistics.fmean(found) == pytest.approx(0.01, rel=0.1)


def test_a_nan_is_passed_over_and_an_epoch_that_is_run_again_replaces_what_it_was() -> None:
    made = Scatter()
    made.update([0, 0, 1, 0, 3])
    made.update([0, 0, 1, 0, 3, math.nan])
    assert made.deviation == scatter([0, 0, 1, 0, 3])
    made.update([0, 0, 1, 0, 0])
    assert made.deviation == scatter([0, 0, 1, 0, 0]) != scatter([0, 0, 1, 0, 3])


def test_the_median_of_numbers_that_come_and_go() -> None:
    rng, median, known = random.Random(1), Median(), list[float]()
    assert math.isnan(median.value())
    for _ in range(200):
        if known and rng.random() < 0.4:
            median.drop(gone := rng.choice(known))
            known.remove(gone)
        else:
            known.append(rng.choice([0.25, 0.5, rng.random()]))
            median.add(known[-1])
        assert not known or median.value() == pytest.approx(statistics.median(known))


def test_the_typical_noise_is_the_median_of_a_contests_trials() -> None:
    noise = Noise()
    for trial, deviation in (("a", 1.0), ("b", 5.0), ("c", 2.0), ("a", 3.0), ("d", math.nan)):
        noise.add(("x", 0), trial, deviation)
    noise.add(("y", 0), "a", 100.0)
    assert noise.typical(("x", 0)) == 3 and math.isnan(noise.typical(("z", 0)))


def history(values: list[float], mode: str = "min", **more: float) -> History:
    """A trial of 50 epochs that is judged by a metric without a known noise."""
    guess = more.pop("guess", LN2)
    made = History(
        [{"error": value} for value in values],
        {"epochs": 50},
        metric="error",
        mode=mode,
        guess=guess,
        **more,
    )
    made.scatter.update(values)
    return made


def test_the_edge_of_guessing_by_hand() -> None:
    """0.01 in any of 50 epochs is 0.0002 in one: 3.5401 deviations of a normal variable."""
    assert history([0.7] * 3, typical=0.01).edge() == pytest.approx(LN2 - 0.035401, abs=1e-6)
    up = history([0.1] * 3, "max", guess=0.2, typical=0.01)
    assert up.edge() == pytest.approx(0.2 + 0.035401, abs=1e-6)
    # A thousandth of the score at least: it may be rounded.
    assert history([0.7] * 9).edge() == pytest.approx(LN2 * 0.999)
    assert math.isnan(history([0.7], guess=math.nan).edge())
    assert history([0.7] * 3, typical=0.01, level=0.1).edge() > history([0.7], typical=0.01).edge()


@pytest.mark.parametrize(("mode", "sign"), [("min", 1), ("max", -1)])
def test_take_off_is_the_first_epoch_beyond_the_noise(mode: str, sign: int) -> None:
    """It is at 0.6931 - 3.54 x 0.012 = 0.6507; the trial's own scatter is below that."""
    values = [sign * value for value in (0.70, 0.69, 0.68, 0.67, 0.66, 0.655, 0.65, 0.3)]
    assert take_off(history(values, mode, guess=sign * LN2, typical=0.012)) == 6
    assert take_off(history(values[:6], mode, guess=sign * LN2, typical=0.012)) is None
    assert take_off(history(values, mode, guess=math.nan)) == 0  # nothing is known of a guess


class Hopeless:
    """Odds of a late start that are none."""

    def pace(self, settings: object) -> float:
        return 1.0

    def runs(self, without: str = "") -> int:
        return 3

    def judge(self, objective: Objective) -> Objective:
        return objective

    def ratio(self, *asked: object, **more: object) -> float:
        return 0.0


def test_chance_stops_at_any_guess_and_says_what_it_rests_on() -> None:
    values = [0.7, 0.69, 0.7, 0.69, 0.7]
    trial = history(values, typical=0.001, leader_score=0.5)
    stop = chance(trial, odds=Hopeless())
    assert stop and stop.value == 0.69 and stop.cutoff == pytest.approx(trial.edge())
    assert stop.reason and stop.reason.startswith(
        "at chance for 5 epochs: best error 0.6900, where a guess has 0.6931 and its noise, "
        "estimated from the scatter of the epochs, stays above 0.6"
    )
    for leader in (math.nan, 0.69):  # nobody is known to do better
        waits = history(values, typical=0.001, leader_score=leader)
        assert chance(waits, odds=Hopeless()) is None


@pytest.mark.parametrize(("mode", "sign"), [("min", 1), ("max", -1)])
def test_plateau_in_any_direction(mode: str, sign: int) -> None:
    """21 epochs without a better one. The intervals of 0.5 and 0.4 touch at a noise of 0.0255."""
    values = [sign * value for value in (0.6, 0.5, *[0.55] * 21)]
    for noise, stops in ((0.025, True), (0.026, False)):
        trial = history(values, mode, guess=sign * LN2, typical=noise, leader_score=sign * 0.4)
        stop = plateau(trial)
        assert (stop is not None) == stops
        if stop:
            assert (stop.value, stop.cutoff) == (sign * 0.5, sign * 0.4)
            assert stop.reason and stop.reason.startswith(
                "no better epoch for 21 epochs: best error "
                + ("0.5000 (at least 0.4510" if sign > 0 else "-0.5000 (at most -0.4510")
            )
    near = history(values, mode, typical=0.001, guess=sign * LN2, leader_score=sign * 0.49)
    assert plateau(near) is None  # within 0.02
    assert Objective("error", mode).better(sign * 0.4, sign * 0.5)
