"""No rule stops a good trial for its schedule or its metric: a twin of the leader, first of all.

Every schedule, every metric, all rules on and ASHA with them.
"""

from __future__ import annotations

import functools
import itertools
import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import builders
import pytest

from facesiam.config import TrialConfig
from facesiam.objective import Objective
from facesiam.training.schedules import learning_rate
from search.pruning.late_start import Odds
from search.pruning.recorded_runs import ACCURACY, shipped
from search.pruning.scheduler import Scheduler
from search.pruning.stop_decision import StopDecision
from search.space import SearchSpace

SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": {},
    "cosine": {"schedule": "cosine"},
    "onecycle": {"schedule": "onecycle"},
    "warm-up": {"warmup": 0.3},
    "warm-up and cosine": {"warmup": 0.1, "schedule": "cosine"},
    "a slow head": {"head_lr": 0.1},
    "frozen": {"freeze": True, "pretrained": True},
}
METRICS = {
    "val_acc": "max",
    "val_auc": "max",
    "val_loss": "min",
    "train_acc": "max",
    "train_loss": "min",
}
EPOCHS, PAIRS = 60, 2000
Level = Callable[[int, TrialConfig], float]
"""How well a trial does in an epoch, as a share of pairs judged right."""


def space(
    tmp_path: Path, metric: str = "val_acc", asha: str = "true", epochs: str = "[60]"
) -> SearchSpace:
    """A search for a metric, with all rules."""
    return builders.space(
        tmp_path,
        "search: {lr: [1e-5, 1e-4], schedule: [constant, cosine, onecycle], warmup: [0, 0.1, 0.3],"
        f" epochs: {epochs}}}\nmetric: {metric}\nprune: {{asha: {asha}}}\n",
    )


@functools.cache
def shares(schedule: str, warmup: float, epochs: int) -> list[float]:
    """The rate at the end of each epoch, as a share of `lr`."""
    config = TrialConfig(schedule=schedule, warmup=warmup, lr=1.0)
    return [learning_rate(config, (epoch + 0.999) / epochs) for epoch in range(epochs)]


def share(epoch: int, config: TrialConfig) -> float:
    """The rate at the end of an epoch, as a share of `lr`."""
    return shares(config.schedule, config.warmup, config.epochs)[epoch]


def worked(epoch: int, config: TrialConfig) -> float:
    """The sum of them so far."""
    return sum(shares(config.schedule, config.warmup, config.epochs)[: epoch + 1])


def anneals(epoch: int, config: TrialConfig) -> float:
    """Rises with what the rate has done, stands still, and rises as the rate falls."""
    return min(0.5 + 0.045 * worked(epoch, config), 0.91 - 0.12 * share(epoch, config))


def stands_then_rises(epoch: int, config: TrialConfig) -> float:
    """Stands still for 28 epochs and then gains seven points, as some nets do at any rate."""
    return min(0.5 + 0.045 * worked(epoch, config), 0.82 if epoch < 40 else 0.89)


def guesses(epoch: int, config: TrialConfig) -> float:
    """Is at chance, as 2,000 coins are."""
    return 0.5 + 0.01 * math.sin(epoch)


def stands(level: float) -> Level:
    """Is at this level from its third epoch on."""
    return lambda epoch, config: level - 0.05 * (epoch < 3)


def row(epoch: int, level: float) -> dict[str, Any]:
    """An epoch's metrics, all of one mind: so many of the pairs judged right."""
    skill = max(0.0, level - 0.5)
    return {
        "epoch": epoch,
        "val_acc": level,
        "val_auc": level + skill * (1 - level),
        "val_loss": math.log(2) - 2 * skill**2,
        "train_acc": 0.5 + skill,
        "val_pairs": PAIRS,
        "train_loss": math.log(2) - 2 * skill**2,
        "updates": 188,
        "trunk_grad_max": 0.1,
        "trunk_grad_zero": 0.0,
        "trunk_live": 0.5,
        "head_live": 0.5,
        "logit_spread": 3.0,
    }


class Runner:
    """Runs trials through a scheduler, an epoch at a time."""

    def __init__(self, searched: SearchSpace) -> None:
        self.scheduler = Scheduler(searched)
        self.done: dict[str, int] = {}

    def step(
        self, name: str, config: TrialConfig, level: Level, more: Any = None
    ) -> StopDecision | None:
        """Run the next epoch of a trial, which begins where it is new."""
        epoch = self.done.get(name, 0)
        if not epoch:
            self.scheduler.begin(name, config.to_dict())
        self.done[name] = epoch + 1
        measured = row(epoch, level(epoch, config)) | (more or {})
        return self.scheduler.observe(name, measured, last=epoch + 1 == config.epochs)

    def run(self, name: str, config: TrialConfig, level: Level) -> StopDecision | None:
        """Run a trial until it is stopped, or ends."""
        steps = (self.step(name, config, level) for _ in range(config.epochs))
        return next((stop for stop in steps if stop), None)


