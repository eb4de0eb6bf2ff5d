"""Throughput of trials on this machine: pairs a second and memory, alone and side by side.

How many trials should share a GPU, or a machine's cores, depends on the net and the machine, so it
is measured: with steps of the net itself, in as many processes as would share.

    python -m facesiam.training.throughput    one of those processes: JSON on stdin and stdout
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from facesiam.config import Value
from facesiam.data.cache_files import writing
from facesiam.data.dataset import cache_root
from facesiam.files import read_object
from facesiam.fingerprint import trainer_version

SECONDS = 3.0
"""Training that is timed, after a warm-up."""
COMMAND = [sys.executable, "-m", "facesiam.training.throughput"]
MOST_SECONDS = 300.0
"""Time limit of one measurement."""
GAIN = 1.05
"""Factor by which more trials at once must raise the total throughput."""
MEMORY_SHARE = 0.85
"""Share of the memory that trials may use; validation and saving need more for a while."""
COSTLY = (
    "net",
    "join",
    "hidden",
    "embedding",
    "dropout",
    "stochastic_depth",
    "freeze",
    "freeze_stages",
    "freeze_batchnorm",
    "loss",
    "optimizer",
    "ema",
    "batch_size",
    "images_per_person",
    "augment",
    "flip",
    "rotate",
    "shift",
    "crop",
    "colour",
    "erase",
    "protocol",
    "image_size",
    "packed_size",
    "precision",
)
"""Settings that decide what a step costs."""


class Way(NamedTuple):
    """A number of trials that share a device, with their measurement."""

    at_once: int
    """Trials that share the device."""
    threads: int
    """CPU threads of each."""
    pairs_per_second: float
    """Of all of them together; 0 where they did not start, as for want of memory."""
    memory_mib: float
    """Of each."""
    there_mib: float
    """Memory of the GPU, or of the machine."""


class Share(NamedTuple):
    """The best way to share, and all that were measured."""

    best: Way
    tried: list[Way]


def share_of(
    settings: Mapping[str, Value], data: str, weights: Mapping[str, str], cpus: int, gpu: bool
) -> Share:
    """Return what ``choose`` returns, from this machine's cache where it was measured before.

    Args:
        settings: of the trial; those that do not change the cost of a step are ignored.
        data: folder of the packed data.
        weights: file of pretrained weights per net.
        cpus: cores that the trials share.
        gpu: whether they share a GPU.
    """
    file = cache_root() / "shares.json"
    known = _read(file)
    costs = [*(settings[name] for name in COSTLY), Path(data).name]
    key = json.dumps([*costs, cpus, gpu, _machine(gpu)])
    if key not in known:
        found = choose(settings, data, weights, cpus, gpu)
        if not found.best.pairs_per_second:
            return found  # it failed: not something to remember
        known[key] = found
        with writing(file) as (partial,):
            partial.write_text(json.dumps(known, indent=1))
    best, tried = known[key]
    return Share(Way(*best), [Way(*way) for way in tried])


def choose(
    settings: Mapping[str, Value], data: str, weights: Mapping[str, str], cpus: int, gpu: bool
) -> Share:
    """Measure how many trials with `settings` should share a GPU, or a machine's cores.

    Their number is doubled as long as that raises the pairs a second in all and the memory
    suffices; with each doubling a trial has half of the cores.

    Args:
        settings: of the trial, as TrialConfig has them.
        data: folder of the packed data.
        weights: file of pretrained weights per net.
        cpus: cores that they share.
        gpu: whether they share a GPU; else the cores are what they share.
    """
    task = {"settings": dict(settings), "data": data, "weights": dict(weights), "gpu": gpu}
    tried = [measure(task, 1, cpus)]
    while tried[-1].pairs_per_second and 2 * tried[-1].at_once <= cpus:
        last = tried[-1]
        if 2 * last.at_once * last.memory_mib > MEMORY_SHARE * last.there_mib:
            break
        tried.append(measure(task, 2 * last.at_once, cpus // (2 * last.at_once)))
        if tried[-1].pairs_per_second < GAIN * last.pairs_per_second:
            break
    return Share(max(tried, key=lambda way: way.pairs_per_second), tried)


def measure(task: Mapping[str, Any], at_once: int, threads: int) -> Way:
    """Train in `at_once` processes at the same time; return their throughput together."""
    children = [_start({**task, "threads": threads}) for _ in range(at_once)]
    late = threading.Timer(MOST_SECONDS, _end, [children])
    late.start()  # then they count as not having fitted, instead of being waited for without end
    try:
        if any(_told(child) is None for child in children):  # each is warm, or has failed
            return Way(at_once, threads, 0.0, 0.0, 0.0)
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        told = [_told(child) for child in children]
    finally:
        late.cancel()
        _end(children)
        for child in children:
            child.communicate()  # closes its pipes
    if any(one is None for one in told):
        return Way(at_once, threads, 0.0, 0.0, 0.0)
    found = [one for one in told if one]
    return Way(
        at_once,
        threads,
        sum(one["rate"] for one in found),
        max(one["memory_mib"] for one in found),
        found[0]["there_mib"],
    )


def _start(task: Mapping[str, Any]) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": _path()},
    )
    assert child.stdin is not None
    child.stdin.write(json.dumps(task) + "\n")
    child.stdin.flush()
    return child


def _end(children: list[subprocess.Popen[str]]) -> None:
    for child in children:
        child.kill()


def _path() -> str:
    """Return the PYTHONPATH with which a child finds this package."""
    return os.pathsep.join(entry for entry in sys.path if entry)


def _told(child: subprocess.Popen[str]) -> dict[str, Any] | None:
    """Return the next JSON line of a process; None where it has died or wrote something else."""
    assert child.stdout is not None
    try:
        return json.loads(child.stdout.readline())  # type: ignore[no-any-return]
    except ValueError:
        return None


def _serve() -> None:
    """Train by the task on stdin, in a process of its own."""
    task = json.loads(sys.stdin.readline())
    import torch

    from facesiam.config import TrialConfig
    from facesiam.data.dataset import open_packed
    from facesiam.device.cuda_graph import WARM_UP
    from facesiam.device.gpu_memory import CONTEXT_MIB
    from facesiam.device.hardware import memory_there_mib, peak_memory_mib
    from facesiam.evaluation.predict import EVAL_IMAGES, pair_logits
    from facesiam.training.loop import Training

    torch.set_num_threads(task["threads"])
    config = TrialConfig.from_dict({**task["settings"], "first_image_size": 0})
    device = torch.device("cuda" if task["gpu"] else "cpu")
    training = Training(config, open_packed(task["data"]), task["weights"], device.type)
    training.measure(WARM_UP + 1 if task["gpu"] else 1)  # on a GPU the first are not recorded
    before = time.perf_counter()
    training.measure(1)
    warm = max(1, round(0.5 / (time.perf_counter() - before)))  # half a second of steps
    training.measure(warm)
    some, few = training.val_pairs, EVAL_IMAGES[device.type]
    part = replace(some, left=some.left[:few], right=some.right[:few], label=some.label[:few])
    pair_logits(training.net, training.pixels, part)  # for its memory, which comes to the step's
    print(json.dumps("warm"), flush=True)
    sys.stdin.readline()
    start, rates = time.perf_counter(), []
    while time.perf_counter() - start < SECONDS:
        rates.append(training.measure(warm))
    memory = peak_memory_mib(device)
    if task["gpu"]:
        memory = torch.cuda.max_memory_reserved(device) / 2**20 + CONTEXT_MIB
    rate = len(rates) / sum(1 / rate for rate in rates)
    found = {"rate": rate, "memory_mib": memory, "there_mib": memory_there_mib(device)}
    print(json.dumps(found), flush=True)


def _read(file: Path) -> dict[str, Any]:
    """Return earlier measurements by key; entries of another form are left out."""
    return {key: found for key, found in read_object(file).items() if _is_share(found)}


def _is_share(found: Any) -> bool:
    """Return whether this is a Share as JSON has it."""

    def is_way(way: Any) -> bool:
        return (
            isinstance(way, list)
            and len(way) == len(Way._fields)
            and all(type(value) in (int, float) for value in way)
            and all(type(value) is int and value >= 1 for value in way[:2])
        )

    return (
        isinstance(found, list)
        and len(found) == 2
        and is_way(found[0])
        and isinstance(found[1], list)
        and bool(found[1])
        and all(map(is_way, found[1]))
    )


def _machine(gpu: bool) -> list[str]:
    """Return what identifies this machine's speed: its processors, torch, the trainer's code.

    Torch is not imported for it.
    """
    gpus = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")) if gpu else []
    models = [
        line.split(":", 1)[1].strip()
        for file in [*gpus[:1], Path("/proc/cpuinfo")]
        if file.exists()
        for line in file.read_text().splitlines()
        if line.lower().startswith("model")
    ]
    return [*dict.fromkeys(models), version("torch"), trainer_version()]


if __name__ == "__main__":
    _serve()
