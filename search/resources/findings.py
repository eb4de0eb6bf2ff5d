"""What is found in the reports of machines: what is right, what to know, what stops a search.

Knows nothing of Ray: ``search.doctor`` brings the reports.
"""

from __future__ import annotations

import enum
import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from packaging.requirements import Requirement

from search.resources.machine_report import MachineReport

TRAINING = ("torch", "torchvision", "numpy", "pillow", "pyarrow", "pytorch-metric-learning")
"""Packages that a trial imports, on whatever machine it runs. With another version of one the
same settings may give other numbers."""
CLOCK_NOTE_SECONDS, CLOCK_FAIL_SECONDS = 2.0, 900.0
"""Difference of two clocks that is told, and that with which S3 refuses a request: its
RequestTimeTooSkewed begins at 15 minutes."""
FEW_FILES = 4096
"""Open files of a process. Ray's head has a few for each worker of the cluster."""
LITTLE_MEMORY_GIB = 2.0
"""Memory of a machine below which Ray and one small net do not fit."""
LITTLE_ROOM_GIB = 1.0
"""Room for temporary files, in which Ray keeps its logs and spills objects."""
INSTALL = "pip install -r requirements.txt"


class Level(enum.Enum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    level: Level
    subject: str
    """What was looked at, in a word or two."""
    text: str
    """What was found."""
    remedy: str = ""
    """What to do; "" where nothing is to be done."""


def ok(subject: str, text: str) -> Finding:
    """Return a finding that needs nothing."""
    return Finding(Level.OK, subject, text)


def note(subject: str, text: str, remedy: str = "") -> Finding:
    """Return a finding with which a search runs, but worse than it could."""
    return Finding(Level.NOTE, subject, text, remedy)


def fail(subject: str, text: str, remedy: str) -> Finding:
    """Return a finding with which a search would fail."""
    return Finding(Level.FAIL, subject, text, remedy)


def requirements() -> dict[str, Requirement]:
    """Return what this package needs, by the name of the distribution.

    Without an installation of it (a checkout on the path) what a trial imports, in any version.
    """
    try:
        given = importlib.metadata.requires("siamsearch") or []
    except importlib.metadata.PackageNotFoundError:
        given = list(TRAINING)
    needed = [Requirement(text) for text in given]
    return {one.name: one for one in needed if not one.marker}


def of_machine(report: MachineReport) -> Iterator[Finding]:
    """Yield what is found on one machine, whatever the others are like."""
    yield from _packages(report)
    yield from _gpus(report)
    yield from _memory(report)


def _packages(report: MachineReport) -> Iterator[Finding]:
    needed = requirements()
    missing = [name for name in needed if name not in report.versions]
    misfits = [
        f"{name} {report.versions[name]} (needs {one.specifier})"
        for name, one in needed.items()
        if name in report.versions
        and not one.specifier.contains(report.versions[name], prereleases=True)
    ]
    if missing:
        yield fail("packages", f"not installed: {', '.join(missing)}", INSTALL)
    if misfits:
        yield fail("packages", ", ".join(misfits), INSTALL)
    if report.torch_error and "torch" not in missing:
        yield fail("torch", f"cannot be imported: {report.torch_error}", INSTALL)
    if not (missing or misfits or report.torch_error):
        shown = [f"{name} {report.versions[name]}" for name in ("torch", "ray", "optuna")]
        yield ok("packages", f"{', '.join(shown)} and {len(needed) - 3} more, as required")


def _gpus(report: MachineReport) -> Iterator[Finding]:
    there, usable = report.gpus, report.usable_gpus
    if report.torch_error:
        return
    if not there and not usable:
        yield note("GPUs", f"none: trials run on {report.cores} CPU cores")
    elif usable:
        kinds = [f"{one.name} {one.memory_gib:.0f} GiB, driver {one.driver}" for one in there]
        hidden = len(there) - len(usable)
        yield ok("GPUs", "; ".join(dict.fromkeys(kinds)) or ", ".join(usable))
        if hidden > 0:
            visible = report.environment.get("CUDA_VISIBLE_DEVICES", "unset")
            yield note(
                "GPUs",
                f"torch uses {len(usable)} of {len(there)}",
                f"CUDA_VISIBLE_DEVICES is {visible}",
            )
    elif report.torch_cuda is None:
        yield fail(
            "GPUs",
            f"{there[0].name}, but torch {report.versions['torch']} is built for CPUs",
            "install the build of torch for CUDA, as pytorch.org says",
        )
    else:
        yield fail(
            "GPUs",
            f"{there[0].name}, which torch (for CUDA {report.torch_cuda}) cannot use with driver "
            f"{there[0].driver}",
            "update the driver, or look at CUDA_VISIBLE_DEVICES: "
            + report.environment.get("CUDA_VISIBLE_DEVICES", "unset"),
        )


def _memory(report: MachineReport) -> Iterator[Finding]:
    said = f"{report.memory_gib:.1f} GiB, {report.shared_memory_gib:.1f} GiB of them in /dev/shm"
    if report.memory_gib < LITTLE_MEMORY_GIB:
        yield fail("memory", said, f"{LITTLE_MEMORY_GIB:g} GiB are the least for Ray and a net")
    elif report.shared_memory_gib < 0.25:
        yield note(
            "memory",
            said,
            "Ray keeps its objects on the disk, which is slow; docker run --shm-size=2g",
        )
    else:
        yield ok("memory", said)
    free = f"{report.temporary_free_gib:.1f} GiB free in {report.temporary}"
    if report.temporary_free_gib < LITTLE_ROOM_GIB:
        yield fail("disk", free, "make room, or set TMPDIR to a folder on another disk")
    else:
        yield ok("disk", free)
    if report.open_files < FEW_FILES:
        yield note("open files", f"at most {report.open_files}", "ulimit -n 65536")


def of_cluster(
    driver: MachineReport, others: Mapping[str, MachineReport], skews: Mapping[str, float]
) -> Iterator[Finding]:
    """Yield what is found where the machines of a cluster are compared with the driver's.

    Args:
        driver: report of the machine that would run the driver.
        others: reports of the cluster's machines, by address.
        skews: seconds by which the clock of each is ahead of the driver's.
    """
    for address, report in others.items():
        differ = [
            f"{name} {report.versions[name]} (here {driver.versions[name]})"
            for name in TRAINING
            if name in report.versions
            and report.versions[name] != driver.versions.get(name, report.versions[name])
        ]
        if differ:
            yield note(
                address,
                f"other versions: {', '.join(differ)}",
                f"the same settings may give other numbers there; {INSTALL}",
            )
        skew = skews[address]
        if abs(skew) >= CLOCK_FAIL_SECONDS:
            yield fail(
                address, f"clock {_ahead(skew)}", "S3 refuses its requests; start NTP there"
            )
        elif abs(skew) >= CLOCK_NOTE_SECONDS:
            yield note(address, f"clock {_ahead(skew)}", "start NTP there; times of logs differ")
    if others and not any(abs(skew) >= CLOCK_NOTE_SECONDS for skew in skews.values()):
        yield ok("clocks", f"within {max(map(abs, skews.values())):.1f} s of this machine's")


def _ahead(seconds: float) -> str:
    return f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} this machine's"


def of_storage(
    out: str, driver: MachineReport, others: Mapping[str, MachineReport], is_url: bool
) -> Iterator[Finding]:
    """Yield whether all machines can write where the runs are to lie.

    Args:
        out: folder or URL of the runs, without secrets.
        driver: report of the machine that would run the driver.
        others: reports of the cluster's machines, by address.
        is_url: whether it is a URL.
    """
    remedy = (
        "every machine needs its credentials and the right to write: docs/cluster.md#storage"
        if is_url
        else "give a folder that all machines share under the same path, or a URL"
    )
    troubled = False
    for address, report in {"": driver, **others}.items():
        trouble = report.url_trouble if is_url else report.folder_trouble
        if trouble:
            troubled = True
            who = f"machine {address}: " if address else ""
            yield fail("storage", f"--out {out}: {who}{trouble}", remedy)
    if not troubled:
        where = f"this machine and {len(others)} of the cluster" if others else "this machine"
        yield ok("storage", f"--out {out}: {where} can write there")


def worst(findings: Sequence[Finding]) -> Level:
    """Return the level of the worst finding."""
    levels = {finding.level for finding in findings}
    return next(level for level in (Level.FAIL, Level.NOTE, Level.OK) if level in levels)
