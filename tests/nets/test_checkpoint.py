"""Files of weights: whole or not there, in the order asked for, off the caller's thread."""

from __future__ import annotations

import struct
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from facesiam import demo
from facesiam.config import TrialConfig
from facesiam.errors import WeightsError
from facesiam.nets import checkpoint
from facesiam.nets.checkpoint import Writer, load_model, snapshot
from facesiam.nets.siamese import SiameseNet


class Gate:
    """Stands in for the disk: writes begin when told to, and are noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.began = threading.Event()
        self.written: list[tuple[str, float]] = []
        real = checkpoint.save_atomically

        def slow(state: dict[str, Any], path: Path) -> None:
            self.began.set()
            assert self.open.wait(20)
            self.written.append((path.name, float(state["x"])))
            real(state, path)

        monkeypatch.setattr(checkpoint, "save_atomically", slow)


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
    state: dict[str, Any] = {
        "a": torch.zeros(2),
        "deep": {"b": torch.zeros(2)},
        "rows": [{"x": 1.0}],
        "n": 3,
    }
    copy = snapshot(state)
    state["a"].fill_(1)
    state["deep"]["b"].fill_(1)
    state["rows"].append({"x": 2.0})
    assert copy["a"].tolist() == copy["deep"]["b"].tolist() == [0, 0]
    assert copy["rows"] == [{"x": 1.0}] and copy["n"] == 3


SMALL = TrialConfig(join="difference", hidden=16, image_size=64)


@pytest.fixture(scope="module")
def model() -> dict[str, Any]:
    """What a model file holds."""
    return checkpoint.model_file(SiameseNet(SMALL).state_dict(), SMALL, epoch=0, data="x")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"config": None}, "not a model file of facesiam (its config is no settings)"),
        ({"config": {1: 2}}, "not a model file of facesiam (its config is no settings)"),
        (
            {"config": {"net": ["alexnet"]}},
            "its settings cannot be used: net: ['alexnet'] is not one",
        ),
        (
            {"config": {"hiden": 3}},
            "its settings cannot be used: hiden: not a setting; did you mean",
        ),
        ({"model": [1]}, "not a model file of facesiam (its model is no weights by name)"),
        ({"model": {"a": 1}}, "not a model file of facesiam (its model is no weights by name)"),
        (
            {"model": {}},
            "weights and settings disagree (head.0.weight is not there, and its settings "
            "say (16, 9216))",
        ),
        (
            {"config": {**SMALL.to_dict(), "hidden": 65536}},
            "weights and settings disagree "
            "(head.0.weight is (16, 9216), and its settings say (65536, 9216))",
        ),
        (
            {"config": {**SMALL.to_dict(), "join": "linear", "hidden": 65536}},
            "weights and settings "
            "disagree (reduce.weight is not there, and its settings say (65536, 9216))",
        ),
    ],
)
def test_a_model_file_that_is_none_is_told_before_anything_is_made_of_it(
    tmp_path: Path,
    model: dict[str, Any],
    change: dict[str, Any],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A declared width of 65,536 would have 2.4 GB drawn, and one of concat 17."""
    monkeypatch.setattr(checkpoint, "SiameseNet", None)
    checkpoint.save_atomically({**model, **change}, tmp_path / "m.pt")
    with pytest.raises(WeightsError) as caught:
        load_model(tmp_path / "m.pt")
    assert str(caught.value).startswith(f"{tmp_path / 'm.pt'}: {sentence}")


def test_weights_of_a_trial_that_diverged_judge_nothing(
    tmp_path: Path, model: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint.save_atomically(model, tmp_path / "m.pt")
    assert load_model(tmp_path / "m.pt")[1] == SMALL
    spoilt = {**model["model"], "head.4.bias": torch.tensor([0.0, float("inf")])}
    checkpoint.save_atomically({**model, "model": spoilt}, tmp_path / "m.pt")
    load_model(tmp_path / "m.pt")  # it can be looked at
    assert demo.main([str(tmp_path / "m.pt"), "a.jpg", "b.jpg"]) == 2
    assert capsys.readouterr().err == (
        f"{tmp_path / 'm.pt'}: head.4.bias holds NaN or infinity, as of a trial that diverged; "
        "such a net predicts nothing\n"
    )


def test_a_flipped_bit_is_found_by_the_checksums_that_torch_writes(
    tmp_path: Path, model: dict[str, Any]
) -> None:
    """Of every part: one bit in the middle of each, and of the file's list of them."""
    path = tmp_path / "m.pt"
    checkpoint.save_atomically(model, path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as parts:
        places = [
            part.header_offset
            + 30
            + part.file_size // 2
            + sum(struct.unpack("<HH", whole[part.header_offset + 26 : part.header_offset + 30]))
            for part in parts.infolist()
        ]
    assert len(places) > 10
    for at in places:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        with pytest.raises(WeightsError, match="does not match its checksum|cut short or damaged"):
            load_model(path)
    path.write_bytes(whole)
    load_model(path)


def test_a_file_without_checksums_is_read_all_the_same(
    tmp_path: Path, model: dict[str, Any]
) -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        checkpoint.save_atomically(model, tmp_path / "m.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    assert load_model(tmp_path / "m.pt")[1] == SMALL
    torch.save(model, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert load_model(tmp_path / "old.pt")[1] == SMALL