def config_of(changes: Mapping[str, Any], epochs: int = EPOCHS) -> TrialConfig:
    """A trial's settings."""
    return TrialConfig(**{"lr": 1e-4, "epochs": epochs, **changes})


@pytest.mark.parametrize("level", [anneals, stands_then_rises])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_an_identical_twin_of_the_leader_is_never_stopped(
    tmp_path: Path, schedule: str, metric: str, level: Level
) -> None:
    """Neither one that comes after it nor one that runs beside it, with others that are worse."""
    config = config_of(SCHEDULES[schedule])
    searched = space(tmp_path, metric)
    assert searched.mode == METRICS[metric]
    runner = Runner(searched)
    assert runner.run("leader", config, level) is None
    for number in range(3):
        runner.run(f"worse {number}", config, stands(0.6 + number / 20))
    assert runner.run("twin", config, level) is None
    beside = Runner(searched)
    for _, name in itertools.product(range(EPOCHS), ("leader", "twin")):
        assert beside.step(name, config, level) is None


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_nor_is_one_with_the_noise_of_its_pairs(tmp_path: Path, schedule: str) -> None:
    """Each epoch's accuracy is that of 2,000 drawn pairs. ASHA forgives half a standard error
    only, so it is left out: that it halves is what it is for."""
    config, searched = config_of(SCHEDULES[schedule]), space(tmp_path, asha="false")

    def noisy(seed: int) -> Level:
        rng = random.Random(seed)
        return lambda epoch, config: (
            sum(rng.random() < stands_then_rises(epoch, config) for _ in range(PAIRS)) / PAIRS
        )

    for seed in range(0, 6, 2):
        runner = Runner(searched)
        assert runner.run("leader", config, noisy(seed)) is None
        assert runner.run("twin", config, noisy(seed + 1)) is None


def rises(share: float, low: float) -> float:
    """The integral from 0 of a rate that goes from `low` to 1 along half a cosine."""
    return (1 + low) / 2 * share - (1 - low) * math.sin(math.pi * share) / (2 * math.pi)


FULL: dict[str, Callable[[float], float]] = {
    "constant": lambda done: done,
    "frozen": lambda done: done,
    "a slow head": lambda done: done / 10,
    "cosine": lambda done: done - rises(done, 0),
    "warm-up": lambda done: done**2 / 0.6 if done < 0.3 else done - 0.15,
    "onecycle": lambda done: (
        0.3 * rises(done / 0.3, 0.04)
        if done < 0.3
        else 0.156 + (done - 0.3) - 0.7 * rises((done - 0.3) / 0.7, 0)
    ),
    # In the warm-up, 10 t (1 + cos(pi t)) / 2 by parts.
    "warm-up and cosine": lambda done: (
        (
            lambda t: (
                5
                * (
                    t**2 / 2
                    + t * math.sin(math.pi * t) / math.pi
                    + (math.cos(math.pi * t) - 1) / math.pi**2
                )
            )
        )(min(done, 0.1))
        + max(0.0, done - 0.1 - rises(done, 0) + rises(0.1, 0))
    ),
}
"""Share of an epoch's work at the full rate that is done at this share of the schedule."""
RISING = {"warm-up": 18, "onecycle": 18, "warm-up and cosine": 6}
"""Epochs of 60 in which the rate rises."""


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_net_that_guesses_is_stopped_all_the_same(
    tmp_path: Path, schedule: str, metric: str
) -> None:
    """Once it has learned at the full rate for as long as the odds ask for, and at the highest.

    Where they are of other metrics than accuracy they ask for longer, so that the trial is to have
    240 epochs and not 60. A head that learns at a tenth of the rate is stopped in neither."""
    odds = Odds(shipped())
    judge = odds.judge(Objective(metric, METRICS[metric]))
    times = 1 if judge == ACCURACY else 4
    epochs = EPOCHS * times
    config = config_of(SCHEDULES[schedule], epochs)
    runner = Runner(space(tmp_path, metric, asha="false", epochs=f"[{epochs}]"))
    assert runner.run("leader", config, anneals) is None
    stop = runner.run("guesses", config, guesses)
    leader = judge.best(row(at, anneals(at, config))[judge.metric] for at in range(epochs))
    expected = None
    for epoch in reversed(range(RISING.get(schedule, 0) * times, epochs)):
        whole = math.floor(epochs * FULL[schedule]((epoch + 1) / epochs) + 1e-6)
        contest = "frontal-triplets", PAIRS
        ratio = odds.ratio(whole - 1, epochs, contest, leader, objective=judge)
        if whole and ratio is not None and 16 * ratio < (epochs - 1 - epoch) / epochs:
            expected = epoch
    assert (stop and stop.epoch) == expected
    assert (expected is None) == (schedule == "a slow head")
    assert not stop or stop.rule == "chance"


