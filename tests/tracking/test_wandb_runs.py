"""A run in Weights & Biases, offline: its files are read back."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from simulated_ray import Workers
from tracked_search import drive, search

from search import results
from search.runs.journal import read, read_epochs
from search.tracking.tracker import TrackerError
from search.tuning import recorder as recorder_module

if TYPE_CHECKING:
    from search.tracking.wandb_runs import WandbRuns

BLOCK, HEADER = 2**15, 7
"""Bytes of a block of LevelDB's log format, and of a file's and of a record's header."""


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    for patience in ("PATIENCE", "CUT_PATIENCE"):  # on busy cores W&B takes seconds for a run
        monkeypatch.setattr(recorder_module, patience, 120.0)
    for name in ("WANDB_PROJECT", "WANDB_ENTITY", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)


# Every process of tests imports every test file, and W&B takes a second of a core.
def tracker_of(**given: str) -> WandbRuns:
    """The tracker of a search."""
    from search.tracking.wandb_runs import WandbRuns

    return WandbRuns(**given)


def records(file: Path) -> Iterator[Any]:
    """Yield the records of a file of W&B's: LevelDB's log format, protobuf within it."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    data, place, part = file.read_bytes(), HEADER, b""
    while place + HEADER <= len(data):
        if BLOCK - place % BLOCK < HEADER:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        part += data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):  # whole, or its last part
            yield Record.FromString(part)
            part = b""


def logged(folder: Path) -> dict[str, dict[str, Any]]:
    """What the files under a folder have of each run of W&B's, by its id."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        id = file.stem.removeprefix("run-")
        run = found.setdefault(id, {"config": {}, "history": [], "summary": {}, "exits": []})
        for record in records(file):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                run |= {"group": record.run.run_group, "project": record.run.project}
                run |= {"name": record.run.display_name}
                for item in record.run.config.update:
                    run["config"][item.key] = json.loads(item.value_json)
            elif kind == "history":
                row = {
                    i.key or i.nested_key[0]: json.loads(i.value_json) for i in record.history.item
                }
                run["history"].append(row)
            elif kind == "summary":
                for item in record.summary.update:
                    key = item.key or item.nested_key[0]
                    run["summary"][key] = json.loads(item.value_json)
            elif kind == "exit":
                run["exits"].append(record.exit.exit_code)
    return found


def test_every_trial_is_a_run_also_of_one_that_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    recorder = search(run, [tracker_of(project="faces")])
    drive(recorder, 9)
    recorder.close()
    recorder = search(run, [tracker_of(project="faces")])
    drive(recorder)
    recorder.close()
    found = {id.split("-")[1]: each for id, each in logged(run).items()}
    known, epochs = read(run)[0], read_epochs(run)
    assert found.keys() == known.keys()
    for name, each in found.items():
        line = known[name]
        assert (each["project"], each["group"], each["name"]) == ("faces", "run", f"run {name}")
        assert {key: each["config"][key] for key in line["settings"]} == line["settings"]
        curve = [(row["epoch"], row["val_acc"]) for row in each["history"]]
        assert curve == [(row["epoch"], row["val_acc"]) for row in epochs[name]]
        assert each["summary"]["status"] == line["status"]
        why = f"{line['stop_rule']}: {line['stop_reason']}" if line["stop_rule"] else ""
        assert each["summary"]["reason"] == why
        assert each["summary"]["best_val_acc"] == max(score for _, score in curve)
        assert set(each["exits"]) == {0}
    files = len(list(run.glob("wandb/offline-run-*")))
    assert results.main([str(run), "--log", "wandb"]) == 0
    assert len(list(run.glob("wandb/offline-run-*"))) == files
    assert "upload them with" in capsys.readouterr().out


def test_copies_of_a_run_that_goes_on_send_each_epoch_once_and_leave_nothing_open(
    tmp_path: Path,
) -> None:
    """As of one whose driver was killed."""
    run = tmp_path / "run"
    run.mkdir()
    recorder = search(run, [])
    workers = Workers(recorder, 1)
    for sent in (1, 3):
        while len(read_epochs(run).get("0001", ())) < sent:
            assert workers.go()
        assert results.main([str(run), "--log", "wandb"]) == 0
        noted = json.loads((run / "wandb.json").read_text())
        assert noted == {"0001": {"epochs": sent, "status": "running"}}
    until = time.monotonic() + 60
    while len((found := next(iter(logged(run).values())))["exits"]) < 2:
        assert time.monotonic() < until, found  # W&B closes a file soon after it says that it has
        time.sleep(0.05)
    assert [row["epoch"] for row in found["history"]] == [0, 1, 2]
    assert found["exits"] == [0, 0] and found["summary"]["status"] == "running"
    recorder.close()


def test_a_copy_beside_a_search_that_logs_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both sent the epochs, and the notes of whichever wrote first were lost."""
    run = tmp_path / "run"
    run.mkdir()
    recorder = search(run, [tracker_of()])
    workers = Workers(recorder, 1)
    assert workers.go()
    until = time.monotonic() + 60
    while not (run / "wandb.json").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert results.main([str(run), "--log", "wandb"]) == 2
    assert f"{run}/wandb: another command is running in it" in capsys.readouterr().err
    while workers.go():
        pass
    recorder.close()
    assert results.main([str(run), "--log", "wandb"]) == 0
    assert all(each["exits"] == [0] for each in logged(run).values())


def test_the_exported_net_is_an_artifact_once(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    recorder = search(run, [tracker_of()])
    drive(recorder)
    (run / "export").mkdir()
    (run / "export" / "README.md").write_text("the card\n")
    recorder.close()
    again = search(run, [tracker_of()])
    drive(again)
    again.close()
    (file,) = run.glob("wandb/offline-run-*-export/*.wandb")
    kinds = {record.WhichOneof("record_type"): record for record in records(file)}
    assert (kinds["artifact"].artifact.name, kinds["artifact"].artifact.type) == (
        "run-export",
        "model",
    )


def test_who_is_not_logged_in_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with pytest.raises(TrackerError, match="not logged in; run wandb login, or set WANDB_API_KEY"):
        tracker_of()
