"""A run as a study of Optuna's: live, gone on with, copied again, and in a real optuna-dashboard."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from builders import REFERENCE
from optuna.trial import FrozenTrial, TrialState
from ports import answer, served
from simulated_ray import Workers
from tracked_search import drive, search

from search import results
from search.runs.journal import read, read_epochs
from search.tracking.optuna_study import OptunaStudy
from search.tracking.tracker import TrackerError

STATES = {"done": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}


def trials(url: str, name: str) -> list[FrozenTrial]:
    """The trials of a study."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.load_study(study_name=name, storage=url).trials


def test_a_live_search_is_a_study(tmp_path: Path) -> None:
    run, url = tmp_path / "run", f"sqlite:///{tmp_path}/study.db"
    run.mkdir()
    study = OptunaStudy(url)
    recorder = search(run, [study])
    drive(recorder)
    recorder.close()
    assert study.lacks == ""
    known, epochs = read(run)[0], read_epochs(run)
    found = trials(url, "run")
    assert [trial.user_attrs["trial"] for trial in found] == list(known)
    for trial in found:
        line = known[trial.user_attrs["trial"]]
        rows = epochs[trial.user_attrs["trial"]]
        scores = {row["epoch"]: row["val_acc"] for row in rows}
        assert trial.state == STATES[line["status"]]
        assert trial.value == max(scores.values())
        assert trial.intermediate_values == scores
        assert trial.params == {"lr": line["settings"]["lr"]}
        assert trial.distributions["lr"].log  # type: ignore[attr-defined]
        if line["status"] == "stopped":
            why = f"{line['stop_rule']}: {line['stop_reason']}"
            assert trial.user_attrs["reason"] == why


def test_a_run_that_goes_on_continues_its_study(tmp_path: Path) -> None:
    run, url = tmp_path / "run", f"sqlite:///{tmp_path}/study.db"
    run.mkdir()
    recorder = search(run, [OptunaStudy(url)])
    drive(recorder, 9)
    recorder.close()
    before = trials(url, "run")
    assert TrialState.WAITING in {trial.state for trial in before}
    assert TrialState.RUNNING not in {trial.state for trial in before}
    recorder = search(run, [OptunaStudy(url)])
    drive(recorder)
    recorder.close()
    after = trials(url, "run")
    assert [trial.user_attrs["trial"] for trial in after] == list(read(run)[0])
    assert {trial.state for trial in after} <= {TrialState.COMPLETE, TrialState.PRUNED}
    live = [trial.intermediate_values for trial in after]
    (tmp_path / "study.db").unlink()
    search_of_old = f"sqlite:///{tmp_path}/other.db"  # all at once is the same
    assert results.main([str(run), "--optuna", search_of_old]) == 0
    assert [trial.intermediate_values for trial in trials(search_of_old, "run")] == live


def test_a_failed_trial_that_is_tried_again_is_a_new_one(tmp_path: Path) -> None:
    run, url = tmp_path / "run", f"sqlite:///{tmp_path}/study.db"
    run.mkdir()
    recorder = search(run, [OptunaStudy(url)])
    drive(recorder, 1)
    recorder.record.end("0001", "failed", None)
    recorder.close()
    assert [trial.state for trial in trials(url, "run")] == [TrialState.FAIL]
    recorder = search(run, [OptunaStudy(url)])
    drive(recorder)
    recorder.close()
    of_first = [t.state for t in trials(url, "run") if t.user_attrs["trial"] == "0001"]
    assert of_first[0] is TrialState.FAIL
    assert of_first[1:] in ([TrialState.COMPLETE], [TrialState.PRUNED])


def test_a_copy_is_made_once_and_runs_of_one_name_have_studies_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    for _ in range(2):
        assert results.main([str(REFERENCE / "cpu"), "--optuna", url]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"study cpu in {url} has 8 trials of this run; look at them with",
        f"  optuna-dashboard {url}",
    ]
    assert len(trials(url, "cpu")) == 8
    other = shutil.copytree(REFERENCE / "cpu", tmp_path / "cpu")
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(
        json.dumps({**manifest, "started": "2026-01-01T00:00:00+00:00"})
    )
    assert results.main([str(other), "--optuna", url]) == 0
    names = optuna.study.get_all_study_names(url)
    assert len(names) == 2
    assert names[1].startswith("cpu-")


