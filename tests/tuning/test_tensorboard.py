"""TensorBoard's files, read back record by record and held against tensorboardX's own."""

from __future__ import annotations

import math
import struct
from pathlib import Path

from simulated_ray import Workers, recorder
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
from tensorboardX.record_writer import RecordWriter

from search.runs.journal import read_trials
from search.tuning.tensorboard import TensorBoard


def events(folder: Path) -> list[Event]:
    """The events of a folder's only file: each is its length, 4 bytes, itself, 4 bytes more."""
    (file,) = folder.glob("events.out.tfevents.*")
    content, found = file.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        found.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    return found


def scalars(folder: Path) -> list[tuple[str, int, float]]:
    """Tag, step and value of each scalar."""
    return [
        (value.tag, event.step, value.simple_value)
        for event in events(folder)
        for value in event.summary.value
        if value.WhichOneof("value") == "simple_value"
    ]


def test_tensorboard_has_the_epochs_then_the_settings_in_one_file(tmp_path: Path) -> None:
    table = TensorBoard(tmp_path)
    for epoch, accuracy in enumerate((0.5, 0.75)):
        row = {"epoch": epoch, "val_acc": accuracy, "val_loss": math.nan, "val_pairs": 100}
        table.epoch("0001", row)
        assert scalars(tmp_path / "0001")[epoch:] == [("val_acc", epoch, accuracy)]
    table.epoch("0002", row)
    table.ended("0001", {"lr": 0.25, "net": "alexnet", "augment": True}, 0.75, "val_acc")
    table.ended("0003", {}, None, "val_acc")  # failed before its first epoch
    assert scalars(tmp_path / "0001") == [
        ("val_acc", 0, 0.5),
        ("val_acc", 1, 0.75),
        ("best_val_acc", 0, 0.75),
    ]
    # Names of TensorBoard's hparams plugin.
    tags = [value.tag for event in events(tmp_path / "0001") for value in event.summary.value]
    assert tags[2:5] == [
        f"_hparams_/{part}" for part in ("experiment", "session_start_info", "session_end_info")
    ]
    content = next((tmp_path / "0001").iterdir()).read_bytes()
    assert all(name in content for name in (b"lr", b"net", b"alexnet", b"augment"))
    assert not (tmp_path / "0003").exists()


def test_an_event_file_is_as_tensorboardx_writes_it(tmp_path: Path) -> None:
    """Byte for byte, checksums too."""
    TensorBoard(tmp_path).epoch("0001", {"epoch": 3, "val_acc": 0.5})
    ours = next((tmp_path / "0001").iterdir()).read_bytes()
    theirs = RecordWriter(str(tmp_path / "theirs"))
    for event in events(tmp_path / "0001"):
        theirs.write(event.SerializeToString())
    theirs.close()
    assert ours == (tmp_path / "theirs").read_bytes()
    assert events(tmp_path / "0001")[0].file_version == "brain.Event:2"


def test_what_cannot_be_written_is_told_once_and_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("a file where the folder should be")
    said: list[str] = []
    table = TensorBoard(tmp_path / "tensorboard", said.append)
    for epoch in range(2):
        table.epoch("0001", {"epoch": epoch, "val_acc": 0.5})
    table.ended("0001", {"lr": 0.1}, 0.5, "val_acc")
    place = tmp_path / "tensorboard" / "0001"
    assert said == [f"nothing more is written for TensorBoard: {place}: Not a directory"]


def test_a_search_gives_the_differing_settings_as_hparams(tmp_path: Path) -> None:
    text = "fixed: {epochs: 2, batch_size: 48}\nsearch: {lr: [1e-3, 1e-2], optimizer: [adam, sgd]}\ntrials: 1\nprune: false\n"
    running = recorder(tmp_path, text + "algorithm: random\n")
    workers = Workers(running, 1)
    while workers.go():
        pass
    parts = [
        value
        for event in events(tmp_path / "tensorboard" / "0001")
        for value in event.summary.value
    ]
    (start,) = (part for part in parts if part.tag == "_hparams_/session_start_info")
    plugin = HParamsPluginData.FromString(start.metadata.plugin_data.content)
    settings = read_trials(tmp_path)["0001"]["settings"]
    told = plugin.session_start_info.hparams
    assert {name: value.number_value or value.string_value for name, value in told.items()} == {
        name: settings[name] for name in ("lr", "optimizer")
    }


def test_figures_of_tests_are_scalars_with_the_seed_as_step(tmp_path: Path) -> None:
    table = TensorBoard(tmp_path)
    table.epoch("0001", {"epoch": 0, "val_acc": 0.5})
    table.tested(
        [
            {
                "trial": "0001",
                "protocol": "cfp-pairs",
                "seed": seed,
                "val_acc": 0.5,
                "accuracy": {"value": 0.75, "low": 0.5, "high": 1.0},
                "auc": {"value": 0.25},
            }
            for seed in (3, 4)
        ]
    )
    assert scalars(tmp_path / "0001")[1:] == [
        ("test_cfp-pairs/accuracy", 3, 0.75),
        ("test_cfp-pairs/auc", 3, 0.25),
        ("test_cfp-pairs/accuracy", 4, 0.75),
        ("test_cfp-pairs/auc", 4, 0.25),
    ]
