"""The peers as policies of the simulator: each against decisions worked out by hand."""

from __future__ import annotations

import pytest

from facesiam.objective import Objective
from search.pruning.peers import pasha, ray_schedulers
from search.pruning.peers.lineup import peers
from search.pruning.peers.optuna_pruners import OptunaPruner
from search.pruning.peers.pasha import Pasha
from search.pruning.recorded_runs import Curve
from search.pruning.simulator import Arrival, simulate
from search.pruning.stop_decision import PAUSE

LOSS = Objective("loss", "min")
FIVE = (0.1, 0.2, 0.3, 0.4, 0.5)


def run(name: str, *losses: float) -> Arrival:
    """A recorded run with these losses, an epoch a second."""
    rows = tuple({"loss": loss, "seconds": 1.0} for loss in losses)
    return Arrival(name, Curve(name, {"epochs": len(rows)}, rows))


def flat(name: str, loss: float, epochs: int) -> Arrival:
    """A run that stands still."""
    return run(name, *[loss] * epochs)


def test_rays_median_rule_stops_what_is_worse_than_the_median_of_means() -> None:
    """Where fewer than three others are as old a trial is paused, so a, b and c wait after two
    epochs. The median of their means is 0.2, for d, and for e that of four, 0.225. e waits after
    three, a and b come there, and c is worse than all of them."""
    runs = [flat("a", 0.1, 4), flat("b", 0.2, 4), flat("c", 0.3, 4)]
    runs += [flat("d", 0.25, 4), run("e", 0.25, 0.19, 0.19, 0.19)]
    outcome = simulate(runs, ray_schedulers.median(LOSS, grace=2), workers=1)
    assert {name: (stop.rule, stop.epoch) for name, stop in outcome.stops.items()} == {
        "d": ("median", 1),
        "c": ("median", 2),
    }


def test_rays_hyperband_pauses_a_bracket_until_all_are_there_and_takes_up_the_best() -> None:
    """Of 9 epochs by a factor of 3 there are brackets of 3 trials, of 5 that meet after 3 epochs
    and of 9 that meet after 1. The best 2 of the 5 go on, of the 9 the best 3, and of those 1."""
    losses: tuple[float, ...] = (0.9, 0.8, 0.7, 0.5, 0.2, 0.6, 0.1, 0.4)
    losses += (0.55, 0.3, 0.65, 0.75, 0.25, 0.45, 0.15, 0.35, 0.95)
    runs = [flat(f"r{place}", loss, 9) for place, loss in enumerate(losses)]
    outcome = simulate(runs, ray_schedulers.hyperband(LOSS, 9), workers=2)
    # r0 to r2 run to their end; of r3 to r7 r4 and r6; of r8 to r16 r14, with 0.15.
    assert {each.name for each in outcome.finished} == {"r0", "r1", "r2", "r4", "r6", "r14"}
    assert outcome.epochs == 3 * 9 + (5 * 3 + 2 * 6) + (9 * 1 + 3 * 2 + 1 * 6)


def test_rays_hyperband_of_epochs_that_are_no_power_comes_to_the_end() -> None:
    """Of 50 epochs Ray would end a bracket after 48. Eight runs meet at a third of them, 17."""
    runs = [flat(f"r{place}", place / 100, 50) for place in range(13)]
    outcome = simulate(runs, ray_schedulers.hyperband(LOSS, 50), workers=4)
    assert len(outcome.finished) == 5 + 3
    assert outcome.epochs == 5 * 50 + 8 * 17 + 3 * 33


def test_rays_schedulers_take_a_nan_for_the_worst_score() -> None:
    nan = float("nan")
    runs = [flat("a", 0.5, 9), flat("b", 0.6, 9), run("c", nan, *[nan] * 8), flat("d", 0.7, 9)]
    policy = ray_schedulers.RayAsha({"grace": 1, "factor": 3}, LOSS, 9)
    outcome = simulate([*runs[:2], runs[2]], policy, workers=3)
    assert outcome.stops["c"].epoch == 0
    # The first three of HyperBand run to their end; the best 2 of the next 5 go on after 3 epochs.
    more = [flat(f"r{place}", 0.9, 9) for place in range(3)] + [flat("e", 0.8, 9)]
    outcome = simulate(
        [*more[:3], runs[2], *runs[:2], runs[3], more[3]], ray_schedulers.hyperband(LOSS, 9), 4
    )
    assert {each.name for each in outcome.finished} == {"r0", "r1", "r2", "a", "b"}


@pytest.mark.parametrize(
    ("name", "stopped"),
    [
        # After three epochs, epoch 2: by the median of the five that have ended, 0.3.
        ("Optuna's median", {"f": 2, "g": 2}),
        ("Optuna's median, defaults", {"f": 0, "g": 0}),
        # The top quarter of them ends at 0.2.
        ("Optuna's percentile", {"f": 2, "g": 2}),
        ("Optuna's percentile, defaults", {"f": 0, "g": 0}),
        # Once the last so many epochs brought nothing better, then by the median.
        ("Optuna's patient median", {"g": 4}),
    ],
)
def test_optunas_pruners_are_asked_with_our_warm_up_and_with_their_own(
    name: str, stopped: dict[str, int]
) -> None:
    runs = [flat(letter, loss, 6) for letter, loss in zip("abcde", FIVE, strict=True)]
    runs += [run("f", 0.9, 0.8, 0.7, 0.6, 0.5, 0.4), run("g", 0.5, 0.6, 0.6, 0.6, 0.6, 0.6)]
    made = peers({"grace": 3, "factor": 4}, LOSS, 6)[name]()
    assert isinstance(made, OptunaPruner)
    outcome = simulate(runs, made, workers=1)
    assert {name: stop.epoch for name, stop in outcome.stops.items()} == stopped


