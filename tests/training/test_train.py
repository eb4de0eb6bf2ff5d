"""A training into a folder: from which state it goes on."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from facesiam.nets.checkpoint import save_atomically
from facesiam.training.train import state_of


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
