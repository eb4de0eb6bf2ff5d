"""Callbacks: what they are told, and that none of them disturbs the search."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from builders import space
from simulated_ray import quiet
from tracked_search import SPACE, drive, search

from search.resources.allocation import Allocation, Node, Setup
from search.runs.journal import read, read_epochs
from search.tracking import dispatcher
from search.tracking.callback import Callback, TrialRecord, recorded_trials
from search.tracking.chosen import copy, trackers
from search.tracking.dispatcher import Dispatcher
from search.tracking.tracker import Tracker, TrackerError
from search.tuning import driver, ray_folder


class Listener(Callback):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def on_search_start(self, *given: Any) -> None:
        self.heard.append(("search", *given))

    def on_trial_start(self, *given: Any) -> None:
        self.heard.append(("start", *given))

    def on_epoch(self, *given: Any) -> None:
        self.heard.append(("epoch", *given))

    def on_trial_end(self, *given: Any) -> None:
        self.heard.append(("end", *given))

    def on_search_end(self, *given: Any) -> None:
        self.heard.append(("over", *given))

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [tuple(given) for what, *given in self.heard if what == kind]


def test_a_callback_is_told_what_the_journal_has(tmp_path: Path) -> None:
    listener = Listener()
    recorder = search(tmp_path, [listener])
    drive(recorder)
    assert recorder.close() is None
    known = read(tmp_path)[0]
    (run, searched, earlier), *others = listener.of("search")
    assert (run, searched, earlier, others) == (tmp_path, recorder.space, {}, [])
    assert dict(listener.of("start")) == {name: line["settings"] for name, line in known.items()}
    told = told_epochs(listener)
    assert repr(told) == repr(noted(tmp_path, told))  # repr: some are NaN
    ends = {trial: (status, reason) for trial, status, reason in listener.of("end")}
    assert {trial: status for trial, (status, _) in ends.items()} == {
        name: line["status"] for name, line in known.items()
    }
    stopped = next(name for name, line in known.items() if line["status"] == "stopped")
    why = known[stopped]
    assert ends[stopped][1] == f"{why['stop_rule']}: {why['stop_reason']}"
    assert listener.of("over") == [(None,)]


def test_a_run_that_goes_on_tells_what_is_there(tmp_path: Path) -> None:
    first = Listener()
    recorder = search(tmp_path, [first])
    drive(recorder, 9)
    assert str(recorder.close()) == "interrupted"
    assert first.of("over") == [("interrupted",)]
    left = {trial for trial, status, _ in first.of("end") if status == "interrupted"}
    assert left
    before = recorded_trials(tmp_path)
    second = Listener()
    recorder = search(tmp_path, [second])
    drive(recorder)
    recorder.close()
    (_, _, earlier), *_ = second.of("search")
    assert repr(earlier) == repr(before)
    assert {name for name, trial in earlier.items() if trial.status == "interrupted"} == left
    assert {name: len(trial.epochs) for name, trial in earlier.items() if trial.epochs} == {
        name: len(rows) for name, rows in told_epochs(first).items()
    }
    assert left <= {trial for trial, _ in second.of("start")}
    together = {**recorded_trials(tmp_path)}
    assert all(trial.status in ("done", "stopped") for trial in together.values())


def told_epochs(listener: Listener) -> dict[str, list[Any]]:
    """What a callback was told of each trial's epochs."""
    found: dict[str, list[Any]] = {}
    for trial, record in listener.of("epoch"):
        found.setdefault(trial, []).append(record)
    return found


def noted(run: Path, order: Iterable[str]) -> dict[str, list[Any]]:
    """What the journal has of each trial's epochs."""
    trials = recorded_trials(run)
    return {name: list(trials[name].epochs.values()) for name in order}


class Broken(Callback):
    """Fails whatever it is told."""

    def on_epoch(self, trial: str, record: Any) -> None:
        raise KeyError("no such thing")

    def on_trial_end(self, trial: str, status: str, reason: str | None) -> None:
        sys.exit("over")


