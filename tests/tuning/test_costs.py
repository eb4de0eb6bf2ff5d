"""What a trial's net costs in use: from the worker to the journal, the tables and the callbacks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from simulated_ray import Workers
from tracked_search import SPACE, search

from facesiam.config import Value
from search import results
from search.runs.journal import read_trials
from search.runs.reuse import reusable_trials
from search.tracking.callback import Callback, recorded_trials


def cost_of(settings: Mapping[str, Value]) -> dict[str, float]:
    """A cost of its own for every learning rate."""
    lr = float(settings["lr"])
    return {"params": 1000, "macs": 10**9, "latency_ms": round(1e4 * lr, 3)}


class Told(Callback):
    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.costs: dict[str, Mapping[str, float]] = {}

    def on_trial_start(self, trial: str, settings: Mapping[str, Value]) -> None:
        self.events.append(("start", trial))

    def on_cost(self, trial: str, cost: Mapping[str, float]) -> None:
        self.events.append(("cost", trial))
        self.costs[trial] = cost

    def on_epoch(self, trial: str, record: Mapping[str, object]) -> None:
        self.events.append(("epoch", trial))


def test_a_cost_is_noted_once_before_the_first_epoch_and_told(tmp_path: Path) -> None:
    told = Told()
    recorder = search(tmp_path, [told])
    workers = Workers(recorder, 2)
    workers.cost_of = cost_of
    while workers.go():
        pass
    recorder.close()
    lines = [json.loads(text) for text in (tmp_path / "trials.jsonl").read_text().splitlines()]
    known = read_trials(tmp_path)
    assert len(known) == 6
    for name, line in known.items():
        assert line["cost"] == cost_of(line["settings"]) == told.costs[name]
        assert sum("cost" in each for each in lines if each["trial"] == name) == 1
        own = [event for event, trial in told.events if trial == name]
        assert own[:3] == ["start", "cost", "epoch"] and own.count("cost") == 1
    trials, _ = results.load(tmp_path)
    for row in trials.to_dict("records"):
        assert row["latency_ms"] == cost_of({"lr": row["lr"]})["latency_ms"]
    assert recorded_trials(tmp_path)["0001"].cost == known["0001"]["cost"]
    reused = reusable_trials([str(tmp_path)])
    assert all(one.cost == known[one.trial]["cost"] for one in reused.values())


def test_a_trial_that_goes_on_is_not_measured_again(tmp_path: Path) -> None:
    recorder = search(tmp_path, [])
    workers = Workers(recorder, 2)
    workers.cost_of = cost_of
    for _ in range(5):
        workers.go()
    known = {n: line["cost"] for n, line in read_trials(tmp_path).items() if "cost" in line}
    assert known
    told = Told()
    again = search(tmp_path, [told], text=SPACE)
    assert again.state.costs == known  # which the driver hands to their workers
    later = Workers(again, 2)
    later.cost_of = lambda settings: {"params": 1, "macs": 1, "latency_ms": 1.0}
    while later.go():
        pass
    again.close()
    costs = {name: line["cost"] for name, line in read_trials(tmp_path).items()}
    assert {name: costs[name] for name in known} == known
    assert sorted(told.costs) == sorted(costs.keys() - known.keys())
