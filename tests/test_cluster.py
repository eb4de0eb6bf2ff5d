"""A search on three machines, in which drivers, trials and machines are killed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from soak import Soak  # noqa: E402


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("storage", "kills", "kinds"),
    [("folder", 10, ("driver",)), ("s3", 3, ("machine", "driver"))],
)
def test_whatever_dies_every_trial_ends_once_and_no_more_than_an_epoch_is_lost(
    tmp_path: Path, storage: str, kills: int, kinds: tuple[str, ...]
) -> None:
    with Soak(tmp_path, trials=12, seed=1, storage=storage) as soak:
        code = soak.go(kills, kinds)
    found = soak.figures()
    print(found)
    assert code == 0, soak.log.read_text()[-3000:]
    assert found["trials"] == 12 and found["lost"] == found["ended twice"] == 0
    assert found["ran again after their end"] == 0
    assert set(found["status"]) <= {"done", "stopped"}
    assert found["hidden"] or found["machines"] == "loopback"
    # Two trials run; each may lose the epochs since its last state, which is saved about as often.
    assert found["epochs noted twice"] <= 2 * kills
    assert sum(soak.killed.values()) == kills
