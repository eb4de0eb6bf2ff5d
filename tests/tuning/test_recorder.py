"""The recorder under Ray's events, sent by hand: which weights stay, what a resumed run goes on with."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from builders import write_lines
from simulated_ray import play, quiet, recorder

from facesiam.config.metrics import FIELDS
from search import results
from search.pruning.stop_decision import StopDecision, stop_of
from search.resources.allocation import Allocation, Node, Setup
from search.runs.journal import read_epochs, read_lines, read_trials
from search.runs.reuse import RunRefused, refuse_changes
from search.space import load
from search.tuning import journal_replay
from search.tuning.recorder import Recorder
from search.tuning.sampler import Sampler, Suggestion
from search.tuning.search_state import SearchStop, StopReason

SPACE = """
fixed: {epochs: 2}
search: {lr: {low: 1e-5, high: 1e-1, log: true}}
trials: 6
prune: false
"""
PRUNED = SPACE.replace("epochs: 2", "epochs: 4").replace(
    "prune: false",
    """\
prune: {asha: {grace: 1, factor: 2}, chance: false, plateau: false, control: 0}
""",
)
"""Rungs at 1, 2 and 4 epochs."""
CONTROL = PRUNED.replace("control: 0", "control: 1")


def verdict(run: Path, trial: str) -> dict[str, Any]:
    """What the journal has of a trial's end."""
    line = read_trials(run)[trial]
    return {
        name: value
        for name, value in line.items()
        if name.startswith("stop_") or name in ("status", "control")
    }


def rungs(recorder: Recorder) -> dict[float, dict[str, float]]:
    """The scores at each rung that has any."""
    assert recorder.state.scheduler.asha is not None
    return {age: scores for age, scores in recorder.state.scheduler.asha.rungs if scores}


def kept(run: Path) -> list[str]:
    """The trials whose weights are there."""
    return sorted(path.stem for path in (run / "weights").iterdir())


@pytest.mark.parametrize("mode", ["", "metric: val_loss\nmode: min\n"])
def test_the_weights_that_stay_are_those_of_the_first_rank(tmp_path: Path, mode: str) -> None:
    live = recorder(tmp_path, SPACE + mode + "keep: 1\n")
    for scores in ([0.7, 0.8], [0.8, 0.7], [0.6, 0.7]):  # a tie: the earlier epoch ranks first
        play(live, scores)
        trials, _ = results.load(tmp_path)
        assert kept(tmp_path) == [trials["trial"].iloc[0]]
    assert kept(tmp_path) == ["0002"]


def test_a_trial_of_which_no_row_was_noted_is_gone_on_with(tmp_path: Path) -> None:
    play(recorder(tmp_path, SPACE), [0.6], end="killed")
    lines = [json.loads(line) for line in (tmp_path / "trials.jsonl").read_text().splitlines()]
    (tmp_path / "trials.jsonl").write_text(
        "".join(json.dumps({k: v for k, v in line.items() if k != "row"}) + "\n" for line in lines)
    )
    suggestion = recorder(tmp_path, SPACE).next()
    assert suggestion and (suggestion.trial, suggestion.row) == ("0001", None)


def test_as_many_weights_stay_as_the_space_says_whatever_workers_left(tmp_path: Path) -> None:
    live = recorder(tmp_path, SPACE + "keep: 2\n")
    assert live.state.keep_threshold() is None
    for scores in ([0.6, 0.7], [0.9, 0.8], [0.8, 0.5]):
        play(live, scores)
    assert kept(tmp_path) == ["0002", "0003"] and live.state.keep_threshold() == 0.8
    # Written by a worker after its trial had been stopped and judged, or half written and killed.
    for late in ("weights/0001.pt", "state/0001.pt", "weights/.0003.pt.77-0a1b2c3d"):
        (tmp_path / late).parent.mkdir(exist_ok=True)
        (tmp_path / late).touch()
    play(live, [0.1, 0.2])
    assert kept(tmp_path) == [".0003.pt", "0002", "0003"]  # it may still be written
    assert list((tmp_path / "state").iterdir()) == []
    assert recorder(tmp_path, SPACE + "keep: 2\n").state.keep_threshold() == 0.8
    assert kept(tmp_path) == ["0002", "0003"]


