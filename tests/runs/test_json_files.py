"""Damaged files of a run folder: a sentence and exit 2, and nothing is waited for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from builders import SETTINGS, THREE_EPOCHS, epoch

from facesiam import cli
from facesiam.errors import FileError, WeightsError
from facesiam.fingerprint import noted_with_key
from facesiam.nets.checkpoint import save_atomically
from facesiam.nets.weight_files import read_weights
from search import results
from search.pruning.recorded_runs import read as read_curves
from search.report.__main__ import main as report
from search.runs import evaluation_files, layout, manifest
from search.runs.journal_writer import Journal
from search.runs.line_format import EPOCHS, TRIALS
from search.runs.reuse import refuse_changes
from search.space import load
from search.tuning import warm_start

NOTED: dict[str, Any] = {
    "name": "x",
    "command": "python -m search.run x.yaml",
    "sessions": [{"trainer": "t"}],
    "data": {"source": "drawn", "key": "ab12"},
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of one trial, with a manifest."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "space.yaml").write_text(THREE_EPOCHS)
    (folder / "manifest.json").write_text(json.dumps(NOTED))
    journal = Journal(folder)
    journal.trial("0001", "running", settings=SETTINGS, row=None)
    journal.epoch("0001", epoch(0))
    return folder


def pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def loop(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)


DAMAGE = [
    (pipe, "is a pipe or a device"),
    (folder, "is a folder"),
    (loop, "symbolic links"),
    (lambda path: path.write_bytes(b"\xff\xfe\x00\n"), "UTF-8"),
    (lambda path: path.write_text("17\n"), "must hold|not a record|is not"),
    (lambda path: path.write_text("[" * 5000 + "]" * 5000 + "\n"), "nested too deeply|deep"),
]


@pytest.mark.parametrize("name", ["manifest.json", TRIALS, EPOCHS])
@pytest.mark.parametrize(("damage", "said"), DAMAGE, ids=range(len(DAMAGE)))
def test_what_is_no_such_file_is_one_sentence(
    run: Path, name: str, damage: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(run / name)
    assert report([str(run)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and str(run / name) in err
    assert any(word in err for word in said.split("|")), err
    assert not (run / "report").exists()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("trial", "../../x", "trial must be a name"),
        ("trial", "", "trial must be a name"),
        ("trial", ".hidden", "trial must be a name"),
        ("trial", "a\x1b[2J", "trial must be"),
        ("trial", 7, "trial must be a name"),
        ("status", "gone", "status must be one of pending"),
        ("status", None, "status must be"),
        ("row", "a/b", "row must be a name"),
        ("settings", [], "settings must be"),
        ("settings", {}, "settings must be"),
        ("settings", {"lr": {}}, "settings must be"),
        ("control", 1, "control must be true or false"),
        ("n", 0, "n must be a whole number"),
        ("n", True, "n must be"),
        ("stop_epoch", "1", "stop_epoch must be"),
        ("log", "x", "log"),
        (
            "cost",
            {"params": 1, "macs": 2},
            "cost must be numbers from 0: params, macs, latency_ms",
        ),
        ("cost", {"params": 1, "macs": -2, "latency_ms": 3.0}, "cost must be"),
        ("cost", {"params": 1, "macs": 2, "latency_ms": float("nan")}, "cost must be"),
        ("cost", {"params": 1, "macs": 2, "latency_ms": "3"}, "cost must be"),
        ("cost", 5, "cost must be"),
    ],
)
def test_a_trials_line_is_held_to_its_form(
    run: Path, field: str, value: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (run / TRIALS).read_text().splitlines()
    (run / TRIALS).write_text(json.dumps({**json.loads(lines[0]), field: value}) + "\n")
    assert results.main([str(run)]) == 2
    err = capsys.readouterr().err
    assert f"{run / TRIALS}: line 1, {said}" in err and "\x1b" not in err


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("epoch", -1, "epoch must be"),
        ("epoch", 1.5, "epoch must be"),
        ("epoch", 10**400, "epoch must be"),
        ("val_acc", 1e308, "val_acc must be a share"),
        ("val_acc", "abc", "val_acc must be"),
        ("val_acc", True, "val_acc must be"),
        ("val_acc", -0.1, "val_acc must be"),
        ("val_pairs", 1.5, "val_pairs must be a whole"),
        ("seconds", -1, "seconds must be 0 or more"),
        ("trial", "a b", "trial must be a name"),
        ("val_pairs", float("inf"), "val_pairs must be"),
        ("val_acc", None, "val_acc must be"),
        ("val_pairs", float("nan"), "val_pairs must be"),
        ("seconds", 1e308, "seconds must be"),
    ],
)
def test_an_epochs_line_is_held_to_its_form(
    run: Path, field: str, value: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = json.loads((run / EPOCHS).read_text())
    (run / EPOCHS).write_text(json.dumps({**line, field: value}) + "\n")
    assert results.main([str(run)]) == 2
    assert f"{run / EPOCHS}: line 1, {said}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("align", 10**30),
        ("align", "x"),
        ("batch_size", 10**30),
        ("batch_size", 1.5),
        ("batch_size", True),
        ("lr", "x"),
        ("net", 7),
    ],
)
def test_a_setting_that_goes_into_no_column_is_named(run: Path, name: str, value: Any) -> None:
    line = json.loads((run / TRIALS).read_text())
    second = {**line, "trial": "0002", "n": 3, "settings": {**line["settings"], name: value}}
    with (run / TRIALS).open("a") as file:
        file.write(json.dumps(second) + "\n")
    with pytest.raises(results.RunError, match=f"trials.jsonl: trial 0002: {name}: "):
        results.load(run)


def test_epochs_without_their_pairs_have_a_score_of_which_nothing_is_sure(run: Path) -> None:
    row = json.loads((run / EPOCHS).read_text())
    (run / EPOCHS).write_text(json.dumps({k: row[k] for k in row if k != "val_pairs"}) + "\n")
    trials, epochs = results.load(run)
    assert epochs["val_pairs"].tolist() == [0] and trials["val_acc"].tolist() == [0.5]
    assert trials[["val_acc_low", "val_acc_high"]].to_numpy().tolist() == [[0.0, 1.0]]


def test_a_field_that_earlier_epochs_have_is_missed(run: Path) -> None:
    with (run / EPOCHS).open("a") as file:
        file.write(
            json.dumps({"trial": "0001", "epoch": 1, "val_pairs": 100, "seconds": 1.0, "n": 3})
            + "\n"
        )
    with pytest.raises(results.RunError, match="line number 3 has no val_acc"):
        results.load(run)


@pytest.mark.parametrize(
    ("noted", "said"),
    [
        ({**NOTED, "data": {"source": "x", "key": "../../etc"}}, "data, key must be the key"),
        ({**NOTED, "data": {"source": 1, "key": "ab"}}, "data, source must be a text"),
        ({**NOTED, "sessions": []}, "sessions must be a list of one session or more"),
        ({**NOTED, "command": 5}, "command must be a command"),
    ],
)
def test_a_manifest_is_held_to_its_form(run: Path, noted: Any, said: str) -> None:
    (run / "manifest.json").write_text(json.dumps(noted))
    for read in (results.manifest, lambda folder: manifest.end(folder, True)):
        with pytest.raises((results.RunError, FileError), match=said):
            read(run)


def test_a_resume_refuses_settings_that_are_no_trials(run: Path) -> None:
    line = json.loads((run / TRIALS).read_text())
    line["settings"]["batch_size"] = "many"
    (run / TRIALS).write_text(json.dumps(line) + "\n")
    with pytest.raises(results.RunError, match="trial 0001: batch_size"):
        refuse_changes(run, load(run / "space.yaml"))


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({}, "must hold a list"),
        ([5], "must hold a list"),
        ([{"settings": {}, "value": "x"}], "known trial 1: value must be a number"),
        ([{"settings": {}, "value": 0.5}], "known trial 1: has no source and no status"),
    ],
)
def test_a_warm_starts_file_is_held_to_its_form(run: Path, held: Any, said: str) -> None:
    (run / layout.WARM_START).write_text(json.dumps(held))
    with pytest.raises(FileError, match=said):
        warm_start.read(run)


FIGURE = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}
TEST = {"accuracy": FIGURE, "auc": FIGURE, "eer": FIGURE, "seed": 0, "epoch": None}


@pytest.mark.parametrize(
    "changed",
    [
        {"accuracy": 5},
        {"auc": {"value": "x"}},
        {"eer": {**FIGURE, "high": 7}},
        {"seed": "0"},
        {"epoch": 1.5},
        {"config": []},
        {"protocol": "../x"},
        {"accuracy": {**FIGURE, "n": None}},
    ],
)
def test_test_results_are_held_to_their_form(tmp_path: Path, changed: dict[str, Any]) -> None:
    file = tmp_path / "test.json"
    file.write_text(json.dumps(TEST))
    assert evaluation_files.read_test(file, ())["accuracy"] == FIGURE
    file.write_text(json.dumps(TEST | changed))
    with pytest.raises(FileError, match="not a test result"):
        evaluation_files.read_test(file, ())


@pytest.mark.parametrize("lost", ["accuracy", "auc", "eer", "seed", "epoch"])
def test_test_results_without_what_all_versions_noted_are_none(tmp_path: Path, lost: str) -> None:
    """Also where the reader asks for all measures, those among them."""
    file = tmp_path / "test.json"
    for left in ({}, {name: value for name, value in TEST.items() if name != lost}):
        file.write_text(json.dumps(left))
        with pytest.raises(FileError, match="not a test result"):
            evaluation_files.read_test(file, ("accuracy", "auc", "eer", "tpr"))


def test_folds_are_held_to_their_form(tmp_path: Path) -> None:
    file, whole = tmp_path / "folds.json", {"auc": {"mean": 0.5, "std": float("nan")}}
    file.write_text(json.dumps({"trial": "0001", "folds": [1], "FF": whole}))
    assert evaluation_files.read_folds(file, ("FF",), ("auc",))["folds"] == [1]
    assert evaluation_files.read_folds(file, ("FF",), ("auc", "tpr"))["FF"].keys() == {"auc"}
    with pytest.raises(FileError, match="FF eer"):  # every version had it
        evaluation_files.read_folds(file, ("FF",), ("auc", "eer"))
    for other in ({"FF": []}, {"folds": "1"}, {"trial": None}, {"FF": {"auc": {"mean": "x"}}}):
        held = {"trial": "0001", "folds": [1], "FF": whole} | other
        file.write_text(json.dumps(held))
        with pytest.raises(FileError):
            evaluation_files.read_folds(file, ("FF",), ("auc",))


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    """Each of these waited for ever for somebody to write into it."""
    pipe(tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="not a file"):
        read_weights(tmp_path / "w.pt")
    pipe(tmp_path / "trained.json")
    assert noted_with_key(tmp_path / "trained.json", "key") is None
    pipe(tmp_path / "index.csv")
    pipe(tmp_path / "x.csv")
    with pytest.raises(results.RunError, match="is a pipe"):
        read_curves(tmp_path)


def test_paths_that_cannot_be_asked_for_are_one_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for path in ("x" * 300, "a\0b"):
        assert results.main([path]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_fault_of_this_program_is_not_that_some_trial_failed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken() -> int:
        raise ZeroDivisionError("by hand")

    assert cli.run(broken) == cli.BROKEN == 70
    assert capsys.readouterr().err.endswith("ZeroDivisionError: by hand\n")


def test_a_full_disk_is_the_systems_word_and_leaves_nothing(tmp_path: Path) -> None:
    """torch hides it behind a RuntimeError of its own."""
    import torch

    def full(*given: Any, **more: Any) -> None:
        raise RuntimeError(
            "[enforce fail at inline_container.cc:664] . PytorchStreamWriter "
            "failed writing file data/0: file write failed"
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(OSError, match="No space left on device") as refused:
            save_atomically({"x": 1}, tmp_path / "w.pt")
    assert refused.value.filename == str(tmp_path / "w.pt") and not os.listdir(tmp_path)


def test_a_package_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that asks for another sampler runs without cmaes."""
    monkeypatch.setattr(manifest, "PACKAGES", ("torch", "no-such-package"))
    assert list(manifest.versions()) == ["python", "torch"]
