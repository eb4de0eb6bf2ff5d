"""The table of CFP's ten folds: what each row is of, and what older records lack."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest

from search.report import ten_folds

REFERENCE = Path(__file__).parents[2] / "ray_results" / "reference" / "cpu"
RECORDED = REFERENCE / "retrain" / "0004" / "cfp-10fold" / "seed-0" / "folds.json"


@pytest.fixture
def recorded() -> dict[str, Any]:
    """What ten trainings of the reference run came to."""
    return dict(json.loads(RECORDED.read_text()))


def cells(summary: dict[str, Any]) -> dict[str, str]:
    """Return the cells of a trial's row by the headers of its Markdown table."""
    heads, _, row, *_ = ten_folds.folds(summary).split("\n")
    names, values = (line.split(" | ")[1:] for line in (heads.rstrip("| "), row.rstrip("| ")))
    return dict(zip(names, values, strict=True))


def test_the_folds_table_has_true_accepts_at_one_percent_of_false_accepts(
    recorded: dict[str, Any],
) -> None:
    found = cells(recorded)
    assert found["FF accuracy, %"] == "90.3 ± 1.1" and found["FP EER, %"] == "12.8 ± 1.3"
    assert found["FF true accepts at 1 % false accepts, %"] == "40.2 ± 10.3"
    assert found["FP true accepts at 1 % false accepts, %"] == "28.8 ± 12.2"
    assert "| trial 0004, 10 folds | 90.3" in ten_folds.folds(recorded)
    assert "read off the ROC curve of each fold's own pairs" in ten_folds.folds(recorded)


def test_an_older_record_without_true_accepts_has_a_dash(
    recorded: dict[str, Any], tmp_path: Path
) -> None:
    older = copy.deepcopy(recorded)
    for kind in ("FF", "FP"):
        del older[kind]["tpr_at_fpr_1e-2"]
    found = cells(older)
    assert found["FF true accepts at 1 % false accepts, %"] == "–"
    assert found["FP EER, %"] == "12.8 ± 1.3"
    folder = tmp_path / "retrain" / "0004" / "cfp-10fold" / "seed-0"
    folder.mkdir(parents=True)
    (folder / "folds.json").write_text(json.dumps(older))
    row = "trial 0004, 10 folds | 90.3 ± 1.1 | 96.4 ± 0.8 | 9.8 ± 1.1 | – | 87.6 ± 1.2 |"
    assert row in ten_folds.section(tmp_path)


@pytest.mark.parametrize("done", [1, 3, 9])
def test_a_mean_of_some_folds_is_told_from_one_of_all_ten(
    recorded: dict[str, Any], done: int, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded["folds"] = list(range(1, done + 1))
    if done == 1:
        recorded["FF"]["auc"] = {"mean": 0.9, "std": math.nan, "n": 1}
    assert f"| trial 0004, n = {done} of 10 folds | 90.3" in ten_folds.folds(recorded)
    ten_folds.print_folds(recorded)
    said = capsys.readouterr().out
    assert f"n = {done} of 10 folds" in said and "nan" not in said
    assert done > 1 or "90.0 ± –" in said