def test_what_is_no_file_of_this_journals_trials_is_never_removed(tmp_path: Path) -> None:
    """Neither papers, nor another run's weights, nor folders and links of a trial's name."""
    live = recorder(tmp_path, SPACE + "keep: 1\n")
    (tmp_path / "elsewhere").write_text("precious")
    mine = [
        "weights/thesis.tex",
        "weights/0099.pt",
        "weights/.0099.pt.7-0a1b2c3d",
        "state/0001.txt",
        "state/0099.pt",
        "logs/id_rsa",
        "logs/0001.pt",
    ]
    for name in mine:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("precious")
    (tmp_path / "state" / "0001.pt").mkdir()
    (tmp_path / "logs" / "0001.log").symlink_to(tmp_path / "elsewhere")
    for scores in ([0.6, 0.7], [0.9, 0.8]):
        play(live, scores)
    recorder(tmp_path, SPACE + "keep: 1\n").close()
    assert all((tmp_path / name).read_text() == "precious" for name in [*mine, "elsewhere"])
    assert (tmp_path / "state" / "0001.pt").is_dir()
    assert [path.name for path in sorted((tmp_path / "weights").glob("[0-9]*"))] == [
        "0002.pt",
        "0099.pt",
    ]


@pytest.mark.parametrize("name", ["weights", "state", "logs"])
def test_nothing_is_removed_through_a_link(tmp_path: Path, name: str) -> None:
    """Not even what bears the name of a trial's file; and a resumed run refuses such a folder."""
    run, other = tmp_path / "run", tmp_path / "papers"
    run.mkdir()
    play(recorder(run, SPACE), [0.6, 0.7])
    shutil.rmtree(run / name, ignore_errors=True)
    other.mkdir()
    for file in ("0001.pt", "0001.log", ".0001.pt.7-0a1b2c3d", "thesis.tex"):
        (other / file).write_text("precious")
    (run / name).symlink_to(other)
    recorder(run, SPACE + "keep: 1\n").close()
    assert len(list(other.iterdir())) == 4
    (run / "manifest.json").write_text('{"command": "x"}')
    with pytest.raises(RunRefused, match=f"{run / name}: is a link to {other}"):
        refuse_changes(run, load(run / "space.yaml"))


def test_a_failed_trial_does_not_raise_the_bar(tmp_path: Path) -> None:
    """It may do worse when it is tried again, and nobody would have written the next one's."""
    live = recorder(tmp_path, SPACE + "keep: 1\n")
    play(live, [0.9], end="error")
    assert live.state.keep_threshold() is None
    play(live, [0.6, 0.7])
    assert live.state.keep_threshold() is None  # the failed one still holds the place
    play(live, [0.95, 0.9])
    assert live.state.keep_threshold() == 0.95


def test_files_of_trials_that_go_on_or_are_tried_again_stay(tmp_path: Path) -> None:
    live = recorder(tmp_path, SPACE + "keep: 1\n")
    runs, failed = play(live, [0.5], end=""), play(live, [0.6], end="error")
    for name in (runs, failed):
        (tmp_path / "state").mkdir(exist_ok=True)
        (tmp_path / "state" / f"{name}.pt").touch()
    best = play(live, [0.9, 0.9])
    assert kept(tmp_path) == [runs, best]
    assert {path.stem for path in (tmp_path / "state").iterdir()} == {runs, failed}


HALVING = PRUNED.replace("asha: {grace: 1, factor: 2}", "halving: {grace: 0.5}")
HALVING = HALVING.replace("trials: 6", "trials: 4\nkeep: 1")
"""Rungs at 2 and 3.2 epochs: after the second and the fourth, which is the last."""


