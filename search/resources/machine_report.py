"""What one machine says of itself: versions, GPUs, memory, and whether it reaches the storage.

``examine`` runs on the driver and, as a task of Ray, on each machine of a cluster. It imports
nothing but the standard library before it knows what is installed there.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

GIB = 2**30


@dataclass(frozen=True)
class Gpu:
    """A GPU as the driver of its maker reports it."""

    name: str
    memory_gib: float
    driver: str
    """Version of the maker's driver."""


@dataclass(frozen=True)
class MachineReport:
    """What a machine says of itself."""

    host: str
    python: str
    versions: dict[str, str]
    """By package; one that is not installed is missing here."""
    gpus: list[Gpu]
    """GPUs that the maker's driver reports."""
    usable_gpus: list[str]
    """Names of the GPUs that torch can use; they differ where torch is built for CPUs."""
    torch_cuda: str | None
    """CUDA version that torch was built for; None: for CPUs, or torch cannot be imported."""
    torch_error: str
    """Why torch cannot be imported; "": it can."""
    cores: int
    memory_gib: float
    shared_memory_gib: float
    """Size of /dev/shm, where Ray keeps its objects."""
    temporary: str
    """Folder of temporary files."""
    temporary_free_gib: float
    open_files: int
    """Limit of a process's open files."""
    folder_trouble: str = ""
    """Why the folder of the runs cannot be used from here; "": it can, or none was asked for."""
    url_trouble: str = ""
    """Why the URL of the runs cannot be used from here; "": it can, or none was asked for."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables that matter to a search, as this machine's processes have them."""


VARIABLES = ("FACESIAM_DATA", "FACESIAM_CACHE", "CUDA_VISIBLE_DEVICES")
"""Variables of the environment that a report tells."""


def examine(
    packages: Sequence[str], folder: str | None = None, token: str = "", url: str | None = None
) -> MachineReport:
    """Return the report of the machine that runs this.

    Args:
        packages: whose versions are wanted, by the names of their distributions.
        folder: of the runs; a file is written there and removed.
        token: name of a file in ``folder`` that another machine has just written; "": none.
        url: of the runs; an object is written there, read and removed.
    """
    usable, cuda, error = _torch()
    return MachineReport(
        host=platform.node(),
        python=platform.python_version(),
        versions=_versions(packages),
        gpus=_gpus(),
        usable_gpus=usable,
        torch_cuda=cuda,
        torch_error=error,
        cores=_cores(),
        memory_gib=_memory_gib(),
        shared_memory_gib=_size_gib("/dev/shm"),
        temporary=tempfile.gettempdir(),
        temporary_free_gib=shutil.disk_usage(tempfile.gettempdir()).free / GIB,
        open_files=_open_files(),
        folder_trouble=try_folder(Path(folder), token) if folder else "",
        url_trouble=try_url(url) if url else "",
        environment={name: os.environ[name] for name in VARIABLES if name in os.environ},
    )


def try_folder(folder: Path, token: str = "") -> str:
    """Write a file in a folder and remove it; return what went wrong, "" for nothing.

    Args:
        folder: need not exist: then the nearest folder above it is tried.
        token: name of a file that is expected in it; "": none.
    """
    from facesiam.errors import reason

    try:
        place = next(place for place in (folder, *folder.parents) if place.exists())
        if token and not (place / token).exists():
            return "does not see this folder"
        with tempfile.NamedTemporaryFile(dir=place, prefix=".siamsearch-") as file:
            file.write(b"x" * 2**16)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return f"cannot write: {reason(error)}"
    return ""


def try_url(url: str) -> str:
    """Write, read and remove an object behind a URL; return what went wrong, "" for nothing."""
    from facesiam.errors import StorageError, masked
    from facesiam.storage.bucket import Bucket

    name, content = f"siamsearch-{uuid.uuid4().hex[:8]}.txt", b"written by siamsearch doctor"
    try:
        bucket = Bucket(url, patience=())
        bucket.write(name, content)
        read = bucket.read(name)
        bucket.remove(Path(name))
    except StorageError as error:
        return masked(str(error))
    return "" if read == content else "what was written there is not what is read back"


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _gpus() -> list[Gpu]:
    """Return what nvidia-smi reports; [] where there is none, or it cannot be run."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version"]
    try:
        done = subprocess.run(
            [*command, "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    rows = [line.split(", ") for line in done.stdout.splitlines()] if not done.returncode else []
    return [
        Gpu(name, float(mib) / 1024, driver)
        for name, mib, driver in (row for row in rows if len(row) == 3)
        if mib.replace(".", "").isdecimal()
    ]


def _torch() -> tuple[list[str], str | None, str]:
    """Return the GPUs that torch uses, its CUDA version and why it cannot be imported."""
    try:
        from facesiam.device.hardware import gpu_names
        from facesiam.device.torch_build import cuda_version

        return gpu_names(), cuda_version(), ""
    except Exception as error:  # a broken installation raises anything
        from facesiam.errors import first_line

        return [], None, first_line(error)


def _cores() -> int:
    from facesiam.device.cores import cores

    return cores()


def _memory_gib() -> float:
    from facesiam.device.cores import memory_limit

    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = memory_limit()
    return (there if limit is None else min(there, limit)) / GIB


def _size_gib(place: str) -> float:
    try:
        return shutil.disk_usage(place).total / GIB
    except OSError:
        return 0.0


def _open_files() -> int:
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
