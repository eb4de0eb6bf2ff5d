"""The manifest of a run: code, versions, data, machine and command, to repeat its numbers."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from facesiam.data.dataset import FaceData
from facesiam.device.cores import cores
from facesiam.device.hardware import gpu_names
from facesiam.files import exists, write_text
from facesiam.fingerprint import trainer_version
from search.runs.json_files import Manifest, Session, read_manifest
from search.runs.layout import MANIFEST
from search.runs.rated_pairs import rated_pairs
from search.space import SearchSpace
from search.space.file_models import SAMPLER

RATED = ("people", "same", "different", "sha256")
"""What is noted of the pairs of `val_tpr_at_fpr`."""
PACKAGES = (
    "torch",
    "torchvision",
    "ray",
    "optuna",
    "cmaes",
    "pandas",
    "numpy",
    "pillow",
    "tensorboardX",
)


def begin(
    run: Path,
    space: SearchSpace,
    data: FaceData,
    command: str,
    nodes: Sequence[Sequence[float]],
    inactive: Sequence[str],
    arguments: Sequence[str] = (),
) -> bool:
    """Write the manifest of a run that starts, or add a session to that of one that goes on.

    Args:
        run: its folder.
        space: what is searched.
        data: that the trials train on.
        command: as it was given, without secrets.
        nodes: CPUs and GPUs of each machine.
        inactive: a sentence for each pruning rule that can stop no trial of the space.
        arguments: of the command line, or what would say the same there, without secrets.

    Returns:
        Whether the trainer or a plugin is another than that which the run began with.
    """
    file, changed = run / MANIFEST, False
    session = _session(space, command, nodes, inactive)
    session["arguments"] = list(arguments)
    if exists(file):
        known = read_manifest(file)
        began = known.setdefault("sessions", [session])[0]
        changed = began.get("trainer") not in (None, session["trainer"])
        changed |= _hashes(began) != _hashes(session)
        known["sessions"].append(session)
        known["finished"] = None
    else:
        known = _first(run.name, space, data, session)
    write_text(file, json.dumps(known, indent=1) + "\n")
    return changed


def _session(
    space: SearchSpace, command: str, nodes: Sequence[Sequence[float]], inactive: Sequence[str]
) -> Session:
    """Return the entry of a session that starts."""
    return {
        "started": _now(),
        "finished": None,
        "command": command,
        "commit": commit(),
        "trainer": trainer_version(),
        "sampler": SAMPLER,
        "enqueued": len(space.enqueue) if space.uses("enqueue") else 0,
        "plugins": [plugin.plain() for plugin in space.plugins],
        "nodes": [{"cpus": cpus, "gpus": gpus} for cpus, gpus in nodes],
        "cannot_act": list(inactive),
    }


def _hashes(session: Session) -> list[str]:
    """Return the SHA-256 of each plugin of a session, sorted."""
    return sorted(str(plugin.get("sha256")) for plugin in session.get("plugins", []))


def _first(name: str, space: SearchSpace, data: FaceData, session: Session) -> Manifest:
    """Return the manifest of a run that starts with this session."""
    rated: dict[str, dict[str, int | str]] = {
        name: dict(zip(RATED, (*pairs.counts, pairs.digest), strict=True))
        for name, pairs in rated_pairs(space, data).items()
    }
    return {
        "name": name,
        "started": session["started"],
        "finished": None,
        "command": session["command"],
        "seed": space.seed,
        "algorithm": space.algorithm,
        "metric": space.metric,
        "mode": space.mode,
        **({"metric_reason": space.metric_reason} if space.metric_reason else {}),
        **({"rated_pairs": rated} if rated else {}),
        "versions": versions(),
        "commit": session["commit"],
        "machine": machine(),
        "data": {"source": data.source, "key": data.key, "format": data.format},
        "sessions": [session],
    }


def sampler_changed(run: Path) -> bool:
    """Return whether TPE chooses by another version in this session than in the one before."""
    sessions = read_manifest(run / MANIFEST)["sessions"][-2:]
    known = [session.get("sampler", 1) for session in sessions]  # 1: of before it was noted
    return bool(known[0] != known[-1])


def end(run: Path, finished: bool, why: str = "") -> None:
    """Record the end of the session, and of the run where it came to its end.

    Args:
        run: its folder.
        finished: whether it came to its end.
        why: it did so before its last trial; "": it did not.
    """
    file = run / MANIFEST
    known = read_manifest(file)
    known["sessions"][-1]["finished"] = _now()
    if why:
        known["sessions"][-1]["ended_by"] = why
    known["finished"] = known["sessions"][-1]["finished"] if finished else None
    write_text(file, json.dumps(known, indent=1) + "\n")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on.

    One that is not installed, as cmaes where only its own sampler would need it, is left out.
    """
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def machine() -> dict[str, Any]:
    """Return processor, memory and GPUs of this machine, and the cores that are ours."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": cores(),
        "memory_gib": round(memory, 1),
        "gpus": gpu_names(),
    }


def commit() -> str | None:
    """Return the commit of the code, with "+changes" where the tree differs; None outside git."""
    here = Path(__file__).parent
    try:
        command = ["git", "describe", "--always", "--abbrev=12", "--dirty=+changes"]
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