def test_a_paused_trial_keeps_its_state_and_goes_on_or_stops_when_the_others_are_there(
    tmp_path: Path,
) -> None:
    live = recorder(tmp_path, HALVING)
    names = []
    for score in (0.7, 0.9, 0.8):
        names.append(play(live, [score, score]))
        (tmp_path / "state").mkdir(exist_ok=True)
        (tmp_path / "state" / f"{names[-1]}.pt").touch()
    # Two of four go on: the first is out once two are better, the other two wait.
    assert list(live.state.paused) == names[1:] and not live.over()
    assert verdict(tmp_path, names[0])["stop_rule"] == "halving"
    waits = verdict(tmp_path, names[1])
    assert (waits["status"], waits["stop_rule"]) == ("pending", None)
    assert "paused at a rung" in waits["stop_reason"]
    assert live.table.lines()[0] == "1 of 4 trials ended · 0 running · 2 paused · 1 stopped"
    assert {path.stem for path in (tmp_path / "state").iterdir()} == set(names[1:])
    # The best of three is sure of its place, and goes on before the fourth begins.
    resumed = recorder(tmp_path, HALVING)
    assert play(resumed, [0.95, 0.95], start=2) == names[1]
    names.append(play(resumed, [0.6, 0.6]))
    assert verdict(tmp_path, names[3])["status"] == "stopped"
    resumed = recorder(tmp_path, HALVING)
    assert (
        resumed.table.lines()[0]
        == "3 of 4 trials ended · 0 running · 1 paused · 1 done · 2 stopped"
    )
    # Two of four go on from the rung at two epochs, and one of them has run its last two.
    assert resumed.table.left.epochs_left() == 2
    assert play(resumed, [0.95, 0.95], start=2) == names[2]
    assert verdict(tmp_path, names[2])["stop_reason"] is None
    assert resumed.table.lines()[0] == "4 of 4 trials ended · 0 running · 2 done · 2 stopped"
    assert resumed.next() is None and resumed.over() and resumed.close() is None
    assert [verdict(tmp_path, name)["status"] for name in names[1:3]] == ["done", "done"]
    assert list((tmp_path / "state").iterdir()) == []


def test_a_resume_with_more_trials_or_fewer_has_as_many_places(tmp_path: Path) -> None:
    live = recorder(tmp_path, HALVING)
    names = [play(live, [score, score]) for score in (0.7, 0.9, 0.8)]
    more = recorder(tmp_path, HALVING.replace("trials: 4", "trials: 8"))
    assert list(more.state.paused) == names[1:] and not more.over()
    assert play(more, [0.95, 0.95], start=2) == names[1]
    names.append(play(more, [0.6, 0.6]))  # of eight trials four go on, and it may be the fourth
    assert list(more.state.paused) == names[2:]
    assert verdict(tmp_path, names[0])["status"] == "stopped"  # and stays so
    fewer = recorder(tmp_path, HALVING.replace("trials: 4", "trials: 3"))
    assert play(fewer, [0.8, 0.8], start=2) == names[2]
    assert fewer.next() is None and fewer.over()
    assert verdict(tmp_path, names[3])["status"] == "stopped"


@pytest.mark.parametrize("noted", ["interrupted", "killed", "by an older version"])
def test_a_halted_search_leaves_its_paused_trials_to_a_resume(tmp_path: Path, noted: str) -> None:
    live = recorder(tmp_path, HALVING)
    waits, runs = play(live, [0.9, 0.9]), play(live, [0.8], end="")
    if noted == "interrupted":
        live.stop = SearchStop(StopReason.TIME_UP)
        assert live.next() is None and not live.over()
        assert (stop := live.close()) and stop.reason is StopReason.TIME_UP
        assert verdict(tmp_path, runs)["status"] == "interrupted"
    assert verdict(tmp_path, waits)["status"] == "pending"
    if noted == "by an older version":  # whose pauses had no reason
        lines = read_lines(tmp_path / "trials.jsonl")
        write_lines(tmp_path / "trials.jsonl", [line | {"stop_reason": None} for line in lines])
    resumed = recorder(tmp_path, HALVING)
    assert list(resumed.state.paused) == [waits]
    assert play(resumed, [0.8], start=1) == runs and list(resumed.state.paused) == [waits, runs]


def test_where_no_trial_has_a_score_those_that_came_first_go_on(tmp_path: Path) -> None:
    live = recorder(tmp_path, HALVING)
    scores, names = [math.nan, math.nan], []
    for start in (0, 0, 0, 2, 0, 2):
        names.append(play(live, scores, start=start, val_loss=0.5))
    assert names == ["0001", "0002", "0003", "0001", "0004", "0002"]
    assert live.next() is None and live.over() and live.close() is None
    reason = verdict(tmp_path, "0004")["stop_reason"]
    assert reason.startswith("val_acc unknown (its last epoch) at the rung of 2 epochs")


