"""A training beside the epochs of the search: the same net, or from which epoch on another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facesiam.objective import Objective
from search.retrain.repeated import compared


def an_epoch(number: int, val_acc: float, **more: Any) -> dict[str, Any]:
    return {
        "epoch": number,
        "train_loss": 0.1 + number,
        "val_loss": 0.3,
        "val_acc": val_acc,
    } | more


SEARCHED = [an_epoch(0, 0.6), an_epoch(1, 0.755), an_epoch(2, 0.7, train_loss=float("nan"))]


@pytest.mark.parametrize(
    ("here", "said"),
    [
        (SEARCHED, "the numbers of the search in 3 epochs: 75.5 % of validation pairs at epoch 1"),
        (
            [*SEARCHED, an_epoch(3, 0.8)],
            "the numbers of the search in the 3 epochs that it ran there (75.5 % at epoch 1), then "
            "1 more: 80.0 % of validation pairs at epoch 3",
        ),
        (
            SEARCHED[:1],
            "the numbers of the search in 1 epoch, the first of 3: 60.0 % of validation pairs at "
            "epoch 0",
        ),
        (
            [SEARCHED[0], an_epoch(1, 0.755, val_loss=0.30000000000000004), SEARCHED[2]],
            "another net than the search's, from epoch 1 on: 75.5 % of validation pairs at epoch "
            "1, and 75.5 % at epoch 1 in the search",
        ),
        (
            [an_epoch(0, 0.6), an_epoch(1, 0.5), an_epoch(2, 0.5)],
            "another net than the search's, from epoch 1 on: 60.0 % of validation pairs at epoch "
            "0, and 75.5 % at epoch 1 in the search",
        ),
    ],
)
def test_a_training_is_compared_with_the_search_digit_by_digit(
    tmp_path: Path, here: list[dict[str, Any]], said: str
) -> None:
    curve = tmp_path / "epochs.csv"
    lines = [",".join(here[0]), *(",".join(map(str, row.values())) for row in here)]
    curve.write_text("\n".join(lines) + "\n")
    assert compared(curve, SEARCHED, Objective()) == said


def test_what_an_older_journal_did_not_record_is_no_difference(tmp_path: Path) -> None:
    curve = tmp_path / "epochs.csv"
    curve.write_text("epoch,train_loss,val_loss,val_acc,val_auc\n0,0.1,0.3,0.6,0.7\n")
    older = [{"epoch": 0, "val_acc": 0.6, "val_loss": None}]
    said = compared(curve, older, Objective("val_auc"))
    assert said == "the numbers of the search in 1 epoch: 60.0 % of validation pairs at epoch 0"
    none = "60.0 % of validation pairs at epoch 0; the search has no epoch of it"
    assert compared(curve, [], Objective()) == none
