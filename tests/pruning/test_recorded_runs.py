"""Recorded runs: both forms, what is filled in, and every mistake in one sentence."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from builders import write_run

from facesiam.objective import Objective
from search.pruning.recorded_runs import SHIPPED, Curve, read, shipped
from search.runs.layout import RunError

INDEX = """\
id,net,loss,lr,dropout,epochs,quality
1,vgg16_bn,single,1e-3,1,60,exact
2,alexnet,two,0.5,0,60,"what, a note"
"""
EPOCHS = "epoch,train_loss,val_acc\n0,0.7,0.5\n1,,0.625\n"


def folder(path: Path, **files: str) -> Path:
    """A folder of CSVs."""
    path.mkdir(exist_ok=True)
    for name, text in files.items():
        (path / f"{name.strip('_')}.csv").write_text(text)
    return path


def test_csvs_with_an_index(tmp_path: Path) -> None:
    one, two = read(folder(tmp_path, index=INDEX, _1=EPOCHS, _2=EPOCHS))
    assert one.id == "1" and one.settings == {
        "net": "vgg16_bn",
        "loss": "single",
        "lr": 1e-3,
        "dropout": True,
        "protocol": "cfp-pairs",
        "epochs": 2,  # of the 60 that were planned, 2 can be run again
    }
    # What was not recorded is left out; the pairs are those of CFP, the seconds those of the study.
    known = {"val_pairs": 2800.0, "seconds": 240.0}
    assert one.rows == (
        known | {"epoch": 0.0, "train_loss": 0.7, "val_acc": 0.5},
        known | {"epoch": 1.0, "val_acc": 0.625},
    )
    assert one.contest == ("cfp-pairs", 2800)
    assert two.settings["dropout"] is False and two.contest == ("frontal-triplets", 2000)
    assert two.rows[0]["seconds"] == 60.0 and two.timed


def test_csvs_without_an_index(tmp_path: Path) -> None:
    (curve,) = read(folder(tmp_path, x="epoch,val_acc,val_pairs,seconds\n0,0.5,400,7\n1,0.6,,\n"))
    assert (curve.id, curve.settings, curve.contest) == ("x", {"epochs": 2}, ("", 400))
    assert [row["seconds"] for row in curve.rows] == [7.0, 1.0]  # 1 where nothing is known
    assert not curve.timed


def test_a_run_without_a_line_in_the_index_and_one_without_an_epoch(tmp_path: Path) -> None:
    found = read(folder(tmp_path, index=INDEX, _1="epoch,val_acc\n", x=EPOCHS))
    assert [(curve.id, curve.settings) for curve in found] == [("x", {"epochs": 2})]


def test_a_run_folder(tmp_path: Path) -> None:
    trials = [
        {"trial": name, "status": "running", "settings": {"epochs": 60, "protocol": "cfp-pairs"}}
        for name in ("a", "none")
    ]
    epochs = [
        {"trial": "a", "epoch": n, "val_acc": 0.5 + n / 10, "val_pairs": 40, "seconds": 2.5}
        for n in range(3)
    ]
    (curve,) = read(write_run(tmp_path, trials, epochs, "rows: {}\n"))  # the other has no epoch
    assert (curve.id, curve.contest) == ("a", ("cfp-pairs", 40))
    # It would have run 60 epochs; what was not recorded cannot be run again.
    assert curve.settings["epochs"] == 3 and curve.cut_off
    assert [row["val_acc"] for row in curve.rows] == [0.5, 0.6, 0.7]
    assert curve.rows[0]["seconds"] == 2.5


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"x": "epoch,val_acc\n0,0.5\n1,half\n"}, "x.csv: line 3 holds what is not a number"),
        ({"x": "epoch,val_acc\n0,0.5\n2,0.6\n"}, "x.csv: line 3 should be epoch 1"),
        ({"x": "epoch,val_acc\n1,0.5\n"}, "x.csv: line 2 should be epoch 0"),
        ({"x": "epoch,val_acc\n,0.5\n"}, "x.csv: line 2 should be epoch 0"),
        ({"x": "step,val_acc\n0,0.5\n"}, "x.csv: has no column epoch"),
        ({"x": ""}, "x.csv: has no column epoch"),
        ({"x": EPOCHS, "index": "name,net\nx,alexnet\n"}, "index.csv: has no column id"),
        (
            {"x": EPOCHS, "index": "id,lr\nx,fast\n"},
            "index.csv: line 2, lr must be a number, got 'fast'",
        ),
        (
            {"x": "epoch,val_acc\n0,0.5\n\n1,60\n"},
            "x.csv: line 4, val_acc must be a share from 0 to 1, got 60; if that is in percent, "
            "divide the column by 100",
        ),
        (
            {"x": "epoch,val_acc\n0,nan\n"},
            "x.csv: line 2, val_acc must be a share from 0 to 1, got nan",
        ),
        ({"x": "epoch,seconds\n0,-5\n"}, "x.csv: line 2, seconds must be above 0, got -5"),
        ({"x": "epoch,val_acc\n0,0.5,7\n"}, "x.csv: line 2 holds what is not a number"),
        ({"x": "epoch,val_acc\n"}, ": no epoch is recorded in it"),
        ({}, ": holds neither curves (epochs.csv, or <id>.csv) nor a run"),
    ],
)
def test_a_mistake_is_a_sentence(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(RunError) as error:
        read(folder(tmp_path / "curves", **files))
    assert str(error.value).endswith(message) and "\n" not in str(error.value)
    assert str(error.value).startswith(str(tmp_path))


def test_what_is_no_folder_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="none: no such folder of recorded curves$"):
        read(tmp_path / "none")
    (tmp_path / "x.csv").write_bytes(b"epoch,val_acc\n0,\xff\n")
    with pytest.raises(RunError, match=r"x\.csv: not a CSV \("):
        read(tmp_path)


def test_a_damaged_run_folder(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("rows: {}\n")
    (tmp_path / "trials.jsonl").write_text('{"trial": "a", "status": "running"}\nbroken\n')
    with pytest.raises(RunError, match=r"trials\.jsonl: line 2 is not JSON: 'broken'"):
        read(tmp_path)


def curve(scores: list[float], **settings: int | str) -> Curve:
    """A recorded run."""
    return Curve("x", dict(settings), tuple({"val_acc": score} for score in scores))


def test_a_capped_curve_is_that_of_a_shorter_run() -> None:
    whole = curve([0.5, 0.6, 0.7, 0.8], epochs=4)
    short = whole.capped(2)
    assert [row["val_acc"] for row in short.rows] == [0.5, 0.6] and short.settings["epochs"] == 2
    assert short.best() == 0.6 and whole.best() == 0.8  # the whole one is as it was
    assert whole.capped(4) is whole and whole.capped(9) is whole and whole.capped(None) is whole
    # Stopped after 2 of 60 epochs, it would have had no more than 30 either way.
    assert curve([0.5, 0.6], epochs=60).capped(30).settings["epochs"] == 30


def test_the_best_of_a_metric() -> None:
    rows = ({"val_acc": 0.5, "val_loss": 0.9}, {"val_acc": math.nan}, {"val_loss": 0.4})
    recorded = Curve("x", {}, rows)
    assert recorded.best() == 0.5 and recorded.best(Objective("val_loss", "min")) == 0.4
    assert math.isnan(recorded.best(Objective("train_acc")))


def test_a_curve_without_a_protocol_becomes_one_of_the_spaces() -> None:
    bare = Curve("x", {"epochs": 2}, ({"val_acc": 0.5, "val_pairs": 0.0}, {"val_pairs": 40.0}))
    asked = bare.with_protocol("cfp-pairs")
    assert asked.settings == {"epochs": 2, "protocol": "cfp-pairs"}
    assert [row["val_pairs"] for row in asked.rows] == [2800, 40]  # what is known stays
    assert asked.with_protocol("frontal-triplets") is asked


def test_the_runs_of_the_study() -> None:
    assert "".join(run.id for run in shipped()) == "123456ABCDEGHIJKLM"
    by = {run.id: run for run in shipped()}
    assert [len(by[run].rows) for run in "13I"] == [60, 48, 240]
    assert by["3"].settings["epochs"] == 48  # its log ends there
    assert {by[run].contest for run in "123456"} == {("cfp-pairs", 2800)}
    assert {by[run].contest for run in "ABCDEGHIJKLM"} == {("frontal-triplets", 2000)}
    assert by["6"].best() == pytest.approx(0.8268, abs=5e-5) and SHIPPED.is_dir()
