"""``run`` and ``load``: searches from Python, their Run, and what they leave of themselves."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders import ROOT
from stub_trial import StubTrial

import search
from facesiam.errors import UserError, WeightsError
from search import Run, SearchFailed, SearchInterrupted, load, run
from search.api.wording import OptionError
from search.cli.run_command import main
from search.runs.layout import RunError
from search.runs.reuse import RunRefused
from search.space import SpaceError
from search.tracking.callback import Callback
from search.tuning import driver, ray_cluster, shutdown

SPACE: dict[str, Any] = {
    "fixed": {"net": "alexnet", "join": "difference", "hidden": 16, "image_size": 64, "epochs": 3},
    "search": {"lr": [1e-5, 1e-4, 1e-3, 1e-2], "augment": [False, True]},
    "algorithm": "random",
    "trials": 3,
    "prune": {"asha": False},
}
LONG = {**SPACE, "fixed": {**SPACE["fixed"], "epochs": 5000}, "trials": 1}
FILE = """
fixed: {net: alexnet, join: difference, hidden: 16, image_size: 64, epochs: 3}
search: {lr: [1e-5, 1e-4, 1e-3, 1e-2], augment: [false, true]}
algorithm: random
trials: 3
prune: {asha: false}
"""


def signals() -> list[Any]:
    """Return the handlers of the signals that a search handles."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    return [signal.getsignal(number) for number in numbers]


class Listener(Callback):
    """Notes what it is told, and may send a signal at the first epoch."""

    def __init__(self, number: int | None = None) -> None:
        self.told: list[str] = []
        self.number = number
        self.running = threading.Event()

    def on_search_start(self, run: Path, space: Any, resumed: Any) -> None:
        self.told.append(f"start {run.name}, {len(resumed)} known")

    def on_trial_start(self, trial: str, settings: Any) -> None:
        self.running.set()

    def on_epoch(self, trial: str, record: Any) -> None:
        self.told.append(f"{trial} {record['epoch']}")
        if self.number:
            os.kill(os.getpid(), self.number)
            self.number = None

    def on_search_end(self, stop: str | None) -> None:
        self.told.append(f"end {stop}")


