"""A training into a folder: from which state it goes on."""

from __future__ import annotations

import dataclasses
import math
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.nets.checkpoint import save_atomically
from facesiam.objective import Objective
from facesiam.training import saving
from facesiam.training.train import is_trained, state_of, train


@pytest.mark.parametrize(
    ("state", "damaged", "weights", "goes_on"),
    [
        ({"key": "mine", "best": 0.5}, False, "best.pt", True),
        ({"key": "mine", "best": 0.5}, False, "weights.pt", True),  # cut off as it ended
        ({"key": "mine", "best": -math.inf}, False, "", True),  # no epoch had a score yet
        ({"key": "mine", "best": 0.5}, False, "", False),  # its best net is gone
        ({"key": "of other code", "best": 0.5}, False, "best.pt", False),
        ({"key": "mine", "best": 0.5}, True, "best.pt", False),
        ({}, False, "best.pt", False),
    ],
)
def test_a_training_goes_on_from_its_own_state_alone(
    tmp_path: Path, state: dict[str, float | str], damaged: bool, weights: str, goes_on: bool
) -> None:
    if weights:
        (tmp_path / weights).write_bytes(b"of the best epoch")
    if state:
        save_atomically(state, tmp_path / "state.pt")
    if damaged:
        (tmp_path / "state.pt").write_bytes(b"half a file")
    assert state_of(tmp_path, "mine") == (state if goes_on else {})


def test_a_signal_after_the_last_epoch_costs_none(
    tiny: TrialConfig, data: FaceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "SAVING_SHARE", 0.0)  # no state is saved between epochs
    config = dataclasses.replace(tiny, people=4, epochs=2)
    shown: list[int] = []

    def show(metrics: Mapping[str, Any]) -> None:
        shown.append(metrics["epoch"])
        if metrics["epoch"] == 1:
            signal.raise_signal(signal.SIGINT)

    given = (config, data, {}, tmp_path, Objective("val_acc", "max"), "key", show)
    with pytest.raises(KeyboardInterrupt):
        train(*given)
    assert not is_trained(tmp_path, "key")
    train(*given)
    assert is_trained(tmp_path, "key") and shown == [0, 1]
    assert len((tmp_path / "epochs.csv").read_text().splitlines()) == 3