def test_a_database_that_is_away_for_a_while_gets_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, url = tmp_path / "run", f"sqlite:///{tmp_path}/study.db"
    run.mkdir()
    study, said = OptunaStudy(url), list[str]()
    make, away = study.storage.create_new_trial, [True]

    def broken(*given: Any) -> int:
        if away[0]:
            raise OSError("disk I/O error")
        return make(*given)

    monkeypatch.setattr(study.storage, "create_new_trial", broken)
    recorder = search(run, [study], said)
    drive(recorder)
    until = time.monotonic() + 60
    while not said and time.monotonic() < until:  # the study has a thread of its own
        time.sleep(0.01)
    away[0] = False
    recorder.close()
    assert said == [
        "Optuna's study: OSError: disk I/O error; the search goes on, and further failures of it "
        "are not shown"
    ]
    assert len(trials(url, "run")) == 6


def test_a_database_that_stays_away_is_said_with_what_brings_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    study, said = OptunaStudy(f"sqlite:///{tmp_path}/study.db"), list[str]()
    monkeypatch.setattr(study.storage, "create_new_trial", lambda *given: 1 / 0)
    recorder = search(run, [study], said)
    drive(recorder)
    recorder.close()
    assert [line.split("; ")[0] for line in said] == [
        "Optuna's study: ZeroDivisionError: division by zero",
        "Optuna's study lacks 6 of 6 trials, or a part of it",
    ]
    assert said[1].endswith(f"search.results {run} --optuna sqlite:///{tmp_path}/study.db")
    assert {line["status"] for line in read(run)[0].values()} <= {"done", "stopped"}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("study.db", "no URL of a database; did you mean sqlite:///study.db?"),
        ("my study", "no URL of a database; such as sqlite:///study.db or postgresql://HOST/NAME"),
        ("sqlite:///HERE/no/study.db", "there is no folder HERE/no"),
        ("sqlite:///HERE", "is a folder; name a file in it"),
        ("sqlite:///HERE/text", "cannot be opened (file is not a database)"),
        ("sqlite://", "names no file, and what is in memory only is lost at the end; such as"),
        ("redis://host", "redis is no database that is known here; such as sqlite:///study.db"),
        (
            "mysql+nodriver://host/name",
            "mysql+nodriver is no database that is known here; such as sqlite",
        ),
        (
            "mysql+asyncmy://me:secret@host/name",
            "the package that speaks to mysql+asyncmy is not installed; pip install asyncmy",
        ),
    ],
)
def test_a_url_that_is_none_is_told_before_anything_starts(
    url: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("no database, but a text\n" * 10)
    here = str(tmp_path)
    given = url.replace("HERE", here)
    with pytest.raises(TrackerError) as refused:
        OptunaStudy(given)
    shown = given.replace("me:secret", "***")
    assert str(refused.value).startswith(f"--optuna {shown}: {said.replace('HERE', here)}")


def test_nothing_is_written_before_the_search_begins(tmp_path: Path) -> None:
    """It may still be refused, by its data."""
    OptunaStudy(f"sqlite:///{tmp_path}/study.db")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "text.db").write_text("not a database\n" * 100)
    with pytest.raises(TrackerError, match="file is not a database"):
        OptunaStudy(f"sqlite:///{tmp_path}/text.db")
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as database:
        database.execute("create table mine (x)")
        OptunaStudy(f"sqlite:///{other}")
        tables = database.execute("select name from sqlite_master").fetchall()
    assert tables == [("mine",)]


FRONT = """
fixed: {epochs: 4}
search: {lr: {low: 1e-5, high: 1e-1, log: true}}
trials: 6
metric: [val_acc, macs, latency_ms]
prune: {asha: {grace: 1, factor: 2}, chance: false, plateau: false, control: 0}
"""


