"""The cores and the memory that are ours, on trees of control groups made by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from facesiam.device.cores import cores, cpu_quota, memory_limit


def tree(root: Path, groups: str, files: dict[str, str]) -> Path:
    """A root with /proc/self/cgroup and files below /sys/fs/cgroup."""
    for name, text in {
        "proc/self/cgroup": groups,
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "400000 100000\n"}, 4.0),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 0.5),
        # Of the groups above the strictest holds too: 2 of a slice of 3.
        (
            "0::/a.slice/b\n",
            {"a.slice/cpu.max": "300000 100000", "a.slice/b/cpu.max": "200000 100000"},
            2.0,
        ),
        (
            "0::/a.slice/b\n",
            {"a.slice/cpu.max": "30000 10000", "a.slice/b/cpu.max": "max 100000"},
            3.0,
        ),
        # In a container the path may be the host's, which is not there.
        ("0::/docker/1f2e\n", {"cpu.max": "250000 100000"}, 2.5),
        ("0::/../..\n", {"cpu.max": "100000 100000"}, 1.0),
        # v1, its controllers mounted together or alone; -1 is no limit.
        (
            "4:cpu,cpuacct:/j\n1:memory:/j\n",
            {
                "cpu,cpuacct/j/cpu.cfs_quota_us": "150000\n",
                "cpu,cpuacct/j/cpu.cfs_period_us": "100000\n",
            },
            1.5,
        ),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        (
            "4:cpuacct,cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "80000", "cpu/cpu.cfs_period_us": "40000"},
            2.0,
        ),
        # v1 beside v2 that has no cpu controller
        (
            "4:cpu:/\n0::/x\n",
            {
                "cpu/cpu.cfs_quota_us": "700",
                "cpu/cpu.cfs_period_us": "100",
                "unified/x/cgroup.procs": "",
            },
            7.0,
        ),
        ("4:memory:/\n", {"cpu/cpu.cfs_quota_us": "700", "cpu/cpu.cfs_period_us": "100"}, None),
        ("0::/\n", {"cpu.max": "much\n"}, None),
        ("0::/\n", {"cpu.max": "5 0\n"}, None),
        ("no line of such a file", {"cpu.max": ""}, None),
    ],
)
def test_the_quota_of_cpu_time(
    tmp_path: Path, groups: str, files: dict[str, str], quota: float | None
) -> None:
    assert cpu_quota(tree(tmp_path, groups, files)) == quota


def test_without_control_groups_there_is_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None and memory_limit(tmp_path) is None


@pytest.mark.parametrize(
    ("there", "quota", "ours"),
    [
        (64, "max", 64),
        (64, "400000", 4),
        (4, "800000", 4),
        (8, "250000", 2),
        (8, "50000", 1),
        (8, "299999", 2),
    ],
)
def test_cores_are_those_of_the_mask_and_of_the_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: int, quota: str, ours: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(there)))
    monkeypatch.setattr(os, "cpu_count", lambda: 128)
    assert cores(tree(tmp_path, "0::/\n", {"cpu.max": f"{quota} 100000"})) == ours


def test_without_masks_cores_are_those_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    assert cores(tmp_path) == 12
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores(tmp_path) == 1


def test_a_process_that_is_bound_to_one_core_has_one() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from search.resources.allocation import this_machine; print(this_machine()[0].cpus)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1.0"


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        ("0::/a\n", {"memory.max": "max", "a/memory.max": "1073741824\n"}, 2**30),
        ("0::/a\n", {"memory.max": "4096", "a/memory.max": "8192"}, 4096),
        ("9:memory:/j\n", {"memory/j/memory.limit_in_bytes": "4096"}, 4096),
        ("9:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
    ],
)
def test_the_limit_of_memory(
    tmp_path: Path, groups: str, files: dict[str, str], limit: int | None
) -> None:
    assert memory_limit(tree(tmp_path, groups, files)) == limit
