"""The cores and the memory of this machine that affinity masks and control groups allow.

A job on a shared node has 4 of 64 cores by an affinity mask (taskset, Slurm, cpusets), a container
by a quota of CPU time (Docker, Kubernetes). ``os.cpu_count`` reports 64 in both cases, and 64
threads or trials on 4 cores are slower than 4.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
"""Where proc and sys are; another place in tests."""
UNLIMITED = 2**60
"""Bytes: cgroup v1 writes a number near 2**63 where memory has no limit."""


def cores(root: Path = ROOT) -> int:
    """Return how many cores this process may keep busy, at least 1.

    The number of its affinity mask, bounded by the quotas of its control group and of those above,
    rounded down: a quota of 2.5 cores is 2, of half a core 1.
    """
    if hasattr(os, "sched_getaffinity"):  # Linux
        there = len(os.sched_getaffinity(0))
    else:
        there = os.cpu_count() or 1
    quota = cpu_quota(root)
    return max(1, there if quota is None else min(there, int(quota + 1e-9)))


def cpu_quota(root: Path = ROOT) -> float | None:
    """Return the CPU quota of this process's control groups, in cores; None: no limit."""
    limits = []
    for folder in _groups(root, "cpu"):
        for words in (
            _words(folder / "cpu.max"),  # v2: microseconds of a period, or max, and the period
            _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us"),  # v1
        ):
            try:
                allowed, period = map(int, words)
            except ValueError:  # max, or no such file
                continue
            if allowed > 0 and period > 0:  # v1 says -1 where there is no limit
                limits.append(allowed / period)
    return min(limits, default=None)


def memory_limit(root: Path = ROOT) -> int | None:
    """Return the memory limit of this process's control groups, in bytes; None: no limit."""
    limits = []
    for folder in _groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            words = _words(folder / name)
            if len(words) == 1 and words[0].isdecimal() and int(words[0]) < UNLIMITED:
                limits.append(int(words[0]))
    return min(limits, default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the process's control groups, each with those above it.

    A line of /proc/self/cgroup is ``0::/path`` in v2 and ``4:cpu,cpuacct:/path`` in v1. Inside a
    container the path may be the host's, which is not there: then what is mounted is the group.
    """
    mounts = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, names, path = (line.split(":", 2) + ["", ""])[:3]
        if names and controller not in names.split(","):
            continue
        tops = (mounts / names, mounts / controller) if names else (mounts, mounts / "unified")
        for top in tops:
            parts = [part for part in path.split("/") if part not in ("", "..")]
            for depth in range(len(parts), -1, -1):
                folder = top.joinpath(*parts[:depth])
                if folder.is_dir():
                    yield folder


def _words(file: Path) -> list[str]:
    return _text(file).split()


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
