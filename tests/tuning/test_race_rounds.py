"""The rounds of a race in the state of its search: who trains next, live and after a kill."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from raced_runs import write_race

from search.runs import layout
from search.tuning import journal_replay
from search.tuning.search_state import SearchState

CLOSE = {"0001": [0.80, 0.84, 0.79], "0002": [0.81, 0.80, 0.80], "0003": [0.50, 0.51, 0.50]}


@pytest.fixture
def state(tmp_path: Path) -> SearchState:
    """A race of three finalists with up to three seeds, in which nothing has begun."""
    folder = write_race(tmp_path / "code2-race", {name: [] for name in CLOSE}, seeds=3)
    return SearchState(layout.space(folder))


def begin_all(state: SearchState) -> list[str]:
    """Begin every training that may begin now; return them."""
    begun = []
    while (suggestion := state.next_trial(lambda trial: True)) is not None:
        state.scheduler.begin(suggestion.trial, suggestion.settings)
        begun.append(suggestion.trial)
    return begun


def end(state: SearchState, row: str, score: float, status: str = "done") -> None:
    state.scheduler.add_epoch(row, {"epoch": 0, "val_acc": score, "val_pairs": 1000})
    state.end(row, status, None)


def test_two_rounds_begin_at_once_and_the_next_one_without_the_losers(state: SearchState) -> None:
    first = begin_all(state)
    assert first == [f"{name}-s{seed}" for seed in (1, 2) for name in CLOSE]
    for row in first[:-1]:
        end(state, row, CLOSE[row[:4]][int(row[-1]) - 1])
        assert (begin_all(state), state.exhausted) == ([], False)
    end(state, first[-1], 0.51)
    assert begin_all(state) == ["0001-s3", "0002-s3"]
    end(state, "0001-s3", 0.79)
    assert (begin_all(state), state.exhausted) == ([], False)
    end(state, "0002-s3", 0.80)
    assert (begin_all(state), state.exhausted) == ([], True)


def test_a_race_without_noise_is_over_after_two_rounds(state: SearchState) -> None:
    for row in begin_all(state):
        end(state, row, {"0001": 0.9, "0002": 0.8, "0003": 0.7}[row[:4]])
    assert (begin_all(state), state.exhausted) == ([], True)


def test_a_failed_training_does_not_hold_up_the_race(state: SearchState) -> None:
    for row in begin_all(state):
        failed = row == "0001-s2"
        end(state, row, CLOSE[row[:4]][int(row[-1]) - 1], "failed" if failed else "done")
    assert begin_all(state) == ["0001-s3", "0002-s3"]  # 0001 has a single score, and stays in


def test_the_journal_of_a_killed_race_leads_to_the_same_next_training(tmp_path: Path) -> None:
    folder = write_race(tmp_path / "code2-race", {k: v[:2] for k, v in CLOSE.items()}, seeds=3)
    state = journal_replay.replay(layout.space(folder), folder)
    assert begin_all(state) == ["0001-s3", "0002-s3"]
    for name in ("trials.jsonl", "epochs.jsonl"):
        lines = (folder / name).read_text().splitlines()
        kept = [line for line in lines if json.loads(line)["n"] <= 4 * 5]
        (folder / name).write_text("".join(f"{line}\n" for line in kept))
    state = journal_replay.replay(layout.space(folder), folder)
    assert begin_all(state) == ["0002-s2", "0003-s2"]


def test_a_training_that_diverged_counts_as_the_worst_of_all(state: SearchState) -> None:
    for row in begin_all(state):
        if row.startswith("0003"):
            state.end(row, "stopped", "diverged")
        else:
            end(state, row, CLOSE[row[:4]][int(row[-1]) - 1])
    assert begin_all(state) == ["0001-s3", "0002-s3"]