def test_a_search_whose_trials_are_all_stopped_by_rules_ends(tmp_path: Path) -> None:
    live = recorder(tmp_path, HALVING)
    for _ in range(4):
        play(live, [math.nan])
    assert live.next() is None and live.over() and live.close() is None
    assert {line["stop_rule"] for line in read_trials(tmp_path).values()} == {"diverged"}


OUT_OF_MEMORY = "Traceback\nfacesiam.trainable.OutOfMemory: out of memory in epoch 1: 9 GiB\n"


def test_a_trial_without_memory_comes_next_again_with_twice_its_share(tmp_path: Path) -> None:
    live = recorder(tmp_path, SPACE)
    setup = Setup(run=tmp_path, data="", cpus=2)
    live.shares = Allocation(live.space, setup, [Node(4, 0)])
    first = play(live, [0.6], end="error", error=OUT_OF_MEMORY)
    assert read_trials(tmp_path)[first]["status"] == "pending" and not live.state.running
    assert live.state.doublings == {first: 1} and live.shares.of("alexnet", 1) == (4, 0)
    assert play(live, [0.7], end="error", start=1, error=OUT_OF_MEMORY) == first
    # It had the whole machine: there is no more to give.
    assert verdict(tmp_path, first)["status"] == "failed"
    assert "out of memory in epoch 1" in verdict(tmp_path, first)["stop_reason"]
    assert play(live, [0.7, 0.7]) != first


def test_another_error_is_not_tried_again(tmp_path: Path) -> None:
    live = recorder(tmp_path, SPACE)
    live.shares = Allocation(live.space, Setup(run=tmp_path, data="", cpus=1), [Node(4, 0)])
    first = play(live, [0.6], end="error")
    assert verdict(tmp_path, first)["status"] == "failed" and live.state.doublings == {}


def test_a_resume_keeps_the_best_weights_whatever_the_order(tmp_path: Path) -> None:
    first = recorder(tmp_path, SPACE + "keep: 1\n")
    for scores in ([0.6, 0.6], [0.9, 0.8], [0.7, 0.9]):
        play(first, scores)
    assert kept(tmp_path) == ["0002"]
    second = recorder(tmp_path, SPACE + "keep: 1\n")
    assert second.state.best[0][2] == "0002" and kept(tmp_path) == ["0002"]
    play(second, [0.5, 0.6])
    assert kept(tmp_path) == ["0002"]


def test_a_resume_takes_up_what_was_not_done_and_nothing_else(tmp_path: Path) -> None:
    first = recorder(tmp_path, SPACE)
    done = play(first, [0.6, 0.7])
    failed = play(first, [0.6], end="error")
    running = play(first, [0.65], end="")
    ended_unnoted = play(first, [0.6, 0.61], end="")  # killed after its last epoch
    settings = {name: line["settings"] for name, line in read_trials(tmp_path).items()}
    second = recorder(tmp_path, SPACE)
    taken = []
    while suggestion := second.next():
        taken.append(suggestion.trial)
        if suggestion.trial in settings:
            assert suggestion.settings == settings[suggestion.trial]
    assert taken == [failed, running, "0005", "0006"]
    status = {name: line["status"] for name, line in read_trials(tmp_path).items()}
    assert status[done] == status[ended_unnoted] == "done"


def test_a_resume_takes_up_what_is_enqueued_and_notes_which_trials_it_made(
    tmp_path: Path,
) -> None:
    text = SPACE + "enqueue: [{lr: 2e-3}, {lr: 3e-3}, {lr: 4e-3}]\n"
    first = recorder(tmp_path, text)
    play(first, [0.6, 0.7])
    play(first, [0.65], end="")
    second = recorder(tmp_path, text)
    again, third, fourth = second.next(), second.next(), second.next()
    assert again and third and fourth
    assert (again.trial, again.chosen_by, third.settings["lr"]) == ("0002", "enqueued", 4e-3)
    lines = read_trials(tmp_path)
    assert {name: line.get("chosen_by") for name, line in lines.items()} == {
        "0001": "enqueued",
        "0002": "enqueued",
        "0003": "enqueued",
        "0004": "tpe",
    }