@pytest.mark.parametrize("metric", ["val_acc", "val_auc"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_what_stands_still_far_below_the_leader_is_stopped(
    tmp_path: Path, schedule: str, metric: str
) -> None:
    config = config_of(SCHEDULES[schedule])
    runner = Runner(space(tmp_path, metric, asha="false"))
    assert runner.run("leader", config, anneals) is None
    stop = runner.run("low", config, stands(0.6))
    assert stop and stop.rule == "plateau" and stop.epoch is not None
    # At a rate that falls not before a tenth of it: (1 + cos(pi x)) / 2 = 0.1 at x = 0.795, and
    # in onecycle at 0.3 + 0.7 x = 0.857.
    first = {
        "constant": 23,
        "cosine": 47,
        "onecycle": 51,
        "warm-up and cosine": 47,
    }.get(schedule, 23)
    assert first <= stop.epoch <= first + 9


def test_plateau_waits_for_a_rate_that_has_yet_to_fall(tmp_path: Path) -> None:
    """The leader is of another schedule, and nothing of this one is known."""
    for changes in (SCHEDULES["cosine"], SCHEDULES["onecycle"]):
        runner = Runner(space(tmp_path, asha="false"))
        assert runner.run("leader", config_of({}), stands(0.87)) is None
        late: Level = lambda epoch, config: 0.91 if share(epoch, config) < 0.15 else 0.8  # noqa: E731
        assert runner.run("late", config_of(changes), late) is None


def test_plateau_counts_no_epochs_of_a_rate_that_rises(tmp_path: Path) -> None:
    """18 epochs of warm-up come to half of them in number: from epoch 2, at a sum of 0.25 epochs,
    9 - 0.25 are done at their end, and 20 with epoch 29."""
    runner = Runner(space(tmp_path, asha="false"))
    assert runner.run("leader", config_of({}), stands(0.87)) is None
    stop = runner.run("low", config_of({"warmup": 0.3}), lambda epoch, _: 0.7 - 0.1 * (epoch < 2))
    assert stop and stop.rule == "plateau" and stop.epoch == 29


def test_asha_compares_trials_of_one_schedule_at_the_same_share_of_it(tmp_path: Path) -> None:
    """A short trial at its end, its rate at 0, says nothing against a long one in its middle."""
    runner = Runner(space(tmp_path, asha="{grace: 3, factor: 2}", epochs="[20, 60]"))
    cosine = SCHEDULES["cosine"]
    for number in range(3):
        assert runner.run(f"short {number}", config_of(cosine, 20), anneals) is None
    assert runner.run("long", config_of(cosine, 60), anneals) is None


def test_asha_compares_no_rising_rate_with_one_at_its_height(tmp_path: Path) -> None:
    for name in ("onecycle", "warm-up", "warm-up and cosine"):
        runner = Runner(space(tmp_path, asha="{grace: 3, factor: 2}"))
        for number in range(4):
            assert runner.run(f"constant {number}", config_of({}), anneals) is None
        assert runner.run(name, config_of(SCHEDULES[name]), anneals) is None


@pytest.mark.parametrize("metric", METRICS)
def test_a_net_that_ranks_the_pairs_does_not_guess(tmp_path: Path, metric: str) -> None:
    """It calls all pairs the same, so that its accuracy is a half."""
    runner, config = Runner(space(tmp_path, metric, asha="false")), config_of({})
    assert runner.run("leader", config, anneals) is None
    for epoch in range(EPOCHS):
        more = {"val_acc": 0.5, "val_auc": 0.97, "val_loss": 0.75}
        stop = runner.step("ranks", config, lambda epoch, _: 0.9, more)
        # What is searched for does stand still, unless its values are close to the leader's.
        assert stop is None or stop.rule == "plateau", epoch


@pytest.mark.parametrize(
    ("metric", "more"),
    [
        # ln 2 less (ln(60 / 0.0001) + ln(sqrt(1000 pi))) / 2000 = 0.6931 - 0.0087.
        ("val_loss", {"val_loss": 0.684}),
        ("train_acc", {"train_acc": 0.6}),
        ("train_loss", {"train_loss": 0.4}),
    ],
)
def test_a_search_for_another_measure_has_its_own_proof_of_learning(
    tmp_path: Path, metric: str, more: dict[str, float]
) -> None:
    for sought, going in ((metric, True), ("val_acc", False)):
        runner, config = Runner(space(tmp_path, sought, asha="false")), config_of({})
        assert runner.run("leader", config, anneals) is None
        stops = [runner.step("a", config, guesses, more) for _ in range(EPOCHS)]
        rules = {stop.rule for stop in stops if stop}
        assert rules <= ({"plateau"} if going else {"chance"}) and (going or rules), sought


def test_a_validation_loss_of_infinity_is_one_bad_answer(tmp_path: Path) -> None:
    """The trial ranks its pairs; and a NaN among its logits is the end of it."""
    for auc, ends in ((0.9, False), (math.nan, True)):
        runner = Runner(space(tmp_path))
        more = {"val_loss": math.inf, "val_auc": auc}
        stop = runner.step("a", config_of({}), stands(0.85), more)
        assert (stop is not None) == ends
