"""A run in MLflow: in its database, and in a real server with SQLite on loopback."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ports import free_port, served
from tracked_search import drive, search

from search import results
from search.runs import layout
from search.runs.journal import read, read_epochs
from search.tracking.callback import recorded_trials

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

    from search.tracking.mlflow_runs import MlflowRuns

pytestmark = [
    # MLflow's own models, where it opens a database itself
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning"),
]
STATUS = {"done": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


# Every process of tests imports every test file, and MLflow takes 2 s of a core.
def client_of(uri: str) -> MlflowClient:
    """MLflow's own client."""
    from mlflow.tracking import MlflowClient

    return MlflowClient(uri)


def tracker_of(uri: str) -> MlflowRuns:
    """The tracker of a search."""
    from search.tracking.mlflow_runs import MlflowRuns

    return MlflowRuns(uri)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait as long for an interrupted search as for another: MLflow makes its tables."""
    for name in ("PATIENCE", "CUT_PATIENCE"):
        monkeypatch.setattr(f"search.tuning.recorder.{name}", 120.0)
    monkeypatch.setattr("search.tracking.dispatcher.SILENCE", 120.0)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, which take it seconds to make."""
    file = tmp_path_factory.mktemp("mlflow") / "empty.db"
    client_of(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def uri(tmp_path: Path, empty: Path) -> str:
    """A database of MLflow's, without a server."""
    return f"sqlite:///{shutil.copy(empty, tmp_path / 'mlflow.db')}"


def runs(uri: str, name: str) -> tuple[Run, dict[str, Run]]:
    """The search's own run of MLflow's in the experiment of this name, and those of its trials."""
    client = client_of(uri)
    place = client.get_experiment_by_name(name)
    found = client.search_runs([place.experiment_id], max_results=1000)
    trials = {
        r.data.tags["siamsearch.trial"]: r for r in found if "siamsearch.trial" in r.data.tags
    }
    (parent,) = (r for r in found if r.info.run_id not in {t.info.run_id for t in trials.values()})
    assert len(trials) == len(found) - 1  # no trial has two
    return parent, trials


def curve(uri: str, run: Run, metric: str) -> list[tuple[int, float]]:
    """What MLflow has of a metric, epoch by epoch."""
    history = client_of(uri).get_metric_history(run.info.run_id, metric)
    return sorted((point.step, point.value) for point in history)


def assert_whole(uri: str, run: Path) -> None:
    """Assert that MLflow has each trial of a run that is over, once and completely."""
    parent, trials = runs(uri, run.name)
    known, epochs = read(run)[0], read_epochs(run)
    assert trials.keys() == known.keys()
    assert parent.info.status == "FINISHED"
    every = [row["val_acc"] for rows in epochs.values() for row in rows]
    assert parent.data.metrics["best_val_acc"] == max(every)
    for name, found in trials.items():
        line, rows = known[name], epochs[name]
        tags = found.data.tags
        assert tags["mlflow.parentRunId"] == parent.info.run_id
        assert found.info.status == STATUS[line["status"]]
        assert tags["status"] == line["status"]
        why = f"{line['stop_rule']}: {line['stop_reason']}" if line["stop_rule"] else ""
        assert tags["reason"] == why
        assert found.data.params == {key: str(value) for key, value in line["settings"].items()}
        assert curve(uri, found, "val_acc") == [(row["epoch"], row["val_acc"]) for row in rows]
        assert found.data.metrics["best_val_acc"] == max(row["val_acc"] for row in rows)
        assert "val_right" not in found.data.metrics


def test_a_run_that_goes_on_continues_its_own_and_a_copy_adds_nothing(
    tmp_path: Path, uri: str
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    recorder = search(run, [tracker_of(uri)])
    drive(recorder, 9)
    recorder.close()
    parent, before = runs(uri, "run")
    assert parent.data.tags["stop"] == "interrupted"
    assert "SCHEDULED" in {found.info.status for found in before.values()}
    recorder = search(run, [tracker_of(uri)])
    drive(recorder)
    recorder.close()
    assert_whole(uri, run)
    again = search(run, [tracker_of(uri)])
    drive(again)
    again.close()
    assert_whole(uri, run)
    _, after = runs(uri, "run")
    assert {name: after[name].info.run_id for name in before} == {
        name: found.info.run_id for name, found in before.items()
    }


def test_epochs_without_a_clock_are_sent_once(tmp_path: Path, uri: str) -> None:
    """As older states have them, whose seconds were not kept."""
    run = tmp_path / "run"
    run.mkdir()
    drive(search(run, []), 9)
    lines = [json.loads(line) for line in (run / "epochs.jsonl").read_text().splitlines()]
    without = [json.dumps({**line, "seconds": float("nan")}) + "\n" for line in lines]
    (run / "epochs.jsonl").write_text("".join(without))
    for _ in range(2):
        known = recorded_trials(run)
        tracker = tracker_of(uri)
        tracker.on_search_start(run, layout.space(run), known)
        changed = next(trial for trial, record in known.items() if record.epochs)
        tracker.on_trial_end(changed, "interrupted", None)
    _, trials = runs(uri, "run")
    for name, rows in read_epochs(run).items():
        assert [step for step, _ in curve(uri, trials[name], "val_acc")] == [
            row["epoch"] for row in rows
        ]


def test_the_space_file_and_the_environment_say_where(
    tmp_path: Path,
    empty: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("of_environment", "told"):
        shutil.copy(empty, tmp_path / f"{name}.db")
    run = tmp_path / "run"
    run.mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/of_environment.db")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "faces")
    recorder = search(run, [])
    drive(recorder)
    recorder.close()
    (run / "export").mkdir()
    (run / "export" / "README.md").write_text("the card\n")
    (run / "manifest.json").write_text('{"name": "run", "finished": "now"}')
    monkeypatch.chdir(tmp_path)
    assert results.main([str(run), "--log", "mlflow"]) == 0
    parent, trials = runs(f"sqlite:///{tmp_path}/of_environment.db", "faces")
    assert len(trials) == 6
    assert parent.info.end_time == max(trial.info.end_time for trial in trials.values())
    listed = client_of(f"sqlite:///{tmp_path}/of_environment.db").list_artifacts(
        parent.info.run_id, "export"
    )
    assert [file.path for file in listed] == ["export/README.md"]
    told = f"log: {{mlflow: {{uri: 'sqlite:///{tmp_path}/told.db', experiment: told}}}}\n"
    (run / "space.yaml").write_text((run / "space.yaml").read_text() + told)
    assert results.main([str(run), "--log", "mlflow"]) == 0
    assert len(runs(f"sqlite:///{tmp_path}/told.db", "told")[1]) == 6
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"experiment told of MLflow, sqlite:///{tmp_path}/told.db, has 6 trials of this run; look "
        "at them with",
        f"  mlflow ui --backend-store-uri sqlite:///{tmp_path}/told.db",
    ]


def test_a_server_that_is_not_there_is_said_once_and_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, said = tmp_path / "run", list[str]()
    run.mkdir()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    recorder = search(run, [tracker_of(f"http://127.0.0.1:{free_port()}")], said)
    drive(recorder)
    recorder.close()
    assert len(said) == 2
    assert said[0].startswith("MLflow: MlflowException: API request to")
    assert said[1].startswith("MLflow lacks this run, or a part of it; ")
    assert said[1].endswith(f"search.results {run} --log mlflow")
    assert {line["status"] for line in read(run)[0].values()} <= {"done", "stopped"}


SERVER = os.environ.get("SIAMSEARCH_MLFLOW", "")
"""The command mlflow of the environment that `make test-slow` sets up: MLflow's server asks for
an older pyarrow than the search."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A real server of MLflow's with SQLite on loopback: its address."""
    if not SERVER:
        pytest.skip("SIAMSEARCH_MLFLOW names no mlflow with a server; make test-slow installs one")
    options = ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--workers", "1"]
    options += ["--artifacts-destination", str(tmp_path / "artifacts"), "--host", "127.0.0.1"]
    off = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with served([SERVER, "server", *options], "health", tmp_path, **off) as address:
        yield address


@pytest.mark.slow
def test_a_real_server_has_the_run_also_one_that_goes_on(server: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    recorder = search(run, [tracker_of(server)])
    drive(recorder, 9)
    recorder.close()
    recorder = search(run, [tracker_of(server)])
    drive(recorder)
    (run / "export").mkdir()
    (run / "export" / "README.md").write_text("the card\n")
    recorder.close()
    assert_whole(server, run)
    parent, _ = runs(server, "run")
    listed = client_of(server).list_artifacts(parent.info.run_id, "export")
    assert [file.path for file in listed] == ["export/README.md"]