def test_a_resume_knows_the_rungs_and_what_tpe_was_told(tmp_path: Path) -> None:
    first = recorder(tmp_path, PRUNED)
    for scores in ([0.6, 0.7, 0.7, 0.7], [0.8, 0.9, 0.9, 0.9], [0.5, 0.9, 0.9, 0.9]):
        play(first, scores)
    second = recorder(tmp_path, PRUNED)
    assert first.state.sampler.tpe is not None and second.state.sampler.tpe is not None
    assert first.state.sampler.tpe.state() == second.state.sampler.tpe.state()
    ranking = second.state.sampler.tpe.ranking
    # The third was stopped before it had left chance.
    assert ranking.expected().tolist() == [0.7, 0.9] and ranking.worst == [2]
    # The third was held against the median of 0.6 and 0.8 after its first epoch.
    assert (
        rungs(second)
        == rungs(first)
        == {
            1: {"0001": 0.6, "0002": 0.8, "0003": 0.5},
            2: {"0001": 0.7, "0002": 0.9},
            4: {"0001": 0.7, "0002": 0.9},
        }
    )


BY_ASHA = {
    "stop_rule": "asha",
    "stop_epoch": 0,
    "stop_rung": 1,
    "stop_value": 0.6,
    "stop_cutoff": 0.8,
    "stop_peers": 1,
    "stop_reason": "best val_acc 60.0 % at the rung of 1 epoch, cutoff 80.0 % of 1 peer",
}


def test_a_stop_is_noted_with_its_numbers(tmp_path: Path) -> None:
    live = recorder(tmp_path, PRUNED)
    ran = play(live, [0.8] * 4)
    cut = play(live, [0.6] * 4)
    broken = play(live, [0.9] * 4, train_loss=math.nan)
    nothing = dict.fromkeys(f"stop_{name}" for name in StopDecision._fields)
    assert verdict(tmp_path, ran) == nothing | {"status": "done", "control": False}
    assert verdict(tmp_path, cut) == BY_ASHA | {"status": "stopped", "control": False}
    # The value that was judged is NaN, which is no JSON.
    assert verdict(tmp_path, broken) == nothing | {
        "status": "stopped",
        "stop_rule": "diverged",
        "stop_epoch": 0,
        "control": False,
        "stop_reason": "train_loss is nan at epoch 0",
    }


def test_a_spared_trial_runs_to_its_end_with_its_verdict(tmp_path: Path) -> None:
    live = recorder(tmp_path, CONTROL)
    play(live, [0.8] * 4)
    spared = play(live, [0.6, 0.9, 0.95, 0.85])
    assert verdict(tmp_path, spared) == BY_ASHA | {"control": True} | {"status": "done"}
    assert [row["val_acc"] for row in read_epochs(tmp_path)[spared]] == [0.6, 0.9, 0.95, 0.85]
    assert live.state.best[0][2] == spared  # and its score counts
    tpe = live.state.sampler.tpe
    assert tpe is not None and tpe.ranking.expected().tolist() == [0.8, 0.95]
    assert rungs(live)[1] == {"0001": 0.8, "0002": 0.6} and "0002" not in rungs(live)[2]


def test_the_epochs_of_a_trial_that_has_ended_are_let_go_of(tmp_path: Path) -> None:
    """Done, stopped, failed, or done in an earlier session; those of one that runs are not."""
    first = recorder(tmp_path, PRUNED)
    done, cut = play(first, [0.8] * 4), play(first, [0.6] * 4)
    failed, runs = play(first, [0.85], end="error"), play(first, [0.9] * 2, end="")
    assert set(first.state.scheduler.histories) == {runs}
    assert [first.state.epochs_noted(name) for name in (done, cut, failed, runs)] == [0, 0, 0, 2]
    # What they were is not forgotten: the journal has it, and so have TPE and the rungs.
    assert [len(read_epochs(tmp_path)[name]) for name in (done, cut, failed, runs)] == [4, 1, 1, 2]
    assert rungs(first)[1] == {done: 0.8, cut: 0.6, failed: 0.85, runs: 0.9}
    second = recorder(tmp_path, PRUNED)
    assert set(second.state.scheduler.histories) == {failed, runs}  # it tries the failed one again
    assert rungs(second) == rungs(first)
    assert second.state.best[0][::2] == (-0.8, done)


