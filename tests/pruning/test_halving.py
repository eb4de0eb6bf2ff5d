"""Successive halving with pauses: its rungs, who waits, goes on and is out, and what it keeps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from pathlib import Path

import builders
import pytest
from builders import SCHEDULES, SPACES

from facesiam.config import Value
from facesiam.objective import Objective
from search.pruning.altered_curves import delayed, scheduled
from search.pruning.comparison import compare
from search.pruning.contests import by_protocol
from search.pruning.halving import Halving, latest, rungs
from search.pruning.history import History
from search.pruning.late_start import Odds
from search.pruning.recorded_runs import SHIPPED, Curve, read
from search.pruning.scheduler import Scheduler
from search.pruning.simulator import Arrival, Orders, SchedulerPolicy, simulate
from search.pruning.stop_decision import PAUSE, StopDecision
from search.space import SearchSpace, load

SPACE = """
fixed: {epochs: 10}
search: {lr: {low: 1e-5, high: 1, log: true}}
trials: 4
prune: {halving: {grace: 0.3}, chance: false, plateau: false}
"""
"""Rungs at 3, 4.8 and 7.68 epochs of 10, so after 3, 5 and 8; of 4 trials 2, 1 and 1 go on."""
SETTINGS: dict[str, Value] = {"epochs": 10}


@pytest.fixture
def space(tmp_path: Path) -> SearchSpace:
    """The space of SPACE."""
    return builders.space(tmp_path, SPACE)


def decide(
    halving: Halving, name: str, epochs: int, score: float, **settings: Value
) -> StopDecision | None:
    """The decision about a trial that has had this score in each of so many epochs."""
    rows = [{halving.space.metric: score}] * epochs
    return halving.decide(name, History(rows, SETTINGS | settings))


def halving_of(space: SearchSpace, names: Iterable[str], **settings: Value) -> Halving:
    """The rungs of a space, of which these trials have begun."""
    halving = Halving(space)
    for name in names:
        halving.begin(name, SETTINGS | settings)
    return halving


def test_each_rung_is_at_1_6_times_the_age_of_the_one_before() -> None:
    assert rungs(0.14, 50) == pytest.approx([0.14, 0.224, 0.3584, 0.57344])
    # The first is at two epochs or more, and none where nothing much is left to save.
    assert rungs(0.14, 8) == pytest.approx([0.25, 0.4, 0.64])
    assert rungs(0.14, 2) == []
    assert rungs(0.14, 50, growth=2) == pytest.approx([0.14, 0.28, 0.56])


def test_a_trial_waits_for_the_others_and_the_better_half_goes_on(space: SearchSpace) -> None:
    halving = halving_of(space, "ab")
    assert decide(halving, "a", 2, 0.6) is None
    assert decide(halving, "a", 3, 0.6) is PAUSE  # c and d have yet to begin
    assert decide(halving, "b", 3, 0.5) is PAUSE
    for name in "cd":
        halving.begin(name, SETTINGS)
    assert decide(halving, "c", 3, 0.7) is None  # now the best of all need not wait
    stop = decide(halving, "d", 3, 0.4)
    assert stop == StopDecision(
        "halving",
        "val_acc 40.0 % (mean of its last 2 epochs) at the rung of 3 epochs, from which 2 of 4 trials "
        "go on: so many are better, the last of them with 60.0 %",
        2,
        3,
        0.4,
        0.6,
        3,
    )
    assert [(name, known.epoch) for name, known in halving.all_out()] == [("b", 2)]
    assert halving.first_waiting() == "a"


def test_of_equals_the_first_to_begin_is_ahead_and_a_rung_of_two_epochs_counts_the_last(
    tmp_path: Path,
) -> None:
    halving = halving_of(builders.space(tmp_path, SPACE.replace("0.3", "0.2")), "abcd")
    assert decide(halving, "a", 2, 0.5) is None and decide(halving, "b", 2, 0.5) is None
    rows = [{"val_acc": 0.9}, {"val_acc": 0.5}]  # the first epoch does not count
    stop = halving.decide("c", History(rows, SETTINGS))
    assert stop is not None and stop.reason == (
        "val_acc 50.0 % (its last epoch) at the rung of 2 epochs, from which 2 of 4 trials go on: "
        "so many are better, or as good and began first, the last of them with 50.0 %"
    )


def test_who_is_out_is_out_whatever_comes_and_who_is_not_may_be_yet(space: SearchSpace) -> None:
    halving = halving_of(space, "abc")
    for name, score in (("a", 0.5), ("b", 0.9)):
        assert decide(halving, name, 3, score) is PAUSE
    assert list(halving.all_out()) == []
    stop = decide(halving, "c", 3, 0.4)
    assert stop is not None and stop.rule == "halving"  # two are better, and two go on
    halving.begin("d", SETTINGS)
    assert decide(halving, "d", 3, 0.8) is PAUSE  # b, which waits, is better
    assert [name for name, _ in halving.all_out()] == ["a"]


def test_a_trial_that_went_on_stops_once_better_ones_have_come(space: SearchSpace) -> None:
    halving = halving_of(space, "abcd")
    assert decide(halving, "a", 3, 0.5) is None  # nothing else waits
    for name, score in (("b", 0.6), ("c", 0.7)):
        assert decide(halving, name, 3, score) is None
    stop = decide(halving, "a", 4, 0.65)  # its score at the rung counts
    assert stop is not None and (stop.epoch, stop.value, stop.cutoff) == (3, 0.5, 0.6)


def test_the_lowest_rung_comes_first(space: SearchSpace) -> None:
    halving = halving_of(space, "abcd")
    assert decide(halving, "a", 3, 0.9) is None
    assert decide(halving, "b", 3, 0.8) is None
    halving.expected = 5
    assert decide(halving, "a", 5, 0.95) is PAUSE
    assert decide(halving, "c", 3, 0.85) is PAUSE
    assert halving.first_waiting() is None  # e has yet to begin
    halving.no_more()
    assert halving.first_waiting() == "c"
    halving.begin("c", SETTINGS)
    assert halving.first_waiting() == "a"


def _let_go(halving: Halving) -> list[str]:
    """Have those that need not wait go on; return them."""
    found = []
    while name := halving.first_waiting():
        halving.begin(name, SETTINGS)
        found.append(name)
    return found


@pytest.mark.parametrize(("spared", "sure"), [(0, 1), (3, 4)])
def test_a_trial_as_good_as_sure_of_its_place_does_not_wait_for_those_to_come(
    space: SearchSpace, spared: int, sure: int
) -> None:
    """Of 20 that have come, 10 ± 2 are among the best half of all: the best 8 are sure of it.

    At the next rung they are 5 ± 1.7 of the 20. Five of the eight have come there: with three on
    the way, which may be better, the best may be the fourth, and the second the fifth. Where these
    three are controls they do not come there.
    """
    names = [f"t{number:02}" for number in range(20)]
    scheduler = Scheduler(space, Odds(()))
    scheduler.controls |= {name: StopDecision("plateau", "", 3) for name in names[8 - spared : 8]}
    halving = scheduler.halving
    assert halving is not None
    for name in names:
        halving.begin(name, SETTINGS)
    halving.expected = 100
    for number, name in enumerate(names):
        assert decide(halving, name, 3, 0.9 - number / 100) is PAUSE  # the worst of those here
    assert _let_go(halving) == names[:8]
    for number, name in enumerate(names[:5]):
        assert decide(halving, name, 5, 0.9 - number / 100) is PAUSE
    assert _let_go(halving) == names[:sure]


def test_a_trial_that_is_sure_of_its_place_is_not_paused(space: SearchSpace) -> None:
    halving = halving_of(space, "abcd")
    halving.expected = 100
    halving.forget("a")  # ended before the rung: worse than all that come there
    assert decide(halving, "b", 3, 0.6) is PAUSE  # of two, 1 ± 0.7 are in the better half
    assert decide(halving, "c", 3, 0.7) is None  # of three, 1.5 ± 0.9


def test_a_trial_has_the_mean_of_its_last_two_epochs_or_of_its_later_half() -> None:
    losses = [0.1, math.nan, 0.7, 0.5, 0.3]
    means = []
    for epochs in range(1, 6):
        rows = [{"val_loss": value, "val_acc": 0.9} for value in losses[:epochs]]
        means.append(latest(History(rows), Objective("val_loss", "min")))
    # Of 1, 1, 2, 2 and 2 epochs, where those without a score do not count.
    assert means == pytest.approx([0.1, math.inf, 0.7, 0.6, 0.4])
    for mode, worst in (("min", math.inf), ("max", -math.inf)):
        assert latest(History([{}, {"x": math.inf}]), Objective("x", mode)) == worst


def test_a_net_whose_loss_has_risen_again_is_behind_one_whose_loss_still_falls(
    tmp_path: Path,
) -> None:
    space = builders.space(tmp_path, SPACE.replace("0.3", "0.5") + "metric: val_loss\nmode: min\n")
    halving = halving_of(space, "abcd")
    for name, losses in (("a", [0.2, 0.4, 0.6, 0.7, 0.8]), ("b", [0.7, 0.6, 0.5, 0.4, 0.3])):
        history = History([{"val_loss": loss} for loss in losses], SETTINGS)
        assert halving.decide(name, history) is None
    assert decide(halving, "c", 5, 0.65) is None and halving.out("a") is not None


def test_less_is_better_where_the_space_says_so_and_no_score_is_worst(tmp_path: Path) -> None:
    space = builders.space(tmp_path, SPACE + "metric: val_loss\nmode: min\n")
    halving = halving_of(space, "abcd")
    for name, loss in (("a", math.nan), ("b", 0.3), ("c", 0.2)):
        assert decide(halving, name, 3, loss) is None
    assert (stop := halving.out("a")) is not None
    assert (stop.value, stop.cutoff) == (None, 0.3)
    assert halving.out("b") is None and halving.out("c") is None


def test_trials_meet_at_the_same_share_of_the_same_schedule(tmp_path: Path) -> None:
    """A cosine is not held against constant rates, nor a warm-up before its share is done."""
    text = SPACE.replace("search: {", "search: {schedule: [constant, cosine], warmup: [0, 0.2], ")
    space = builders.space(tmp_path, text.replace("trials: 4", "trials: 3"))
    halving = halving_of(space, "ab")
    halving.begin("c", SETTINGS | {"schedule": "cosine"})
    assert decide(halving, "a", 3, 0.9) is None
    assert decide(halving, "c", 3, 0.1, schedule="cosine") is None
    stop = decide(halving, "b", 3, 0.8)
    assert stop is not None and "1 of 2 trials go on" in str(stop.reason)
    assert halving.pauses(SETTINGS) == [3, 5, 8]
    # Two epochs of warm-up do the work of one, so that the rungs are at 2.7, 4.32 and 6.91 of 9.
    for schedule in ("constant", "cosine"):
        assert halving.pauses(SETTINGS | {"warmup": 0.2, "schedule": schedule}) == [4, 6, 8]
    # The first three of one cycle do the work of 1.56, so that they are at 2.57, 4.11 and 6.57.
    assert halving.pauses(SETTINGS | {"schedule": "onecycle"}) == [5, 6, 9]
    assert halving.pauses({"epochs": 20}) == [6, 10, 16]


def test_an_epoch_that_passes_two_rungs_is_one_pause(tmp_path: Path) -> None:
    """Rungs at 0.14, 0.224, 0.3584, 0.57344 of the epochs, and at 0.918, after which none is."""
    space = builders.space(
        tmp_path, "search: {epochs: [5, 50]}\nprune: {halving: {grace: 0.14}}\n"
    )
    halving = Halving(space)
    assert halving.rungs == pytest.approx([0.14, 0.224, 0.3584, 0.57344])
    assert halving.arrivals({"epochs": 5}) == [1, 2, 2, 3] == came_to(halving, 5)
    assert halving.pauses({"epochs": 5}) == [1, 2, 3]
    assert halving.arrivals({"epochs": 50}) == halving.pauses({"epochs": 50}) == [7, 12, 18, 29]
    assert halving.arrivals({"epochs": 2}) == [1, 1, 1] and halving.pauses({"epochs": 2}) == [1]


def came_to(halving: Halving, planned: int) -> list[int]:
    """After how many epochs a trial that runs came to each rung before its end."""
    found: list[int] = []
    halving.begin("one", {"epochs": planned})
    for epochs in range(1, planned):
        rows = [{halving.space.metric: 0.5}] * epochs
        if halving.enter("one", History(rows, {"epochs": planned})):
            found += [epochs] * (halving._standings["one"].rung + 1 - len(found))
    return found


def test_a_simulated_search_runs_as_many_epochs_as_the_rungs_say(space: SearchSpace) -> None:
    """One worker: 4 trials to 3 epochs, 2 of them to 5, and the better of these to 10."""
    runs = [
        Arrival(name, _constant(name, score))
        for name, score in (("a", 0.6), ("b", 0.9), ("c", 0.7), ("d", 0.8))
    ]
    outcome = simulate(runs, SchedulerPolicy(space, Odds(())), workers=1)
    assert [run.name for run in outcome.finished] == ["b"]
    assert outcome.epochs == 4 * 3 + 2 * 2 + 5
    assert {name: stop.rung for name, stop in outcome.stops.items()} == {"a": 3, "c": 3, "d": 5}
    assert {stop.rule for stop in outcome.stops.values()} == {"halving"}


def _constant(name: str, score: float, epochs: int = 10) -> Curve:
    rows = tuple(
        {"epoch": float(n), "val_acc": score, "train_loss": 0.5, "seconds": 1.0}
        for n in range(epochs)
    )
    return Curve(name, SETTINGS | {"epochs": epochs}, rows)


def _turned(curve: Curve) -> Curve:
    """The curve with the share of wrong answers as its loss, whose recorded ones are trends."""
    rows = (row | {"val_loss": 1 - row["val_acc"]} for row in curve.rows)
    return dataclasses.replace(curve, rows=tuple(rows))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize(("metric", "mode"), [("val_acc", "max"), ("val_loss", "min")])
@pytest.mark.parametrize("code", ["code1", "code2"])
def test_a_late_start_of_the_recorded_runs_is_kept(
    code: str, metric: str, mode: str, schedule: dict[str, Value]
) -> None:
    """The best run guesses for four epochs first, under any schedule and by another metric."""
    space, runs = recorded(code, metric, mode)
    turned = [_turned(run) for run in runs]
    best = max(turned, key=lambda run: space.objective.key(run.best(space.objective)))
    late = [_turned(delayed(run, 4)) if run.id == best.id else run for run in turned]
    row = compare([scheduled(run, schedule) for run in late], space, Orders(orders=4))[-1]
    assert row.policy == "halving and rules" and row.kept == 1


@pytest.mark.parametrize("code", ["code1", "code2"])
def test_a_loss_that_rises_again_takes_no_place_from_one_that_falls(code: str) -> None:
    """Of code 1, by their losses, run 6 leads until epoch 8 and 3 is the best from 22 on."""
    space, runs = recorded(code, "val_loss", "min")
    assert compare(runs, space, Orders(orders=8))[-1].kept == 1


def recorded(code: str, metric: str, mode: str) -> tuple[SearchSpace, list[Curve]]:
    """A shipped space of the study that is searched by a metric, and its runs."""
    space = dataclasses.replace(load(SPACES / f"{code}.yaml"), metric=metric, mode=mode)
    contests = by_protocol(read(SHIPPED), space)
    own = space.possible("protocol")[0]
    (runs,) = (runs for (protocol, _), runs in contests.items() if protocol == own)
    return space, runs
