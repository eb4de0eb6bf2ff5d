"""`stop_when`: the search ends where too little is to be gained, and stays ended on a resume."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulated_ray import Workers, play, recorder

from search.cli.run_parser import read_options
from search.runs.journal import read_trials
from search.space.file_dump import dump
from search.space.run_options import RunOptions
from search.tuning.asked_space import resolve
from search.tuning.recorder import Recorder

SPACE = """
fixed: {epochs: 2}
search: {lr: {low: 1e-5, high: 1e-1, log: true}}
algorithm: random
trials: 40
prune: false
stop_when: {gain: 1.5}
"""
SCORES = [0.80, 0.81, 0.805, 0.802, 0.803, 0.81, 0.807, 0.806]


def run_to_its_end(live: Recorder) -> int:
    """Run trials of these scores, over and over, until no other begins; return how many ran."""
    count = 0
    while not live.over() and count < 60:
        if live.state.exhausted or live.state.sampler.handed_out >= live.space.trials:
            break
        score = SCORES[live.state.sampler.handed_out % len(SCORES)]
        play(live, [score - 0.1, score])
        count += 1
    return count


def test_a_search_ends_once_the_interval_is_below_the_gain(tmp_path: Path) -> None:
    live = recorder(tmp_path, SPACE)
    ran = run_to_its_end(live)
    assert 5 <= ran < 40 and live.next() is None and live.over() and live.close() is None
    outlook = live.state.prospects.outlook
    assert outlook is not None and outlook.high < 0.015 and outlook.trials == 40 - ran
    assert live.table.ended_by.startswith("stop_when: gain 1.5: the ")
    assert len(read_trials(tmp_path)) == ran


def test_running_trials_go_on_to_their_end(tmp_path: Path) -> None:
    live = recorder(tmp_path, SPACE)
    play(live, [0.7], end="none")  # runs while the others end
    run_to_its_end(live)
    assert live.state.prospects.enough and not live.over()
    assert list(live.state.running) == ["0001"]


def test_a_resume_stays_ended_and_goes_on_by_another_limit(tmp_path: Path) -> None:
    ran = run_to_its_end(recorder(tmp_path, SPACE))
    again = recorder(tmp_path, SPACE)
    assert again.next() is None and again.over() and again.close() is None
    assert again.table.ended_by.startswith("stop_when: gain 1.5: the ")
    stricter = recorder(tmp_path, SPACE.replace("1.5", "0.01"))
    assert not stricter.over() and stricter.next() is not None
    longer = recorder(tmp_path, SPACE.replace("trials: 40", "trials: 400"))
    assert not longer.over() and run_to_its_end(longer) > 1
    assert len(read_trials(tmp_path)) > ran + 1


def test_a_search_that_went_on_is_not_ended_by_what_an_earlier_look_would_have_said(
    tmp_path: Path,
) -> None:
    """Asked for stop_when on a resume, the trials that ran past its first look are all counted."""
    without = SPACE.replace("stop_when: {gain: 1.5}", "")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    ends = run_to_its_end(recorder(tmp_path / "a", SPACE))
    live = recorder(tmp_path / "b", without)
    for number in range(ends + 1):
        play(live, [0.7, SCORES[number % 8] if number < ends else 0.99])  # a late, large gain
    later = recorder(tmp_path / "b", SPACE)
    assert not later.state.prospects.enough and later.next() is not None


def test_trials_that_failed_count_on_a_resume_as_they_did(tmp_path: Path) -> None:
    """The best of 46 is harder to beat than that of six, of which up to 1.4 points were left."""
    text = SPACE.replace("1.5", "0.75").replace("trials: 40", "trials: 60")
    live = recorder(tmp_path, text)
    for _ in range(40):
        play(live, [0.5], end="error")
    for score in SCORES[:6]:
        play(live, [score - 0.1, score])
    assert "the 14 trials left would gain 0.1 [0.0, 0.7] points" in live.table.ended_by
    again = recorder(tmp_path, text)
    assert again.table.ended_by == live.table.ended_by and len(again.state.waiting) == 40
    play(again, [0.95], start=1)
    assert len(again.state.prospects.tried) == 46  # the same trial, tried again
    assert again.table.ended_by == live.table.ended_by and again.state.exhausted


def test_the_time_left_is_that_of_the_trials_which_have_begun(tmp_path: Path) -> None:
    live = recorder(tmp_path, SPACE)
    play(live, [0.7], end="none")
    assert live.table.left.epochs_left() == 1 + 39 * 2
    run_to_its_end(live)
    assert live.state.prospects.enough and live.table.left.epochs_left() == 1
    assert live.table.lines()[2].startswith("ends early: the 3")


def test_what_ended_it_does_not_change_by_trials_that_still_ran(tmp_path: Path) -> None:
    live = recorder(tmp_path, SPACE)
    play(live, [0.7], end="none")
    ray_trial = live.trials["0001"]
    run_to_its_end(live)
    why, line = live.table.ended_by, live.table.lines()[2]
    row = {"epoch": 1, "val_acc": 0.99, "val_pairs": 100, "updates": 50, "seconds": 1.0}
    live.on_trial_result(0, [], ray_trial, row)  # far above the others, so the tail is wide
    live.on_trial_complete(0, [], ray_trial)
    found = live.state.prospects.outlook
    assert found is not None and found.high > 0.015
    assert (live.table.ended_by, live.table.lines()[2]) == (why, line)
    assert live.next() is None and recorder(tmp_path, SPACE).table.ended_by == why


HALVING = """
fixed: {epochs: 6}
search: {lr: {low: 1e-5, high: 1e-1, log: true}}
algorithm: random
trials: 30
prune: {halving: {grace: 0.3}, chance: false, plateau: false, control: 0}
stop_when: {gain: 1000}
"""


@pytest.mark.parametrize("workers", [1, 4])
def test_under_halving_those_that_wait_go_on_or_are_out_once_no_other_begins(
    tmp_path: Path, workers: int
) -> None:
    live = recorder(tmp_path, HALVING)
    ray = Workers(live, workers)
    while ray.go():
        pass
    known = read_trials(tmp_path)
    assert 5 <= len(known) < 30 and live.table.ended_by
    assert {line["status"] for line in known.values()} == {"done", "stopped"}
    assert live.over() and live.close() is None
    last = [line["stop_reason"] for line in known.values() if line["stop_rule"] == "halving"][-1]
    assert f" of {len(known)} trials go on" in last  # and no more of 30


def test_a_search_of_a_score_and_a_cost_ends_by_the_score(tmp_path: Path) -> None:
    text = f"{SPACE.replace('algorithm: random', 'algorithm: tpe')}metric: [val_acc, macs]\n"
    live = recorder(tmp_path, text)
    ran = run_to_its_end(live)
    assert ran < 40 and "points" in live.table.ended_by and "macs" not in live.table.ended_by


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(SPACE)
    assert resolve(RunOptions(str(file))).stop_when == {"gain": 1.5}
    asked = read_options([str(file), "--stop-when", "gain=0.3"])
    assert resolve(asked).stop_when == {"gain": 0.3}
    assert "stop_when: {gain: 0.3}" in dump(resolve(asked))
    never = resolve(read_options([str(file), "--stop-when", "gain=0"]))
    assert never.stop_when == {} and "stop_when" not in dump(never)


def test_what_is_no_gain_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_options(["space.yaml", "--stop-when", "0.3"])
    assert "must be gain=POINTS, such as gain=0.3, got '0.3'" in capsys.readouterr().err
