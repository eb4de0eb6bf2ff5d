"""What the doctor says of machines, from reports that were made up."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from pathlib import Path

import pytest

from search.resources import findings
from search.resources.findings import Finding, Level
from search.resources.machine_report import Gpu, MachineReport, examine, try_folder, try_url

H100 = Gpu("NVIDIA H100 80GB HBM3", 79.6, "570.86")
NEEDED = [
    "torch>=2.11",
    "ray[tune]>=2.60,<2.61",
    "optuna>=5.0,<5.1",
    "rich",
    "scipy",
    'onnx; extra == "export"',
]
SOUND = MachineReport(
    host="one",
    python="3.11.7",
    versions={"torch": "2.15.0", "ray": "2.60.0", "optuna": "5.0.0", "rich": "15", "scipy": "2"},
    gpus=[H100],
    usable_gpus=[H100.name],
    torch_cuda="12.8",
    torch_error="",
    cores=8,
    memory_gib=64.0,
    shared_memory_gib=32.0,
    temporary="/tmp",
    temporary_free_gib=90.0,
    open_files=65536,
)


@pytest.fixture(autouse=True)
def needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: NEEDED)


def of(**changes: object) -> list[Finding]:
    """The findings of a machine that are not fine."""
    report = dataclasses.replace(SOUND, **changes)
    return [found for found in findings.of_machine(report) if found.level is not Level.OK]


def test_a_sound_machine_needs_nothing() -> None:
    found = list(findings.of_machine(SOUND))
    assert {one.level for one in found} == {Level.OK}
    assert [one.text for one in found if one.subject == "GPUs"] == [
        "NVIDIA H100 80GB HBM3 80 GiB, driver 570.86"
    ]


@pytest.mark.parametrize(
    ("changes", "level", "text", "remedy"),
    [
        ({"gpus": [], "usable_gpus": []}, "note", "none: trials run on 8 CPU cores", ""),
        (
            {"usable_gpus": [], "torch_cuda": None},
            "FAIL",
            "NVIDIA H100 80GB HBM3, but torch 2.15.0 is built for CPUs",
            "install the build of torch for CUDA, as pytorch.org says",
        ),
        (
            {"usable_gpus": []},
            "FAIL",
            "NVIDIA H100 80GB HBM3, which torch (for CUDA 12.8) cannot use with driver 570.86",
            "update the driver, or look at CUDA_VISIBLE_DEVICES: unset",
        ),
        (
            {"gpus": [H100] * 4, "environment": {"CUDA_VISIBLE_DEVICES": "2"}},
            "note",
            "torch uses 1 of 4",
            "CUDA_VISIBLE_DEVICES is 2",
        ),
        (
            {"versions": {**SOUND.versions, "ray": "2.61.0"}},
            "FAIL",
            "ray 2.61.0 (needs <2.61,>=2.60)",
            "pip install -r requirements.txt",
        ),
        (
            {"torch_error": "libcudart.so.12: cannot open shared object file"},
            "FAIL",
            "cannot be imported: libcudart.so.12: cannot open shared object file",
            "pip install -r requirements.txt",
        ),
        (
            {"memory_gib": 1.0},
            "FAIL",
            "1.0 GiB, 32.0 GiB of them in /dev/shm",
            "2 GiB are the least for Ray and a net",
        ),
        (
            {"shared_memory_gib": 0.0625},
            "note",
            "64.0 GiB, 0.1 GiB of them in /dev/shm",
            "Ray keeps its objects on the disk, which is slow; docker run --shm-size=2g",
        ),
        (
            {"temporary_free_gib": 0.5},
            "FAIL",
            "0.5 GiB free in /tmp",
            "make room, or set TMPDIR to a folder on another disk",
        ),
        ({"open_files": 1024}, "note", "at most 1024", "ulimit -n 65536"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(
    changes: dict[str, object], level: str, text: str, remedy: str
) -> None:
    (found,) = of(**changes)
    assert (found.level.value, found.text, found.remedy) == (level, text, remedy)


def test_missing_packages_are_named() -> None:
    versions = {name: one for name, one in SOUND.versions.items() if name not in ("scipy", "rich")}
    (found,) = of(versions=versions)
    assert found.level is Level.FAIL and found.text == "not installed: rich, scipy"


def test_machines_are_compared_with_the_drivers() -> None:
    other = dataclasses.replace(SOUND, versions={**SOUND.versions, "torch": "2.14.0"})
    found = list(findings.of_cluster(SOUND, {"10.0.0.2": other}, {"10.0.0.2": -3.4}))
    assert [(one.level.value, one.subject, one.text) for one in found] == [
        ("note", "10.0.0.2", "other versions: torch 2.14.0 (here 2.15.0)"),
        ("note", "10.0.0.2", "clock 3 s behind this machine's"),
    ]
    (only,) = findings.of_cluster(SOUND, {"10.0.0.2": SOUND}, {"10.0.0.2": 1000.0})
    assert only.level is Level.FAIL and only.text == "clock 1000 s ahead of this machine's"
    (only,) = findings.of_cluster(SOUND, {"10.0.0.2": SOUND}, {"10.0.0.2": 0.04})
    assert only == findings.ok("clocks", "within 0.0 s of this machine's")


def test_each_machine_that_cannot_write_is_named() -> None:
    blind = dataclasses.replace(SOUND, folder_trouble="does not see this folder")
    found = list(
        findings.of_storage("/runs", SOUND, {"10.0.0.2": SOUND, "10.0.0.3": blind}, is_url=False)
    )
    assert [(one.level, one.text) for one in found] == [
        (Level.FAIL, "--out /runs: machine 10.0.0.3: does not see this folder")
    ]
    (only,) = findings.of_storage("/runs", SOUND, {"10.0.0.2": SOUND}, is_url=False)
    assert only.text == "--out /runs: this machine and 1 of the cluster can write there"


def test_a_folder_is_tried_by_writing(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("")
    assert try_folder(tmp_path / "not" / "yet", "token") == ""
    assert try_folder(tmp_path, "another") == "does not see this folder"
    assert try_folder(Path("/proc/1/runs")).startswith("cannot write: ")
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_a_url_is_tried_by_writing_reading_and_removing(tmp_path: Path) -> None:
    assert try_url(f"file://{tmp_path}") == ""
    assert list(tmp_path.iterdir()) == []
    assert "file:///proc/1" in try_url("file:///proc/1/runs")
    assert "nosuch://x" in try_url("nosuch://x")


def test_this_machine_examines_itself(tmp_path: Path) -> None:
    found = examine(["torch", "no-such-package"], str(tmp_path), "")
    assert set(found.versions) == {"torch"} and not found.torch_error
    assert found.memory_gib > 1 and found.cores >= 1 and found.folder_trouble == ""
