"""What the GPU and its machine are, and the rates that the shares of the other parts refer to."""

from __future__ import annotations

import dataclasses
import time
from importlib.util import find_spec
from typing import Any

import torch
from roofline import measure_machine

from facesiam.errors import NetError, WeightsError
from facesiam.fingerprint import trainer_version
from facesiam.nets.pretrained import find_weights
from search.resources.machine_report import examine
from search.runs.manifest import PACKAGES, commit

from .plan import Plan

PRETRAINED, LOSSES = "efficientnet_lite0", "pytorch_metric_learning"
"""The net that begins with weights of a package, and the package of SupCon."""
TINY = {"sides": (256,), "numbers": 2**20}
"""What a rehearsal multiplies and streams."""


def versions(plan: Plan, _figures: dict[str, Any]) -> dict[str, Any]:
    """Return the GPU, its memory and driver, the versions, and the code's commit."""
    report = dataclasses.asdict(examine((*PACKAGES, "pytorch-metric-learning", "pillow")))
    of_gpu: dict[str, Any] = {}
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        of_gpu = {
            "card": card.name,
            "memory_gib": card.total_memory / 2**30,
            "multiprocessors": card.multi_processor_count,
            "capability": f"{card.major}.{card.minor}",
            "cudnn": torch.backends.cudnn.version(),
            "tf32_convolutions": torch.backends.cudnn.allow_tf32,
            "tf32_products": torch.backends.cuda.matmul.allow_tf32,
        }
    return {
        **report,
        "torch": torch.__version__,
        "gpu": of_gpu,
        "commit": commit(),
        "trainer": trainer_version(),
        "data": plan.data,
    }


def rates(plan: Plan, _figures: dict[str, Any]) -> dict[str, Any]:
    """Return the best products, in FLOP/s, and the bandwidth of memory, in bytes/s."""
    return measure_machine(plan.device, **(TINY if plan.rehearsal else {}))


def lacking() -> list[str]:
    """Return what some parts need and this machine lacks, a line each."""
    lines = []
    try:
        find_weights(PRETRAINED, None)
    except (NetError, WeightsError) as error:
        lines.append(f"{error}; the figures of {PRETRAINED} will be missing")
    if not find_spec(LOSSES):
        lines.append(f"no package {LOSSES}; the figures of nets with SupCon will be missing")
    return lines


def packing(plan: Plan, _figures: dict[str, Any]) -> dict[str, Any]:
    """Return what packing the dataset in both geometries takes, and what it holds."""
    began = time.perf_counter()
    data = plan.packed
    return {
        "seconds": time.perf_counter() - began,
        "images": len(data.names),
        "people": len(set(data.person.tolist())),
        "key": data.key,
    }
