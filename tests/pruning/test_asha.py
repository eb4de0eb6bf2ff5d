"""Successive halving against Ray's own, and by hand where it differs from that on purpose."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pytest
from ray.tune.schedulers import ASHAScheduler

from facesiam.objective import Objective
from search.pruning.asha import Asha
from search.pruning.peers.ray_schedulers import RayAsha
from search.pruning.stop_decision import StopDecision

PAIRS = 2000


def asha(
    grace: int = 4,
    factor: int = 2,
    compare: str = "epoch",
    noise: float = 0.0,
    metric: str = "val_acc",
    mode: str = "max",
    longest: int = 60,
) -> Asha:
    """The rungs of a search; 4, 8, 16 and 32 without arguments."""
    settings = {"grace": grace, "factor": factor, "compare": compare, "noise": noise}
    return Asha(settings, Objective(metric, mode), longest)


def decision(rung: float, value: float | None, cutoff: Any, peers: int) -> StopDecision:
    """What the rungs decide; the sentence and the epoch are filled in above them."""
    return StopDecision("asha", None, None, rung, value, cutoff, peers)


def first(halving: Asha) -> dict[str, float]:
    """The scores at the first rung."""
    return halving.rungs[-1][1]


def test_the_rungs_are_rays() -> None:
    """Grace times powers of the factor, up to the longest: 32 of 60, and 64 of 64 itself."""
    assert [rung for rung, _ in asha().rungs] == [32, 16, 8, 4]
    assert [rung for rung, _ in asha(longest=64).rungs] == [64, 32, 16, 8, 4]
    assert [rung for rung, _ in asha(grace=3, factor=4, longest=12).rungs] == [12, 3]
    for factor, grace in itertools.product(range(2, 12), range(1, 40)):
        for longest in {grace, *(grace * factor**k + d for k in range(1, 5) for d in (-1, 0, 1))}:
            theirs: Any = ASHAScheduler(
                max_t=longest, grace_period=grace, reduction_factor=factor
            )._brackets[0]
            assert asha(grace, factor, longest=longest).rungs == theirs._rungs


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("seed", range(8))
def test_first_arrivals_are_judged_as_ray_judges_them(mode: str, factor: int, seed: int) -> None:
    """20 trials of random scores, with ties, come to each rung in a random order and stop there
    when Ray says so."""
    rng, metric = random.Random(f"{mode}/{factor}/{seed}"), "val_acc"
    settings = {"grace": 2, "factor": factor}
    ours, rays = asha(2, factor, mode=mode), RayAsha(settings, Objective(metric, mode), 60)
    alive = [f"t{n}" for n in range(20)]
    for name in alive:
        rays.add(name)
    stops = 0
    arrivals = {name: [rung for rung, _ in reversed(ours.rungs)] for name in alive}
    while arrivals:
        name = rng.choice(sorted(arrivals))
        rung, score = arrivals[name].pop(0), round(rng.random(), 1)
        cut = ours.decide(name, float(rung), score, 0)
        assert (cut is not None) == rays.stops(name, rung, score)
        stops += cut is not None
        if cut or not arrivals[name]:
            del arrivals[name]
    assert stops >= 8  # else there was nothing to compare
    theirs: Any = rays.ray._brackets[0]._rungs
    assert ours.rungs == theirs


def test_a_cut_names_its_numbers() -> None:
    """Factor 4: of 0.6, 0.7 and 0.9 the top quarter begins half way from 0.7 to 0.9. A trial that
    stops is a peer of those that come after it."""
    halving = asha(factor=4)
    for name, score in (("a", 0.6), ("b", 0.9), ("c", 0.7)):
        halving.decide(name, 4, score, 0)
    assert halving.decide("d", 5, 0.79, 0) == decision(4, 0.79, pytest.approx(0.8), 3)
    assert halving.decide("e", 3, 0.1, 0) is None and "e" not in first(halving)  # too young


def test_an_age_that_is_a_hair_below_a_rung_has_come_to_it() -> None:
    """Under a warm-up an age is a sum of shares: 1.9999999999999998 is two epochs."""
    halving = asha()
    assert halving.decide("a", math.nextafter(4, 0), 0.6, 0) is None
    assert first(halving) == {"a": 0.6}


def test_the_first_to_arrive_is_asked_again_when_better_ones_have_come() -> None:
    """Ray lets "a", the first, go on for ever. Here it is held against the median of all."""
    halving = asha()
    assert halving.decide("a", 4, 0.6, 0) is None
    assert halving.decide("a", 5, 0.6, 0) is None  # nobody else yet
    assert halving.decide("b", 4, 0.8, 0) is None
    assert halving.decide("a", 6, 0.6, 0) == decision(4, 0.6, pytest.approx(0.7), 1)
    # "b" lies above the median of 0.6 and 0.8 and goes on.
    assert halving.decide("b", 5, 0.8, 0) is None


def test_what_is_asked_again_is_the_score_of_the_rung() -> None:
    """A better score since then counts at the next rung, against those of the same age."""
    halving = asha()
    for name, score in (("a", 0.6), ("b", 0.8)):
        halving.decide(name, 4, score, 0)
    assert halving.decide("a", 7, 0.9, 0) == decision(4, 0.6, pytest.approx(0.7), 1)
    assert halving.decide("a", 8, 0.9, 0) is None and halving.rungs[-2][1] == {"a": 0.9}


def test_ray_lets_the_first_one_go_on() -> None:
    rays = RayAsha({"grace": 4, "factor": 2}, Objective(), 60)
    rays.add("a")
    rays.add("b")
    assert not rays.stops("a", 4, 0.6) and not rays.stops("b", 4, 0.8)
    assert not rays.stops("a", 6, 0.6)


@pytest.mark.parametrize(("cutoff", "stops"), [(0.8044, False), (0.8046, True)])
def test_half_a_standard_error_below_the_cutoff_goes_on(cutoff: float, stops: bool) -> None:
    """0.8 of 2,000 pairs: the standard error is √(0.8 · 0.2 / 2000) = 0.00894, half of it 0.00447.
    So 0.8 goes on below a cutoff of up to 0.80447."""
    halving = asha(noise=0.5)
    halving.decide("a", 4, cutoff, PAIRS)
    assert (halving.decide("b", 4, 0.8, PAIRS) is not None) == stops


@pytest.mark.parametrize(("noise", "stops"), [(0.5, False), (0.4, True)])
def test_noise_holds_when_a_rung_is_asked_again(noise: float, stops: bool) -> None:
    """The median of a and b, 0.8, lies 0.004 above a, whose standard error is 0.0090."""
    halving = asha(noise=noise)
    halving.decide("a", 4, 0.796, PAIRS)
    halving.decide("b", 4, 0.804, PAIRS)
    assert (halving.decide("a", 5, 0.796, PAIRS) is not None) == stops


def test_without_a_number_of_pairs_there_is_no_noise() -> None:
    halving = asha(noise=0.5)
    halving.decide("a", 4, 0.801, 0)
    assert halving.decide("b", 4, 0.8, 0) is not None


def test_losses_have_no_standard_error_and_less_of_them_is_better() -> None:
    halving = asha(noise=9.0, metric="val_loss", mode="min")
    halving.decide("a", 4, 0.3, PAIRS)
    assert halving.decide("b", 4, 0.301, PAIRS) == decision(4, 0.301, pytest.approx(0.3), 1)
    assert halving.decide("c", 4, 0.2, PAIRS) is None
    assert halving.decide("a", 5, 0.3, PAIRS) is None  # the median of the three
    assert first(halving) == {"a": -0.3, "b": -0.301, "c": -0.2}


def test_a_loss_that_never_was_finite_is_worse_than_any() -> None:
    halving = asha(metric="val_loss", mode="min")
    halving.decide("a", 4, 0.3, 0)
    assert halving.decide("b", 4, math.inf, 0) == decision(4, None, pytest.approx(0.3), 1)


def test_shares_of_a_schedule_meet() -> None:
    """Epoch 5 of 10 is epoch 30 of 60: both are half way and meet at the rung of 16."""
    by_share, by_epoch = asha(compare="share"), asha()
    assert by_share.age(5, 10) == by_share.age(30, 60) == 30
    assert by_epoch.age(5, 10) == 5 and by_epoch.age(30, 60) == 30
    assert by_share.age(5, 0) == 5  # nothing is known of its schedule
    by_share.decide("long", by_share.age(30, 60), 0.8, 0)
    assert by_share.decide("short", by_share.age(5, 10), 0.7, 0) == decision(
        16, 0.7, pytest.approx(0.8), 1
    )
    # By epochs the short one stands at the rung of 4 and the long one at that of 16.
    by_epoch.decide("long", by_epoch.age(30, 60), 0.8, 0)
    assert by_epoch.decide("short", by_epoch.age(5, 10), 0.7, 0) is None


def test_a_guessing_trial_is_a_peer_in_the_first_rung() -> None:
    """With it the median of 0.8 and 0.5 is 0.65, so 0.7 goes on; without it 0.8 would stop it."""
    halving = asha()
    halving.decide("a", 4, 0.8, 0)
    halving.peer("guessing", 0.5, final=False)
    assert halving.decide("b", 4, 0.7, 0) is None
    assert first(halving) == {"a": 0.8, "guessing": 0.5, "b": 0.7}
    halving.peer("guessing", 0.51, final=False)  # its best so far, as long as it waits
    assert first(halving)["guessing"] == 0.51


def test_a_trial_that_takes_off_gives_its_place_up_and_comes_again_at_its_age() -> None:
    halving = asha()
    halving.decide("a", 4, 0.8, 0)
    halving.peer("late", 0.5, final=False)
    assert halving.decide("late", 1, 0.7, 0) is None  # its first epoch since take-off
    assert first(halving) == {"a": 0.8} and not halving.provisional
    # With its old 0.5 the cutoff of a and itself would have been 0.65.
    assert halving.decide("b", 4, 0.7, 0) == decision(4, 0.7, pytest.approx(0.8), 1)
    assert halving.decide("late", 4, 0.9, 0) is None and first(halving)["late"] == 0.9


def test_a_stopped_trial_is_a_peer_for_good() -> None:
    halving = asha()
    halving.peer("dead", 0.5, final=True)
    halving.peer("dead", 0.6, final=True)  # the verdict is not passed twice
    assert first(halving) == {"dead": 0.5} and not halving.provisional
    halving.peer("waited", 0.5, final=False)
    halving.peer("waited", 0.52, final=True)
    assert first(halving)["waited"] == 0.52 and not halving.provisional


def test_a_peer_that_was_judged_before_keeps_its_score() -> None:
    """A plateau at a later epoch changes nothing of what it had at the first rung."""
    halving = asha()
    halving.decide("a", 4, 0.6, 0)
    halving.decide("a", 8, 0.8, 0)
    halving.peer("a", 0.8, final=True)
    assert [scores for _, scores in halving.rungs] == [{}, {}, {"a": 0.8}, {"a": 0.6}]


def test_a_peer_that_went_past_the_first_rung_is_not_put_into_it() -> None:
    """An epoch of 5 is 12 of 60: the trial is judged at the rung of 8 first. When its loss breaks
    at the end, its best is not held against trials of 4 epochs."""
    halving = asha(compare="share")
    halving.decide("short", halving.age(1, 5), 0.6, 0)
    halving.peer("short", 0.85, final=True)
    assert [scores for _, scores in halving.rungs] == [{}, {}, {"short": 0.6}, {}]


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_cutoff_is_that_of_the_scores_as_they_are(mode: str, factor: int) -> None:
    """Ray's, worked out from scratch after each of 2,000 events: trials are judged, wait and get
    better, take off, are stopped, and some have no finite score."""
    halving, rng = asha(2, factor, mode=mode), random.Random(f"{mode}{factor}")
    theirs: Any = ASHAScheduler(max_t=60, reduction_factor=factor)._brackets[0]
    asked = 0
    for n in range(2000):
        name = f"t{rng.randrange(300)}"
        score = rng.choice([rng.random(), 0.5, math.nan, -math.inf, math.inf])
        what = rng.randrange(4)
        if what == 0:
            halving.peer(name, score, final=rng.random() < 0.3)
        elif what == 1:
            halving.decide(name, rng.randrange(1, 60), score, 0, guesses=True)
        else:
            halving.decide(name, rng.randrange(1, 60), score, 0)
        for at, scores in halving.rungs:
            assert sorted(scores.values()) == halving._order[at]
            if scores and n % 10 == 0:
                asked += 1
                assert halving._cutoff(at) == theirs.cutoff(scores)
    assert asked > 500 and len(first(halving)) > 50


def test_a_peer_that_gets_better_while_it_waits_moves_the_cutoff() -> None:
    """Of 0.6 and 0.5 the median is 0.55, so "a" goes on; once the other has 0.9 it is 0.75."""
    halving = asha()
    halving.decide("a", 4, 0.6, 0)
    halving.peer("waiting", 0.5, final=False)
    assert halving.decide("a", 5, 0.6, 0) is None
    halving.peer("waiting", 0.9, final=False)
    assert halving.decide("a", 6, 0.6, 0) == decision(4, 0.6, pytest.approx(0.75), 1)


def test_the_last_ones_to_come_to_a_rung_count() -> None:
    """Of 50 scores of 0.6, 50 of 0.7 the median is 0.65, and with two more of 0.7 it is 0.7."""
    halving = asha()
    for n in range(100):
        halving.decide(f"t{n}", 4, 0.7 if n % 2 else 0.6, 0)
    halving.peer("a", 0.66, final=True)
    assert halving.decide("a", 5, 0.66, 0) is None
    halving.decide("b", 4, 0.7, 0)
    halving.decide("c", 4, 0.7, 0)
    assert halving.decide("a", 5, 0.66, 0) == decision(4, 0.66, pytest.approx(0.7), 102)


def test_trials_without_a_finite_score_leave_the_cutoff_finite() -> None:
    """Two losses that broke, then 0.5, 0.4, 0.3: the best third begins at 0.4 + 0.1 / 3."""
    asha = Asha(
        {"grace": 1, "factor": 3, "compare": "epoch", "noise": 0.0},
        Objective("val_loss", "min"),
        9,
    )
    for name, loss in (("x", math.inf), ("y", math.inf), ("a", 0.5), ("b", 0.4), ("d", 0.3)):
        assert asha.decide(name, 1, loss, 0) is None
    cut = asha.decide("c", 1, 0.6, 0)
    assert cut and cut.cutoff == pytest.approx(0.4 + 0.1 / 3)