def test_optunas_pruner_does_not_count_a_trial_that_diverged() -> None:
    """A loss of NaN at the end is no completed trial, and one on the way is pruned."""
    runs = [flat(letter, 0.5, 3) for letter in "abcde"] + [run("f", 0.4, float("nan"), 0.4)]
    policy = peers({"grace": 1, "factor": 4}, LOSS, 3)["Optuna's successive halving"]()
    assert isinstance(policy, OptunaPruner)
    outcome = simulate([*runs, run("g", 0.1, 0.1, float("nan"))], policy, workers=1)
    states = {name: policy.study.trials[t.number].state.name for name, t in policy.trials.items()}
    assert states["a"] == "COMPLETE" and states["f"] == "PRUNED" and states["g"] == "FAIL"
    assert "g" in {each.name for each in outcome.finished}


def test_pasha_opens_no_rung_while_the_ranking_holds() -> None:
    """Rungs at 1, 3, 9 and 10 epochs. Nine run one epoch, the best three to three; they keep
    their order, so that only the winner goes on, to its end."""
    runs = [flat(f"r{place}", place / 10, 10) for place in range(9)]
    policy = Pasha(LOSS, 10)
    outcome = simulate(runs, policy, workers=1)
    assert policy.levels == (1, 3, 9, 10) and policy.top == 1
    assert [each.name for each in outcome.finished] == ["r0"]
    # Promotions are made as they come: r0 of three, then the best of six, and of nine.
    assert outcome.epochs == 9 * 1 + 3 * 2 + 7
    assert {name for name, stop in outcome.stops.items() if stop.epoch == 2} == {"r1", "r2"}


def test_pasha_opens_a_rung_where_the_ranking_changes() -> None:
    """a leads after one epoch, b after three."""
    runs = [run("a", 0.1, 0.5, 0.5, *[0.5] * 7), flat("x", 0.8, 10), flat("y", 0.9, 10)]
    runs += [run("b", 0.2, 0.2, 0.1, *[0.1] * 7), flat("z", 0.8, 10), flat("w", 0.9, 10)]
    policy = Pasha(LOSS, 10)
    outcome = simulate(runs, policy, workers=1)
    assert policy.top == 2
    assert [each.name for each in outcome.finished] == ["b"]


@pytest.mark.parametrize(("crosses", "top"), [(True, 1), (False, 2)])
def test_pasha_takes_curves_that_cross_and_cross_again_for_equal(crosses: bool, top: int) -> None:
    """At the rungs of 3 and 9 epochs a and b change places. They end 0.02 apart, which counts as
    noise where they have crossed before; after 3 epochs they were 0.01 apart."""
    ups, downs = ([0.50, 0.52], [0.51, 0.50]) if crosses else ([0.50, 0.50], [0.51, 0.51])
    runs = [run("a", *ups * 4, 0.52, 0.5), run("b", *downs * 4, 0.50, 0.5)]
    policy = Pasha(LOSS, 10, grace=3)
    simulate([*runs, *(flat(letter, 0.9, 10) for letter in "wxyz")], policy, workers=1)
    assert policy.levels == (3, 9, 10) and policy.top == top


def test_pasha_measures_noise_between_the_rungs_and_keeps_it() -> None:
    """a and b go on from the rung of three epochs, having crossed twice. b is ahead at that of nine
    by 0.005, which is all the noise, and was behind by 0.01: so a rung is opened."""
    a = run("a", 0.50, 0.52, 0.50, 0.51, 0.50, 0.51, 0.50, 0.50, 0.505, 0.5)
    b = run("b", 0.51, 0.50, 0.51, 0.50, 0.52, 0.50, 0.50, 0.50, 0.500, 0.5)
    policy, paused = Pasha(LOSS, 10, grace=3), dict[str, Arrival]()
    for each in [a, b, *(flat(letter, 0.9, 10) for letter in "wxyz")]:
        policy.begin(each)
        assert [policy.decide(each, epoch) for epoch in range(3)] == [None, None, PAUSE]
        paused[each.name] = each
    assert policy.noise == 0.0
    assert [policy.choose(paused, {}) for _ in "ab"] == [a, b]
    seen = []
    for epoch in (3, 4, 5):
        assert policy.decide(a, epoch) is policy.decide(b, epoch) is None
        seen.append(policy.noise)
    assert seen == pytest.approx([0.01, 0.02, 0.01])
    policy.decide(b, 6)  # a has not come so far: the pair stays as it was
    assert policy.noise == pytest.approx(0.01)
    for each, epoch in ((a, 6), (a, 7), (a, 8), (b, 7)):
        policy.decide(each, epoch)
    assert policy.top == 1
    policy.decide(b, 8)
    assert (policy.top, policy.noise) == (2, pytest.approx(0.005))


def test_pashas_noise_is_a_percentile_between_the_values() -> None:
    assert pasha._percentile([0.0, 1.0, 2.0]) == pytest.approx(1.8)
    assert pasha._percentile([0.3]) == 0.3
