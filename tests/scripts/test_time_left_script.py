"""How scripts/time_left.py compares the estimate with the time that was really left."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from builders import script

from search.pruning import recorded_runs
from search.pruning.contests import by_protocol
from search.pruning.late_start import Odds
from search.pruning.simulator import random_order

time_left = script("time_left")
Event = time_left.Event


def test_the_estimate_is_divided_by_what_was_left() -> None:
    """Three trials of four epochs, one after the other, the second stopped after its first."""
    events = []
    for name, began, done in (("a", 0, 4), ("b", 40, 1), ("c", 50, 4)):
        events.append(Event(began, "start", name, 4))
        events += [Event(began + 10 * n, "epoch", name, n) for n in range(1, done + 1)]
        events.append(Event(began + 10 * done, "end", name, 0))
    # At 22.5 s: 17.5 s of a, 40 s each of the others. At 45 s: 35 s of b, 40 s of c. At 67.5 s: c.
    assert time_left.ratios(events) == [97.5 / 67.5, 75 / 45, 22.5 / 22.5]


def test_a_journal_has_its_epochs_between_start_and_end(tmp_path: Path) -> None:
    trials = [
        {"trial": "1", "status": "running", "time": 100.0, "settings": {"epochs": 3}},
        {"trial": "1", "status": "stopped", "time": 130.0},
    ]
    epochs = [{"trial": "1", "seconds": 8.0}, {"trial": "1", "seconds": 4.0}]
    for name, rows in (("trials", trials), ("epochs", epochs)):
        text = "".join(f"{json.dumps(row)}\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(text)
    assert list(time_left.of_journal(tmp_path)) == [
        Event(100.0, "start", "1", 3),
        Event(120.0, "epoch", "1", 1),
        Event(130.0, "epoch", "1", 2),
        Event(130.0, "end", "1", 0),
    ]


@pytest.mark.parametrize("rule", ["ASHA", "halving"])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_simulated_search_never_has_more_trials_than_workers(rule: str, workers: int) -> None:
    searched = time_left.spaces()[rule]
    runs = by_protocol(recorded_runs.read(recorded_runs.SHIPPED), searched)
    curves = next(runs for key, runs in runs.items() if key[0] == "cfp-pairs")
    odds = Odds(recorded_runs.shipped(), own=True)
    events = time_left.simulated(random_order(curves, 0, 0), searched, odds, workers)
    kinds = Counter(event.kind for event in events)
    assert kinds["start"] == kinds["end"] + kinds["pause"] and (kinds["pause"] > 0) == (
        rule == "halving"
    )
    assert len({event.trial for event in events if event.kind == "start"}) == len(curves) == 6
    assert [event.time for event in events] == sorted(event.time for event in events)
    running, most = set[str](), 0
    for event in events:
        if event.kind == "start":
            running.add(event.trial)
        elif event.kind in ("pause", "end"):
            running.remove(event.trial)
        most = max(most, len(running))
    assert most == workers and not running