@pytest.fixture(scope="module")
def stub() -> Iterator[None]:
    """Trials that train nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "FaceTrial", StubTrial)
        yield


@pytest.fixture(scope="module")
def listener() -> Listener:
    return Listener()


@pytest.fixture(scope="module")
def first(
    _ray_ends: None,
    stub: None,
    faces: Path,
    listener: Listener,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    ray_cluster.connect(None)  # for all tests here, which leave it running
    out = tmp_path_factory.mktemp("runs")
    return run(SPACE, faces, name="first", out=out, callbacks=[listener])


def test_the_package_imports_nothing_until_the_api_is_asked_for() -> None:
    code = (
        "import sys, search; heavy = {'torch', 'ray', 'pandas', 'optuna', 'numpy', 'yaml'};"
        "print(heavy & {*sys.modules}, sorted(m for m in sys.modules if m[:7] == 'search.'));"
        "from search import run, load; print(heavy & {*sys.modules} - {'yaml', 'numpy'});"
        "print(callable(run), load.__module__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "set() []\nset()\nTrue search.api.opened\n", done.stderr
    assert {"run", "load", "Run"} <= {*dir(search)}


def test_a_second_run_from_the_same_space_in_a_file_is_equal_and_leaves_the_process_as_it_was(
    first: Run, faces: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(FILE)
    before, handlers, threads = dict(os.environ), signals(), threading.active_count()
    out, err = sys.stdout, sys.stderr
    again = run(file, faces, name="by-path", out=tmp_path, progress=False)
    assert capfd.readouterr() == ("", "")
    assert (before, handlers, out, err) == (dict(os.environ), signals(), sys.stdout, sys.stderr)
    assert threading.active_count() <= threads
    assert again.space == dataclasses.replace(first.space, name="space")
    pd.testing.assert_frame_equal(again.trials, first.trials)
    order = ["trial", "epoch"]  # trials run beside each other
    pd.testing.assert_frame_equal(
        again.epochs.sort_values(order, ignore_index=True),
        first.epochs.sort_values(order, ignore_index=True),
    )


def test_callbacks_are_told(first: Run, listener: Listener) -> None:
    assert listener.told[0] == "start first, 0 known" and listener.told[-1] == "end None"
    epochs = first.epochs
    assert sorted(listener.told[1:-1]) == sorted(
        f"{trial} {epoch}" for trial, epoch in zip(epochs["trial"], epochs["epoch"], strict=True)
    )


def test_the_manifest_says_that_it_was_called_from_python(first: Run, faces: Path) -> None:
    (session,) = first.manifest["sessions"]
    out = str(first.folder.parent)
    assert session["command"] == (
        f"run({SPACE!r}, data={str(faces)!r}, name='first', out={out!r}, callbacks=[<Listener>])"
    )
    assert session["arguments"] == [
        *("space", "--data", str(faces), "--name", "first", "--out", out)
    ]


def test_best_is_the_trial_that_ranks_first(first: Run) -> None:
    best, row = first.best, first.trials.iloc[0]
    assert (best.name, best.rank, best.status, best.reason) == (row["trial"], 1, "done", None)
    assert best.settings["lr"] == row["lr"] and best.settings["hidden"] == 16
    assert best.figures["val_acc"] == row["val_acc"] and best.figures["epochs_run"] == 3
    assert best.config.to_dict() == best.settings
    assert first.trial(best.name) == best
    with pytest.raises(RunError, match="no trial 0009; its [2-9] trials are 0001 to 000"):
        first.trial("0009")


def test_why_reads_as_text_where_it_is_shown(first: Run) -> None:
    story = first.why(first.best)
    assert repr(story) == story == first.why(first.best.name)
    assert story.startswith(f"trial {first.best.name}, drawn at random: done\n")


def test_a_trial_that_is_no_id_is_refused_with_the_nearest(first: Run) -> None:
    for ask in (first.why, first.trial, first.verifier, first.retrain):
        with pytest.raises(OptionError, match=r"'0005', not int; did you mean '0002'\?$"):
            ask(2)


def test_a_net_whose_weights_are_not_kept_is_trained_again(first: Run) -> None:
    with pytest.raises(RunError, match="no trial 0009; its [2-9] trials are 0001 to 000"):
        first.verifier("0009")
    name = first.best.name
    kept = first.folder / "weights" / f"{name}.pt"
    was = kept.read_bytes() if kept.exists() else None
    kept.unlink(missing_ok=True)
    said = rf"no weights of trial {name} are kept \(keep: 3\); run\.retrain\(trial='{name}'\)"
    with pytest.raises(WeightsError, match=said):
        first.verifier(name)
    if was is not None:
        kept.write_bytes(was)


def test_a_run_shows_itself(first: Run) -> None:
    score = f"{100 * first.best.figures['val_acc']:.1f}"
    assert f": 3 done; best {first.best.name}, val_acc {score} [" in repr(first)
    html = first._repr_html_()
    assert html.count("<tr>") == 3 and "<th>val_acc, %</th>" in html and "first" in html


def test_load_opens_a_run_and_names_the_nearest(first: Run) -> None:
    assert load(first.folder).best == load(first).best == first.best
    with pytest.raises(
        RunError, match=rf"no such run folder; did you mean {re.escape(str(first.folder))}\?$"
    ):
        load(first.folder.with_name("frist"))


def test_resume_extends_a_run_of_a_mapping(
    first: Run,
    faces: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is told at the end, as by the command, where a tracker keeps its copy."""
    monkeypatch.chdir(tmp_path)
    mine = run(SPACE, faces, name="mine", set={"hidden": 8}, trials=2, optuna="sqlite:///x.db")
    copy = "study mine in sqlite:///x.db has {} trials of this run; look at them with\n"
    assert copy.format(2) in capsys.readouterr().out
    assert mine.place == "ray_results/mine" and len(mine.trials) == 2
    longer = load("ray_results/mine").resume(trials=4)
    assert longer.folder == mine.folder and len(mine.trials) == 4
    assert {trial: mine.trial(trial).settings["hidden"] for trial in mine.trials["trial"]} == (
        dict.fromkeys(["0001", "0002", "0003", "0004"], 8)
    )
    last = mine.manifest["sessions"][-1]
    assert last["command"] == (
        f"run('{mine.folder}/space.yaml', data='{faces}', name='mine', "
        f"out='{mine.folder.parent}', trials=4, resume=True, optuna='sqlite:///x.db')"
    )
    words = [*last["arguments"], "--trials", "5"]
    assert main(words, StubTrial) == 0 and len(mine.trials) == 5  # it is a command line
    assert copy.format(5) in capsys.readouterr().out