def test_a_failing_callback_is_said_once_and_changes_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    listener = Listener()
    alone, beside = search(tmp_path / "a", []), search(tmp_path / "b", [Broken(), listener], said)
    drive(alone)
    drive(beside)
    assert alone.close() is beside.close() is None
    assert listener.of("over") == [(None,)]
    line = Broken.on_epoch.__code__.co_firstlineno + 1
    assert said == [
        f"the callback Broken failed in on_epoch ({__file__}, line {line}): KeyError: 'no such thing'; "
        "the search goes on, and further failures of it are not shown"
    ]
    runs = [
        [(name, line["status"], line.get("stop_reason")) for name, line in read(run)[0].items()]
        for run in (tmp_path / "a", tmp_path / "b")
    ]
    assert runs[0] == runs[1]


class Hanging(Callback):
    """Does not return until it is let go."""

    def __init__(self) -> None:
        self.release = threading.Event()

    def on_trial_start(self, trial: str, settings: Any) -> None:
        self.release.wait()


def test_a_hanging_callback_holds_up_neither_the_search_nor_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.tuning.recorder.PATIENCE", 0.2)
    monkeypatch.setattr(dispatcher, "SILENCE", 0.1)
    said: list[str] = []
    hanging = Hanging()
    recorder = search(tmp_path, [hanging], said)
    drive(recorder)
    assert recorder.close() is None
    assert all(line["status"] in ("done", "stopped") for line in read(tmp_path)[0].values())
    waiting, behind = said
    assert waiting == "waiting for the callback Hanging, 0.2 s at most"
    epochs = sum(map(len, read_epochs(tmp_path).values()))
    count = (
        5 + epochs + 6 + 1 + 1
    )  # starts but the one it hangs in, epochs, ends, the end, its mark
    assert behind == (
        f"the callback Hanging did not keep up: {count} events of the search may be missing there"
    )
    hanging.release.set()


def test_a_callback_that_is_too_far_behind_misses_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatcher, "MOST", 3)
    said: list[str] = []
    hanging = Hanging()
    told = Dispatcher([hanging], said.append)
    for number in range(9):
        told.tell("on_trial_start", str(number), {})
    assert said == ["the callback Hanging is 3 events behind: it misses later ones"]
    hanging.release.set()
    told.close(None)


def test_a_trial_that_is_tried_again_ends_as_pending(tmp_path: Path) -> None:
    listener = Listener()
    recorder = search(tmp_path, [listener])
    drive(recorder, 1)
    (trial,) = recorder.state.running
    recorder.record.again(trial, "its machine was taken away; goes on from there")
    recorder.record.callbacks.close(None)
    assert listener.of("end") == [
        (trial, "pending", "its machine was taken away; goes on from there")
    ]


def test_the_reason_of_a_control_says_that_it_ran_on(tmp_path: Path) -> None:
    listener = Listener()
    recorder = search(tmp_path, [listener], text=SPACE.replace("control: 0", "control: 1"))
    drive(recorder)
    recorder.close()
    ends = {trial: (status, reason) for trial, status, reason in listener.of("end")}
    controls = {name for name, line in read(tmp_path)[0].items() if line.get("control")}
    assert controls
    for name in controls:
        assert ends[name][0] == "done"
        assert str(ends[name][1]).startswith("ran on as control; ")
    earlier = recorded_trials(tmp_path)
    assert ends == {name: (trial.status, trial.reason) for name, trial in earlier.items()}


@pytest.mark.parametrize("end", ["interrupted", "pending", "failed"])
def test_a_trial_that_ends_before_a_worker_had_it_has_begun(tmp_path: Path, end: str) -> None:
    listener = Listener()
    recorder = search(tmp_path, [listener])
    suggestion = recorder.next()  # Ray starts its worker, which takes seconds
    assert suggestion is not None
    name = suggestion.trial
    if end == "failed":
        recorder.record.end(name, end, None)
    elif end == "pending":
        recorder.record.again(name, "its machine was taken away")
    recorder.close()
    told = [(what, *given[:1]) for what, *given in listener.heard if what in ("start", "end")]
    assert told == [("start", name), ("end", name)]
    assert listener.of("start") == [(name, suggestion.settings)]
    assert listener.of("end")[0][1] == end


