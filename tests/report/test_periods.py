"""When each trial ran, as the page's timeline takes it from the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import builders

from facesiam.config import TrialConfig
from search.report.measures import measure
from search.report.periods import Clock, periods
from search.report.progress import best_so_far
from search.report.report_data import read

SPACE = "fixed: {net: alexnet, epochs: 3}\nsearch: {lr: [1e-4, 1e-3]}\n"
SETTINGS = TrialConfig(net="alexnet", epochs=3).to_dict()
RAN = {
    "ran": [{"epoch": 0, "device": "cpu", "threads": 1, "precision": "fp32", "processor": "AVX2"}],
    "key": "k",
}
SPARED = {"control": True, "stop_rule": "asha", "stop_reason": "not among the best"}


def written(folder: Path, *events: dict[str, Any]) -> Path:
    """A run of trial 0001, of which these events were noted: an epoch of 10 s, or a line of it."""
    trials: list[dict[str, Any]] = []
    epochs: list[dict[str, Any]] = []
    for n, event in enumerate(events, 1):
        if "status" in event:
            trials.append({"trial": "0001", "row": None, "n": n} | event)
        else:
            line = builders.epoch(event["epoch"], 0.5 + 0.1 * event["epoch"]) | {"seconds": 10.0}
            epochs.append({"trial": "0001", **line, "n": n})
    folder.mkdir()
    (folder / "manifest.json").write_text('{"name": "run", "data": {}}')
    return builders.write_run(folder, trials, epochs, SPACE)


def status(name: str, time: float, **more: Any) -> dict[str, Any]:
    settings = {} if "ran" in more else {"settings": SETTINGS}
    return {"status": name, "time": time} | settings | more


def epoch(number: int) -> dict[str, Any]:
    return {"epoch": number}


def test_what_is_noted_of_a_running_trial_begins_no_new_period(tmp_path: Path) -> None:
    run = written(
        tmp_path / "run",
        status("running", 100.0),
        status("running", 125.0, **RAN),
        epoch(0),
        epoch(1),
        status("running", 135.0, stop_epoch=1, **SPARED),
        epoch(2),
        status("done", 150.0, stop_epoch=1, machine="node", **SPARED),
    )
    (one,) = periods(run)
    assert (one.start, one.end, one.machine) == (100.0, 150.0, "node")
    assert [line["epoch"] for line in one.epochs] == [0, 1, 2]
    assert one.times() == [130.0, 140.0, 150.0]
    by_hour = best_so_far(read(run), measure("val_acc"), [one])[1]
    assert by_hour.figure["data"][0]["x"] == [round(50 / 60, 4)]  # the best was the last epoch


def test_a_trial_whose_driver_was_killed_ran_until_its_last_epoch(tmp_path: Path) -> None:
    run = written(
        tmp_path / "run",
        status("running", 100.0),
        status("running", 110.0, **RAN),
        epoch(0),
        status("running", 110.0, stop_epoch=0, **SPARED),
        epoch(1),
        status("running", 900.0, stop_epoch=0, **SPARED),
        epoch(2),
        status("done", 910.0),
    )
    first, second = periods(run)
    assert (first.start, first.end, len(first.epochs)) == (100.0, 120.0, 2)
    assert (second.start, second.end, len(second.epochs)) == (900.0, 910.0, 1)
    assert Clock([first, second]).at(910.0) == 0.5  # minutes of work