@pytest.mark.parametrize("killed", [True, False])
def test_a_verdict_survives_an_interruption(tmp_path: Path, killed: bool) -> None:
    """Whether the driver could say good-bye or not."""
    first = recorder(tmp_path, CONTROL)
    play(first, [0.8] * 4)
    spared = play(first, [0.6, 0.9], end="")
    assert killed or first.close() == SearchStop(StopReason.INTERRUPTED)
    status = "running" if killed else "interrupted"
    assert verdict(tmp_path, spared) == BY_ASHA | {"control": True} | {"status": status}
    second = recorder(tmp_path, CONTROL)
    assert second.state.scheduler.controls == first.state.scheduler.controls
    # Its 0.9 came after the verdict and is in no rung.
    assert rungs(second) == rungs(first) and rungs(second)[2] == {"0001": 0.8}
    assert play(second, [0.7, 0.7], start=2) == spared
    assert verdict(tmp_path, spared) == BY_ASHA | {"control": True} | {"status": "done"}
    assert rungs(second) == rungs(first)


def test_a_spared_trial_that_was_killed_after_its_last_epoch_keeps_its_verdict(
    tmp_path: Path,
) -> None:
    first = recorder(tmp_path, CONTROL)
    play(first, [0.8] * 4)
    spared = play(first, [0.6] * 4, end="")
    recorder(tmp_path, CONTROL)
    assert verdict(tmp_path, spared) == BY_ASHA | {"control": True} | {"status": "done"}


def test_an_epoch_that_lacks_a_metric_has_it_as_nan(tmp_path: Path) -> None:
    """A state that an older version saved knows nothing of the gradients."""
    live = recorder(tmp_path, SPACE)
    suggestion = live.next()
    assert suggestion is not None
    trial = SimpleNamespace(config={"trial": suggestion.trial})
    live.on_trial_start(0, [], trial)
    row = {"epoch": 0, "val_acc": 0.75, "val_loss": 0.5, "train_loss": 0.5, "val_pairs": 100}
    told = {"val_distinct": 97, "val_right": "abc="}
    live.on_trial_result(0, [], trial, row | told)
    assert read_epochs(tmp_path)["0001"][0].items() >= told.items()
    for known in (
        read_epochs(tmp_path)["0001"][0],
        live.state.scheduler.histories["0001"].rows[0],
    ):
        missing = {name for name in FIELDS if math.isnan(known[name])}
        assert missing == set(FIELDS) - set(row)
        assert {name: known[name] for name in row} == row