@pytest.mark.usefixtures("first")
def test_stop_when_ends_a_search_early_and_a_resume_may_go_on(faces: Path, tmp_path: Path) -> None:
    early = run(
        SPACE, faces, name="early", out=tmp_path, trials=8, concurrent=1, stop_when={"gain": 99}
    )
    assert early.finished and 5 <= len(early.trials) < 8
    assert early.space.stop_when == {"gain": 99.0}
    session = early.manifest["sessions"][-1]
    assert session["ended_by"].startswith("stop_when: gain 99: the ")
    assert "--stop-when gain=99" in " ".join(session["arguments"])
    whole = early.resume(stop_when={"gain": 0})
    assert whole.finished and len(whole.trials) == 8 and whole.space.stop_when == {}
    assert "ended_by" not in whole.manifest["sessions"][-1]


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"trials": 0}, OptionError, "trials: must be a whole number from 1, got 0"),
        ({"algorithm": "bayse"}, OptionError, "algorithm: invalid choice: 'bayse'"),
        ({"data": ""}, OptionError, "data: is empty"),
        ({"set": {"lrr": 1}}, SpaceError, "set lrr: not a setting; did you mean lr?"),
        ({"enqueue": [{"lr": 3}]}, SpaceError, "enqueue"),
        ({"enqueue": {"lr": 1e-3}}, OptionError, "enqueue: takes a list of mappings, such as [{"),
        ({"callbacks": Listener()}, OptionError, "callbacks: takes a list, got a Listener"),
        ({"callbacks": [Listener]}, OptionError, "Callback, got Listener itself"),
        ({"callbacks": [print]}, OptionError, "Callback, got a builtin_function_or_method"),
        ({"set": {"lr": np.array([1e-5, 1])}}, OptionError, "set: a ndarray is no value"),
        ({"rows": ["A"]}, SpaceError, "rows A: no such row; space has none"),
        ({"rows": []}, OptionError, "rows: is empty"),
        ({"name": "a/b"}, RunRefused, "name a/b: letters, digits"),
        ({"name": "old"}, RunRefused, "exists; go on with resume=True, or give another name"),
        ({"resume": True}, RunRefused, "resume=True: there is no run at"),
        ({"seeds": 2}, RunRefused, "seeds goes with ablate"),
        ({"stop_when": {"gian": 1}}, OptionError, 'stop_when: must be such as {"gain": 0.3}'),
        ({"stop_when": 0.3}, OptionError, 'must be such as {"gain": 0.3}, got 0.3'),
        ({"stop_when": {"gain": -1}}, OptionError, "stop_when: "),
        ({"stop_when": {"gain": 1}, "algorithm": "grid"}, RunRefused, "stop_when gain=1: a grid"),
        ({"data": "nowhere"}, UserError, "nowhere"),
    ],
)
def test_mistakes_are_exceptions_and_leave_nothing(
    options: dict[str, Any], kind: type[Exception], said: str, tmp_path: Path
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "file").touch()
    with pytest.raises(kind) as error:
        run(SPACE, **{"out": tmp_path, "data": "drawn", "name": "new", **options})
    assert said in str(error.value) and "--" not in str(error.value)
    assert [path.name for path in tmp_path.rglob("*")] == ["old", "file"]


def test_a_dry_run_prints_the_plan_and_starts_nothing(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = run(SPACE, faces, name="plan", out=tmp_path, dry_run=True)
    assert "epochs = 3 × 3" in capsys.readouterr().out
    assert not planned.folder.exists() and "no such run folder" in repr(planned)


@pytest.mark.usefixtures("first")
def test_an_interrupt_raises_with_a_run_that_can_be_resumed(faces: Path, tmp_path: Path) -> None:
    listener, handlers = Listener(signal.SIGINT), signals()
    with pytest.raises(SearchInterrupted) as stopped:
        run(LONG, faces, name="cut", out=tmp_path, callbacks=[listener])
    assert str(stopped.value) == f"interrupted; go on with:\n  load('{tmp_path}/cut').resume()"
    cut = stopped.value.run
    assert isinstance(stopped.value, KeyboardInterrupt) and not cut.finished
    assert cut.trials["status"].tolist() == ["interrupted"]
    assert listener.told[-1] == "end interrupted"
    assert handlers == signals()


@pytest.mark.usefixtures("first")
def test_on_another_thread_the_time_limit_holds(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, listener = list[Run](), Listener()

    class Limit(threading.Event):
        """Counts the time from the first trial on, as busy cores start none within a second."""

        def wait(self, timeout: float | None = None) -> bool:
            return (timeout != 60 * 0.03 or listener.running.wait(250)) and super().wait(timeout)

    counting = SimpleNamespace(**{**vars(threading), "Event": Limit})
    monkeypatch.setattr(shutdown, "threading", counting)
    options: dict[str, Any] = {"out": tmp_path, "minutes": 0.03, "callbacks": [listener]}
    search = threading.Thread(target=lambda: found.append(run(LONG, faces, name="t", **options)))
    search.start()
    assert listener.running.wait(250)
    with pytest.raises(RunRefused, match="another search runs in this process"):
        run(SPACE, faces, name="beside", out=tmp_path)
    search.join(250)
    assert not found[0].finished and found[0].trials["status"].tolist() == ["interrupted"]


@pytest.mark.usefixtures("first")
def test_storage_that_fails_raises_with_the_run(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object, **more: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path))

    monkeypatch.setattr(driver, "run", full)
    with pytest.raises(SearchFailed) as failed:
        run(SPACE, faces, name="full", out=tmp_path)
    assert str(failed.value) == (
        f"stopped: {tmp_path}: No space left on device\nNothing that was noted is lost. Go on "
        f"with:\n  load('{tmp_path}/full').resume()"
    )
    assert failed.value.run.name == "full"