class Kept(Tracker):
    """A copy in a dictionary, without the trials that it refuses."""

    title, option = "Kept", "--log kept"

    def __init__(self, *refused: str) -> None:
        super().__init__()
        self.refused, self.has, self.over = set(refused), dict[str, str](), False

    def open(self) -> None:
        pass

    def update(self, trial: str, record: Any) -> None:
        if trial in self.refused:
            raise OSError("no room")
        self.has[trial] = record.status

    def summary(self) -> str:
        return f"a dictionary has {self.many}"

    def finish(self, stop: str | None) -> None:
        self.over = True


def test_a_tracker_without_one_of_its_methods_is_not_made(tmp_path: Path) -> None:
    class Half(Tracker):
        def open(self) -> None:
            pass

        def update(self, trial: str, record: Any) -> None:
            pass

    with pytest.raises(TypeError, match="abstract method summary"):
        Half()  # type: ignore[abstract]
    (kept := Kept()).trials["0001"] = TrialRecord({})
    assert kept.summary() == "a dictionary has 1 trial"


def test_a_trial_that_a_tracker_cannot_take_keeps_no_other_from_coming(tmp_path: Path) -> None:
    drive(recorder := search(tmp_path, []))
    recorder.close()
    tracker = Kept("0001", "0003")
    with pytest.raises(TrackerError, match="no room"):
        tracker.on_search_start(tmp_path, recorder.space, recorded_trials(tmp_path))
    with pytest.raises(TrackerError, match="no room"):
        tracker.on_search_end(None)
    assert {*tracker.has} == {"0002", "0004", "0005", "0006"} and tracker.over
    assert tracker.lacks.startswith("Kept lacks 2 of 6 trials")


def test_a_copy_that_cannot_be_let_go_is_one_sentence_and_the_first_failure_counts(
    tmp_path: Path,
) -> None:
    class Stuck(Kept):
        def leave(self) -> None:
            raise ConnectionError("the service has gone away")

    drive(recorder := search(tmp_path, []))
    recorder.close()
    with pytest.raises(TrackerError) as stuck:
        copy(tmp_path, Stuck())
    assert str(stuck.value) == "ConnectionError: the service has gone away"
    with pytest.raises(TrackerError, match="no room"):
        copy(tmp_path, Stuck("0001"))
    assert copy(tmp_path, Kept()) == "a dictionary has 6 trials"


def test_each_tracker_has_records_of_its_own(tmp_path: Path) -> None:
    drive(recorder := search(tmp_path, []))
    recorder.close()
    known = recorded_trials(tmp_path)
    one, other = Kept(), Kept()
    for tracker in (one, other):
        tracker.on_search_start(tmp_path, recorder.space, known)
    one.on_trial_start("0001", {})
    one.on_epoch("0001", {"epoch": 99})
    assert known["0001"].status == other.trials["0001"].status == "done"
    assert 99 not in known["0001"].epochs.keys() | other.trials["0001"].epochs.keys()


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_folder_of_a_trackers_name_is_not_its_package(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()  # where W&B keeps its files
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(TrackerError, match=f"--log {name}: its package is missing"):
        trackers([name], {}, None)


def test_a_search_whose_folder_fails_at_its_start_ends_for_the_callbacks_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ray_folder, "make", full)
    listener, searched = Listener(), space(tmp_path, SPACE)
    shares = Allocation(searched, Setup(run=tmp_path, data=""), [Node(2, 0)])
    with pytest.raises(OSError, match="No space left"):
        driver.run(shares, quiet(searched), callbacks=[listener])
    assert [what for what, *_ in listener.heard] == ["search", "over"]
    assert listener.heard[-1][1] == "OSError: [Errno 28] No space left on device"
