"""A simulated search worked out by hand, and policies compared on the recorded runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pytest
from builders import SPACES

from search.pruning import comparison
from search.pruning.altered_curves import delayed
from search.pruning.comparison import PolicyResult, compare
from search.pruning.contests import by_protocol
from search.pruning.late_start import Odds
from search.pruning.peers.ray_schedulers import RayAsha
from search.pruning.recorded_runs import SHIPPED, Curve, read
from search.pruning.simulator import (
    Arrival,
    NoPruning,
    Orders,
    Outcome,
    SchedulerPolicy,
    ThresholdPolicy,
    random_order,
    simulate,
    top_k,
)
from search.pruning.stop_decision import PAUSE, StopDecision
from search.space import SearchSpace, load
from search.space.prune import pruning

CODE2 = SPACES / "code2.yaml"


def run(name: str, scores: list[float], seconds: float = 1.0, pairs: int = 2000) -> Arrival:
    """A recorded run with these validation accuracies."""
    rows = tuple(
        {"epoch": float(n), "val_acc": score, "val_pairs": float(pairs), "seconds": seconds}
        for n, score in enumerate(scores)
    )
    settings = {"protocol": "frontal-triplets", "epochs": len(rows), "weight_decay": 0.0}
    return Arrival(name, Curve(name, settings, rows))


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    """The space whose rules are tried, with ASHA."""
    return _with_asha(load(CODE2))


def _with_asha(space: SearchSpace) -> SearchSpace:
    """The space with ASHA in place of halving."""
    return dataclasses.replace(space, prune=pruning(True))


def test_workers_take_the_next_run_when_one_ends() -> None:
    """Two workers: a takes 2 x 3 s, b 1 x 4 s; c, 3 x 1 s, starts at 4 and ends at 7."""
    runs = [run("a", [0.5, 0.6], 3), run("b", [0.7], 4), run("c", [0.5, 0.6, 0.7], 1)]
    outcome = simulate(runs, NoPruning(), workers=2)
    assert (outcome.epochs, outcome.seconds) == (6, 7.0)
    assert [arrival.name for arrival in outcome.finished] == ["b", "a", "c"]
    assert simulate(runs, NoPruning(), workers=1).seconds == 13.0


class _After(NoPruning):
    """Stops every run after its second epoch."""

    def decide(self, run: Arrival, epoch: int) -> StopDecision | None:
        return StopDecision("two", "", epoch) if epoch == 1 else None


def test_a_stopped_run_frees_its_worker_and_has_not_finished() -> None:
    outcome = simulate([run("a", [0.5] * 9, 2), run("b", [0.6], 1)], _After(), workers=1)
    assert (outcome.epochs, outcome.seconds) == (3, 5.0)
    assert [arrival.name for arrival in outcome.finished] == ["b"]
    assert outcome.stops == {"a": StopDecision("two", "", 1)}


class _Pauses(NoPruning):
    """Pauses every run after its first epoch, and takes up the one with the best score.

    Args:
        least: it waits until so many are paused.
    """

    def __init__(self, least: int) -> None:
        self.least, self.log = least, list[str]()

    def expect(self, runs: Sequence[Arrival]) -> None:
        self.log.append("".join(run.name for run in runs))

    def decide(self, run: Arrival, epoch: int) -> StopDecision | None:
        self.log.append(f"{run.name}{epoch}")
        return PAUSE if epoch == 0 else None

    def choose(self, paused: Mapping[str, Arrival], new: Mapping[str, Arrival]) -> Arrival | None:
        if new or len(paused) < self.least:
            return None
        return max(paused.values(), key=lambda run: run.curve.rows[0]["val_acc"])


def test_a_paused_run_goes_on_where_it_was_when_it_is_chosen() -> None:
    runs = [run("a", [0.5, 0.9], 2), run("b", [0.7, 0.7, 0.7], 1), run("c", [0.6, 0.6], 1)]
    policy = _Pauses(1)
    outcome = simulate(runs, policy, workers=1)
    assert policy.log == ["abc", "a0", "b0", "c0", "b1", "b2", "c1", "a1"]
    assert (outcome.epochs, outcome.seconds) == (7, 9.0)
    assert [arrival.name for arrival in outcome.finished] == ["b", "c", "a"]
    assert outcome.stops == {}


def test_a_paused_run_that_is_never_chosen_has_stopped() -> None:
    """Once b goes on, two are left, and the policy waits for three."""
    runs = [run("a", [0.5, 0.9], 2), run("b", [0.7, 0.7, 0.7], 1), run("c", [0.6, 0.6], 1)]
    outcome = simulate(runs, _Pauses(3), workers=2)
    assert [arrival.name for arrival in outcome.finished] == ["b"]
    # a ends its first epoch at 2, as c does; b's other two end at 4.
    assert (outcome.epochs, outcome.seconds) == (5, 4.0)
    assert {name: (stop.rule, stop.epoch) for name, stop in outcome.stops.items()} == {
        "a": ("paused", 0),
        "c": ("paused", 0),
    }


def test_the_rule_of_thumb_needs_five_epochs_below_in_a_row() -> None:
    broken = run("a", [0.5, 0.5, 0.53, 0.5, 0.5, 0.5, 0.5, 0.529, 0.9])
    assert [ThresholdPolicy().decide(broken, n) is not None for n in range(9)] == [False] * 7 + [
        True,
        False,
    ]


def test_top_k_keeps_the_best_after_one_epoch_and_the_first_of_equals(space: SearchSpace) -> None:
    runs = [run("a", [0.5, 0.9, 0.9]), run("b", [0.6, 0.6]), run("c", [0.5, 0.5, 0.5])]
    outcome = top_k(runs, 2, workers=1, searched=space)
    # One epoch each, then two more of a and one more of b.
    assert (outcome.epochs, outcome.seconds) == (6, 6.0)
    assert {arrival.name for arrival in outcome.finished} == {"a", "b"}
    assert set(outcome.stops) == {"c"}


def test_rays_own_asha_is_asked_with_the_spaces_grace_and_factor(space: SearchSpace) -> None:
    """Grace 3, factor 4: of 0.6 and 0.8 the top quarter begins at 0.75."""
    policy = RayAsha(space.prune["asha"], space.objective, space.max_epochs())
    for name, score, stops in (("a", 0.6, False), ("b", 0.8, False), ("c", 0.74, True)):
        arrival = run(name, [score] * 5)
        policy.begin(arrival)
        assert [policy.decide(arrival, n) is not None for n in range(3)] == [False, False, stops]


def test_our_policy_is_the_scheduler_of_a_search(space: SearchSpace) -> None:
    """Three at once: b comes to the rung of 3 epochs after a's 0.9. c guesses for three epochs, so
    it comes there at the end of its sixth, to 0.9 and 0.6: the top quarter begins at 0.825."""
    policy = SchedulerPolicy(space, Odds((), own=True))
    runs = [run("a", [0.9] * 12), run("b", [0.6] * 12), run("c", [0.5] * 3 + [0.7] * 9)]
    outcome = simulate(runs, policy, workers=3)
    assert [arrival.name for arrival in outcome.finished] == ["a"]
    assert {name: (s.rule, s.rung, s.epoch) for name, s in outcome.stops.items()} == {
        "b": ("asha", 3, 2),
        "c": ("asha", 3, 5),
    }
    assert outcome.stops["c"].cutoff == pytest.approx(0.825)


def test_orders_are_random_and_repeat(space: SearchSpace) -> None:
    runs = [run(name, [0.5]).curve for name in "abcdef"]
    names = [[a.name for a in random_order(runs, 0, number)] for number in range(40)]
    assert names[0] == [a.name for a in random_order(runs, 0, 0)]
    assert all(sorted(order) == list("abcdef") for order in names)
    assert len({tuple(order) for order in names}) > 30
    drawn = random_order(runs, 0, 0, trials=100)
    assert len({a.name for a in drawn}) == 100 and {a.curve.id for a in drawn} == set("abcdef")


def test_a_late_run_guesses_first_and_ends_when_it_did() -> None:
    curve = run("a", [0.8, 0.9, 0.7], pairs=400).curve
    shifted = delayed(curve, 2)
    scores = [row["val_acc"] for row in shifted.rows]
    assert len(scores) == 3 and scores[2] == 0.8
    assert all(0.4 < score < 0.6 and (score * 400).is_integer() for score in scores[:2])


def test_a_late_run_of_another_metric_has_the_score_of_a_guess() -> None:
    rows = tuple({"error": error, "seconds": 2.0} for error in (0.7, 0.3, 0.1))
    curve = Curve("a", {}, rows)
    assert [row["error"] for row in delayed(curve, 2, guesses={"error": 0.5}).rows] == [
        0.5,
        0.5,
        0.7,
    ]
    assert [row["error"] for row in delayed(curve, 1).rows] == [0.7, 0.7, 0.3]
    assert all("val_acc" not in row for row in delayed(curve, 1).rows)


def test_a_late_run_whose_threshold_is_chosen_guesses_above_a_half() -> None:
    """The maximum of a random walk of n steps that ends where it began is √(πn/8) in the mean:
    28.0 for 2,000 pairs, so 0.514; its standard deviation is √(n/2 - πn/8) = 14.7, of the mean of
    400 such 0.7."""
    arrival = run("a", [0.8] * 401)
    arrival.curve.settings["join"] = "cosine"
    scores = [row["val_acc"] for row in delayed(arrival.curve, 400).rows[:400]]
    assert min(scores) >= 0.5
    assert sum(scores) / 400 == pytest.approx(0.514, abs=0.0011)


def test_a_row_is_what_the_orders_say(space: SearchSpace) -> None:
    """Of two orders one ends the best, where a peer stops one that is as good; in the other a rule
    stops it, and 0.01 less ends."""
    best, near, far = run("best", [0.9]), run("near", [0.89]), run("far", [0.5])
    order = [best, near, far]
    pruned = StopDecision("pruned", "", 0)  # a peer's, by rank
    first = Outcome(3, 3600.0, (best, far), {"near": pruned})
    second = Outcome(
        1,
        7200.0,
        (near,),
        {"best": StopDecision("chance", "", 0), "far": StopDecision("asha", "", 0)},
    )
    curves = [arrival.curve for arrival in order]
    judged = comparison._Judged.of(curves, space, [order, order])
    row = comparison._result("x", [first, second], judged)
    assert (row.kept, row.kept_best) == (0.5, 0.5)
    assert (row.epochs, row.epochs_low, row.epochs_high) == pytest.approx((2 / 3, 1 / 3, 1))
    assert row.hours == 1.5
    assert row.stopped == {"asha": 0.5, "chance": 0.5, "pruned": 0.5}
    assert row.false_stops == {"best (chance)": 1}


def test_the_best_is_seen_where_a_run_had_it_before_it_was_stopped(space: SearchSpace) -> None:
    """A run that has overfitted is stopped after its best epoch, and has that score all the same."""
    best, far = run("best", [0.5, 0.9, 0.6, 0.6]), run("far", [0.5])
    found = [
        Outcome(1, 1.0, (far,), {"best": StopDecision("halving", "", epoch)}) for epoch in (0, 1)
    ]
    judged = comparison._Judged.of([best.curve, far.curve], space, [[best, far]] * 2)
    row = comparison._result("x", found, judged)
    assert (row.kept, row.seen) == (0.0, 0.5)


@pytest.fixture(scope="module", params=[100, pytest.param(300, marks=pytest.mark.slow)])
def replayed(space: SearchSpace, request: pytest.FixtureRequest) -> dict[str, list[PolicyResult]]:
    """The runs of the 2019 study at 4 workers, in so many orders: 300 are those of docs/pruning.md."""
    found, orders = by_protocol(read(SHIPPED), space), request.param
    return {key[0]: compare(runs, space, Orders(orders=orders)) for key, runs in found.items()}


@pytest.mark.parametrize("rule", ["halving", "ASHA"])
@pytest.mark.parametrize(("protocol", "most"), [("cfp-pairs", 0.42), ("frontal-triplets", 0.35)])
def test_the_default_rules_keep_the_best_of_the_study_and_stop_no_good_run(
    replayed: dict[str, list[PolicyResult]], protocol: str, most: float, rule: str
) -> None:
    ours = replayed[protocol][-1]
    if rule == "halving":
        space = load(CODE2)
        runs = next(r for key, r in by_protocol(read(SHIPPED), space).items() if protocol in key)
        ours = compare(runs, space, Orders(orders=100))[-1]
    assert ours.policy == f"{rule} and rules"
    assert ours.kept >= 0.95
    assert ours.epochs <= most
    assert ours.false_stops == {}


def test_one_epoch_then_top_k_comes_to_our_cost(replayed: dict[str, list[PolicyResult]]) -> None:
    for rows in replayed.values():
        top = next(row for row in rows if row.policy.startswith("one epoch"))
        assert top.epochs == pytest.approx(rows[-1].epochs, abs=0.01)


def test_the_others_do_what_they_are_known_to_do(replayed: dict[str, list[PolicyResult]]) -> None:
    by = {key: {row.policy: row for row in rows} for key, rows in replayed.items()}
    for rows in by.values():
        assert rows["everything"].epochs == rows["everything"].kept_best == 1
    # After one epoch test 6, the best of code 1, sits at 50 % like most of the others.
    one = next(row for name, row in by["cfp-pairs"].items() if name.startswith("one epoch"))
    assert one.kept < 0.5
    # The rule of thumb stops four of code 2 in every order: C, G, J and K.
    thumb = by["frontal-triplets"]["below 0.53 for 5"]
    assert thumb.stopped == {"threshold": 4.0}


def test_a_best_run_that_starts_late_is_lost_without_the_rules(space: SearchSpace) -> None:
    runs = [
        delayed(curve, 4) if curve.id == "6" else curve
        for curve in by_protocol(read(SHIPPED), space)["cfp-pairs", 2800]
    ]
    rows = {row.policy: row for row in compare(runs, space, Orders(orders=60))}
    assert rows["ASHA and rules"].kept >= 0.95
    assert rows["our ASHA, no rules"].kept < 0.7 and rows["Ray's ASHA"].kept < 0.7


def test_the_dead_are_stopped_where_the_recording_has_their_vital_signs(
    space: SearchSpace,
) -> None:
    """The same runs, J and K with the gradients that a dead net has: fewer epochs, as good."""
    vital = {"updates": 188.0, "trunk_grad_max": 0.0, "trunk_grad_zero": 1.0, "trunk_live": 0.0}
    runs = by_protocol(read(SHIPPED), space)["frontal-triplets", 2000]
    signed = [
        dataclasses.replace(
            curve,
            settings=curve.settings | {"weight_decay": 0.0},
            rows=tuple(row | (vital if row["epoch"] >= 2 else {}) for row in curve.rows),
        )
        if curve.id in "JK"
        else curve
        for curve in runs
    ]
    before, after = (compare(r, space, Orders(orders=40))[-1] for r in (runs, signed))
    assert after.stopped["dead"] == 2 and after.epochs < before.epochs and after.kept >= 0.95
