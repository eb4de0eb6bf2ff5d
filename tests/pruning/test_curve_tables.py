"""Tables of curves: both forms, what is filled in, and every mistake in one sentence."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from search.pruning.recorded_runs import read
from search.runs.layout import RunError

EPOCHS = """\
trial,epoch,error,seconds
b,1,0.5,3
b,0,0.9,2
a,0,0.8,
a,1,,
"""
TRIALS = "trial,lr,tail\na,1e-3,heavy\nb,1e-4,2\n"


def table(path: Path, epochs: str = EPOCHS, trials: str | None = TRIALS) -> Path:
    """A folder with a table of curves."""
    path.mkdir(exist_ok=True)
    (path / "epochs.csv").write_text(epochs)
    if trials is not None:
        (path / "trials.csv").write_text(trials)
    return path


def test_epochs_in_any_order_and_settings_of_any_name(tmp_path: Path) -> None:
    b, a = read(table(tmp_path))
    assert b.id == "b" and b.settings == {"lr": 1e-4, "tail": 2.0, "epochs": 2}
    assert b.rows == (
        {"error": 0.9, "seconds": 2.0, "epoch": 0.0},
        {"error": 0.5, "seconds": 3.0, "epoch": 1.0},
    )
    assert a.settings == {"lr": 1e-3, "tail": "heavy", "epochs": 2}
    # An epoch without any number: the trial has diverged.
    assert a.rows[0] == {"error": 0.8, "seconds": 1.0, "epoch": 0.0}
    assert all(math.isnan(a.rows[1][name]) for name in ("error", "train_loss"))


def test_the_epochs_before_training_are_left_out(tmp_path: Path) -> None:
    b, a = read(table(tmp_path), first=1)
    assert b.rows == ({"error": 0.5, "seconds": 3.0, "epoch": 0.0},)
    assert b.settings["epochs"] == 1 and math.isnan(a.rows[0]["error"])


def test_the_seconds_that_count_are_those_of_trained_epochs(tmp_path: Path) -> None:
    folder = table(tmp_path, EPOCHS.replace("b,0,0.9,2", "b,0,0.9,"))
    assert [curve.timed for curve in read(folder)] == [False, False]
    assert [curve.timed for curve in read(folder, first=1)] == [True, False]


def test_a_parquet_file_without_settings(tmp_path: Path) -> None:
    columns = {"trial": [7, 7], "epoch": [0, 1], "val_loss": [0.7, None], "score": [1, None]}
    parquet.write_table(pa.table(columns), tmp_path / "epochs.parquet")
    (curve,) = read(tmp_path)
    assert curve.id == "7" and curve.settings == {"epochs": 2}
    assert curve.rows[0] == {"val_loss": 0.7, "score": 1.0, "seconds": 1.0, "epoch": 0.0}
    assert math.isnan(curve.rows[1]["val_loss"]) and math.isnan(curve.rows[1]["score"])


def test_a_cell_that_was_not_recorded_beside_one_that_was(tmp_path: Path) -> None:
    (curve,) = read(table(tmp_path, "trial,epoch,x,y\na,0,1,\n", None))
    assert curve.rows == ({"x": 1.0, "seconds": 1.0, "epoch": 0.0},)


def test_only_what_is_a_share_by_its_name_must_be_one(tmp_path: Path) -> None:
    (curve,) = read(table(tmp_path, "trial,epoch,val_acc,accuracy\na,0,nan,62\na,1,1,63\n", None))
    assert [row["accuracy"] for row in curve.rows] == [62, 63]
    assert math.isnan(curve.rows[0]["val_acc"]) and curve.rows[1]["val_acc"] == 1


@pytest.mark.parametrize(
    ("epochs", "trials", "message"),
    [
        ("trail,epoch,x\na,0,1\n", None, "epochs.csv: has no column trial; did you mean trail?"),
        ("trial,step,x\na,0,1\n", None, "epochs.csv: has no column epoch"),
        (
            "trial,epoch,x\na,0,1\na,1,fast\n",
            None,
            "epochs.csv: line 3, x is not a number: 'fast'",
        ),
        ("trial,epoch,x\n,0,1\n", None, "epochs.csv: line 2, trial is empty"),
        ("trial,epoch,x\na,0.5,1\n", None, "line 2, epoch must be a whole number, got 0.5"),
        ("trial,epoch,x\na,,1\n", None, "epochs.csv: line 2, epoch is not a number: ''"),
        ("trial,epoch,x\na,0,1,2\n", None, "epochs.csv: line 2, has more cells than columns"),
        ("trial,epoch,x,seconds\na,0,1,-2\n", None, "line 2, seconds must be above 0, got -2"),
        (
            "trial,epoch,x\na,0,1\nb,0,1\na,0,2\n",
            None,
            "epochs.csv: line 4, trial a has epoch 0 twice; the other is line 2",
        ),
        (
            "trial,epoch,x\na,0,1\na,2,1\n",
            None,
            "epochs.csv: line 3, trial a has epoch 2 where epoch 1 should be",
        ),
        (
            "trial,epoch,x\na,1,1\n",
            None,
            "line 2, trial a has epoch 1 where epoch 0 should be; --first 1 if that is the first "
            "trained one",
        ),
        (
            "trial,epoch,val_acc\na,0,0.9\na,1,62.5\n",  # the first is 0.9 %
            None,
            "epochs.csv: line 3, val_acc must be a share from 0 to 1, got 62.5; if that is in "
            "percent, divide the column by 100",
        ),
        (
            "trial,epoch,val_auc\na,0,1.2\n",
            None,
            "epochs.csv: line 2, val_auc must be a share from 0 to 1, got 1.2; if that is in "
            "percent, divide the column by 100",
        ),
        ("trial,epoch,val_acc\na,0,-0.1\n", None, "val_acc must be a share from 0 to 1, got -0.1"),
        ("trial,epoch,x\n", None, "epochs.csv: no epoch is recorded in it"),
        (EPOCHS, "name,lr\na,1\n", "trials.csv: has no column trial"),
        (EPOCHS, TRIALS + "c,1,1\n", "trials.csv: line 4, trial c has no epoch in epochs.csv"),
        (EPOCHS, TRIALS + "a,1,1\n", "trials.csv: line 4, trial a is on line 2 too"),
        (EPOCHS, "trial,lr\na,1\n", "epochs.csv: line 2, trial b is not in trials.csv"),
        (EPOCHS, "trial,lr\na,fast\n", "trials.csv: line 2, lr must be a number, got 'fast'"),
        (EPOCHS, "trial,lr\na\n", "trials.csv: line 2 has more or fewer cells than columns"),
        (EPOCHS, "trial,schedule\na,cosin\n", "did you mean cosine?"),
    ],
)
def test_a_mistake_is_a_sentence(
    tmp_path: Path, epochs: str, trials: str | None, message: str
) -> None:
    with pytest.raises(RunError) as error:
        read(table(tmp_path, epochs, trials))
    assert str(error.value).endswith(message) and "\n" not in str(error.value)
    assert str(error.value).startswith(str(tmp_path))


def test_a_table_has_one_file_of_epochs_and_that_is_what_its_name_says(tmp_path: Path) -> None:
    (table(tmp_path) / "epochs.parquet").write_text("none")
    both = (
        r"holds both epochs\.parquet and epochs\.csv, and no journal of a run; leave only the one"
    )
    with pytest.raises(RunError, match=both):
        read(tmp_path)
    (tmp_path / "epochs.csv").unlink()
    with pytest.raises(RunError, match=r"epochs\.parquet: not a Parquet file \("):
        read(tmp_path)
