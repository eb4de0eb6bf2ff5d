"""Files of weights: whole or not there, in the order asked for, off the caller's thread."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from facesiam import saving
from facesiam.saving import Writer, snapshot


class Gate:
    """Stands in for the disk: writes begin when told to, and are noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.began = threading.Event()
        self.written: list[tuple[str, float]] = []
        real = saving.save_atomically

        def slow(state: dict[str, Any], path: Path) -> None:
            self.began.set()
            assert self.open.wait(20)
            self.written.append((path.name, float(state["x"])))
            real(state, path)

        monkeypatch.setattr(saving, "save_atomically", slow)


def test_what_is_written_is_the_state_when_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, writer, x = Gate(monkeypatch), Writer(), torch.ones(())
    writer.write(tmp_path / "a.pt", {"x": x})
    assert gate.began.wait(20)
    x.fill_(2)  # training goes on
    assert writer.busy(tmp_path / "a.pt") and not (tmp_path / "a.pt").exists()
    gate.open.set()
    writer.flush()
    assert not writer.busy(tmp_path / "a.pt")
    assert torch.load(tmp_path / "a.pt", weights_only=True) == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_a_newer_state_takes_the_place_of_one_that_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, writer = Gate(monkeypatch), Writer()
    for name, x in (("a", 1), ("weights", 2), ("state", 3), ("weights", 4)):
        writer.write(tmp_path / name, {"x": x})
        assert gate.began.wait(20)  # the first is being written, the others wait
    gate.open.set()
    writer.flush()
    assert gate.written == [("a", 1), ("weights", 4), ("state", 3)]


def test_a_write_that_failed_is_told_once_and_the_writer_goes_on(tmp_path: Path) -> None:
    writer, blocked = Writer(), tmp_path / "file"
    blocked.touch()
    writer.write(blocked / "a.pt", {"x": 1})
    with pytest.raises(OSError, match="file"):
        writer.flush()
    writer.write(tmp_path / "b.pt", {"x": 2})
    writer.flush()
    assert torch.load(tmp_path / "b.pt", weights_only=True) == {"x": 2}


def test_a_snapshot_shares_nothing() -> None:
    state = {"a": torch.zeros(2), "deep": {"b": torch.zeros(2)}, "rows": [{"x": 1.0}], "n": 3}
    copy = snapshot(state)
    state["a"].fill_(1)
    state["deep"]["b"].fill_(1)
    state["rows"].append({"x": 2.0})
    assert copy["a"].tolist() == copy["deep"]["b"].tolist() == [0, 0]
    assert copy["rows"] == [{"x": 1.0}] and copy["n"] == 3