def test_a_search_of_a_score_and_costs_has_a_direction_for_each(tmp_path: Path) -> None:
    """Of the trial without known costs, which is on no front, they are infinite."""
    run, url = tmp_path / "run", f"sqlite:///{tmp_path}/study.db"
    run.mkdir()
    recorder = search(run, [OptunaStudy(url)], text=FRONT)
    workers = Workers(recorder, 2)
    workers.cost_of = lambda lr: {"params": 9, "macs": int(1e9 * lr["lr"]), "latency_ms": 2.0}
    steps = 0
    while workers.go():
        steps += 1
        if len(workers.ran) == 9:
            workers.cost_of = None
    recorder.close()
    study = optuna.load_study(study_name="run", storage=url)
    assert [one.name for one in study.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]
    assert study.metric_names == ["val_acc", "macs", "latency_ms"]
    known, epochs = read(run)[0], read_epochs(run)
    unknown = 0
    for trial in study.trials:
        name = trial.user_attrs["trial"]
        cost = known[name].get("cost", {"macs": math.inf, "latency_ms": math.inf})
        unknown += "cost" not in known[name]
        score = max(row["val_acc"] for row in epochs[name])
        assert trial.values == [score, cost["macs"], cost["latency_ms"]]
        assert trial.state == STATES[known[name]["status"]]
    assert 0 < unknown < 6
    done = [trial for trial in study.trials if trial.state is TrialState.COMPLETE]
    best = max(done, key=lambda trial: trial.values[0])
    assert best.number in {trial.number for trial in study.best_trials}
    before = [trial.values for trial in study.trials]
    assert results.main([str(run), "--optuna", url]) == 0  # brings nothing that is there
    assert [trial.values for trial in study.trials] == before


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A real optuna-dashboard on loopback with the recorded run in it: its address, and the URL."""
    url = f"sqlite:///{tmp_path_factory.mktemp('dashboard')}/study.db"
    assert results.main([str(REFERENCE / "cpu"), "--optuna", url]) == 0
    code = "from optuna_dashboard._cli import main; main()"
    command = [sys.executable, "-c", code, "--host", "127.0.0.1", url]
    with served(command, "api/studies") as address:
        yield f"{address}/api/studies", url


def test_optuna_dashboard_shows_the_run(dashboard: tuple[str, str]) -> None:
    address, _ = dashboard
    (study,) = answer(address)["study_summaries"]
    assert (study["study_name"], study["directions"]) == ("cpu", ["maximize"])
    shown = answer(f"{address}/{study['study_id']}")
    assert shown["objective_names"] == ["val_acc"]
    known, epochs = read(REFERENCE / "cpu")[0], read_epochs(REFERENCE / "cpu")
    states = {"done": "Complete", "stopped": "Pruned", "interrupted": "Waiting"}
    assert [trial["state"] for trial in shown["trials"]] == [
        states[line["status"]] for line in known.values()
    ]
    curves = [
        [(point["step"], point["value"]) for point in trial["intermediate_values"]]
        for trial in shown["trials"]
    ]
    assert curves == [[(row["epoch"], row["val_acc"]) for row in epochs[name]] for name in known]
    importances = answer(f"{address}/{study['study_id']}/param_importances")["param_importances"]
    assert {each["name"] for each in importances[0]} == {
        "loss",
        "lr",
        "weight_decay",
        "erase",
        "freeze_stages",
    }
    assert sum(each["importance"] for each in importances[0]) == pytest.approx(1)


def test_spaces_of_rows_have_their_differing_settings(tmp_path: Path) -> None:
    run, url = tmp_path / "run", f"sqlite:///{tmp_path}/study.db"
    run.mkdir()
    rows = "rows:\n  A: {settings: {lr: 1e-3}}\n  B: {settings: {lr: 1e-2}}\nfixed: {epochs: 4}\nprune: false\n"
    recorder = search(run, [OptunaStudy(url)], text=rows)
    drive(recorder)
    recorder.close()
    assert [trial.params for trial in trials(url, "run")] == [{"lr": 1e-3}, {"lr": 1e-2}]