def test_tpe_hears_of_those_that_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of those that an earlier session has left."""
    told: list[Any] = []
    first = recorder(tmp_path, PRUNED)
    ended, runs = play(first, [0.8] * 4), play(first, [0.85, 0.9], end="")
    for live in (first, recorder(tmp_path, PRUNED)):
        live.state.waiting = []
        monkeypatch.setattr(Sampler, "next", lambda self, running: told.append(running))
        live.next()
        monkeypatch.undo()
    assert [list(each) for each in told] == [[runs]] * 2 and ended not in told[0]
    assert told[0] == told[1] and told[0][runs].scores == (0.85, 0.9)


def test_a_trial_that_diverges_at_once_is_the_worst_to_tpe(tmp_path: Path) -> None:
    live = recorder(tmp_path, PRUNED)
    play(live, [math.nan] * 4, train_loss=math.nan)
    tpe = live.state.sampler.tpe
    assert tpe is not None and live.state.best == []
    assert tpe.ranking.worst == [0]


@pytest.mark.parametrize("rule", [None, "error", "interrupted"])
def test_what_no_rule_ended_is_no_stop(rule: str | None) -> None:
    assert stop_of({"status": "failed", "stop_rule": rule, "stop_reason": "x"}) is None


def test_a_stop_of_an_older_journal_has_no_numbers() -> None:
    assert stop_of({"stop_rule": "asha", "stop_reason": "x"}) == StopDecision("asha", "x")


def test_a_failed_trial_says_why_and_keeps_its_state(tmp_path: Path) -> None:
    live = recorder(tmp_path, SPACE)
    state = tmp_path / "state" / "0001.pt"
    state.parent.mkdir()
    state.touch()
    play(live, [0.6], end="error")
    line = read_trials(tmp_path)["0001"]
    assert (line["status"], line["stop_reason"]) == ("failed", "ValueError: broken")
    assert state.exists()


def test_nothing_is_noted_or_removed_before_the_start(tmp_path: Path) -> None:
    """A recorder that is only made, as by a program that looks at a run, changes nothing."""
    play(recorder(tmp_path, SPACE), [0.6, 0.7], end="")  # killed before its end was noted
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "0001.pt").touch()
    before = (tmp_path / "trials.jsonl").read_text()
    searched = load(tmp_path / "space.yaml")
    made = Recorder(journal_replay.replay(searched, tmp_path), tmp_path, quiet(searched))
    assert (tmp_path / "trials.jsonl").read_text() == before
    assert (tmp_path / "state" / "0001.pt").exists() and made.table.counts["done"] == 0
    made.start()
    assert read_trials(tmp_path)["0001"]["status"] == "done"
    assert not (tmp_path / "state" / "0001.pt").exists() and made.table.counts["done"] == 1


def test_what_still_runs_at_the_end_is_interrupted(tmp_path: Path) -> None:
    live = recorder(tmp_path, SPACE)
    play(live, [0.6], end="")
    assert live.close() == SearchStop(StopReason.INTERRUPTED)
    assert read_trials(tmp_path)["0001"]["status"] == "interrupted"


@pytest.mark.parametrize("part", ["journal", "events"])
def test_what_cannot_be_noted_ends_the_search_and_nothing_is_noted_after_it(
    tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal with a gap would tell of a run that never was."""
    live = recorder(tmp_path, SPACE)
    play(live, [0.6, 0.7])
    before = len(read_epochs(tmp_path)["0001"])

    def full(*given: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device", "/there/events")

    monkeypatch.setattr(getattr(live.record, part), "epoch", full)
    with pytest.raises(KeyboardInterrupt):
        play(live, [0.8, 0.9])
    lines = (tmp_path / "trials.jsonl").read_text()
    assert str(live.close()) == "/there/events: No space left on device"
    assert (tmp_path / "trials.jsonl").read_text() == lines
    assert before == 2 and live.next() is None
    second = recorder(tmp_path, SPACE)
    assert [one.trial for one in second.state.waiting] == ["0002"]


def test_a_worker_that_dies_is_tried_again_and_then_fails_with_the_last_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.tuning.failures.FIRST_WAIT", 0.0)
    died = "The actor died unexpectedly before finishing this task.\n\tpid: 7\n\tip: 10.0.0.7\n"
    live = recorder(tmp_path, SPACE)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "0001.log").write_text("Fatal Python error: Segmentation fault\n")
    assert play(live, [0.6], end="error", error=died) == "0001"
    for _ in range(3):
        assert read_trials(tmp_path)["0001"]["status"] == "pending"
        assert play(live, [], end="error", error=died, start=1) == "0001"
    line = read_trials(tmp_path)["0001"]
    assert line["status"] == "failed"
    assert line["stop_reason"] == "the worker died (process 7 on 10.0.0.7)"
    assert line["log"] == ["Fatal Python error: Segmentation fault"]
    assert play(live, [0.7, 0.7]) == "0002"  # the search goes on


def test_a_preempted_trial_goes_on_at_once_and_at_the_end_is_taken_up(tmp_path: Path) -> None:
    told = "Traceback\nfacesiam.trainable.Preempted: told to end in epoch 1: its state is saved\n"
    live = recorder(tmp_path, SPACE)
    first = play(live, [0.6], end="error", error=told)
    assert play(live, [], end="error", error=told, start=1) == first  # the next one, at once
    live.stop = SearchStop(StopReason.TERMINATED)
    assert live.next() is None
    live.state.waiting.clear()
    live.state.running[first] = Suggestion(first, read_trials(tmp_path)[first]["settings"])
    trial = SimpleNamespace(config={"trial": first}, error_file=str(tmp_path / "error.txt"))
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / f"{first}.pt").touch()
    live.on_trial_error(0, [], trial)
    assert live.close() == SearchStop(StopReason.TERMINATED)
    assert read_trials(tmp_path)[first]["status"] == "interrupted"
    assert (tmp_path / "state" / f"{first}.pt").exists()
