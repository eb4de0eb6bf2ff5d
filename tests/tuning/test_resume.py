"""A search that dies anywhere and is taken up goes on as if nothing had happened."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from replayed import cut, state
from simulated_ray import Workers, metrics, recorder

from search.pruning.asha import Asha
from search.pruning.stop_decision import StopDecision
from search.runs.journal import read_epochs, read_trials

SEARCH = """
fixed: {epochs: 6}
search: {lr: {low: 1e-5, high: 1e-1, log: true}, join: [concat, difference]}
algorithm: tpe
trials: 16
prune: {asha: {grace: 1, factor: 2}, plateau: {patience: 2}, control: 0.3}
"""
ENDED_EARLY = f"{SEARCH}stop_when: {{gain: 8}}\n"
HALVING = SEARCH.replace("asha: {grace: 1, factor: 2}", "halving: {grace: 0.3}")
HALVING_ENDED_EARLY = HALVING.replace("trials: 16", "trials: 24") + "stop_when: {gain: 10}\n"


@pytest.mark.parametrize(
    ("workers", "algorithm", "each", "search", "late"),
    # Optuna's samplers take ten times as long to replay, and are told of ends alone.
    [
        (1, "tpe", 1, SEARCH, False),
        (4, "tpe", 1, SEARCH, False),
        (4, "nsga2", 4, SEARCH, False),
        (4, "cmaes", 4, SEARCH, False),
        (4, "tpe", 1, ENDED_EARLY, False),
        (1, "tpe", 1, HALVING, False),
        (8, "tpe", 1, HALVING, True),
        (4, "tpe", 1, HALVING_ENDED_EARLY, True),
    ],
)
def test_a_resumed_session_knows_what_the_killed_one_knew(
    tmp_path: Path, workers: int, algorithm: str, each: int, search: str, late: bool
) -> None:
    """After every line of the journal: rungs, cutoffs, leaders, the sampler, and who runs."""
    run, search = tmp_path / "run", search.replace("algorithm: tpe", f"algorithm: {algorithm}")
    run.mkdir()
    live = recorder(run, search)
    ray = Workers(live, workers, late=late)
    states = {0: state(live)}
    while ray.go():
        states[live.record.journal.number] = state(live)
    status = [line["status"] for line in read_trials(run).values()]
    assert {"done", "stopped"} == set(status) and live.state.scheduler.controls
    rules = {line["stop_rule"] for line in read_trials(run).values()}
    assert {"halving" if search.count("halving") else "asha", "diverged"} <= rules
    assert bool(live.table.ended_by) == bool(search.count("stop_when"))
    for lines in range(0, live.record.journal.number + 1, each):
        cut(run, tmp_path / "cut", lines)
        known = state(recorder(tmp_path / "cut", search))
        # Killed within an event, it knows what it would have known after it: the decision is
        # made again. A trial that was only handed out is one that starts.
        after = states[min(n for n in states if n >= lines)]
        before = states[max(n for n in states if n <= lines)]
        assert known in (after, before), lines


@pytest.mark.parametrize(
    "search",
    [SEARCH, HALVING, ENDED_EARLY, HALVING_ENDED_EARLY],
    ids=["asha", "halving", "stop_when", "halving and stop_when"],
)
def test_a_resumed_search_ends_like_one_that_was_never_interrupted(
    tmp_path: Path, search: str
) -> None:
    """One worker, killed again and again after any number of lines."""
    (tmp_path / "whole").mkdir()
    whole = recorder(tmp_path / "whole", search)
    ray = Workers(whole, 1)
    while ray.go():
        pass
    expected, rng = state(whole), random.Random(1)
    for trial in range(5):
        run, ran = tmp_path / f"run{trial}", list[tuple[str, int]]()
        run.mkdir()
        deaths = 0
        while True:
            session = Workers(recorder(run, search), 1)
            steps = rng.randrange(1, 40)
            while steps and session.go():
                steps -= 1
            ran += session.ran
            if steps:
                break
            deaths += 1
            # Up to two lines are lost with the driver.
            number = session.recorder.record.journal.number
            cut(run, tmp_path / "cut", number - rng.randrange(3))
            shutil.rmtree(run)
            (tmp_path / "cut").rename(run)
        assert deaths >= 2
        assert state(session.recorder) == expected
        assert read_epochs_without_n(run) == read_epochs_without_n(tmp_path / "whole")
        again = len(ran) - len(set(ran))
        assert again <= 2 * deaths


def read_epochs_without_n(run: Path) -> Any:
    """The epochs of a run, without the numbers of their lines."""
    found = json.dumps(read_epochs(run))  # NaN equals itself as text
    for row in (lines := json.loads(found)).values():
        for epoch in row:
            del epoch["n"]
    return json.dumps(lines)


def test_an_epoch_that_is_run_again_is_not_judged_again(tmp_path: Path) -> None:
    """By what has come since, it would be stopped: it was let pass when it was alone."""
    text = SEARCH.replace("control: 0.3", "control: 0").replace("grace: 1", "grace: 2")
    live = recorder(tmp_path, text)
    ray = Workers(live, 2)
    ray.go(), ray.go()
    first, second = ray.trials.values()
    for trial, score in ((first, 0.6), (second, 0.9)):
        for epoch in range(2):
            row = metrics("x", {"lr": 1e-3}, epoch) | {"val_acc": score}
            assert live.state.scheduler.on_trial_result(None, trial, row) == "CONTINUE"
            live.on_trial_result(0, [], trial, row)
    again = metrics("x", {"lr": 1e-3}, 1) | {"val_acc": 0.6}
    assert live.state.scheduler.on_trial_result(None, first, again) == "CONTINUE"
    later = metrics("x", {"lr": 1e-3}, 2) | {"val_acc": 0.6}
    assert live.state.scheduler.on_trial_result(None, first, later) == "STOP"


def test_an_epoch_that_was_noted_twice_is_replayed_as_it_was_judged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SEARCH.replace("control: 0.3", "control: 0, chance: false")
    live = recorder(tmp_path, text)
    ray = Workers(live, 1)
    ray.go()
    (trial,) = ray.trials.values()
    name, settings = trial.config["trial"], trial.config["settings"]
    for epoch in (0, 1, 2, 1, 2):  # its worker died after the third, and its state was older
        live.on_trial_result(0, [], trial, metrics(name, settings, epoch))
    asked: list[int] = []
    decide = Asha.decide

    def counted(self: Asha, trial: str, age: float, *given: Any) -> Any:
        asked.append(int(age))
        return decide(self, trial, age, *given)

    monkeypatch.setattr(Asha, "decide", counted)
    second = recorder(tmp_path, text)
    assert asked == [1, 2, 3] and second.state.epochs_noted(name) == 3


def test_a_death_between_the_last_epoch_and_its_verdict_stops_the_trial_all_the_same(
    tmp_path: Path,
) -> None:
    text = SEARCH.replace("control: 0.3", "control: 0")
    live = recorder(tmp_path, text)
    ray = Workers(live, 1)
    ray.go()
    (trial,) = ray.trials.values()
    row = metrics("x", {"lr": 1e-3}, 0) | {"train_loss": float("nan")}
    live.on_trial_result(0, [], trial, row)  # killed before it was noted as stopped
    second = recorder(tmp_path, text)
    assert second.state.waiting == []
    line = read_trials(tmp_path)[trial.config["trial"]]
    assert line["status"] == "stopped" and line["stop_rule"] == "diverged"
    assert StopDecision(*(line[f"stop_{name}"] for name in StopDecision._fields)).epoch == 0
