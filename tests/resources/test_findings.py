"""What the doctor says of machines, from reports that were made up."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import resource
from pathlib import Path

import pytest

from facesiam.device import cores, hardware
from facesiam.storage.bucket import Bucket
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
    assert [one.text for one in found if one.subject in ("packages", "GPUs")] == [
        "torch 2.15.0, ray 2.60.0, optuna 5.0.0 and 2 more, as required",
        "NVIDIA H100 80GB HBM3 80 GiB, driver 570.86",
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
        (
            {"shared_memory_gib": 0.24},
            "note",
            "64.0 GiB, 0.2 GiB of them in /dev/shm",
            "Ray keeps its objects on the disk, which is slow; docker run --shm-size=2g",
        ),
        ({"open_files": 4095}, "note", "at most 4095", "ulimit -n 65536"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(
    changes: dict[str, object], level: str, text: str, remedy: str
) -> None:
    (found,) = of(**changes)
    assert (found.level.value, found.text, found.remedy) == (level, text, remedy)


@pytest.mark.parametrize(
    "enough",
    [
        {"memory_gib": 2.0},
        {"shared_memory_gib": 0.25},
        {"temporary_free_gib": 1.0},
        {"open_files": 4096},
        {"versions": {**SOUND.versions, "torch": "2.12.0a0+git1"}},
    ],
)
def test_what_is_just_enough_is_fine(enough: dict[str, object]) -> None:
    assert of(**enough) == []


@pytest.mark.parametrize(
    ("gpus", "usable", "text"),
    [
        ([H100, H100], [H100.name] * 2, "NVIDIA H100 80GB HBM3 80 GiB, driver 570.86"),
        ([], ["AMD Instinct"], "AMD Instinct"),
    ],
)
def test_gpus_are_told_once_a_kind(gpus: list[Gpu], usable: list[str], text: str) -> None:
    report = dataclasses.replace(SOUND, gpus=gpus, usable_gpus=usable)
    assert [one.text for one in findings.of_machine(report) if one.subject == "GPUs"] == [text]


def test_what_nvidia_smi_prints_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    smi = tmp_path / "nvidia-smi"
    smi.write_text(
        "#!/bin/sh\necho 'NVIDIA A100, 81920, 550.54'\necho 'GRID, [N/A], 550.54'\necho odd\n"
    )
    smi.chmod(0o755)
    assert examine([]).gpus == [Gpu("NVIDIA A100", 80.0, "550.54")]
    smi.write_text(smi.read_text() + "exit 9\n")
    assert examine([]).gpus == []


def test_missing_packages_are_named() -> None:
    versions = {name: one for name, one in SOUND.versions.items() if name not in ("scipy", "rich")}
    (found,) = of(versions=versions)
    assert found.level is Level.FAIL and found.text == "not installed: rich, scipy"
    versions = {name: one for name, one in SOUND.versions.items() if name != "torch"}
    (found,) = of(versions=versions, torch_error="No module named 'torch'")
    assert found.text == "not installed: torch"


def test_a_checkout_that_is_not_installed_needs_what_a_trial_imports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    assert tuple(findings.requirements()) == findings.TRAINING


@pytest.mark.parametrize("levels", [("note", "FAIL", "ok"), ("ok", "note"), ("ok",)])
def test_the_worst_is_a_failure_then_a_note(levels: tuple[str, ...]) -> None:
    found = [Finding(Level(level), "x", "") for level in levels]
    assert findings.worst(found).value == {3: "FAIL", 2: "note", 1: "ok"}[len(levels)]


def test_machines_are_compared_with_the_drivers() -> None:
    other = dataclasses.replace(SOUND, versions={**SOUND.versions, "torch": "2.14.0"})
    found = list(findings.of_cluster(SOUND, {"10.0.0.2": other}, {"10.0.0.2": -3.4}))
    assert [(one.level.value, one.subject, one.text) for one in found] == [
        ("note", "10.0.0.2", "other versions: torch 2.14.0 (here 2.15.0)"),
        ("note", "10.0.0.2", "clock 3 s behind this machine's"),
    ]
    for skew, level, text in (
        (1000.0, "FAIL", "clock 1000 s ahead of this machine's"),
        (-900.0, "FAIL", "clock 900 s behind this machine's"),
        (899.0, "note", "clock 899 s ahead of this machine's"),
    ):
        (only,) = findings.of_cluster(SOUND, {"10.0.0.2": SOUND}, {"10.0.0.2": skew})
        assert (only.level.value, only.text) == (level, text)
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
    refused = dataclasses.replace(SOUND, url_trouble="access denied")
    (only,) = findings.of_storage("s3://runs", refused, {"10.0.0.3": blind}, is_url=True)
    assert only.text == "--out s3://runs: access denied"
    assert "credentials" in only.remedy and "folder" in found[0].remedy


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
    said = try_url("nosuch://KEY:SECRET@x")
    assert "nosuch://***@x" in said and "SECRET" not in said


def test_a_bucket_that_gives_back_something_else_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bucket, "read", lambda bucket, name: b"an error page")
    assert try_url(f"file://{tmp_path}") == "what was written there is not what is read back"


def test_this_machine_examines_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACESIAM_CACHE", "/fast/cache")
    monkeypatch.setattr(cores, "memory_limit", lambda: 3 * 2**29)
    limits = {resource.RLIMIT_NOFILE: (1024, 4096)}
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    found = examine(["torch", "no-such-package"], str(tmp_path), "")
    assert found.environment["FACESIAM_CACHE"] == "/fast/cache"
    assert (found.memory_gib, found.open_files) == (1.5, 1024)
    assert set(found.versions) == {"torch"} and not found.torch_error
    assert found.cores >= 1 and found.folder_trouble == ""


def test_why_torch_cannot_be_imported_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[str]:
        raise RuntimeError("libcudart.so.12: cannot open\nmore of it")

    monkeypatch.setattr(hardware, "gpu_names", broken)
    found = examine([])
    assert "libcudart.so.12: cannot open" in found.torch_error and found.usable_gpus == []
