"""Rules on histories written by hand, and the adapter that puts them before ASHA."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search import options
from search.pruners import RULES, Scheduler, diverged
from search.space import SearchSpace, load

SPACE = """
fixed: {epochs: 9}
search: {lr: {low: 1e-6, high: 1e-2, log: true}}
prune: {asha: {grace: 1, factor: 3}, diverged: true}
"""


def space(tmp_path: Path, text: str = SPACE) -> SearchSpace:
    """The space of a text."""
    file = tmp_path / "space.yaml"
    file.write_text(text)
    return load(file)


def row(epoch: int, val_acc: float, loss: float = 0.5) -> dict[str, Any]:
    """One epoch's metrics."""
    return {"epoch": epoch, "val_acc": val_acc, "train_loss": loss, "val_loss": loss}


def feed(scheduler: Scheduler, name: str, scores: list[float]) -> str:
    """Run a trial until it is stopped or its scores end; return the last decision."""
    trial = SimpleNamespace(trial_id=f"ray-{name}", config={"trial": name})
    scheduler.on_trial_add(None, trial)
    decision = "CONTINUE"
    for epoch, score in enumerate(scores):
        decision = scheduler.on_trial_result(None, trial, row(epoch, score))
        if decision == "STOP":
            break
    return decision


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        (0.69, None),
        (math.nan, "train_loss is nan at epoch 1"),
        (math.inf, "train_loss is inf at epoch 1"),
    ],
)
def test_diverged(loss: float, reason: str | None) -> None:
    assert diverged([row(0, 0.5), row(1, 0.5, loss)]) == reason
    assert RULES["diverged"] is diverged and set(RULES) == set(options.RULES)


def test_diverged_looks_at_the_validation_loss_too() -> None:
    assert diverged([row(0, 0.5) | {"val_loss": -math.inf}]) == "val_loss is -inf at epoch 0"


def test_a_rule_stops_a_trial_and_says_why(tmp_path: Path) -> None:
    scheduler = Scheduler(space(tmp_path))
    trial = SimpleNamespace(trial_id="x", config={"trial": "0001"})
    scheduler.on_trial_add(None, trial)
    assert scheduler.on_trial_result(None, trial, row(0, 0.5)) == "CONTINUE"
    assert scheduler.on_trial_result(None, trial, row(1, 0.5, math.nan)) == "STOP"
    assert scheduler.stops["0001"] == ("diverged", "train_loss is nan at epoch 1")


def test_asha_stops_what_falls_below_the_rungs_cutoff_and_says_why(tmp_path: Path) -> None:
    scheduler = Scheduler(space(tmp_path))
    assert feed(scheduler, "a", [0.6]) == "CONTINUE"  # the first at a rung has no peers
    assert feed(scheduler, "b", [0.9]) == "CONTINUE"
    # Of 0.6 and 0.9 the top third begins at 0.6 + 2/3 · 0.3 = 0.8.
    assert feed(scheduler, "c", [0.7]) == "STOP"
    assert scheduler.stops["c"] == (
        "asha", "best val_acc 0.7000 after 1 epochs, cutoff 0.8000 of 2 peers"
    )


def test_asha_counts_the_best_score_so_far(tmp_path: Path) -> None:
    scheduler = Scheduler(space(tmp_path))
    for name, scores in (("a", [0.9, 0.9, 0.9]), ("b", [0.9, 0.9, 0.6])):
        assert feed(scheduler, name, scores) == "CONTINUE"
    # At the rung of 3 epochs "b" entered its best, 0.9: so 0.89 is below the cutoff.
    assert feed(scheduler, "c", [0.95, 0.95, 0.95]) == "CONTINUE"
    assert scheduler.asha is not None
    rungs = dict(scheduler.asha._trial_info["c"]._rungs)
    assert rungs[3] == {"a": 0.9, "b": 0.9, "c": 0.95}


def test_a_minimised_metric_is_turned_round(tmp_path: Path) -> None:
    scheduler = Scheduler(space(tmp_path, SPACE + "metric: val_loss\nmode: min\n"))
    trials = [SimpleNamespace(trial_id=n, config={"trial": n}) for n in "abc"]
    decisions = []
    for trial, loss in zip(trials, (0.3, 0.6, 0.5), strict=True):
        scheduler.on_trial_add(None, trial)
        decisions.append(scheduler.on_trial_result(None, trial, row(0, 0.5, loss)))
    assert decisions == ["CONTINUE", "STOP", "STOP"]
    assert "cutoff 0.4000 of 2 peers" in scheduler.stops["c"].reason


def test_rungs_are_replayed_from_the_journal(tmp_path: Path) -> None:
    live, resumed = Scheduler(space(tmp_path)), Scheduler(space(tmp_path))
    histories = {"a": [0.6, 0.7, 0.7], "b": [0.9, 0.9], "c": [0.95, 0.95, 0.95]}
    for name, scores in histories.items():
        feed(live, name, scores)
        resumed.replay(name, [row(epoch, score) for epoch, score in enumerate(scores)], None)
    assert live.asha and resumed.asha
    assert resumed.asha._trial_info["a"]._rungs == live.asha._trial_info["a"]._rungs
    assert feed(resumed, "d", [0.7]) == feed(live, "d", [0.7]) == "STOP"
    assert resumed.stops == live.stops


def test_an_epoch_that_is_run_again_replaces_what_it_was(tmp_path: Path) -> None:
    scheduler = Scheduler(space(tmp_path))
    for epoch, score in ((0, 0.5), (1, 0.6), (2, 0.7), (1, 0.65)):
        scheduler.enter("a", row(epoch, score))
    assert [r["val_acc"] for r in scheduler.histories["a"]] == [0.5, 0.65]


def test_rows_run_to_their_end(tmp_path: Path) -> None:
    text = SPACE + "rows: {A: {settings: {lr: 1e-5}}}\nalgorithm: rows\n"
    scheduler = Scheduler(space(tmp_path, text))
    assert scheduler.asha is None and list(scheduler.rules) == ["diverged"]


def test_a_loss_that_breaks_in_the_last_epoch_is_not_called_done(tmp_path: Path) -> None:
    scheduler = Scheduler(space(tmp_path))
    trial = SimpleNamespace(trial_id="x", config={"trial": "0001"})
    scheduler.on_trial_add(None, trial)
    scheduler.on_trial_complete(None, trial, row(8, 0.5, math.nan))  # all that Ray calls then
    assert scheduler.stops["0001"] == ("diverged", "train_loss is nan at epoch 8")


def test_what_a_rule_stops_counts_in_the_first_rung(tmp_path: Path) -> None:
    """8 trials that diverge early and 8 good ones: ASHA may not be harsher for it."""
    text = SPACE.replace("grace: 1, factor: 3", "grace: 4, factor: 2")
    good = [0.88 - 0.04 * n for n in range(8)]

    def lost(early: bool) -> int:
        scheduler = Scheduler(space(tmp_path, text))
        for n in range(8):
            trial = SimpleNamespace(trial_id=f"d{n}", config={"trial": f"d{n}"})
            scheduler.on_trial_add(None, trial)
            for epoch in range(4):
                loss = math.nan if early and epoch == 2 else 0.7
                if scheduler.on_trial_result(None, trial, row(epoch, 0.5, loss)) == "STOP":
                    break
        return sum(feed(scheduler, f"g{n}", [score] * 4) == "STOP" for n, score in enumerate(good))

    assert lost(early=False) == 0  # what ASHA alone would do
    assert lost(early=True) == 0
