"""The recorder, told by hand what Ray would tell it: which weights stay, what is taken up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from search import results
from search.board import Board
from search.journal import read_trials
from search.recorder import EPOCH_FIELDS, Recorder
from search.space import load

SPACE = """
fixed: {epochs: 2}
search: {lr: {low: 1e-5, high: 1e-1, log: true}}
trials: 6
prune: {asha: {grace: 1, factor: 2}}
"""


def recorder(run: Path, text: str = SPACE) -> Recorder:
    """A recorder on a run folder, new or from an earlier session."""
    (run / "space.yaml").write_text(text)
    space = load(run / "space.yaml")
    console = Console(quiet=True)
    return Recorder(space, run, Board(space.count(), space.metric, space.mode, console))


def play(recorder: Recorder, scores: list[float], end: str = "complete") -> str:
    """Run the next trial with these validation accuracies, as Ray would; return its id."""
    suggestion = recorder.next()
    assert suggestion is not None
    trial: Any = SimpleNamespace(
        trial_id="ray-id", config={"trial": suggestion.trial},
        get_error=lambda: "Traceback\nValueError: broken\n",
    )
    recorder.scheduler.on_trial_add(None, trial)
    recorder.on_trial_start(0, [], trial)
    for epoch, score in enumerate(scores):
        weights = recorder.run / "weights" / f"{suggestion.trial}.pt"
        weights.parent.mkdir(exist_ok=True)
        weights.touch()
        row = dict.fromkeys(EPOCH_FIELDS, 0.5) | {
            "epoch": epoch, "val_acc": score, "val_loss": 1 - score, "val_pairs": 100,
        }
        recorder.on_trial_result(0, [], trial, row)
    if end == "complete":
        recorder.on_trial_complete(0, [], trial)
    elif end == "error":
        recorder.on_trial_error(0, [], trial)
    return suggestion.trial


def kept(run: Path) -> list[str]:
    """The trials whose weights are there."""
    return sorted(path.stem for path in (run / "weights").iterdir())


@pytest.mark.parametrize("mode", ["", "metric: val_loss\nmode: min\n"])
def test_the_weights_that_stay_are_those_of_the_first_rank(tmp_path: Path, mode: str) -> None:
    live = recorder(tmp_path, SPACE + mode)
    for scores in ([0.7, 0.8], [0.8, 0.7], [0.6, 0.7]):  # a tie: the earlier epoch ranks first
        play(live, scores)
        trials, _ = results.load(tmp_path)
        assert kept(tmp_path) == [trials["trial"].iloc[0]]
    assert kept(tmp_path) == ["0002"]


def test_a_resume_keeps_the_best_weights_whatever_the_order(tmp_path: Path) -> None:
    first = recorder(tmp_path)
    for scores in ([0.6, 0.6], [0.9, 0.8], [0.7, 0.9]):
        play(first, scores)
    assert kept(tmp_path) == ["0002"]
    second = recorder(tmp_path)
    assert second.best is not None and second.best[2] == "0002" and kept(tmp_path) == ["0002"]
    play(second, [0.5, 0.6])
    assert kept(tmp_path) == ["0002"]


def test_a_resume_takes_up_what_was_not_done_and_nothing_else(tmp_path: Path) -> None:
    first = recorder(tmp_path)
    done = play(first, [0.6, 0.7])
    failed = play(first, [0.6], end="error")
    running = play(first, [0.65], end="")
    ended_unnoted = play(first, [0.6, 0.61], end="")  # killed after its last epoch
    settings = {name: line["settings"] for name, line in read_trials(tmp_path).items()}
    second = recorder(tmp_path)
    taken = []
    while suggestion := second.next():
        taken.append(suggestion.trial)
        if suggestion.trial in settings:
            assert suggestion.settings == settings[suggestion.trial]
    assert taken == [failed, running, "0005", "0006"]
    status = {name: line["status"] for name, line in read_trials(tmp_path).items()}
    assert status[done] == status[ended_unnoted] == "done"


def test_a_resume_knows_the_rungs_and_what_tpe_was_told(tmp_path: Path) -> None:
    first = recorder(tmp_path)
    for scores in ([0.6, 0.7], [0.8, 0.9]):
        play(first, scores)
    second = recorder(tmp_path)
    assert first.suggester._study is not None and second.suggester._study is not None
    told = [
        [(t.params, t.value, t.state) for t in one.suggester._study.trials]
        for one in (first, second)
    ]
    assert told[0] == told[1] and [value for _, value, _ in told[0]] == [0.7, 0.9]
    expected = {1: {"0001": 0.6, "0002": 0.8}, 2: {"0001": 0.7, "0002": 0.9}}
    assert second.scheduler.asha is not None
    assert dict(second.scheduler.asha._trial_info["0001"]._rungs) == expected


def test_a_failed_trial_says_why_and_keeps_its_state(tmp_path: Path) -> None:
    live = recorder(tmp_path)
    state = tmp_path / "state" / "0001.pt"
    state.parent.mkdir()
    state.touch()
    play(live, [0.6], end="error")
    line = read_trials(tmp_path)["0001"]
    assert (line["status"], line["stop_reason"]) == ("failed", "ValueError: broken")
    assert state.exists()


def test_what_still_runs_at_the_end_is_interrupted(tmp_path: Path) -> None:
    live = recorder(tmp_path)
    play(live, [0.6], end="")
    assert live.close() is False
    assert read_trials(tmp_path)["0001"]["status"] == "interrupted"
