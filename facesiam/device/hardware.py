"""The hardware of this machine: GPUs, precision, memory."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import resource
import sys
from pathlib import Path

import torch

from facesiam.device.cores import memory_limit

DEPTHWISE = ("efficientnet_", "mobilenet_", "mnasnet", "shufflenet_")
"""Nets of depthwise convolutions, by how their names begin, which a CPU computes faster in fp32.

Images a second in fp32 and in bf16, 2 cores with AMX, 16 images of 224 pixels: EfficientNet-lite0
23.3 and 16.1, b0 20.9 and 16.5, MobileNetV3-large 37.1 and 27.3; MNASNet and ShuffleNet are taken
to be like them. ConvNeXt, most of which is linear layers, is the other way round: 8.0 and 10.4.
"""


def gpu_names() -> list[str]:
    """Return the names of this machine's CUDA devices."""
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def precision_of(precision: str, net: str, device: str) -> str:
    """Return the precision of the layers, fp32 or bf16; `auto` is bf16 where the hardware has it.

    Args:
        precision: auto, bf16 or fp32.
        net: its name.
        device: cpu or cuda. A GPU of another machine is assumed to have bf16.
    """
    if precision != "auto":
        return precision
    if device == "cuda":
        there = torch.cuda.is_available()
        has = not there or torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has = not net.startswith(DEPTHWISE) and cpu_multiplies_bf16()
    return "bf16" if has else "fp32"


def cpu_multiplies_bf16() -> bool:
    """Say whether this machine's processor multiplies in bf16, which torch emulates elsewhere."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(check() for name in checks if (check := getattr(torch.cpu, name, None)))


@functools.cache
def keep_freed_memory() -> None:
    """Have glibc keep freed memory instead of handing it back to the kernel at every step.

    The gradient of a head layer is 150 MB: returned and asked for again each step, its page faults
    took a third of the time (AlexNet difference, 2 cores: 0.91 s a step before, 0.61 s after).
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for name, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1)):
        libc.mallopt(name, value)


_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


def reset_peak_memory(device: torch.device) -> None:
    """Begin a new measurement of the peak."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        try:
            Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets VmHWM
        except OSError:
            pass  # a hardened kernel: the peak is then that of the whole process


def peak_memory_mib(device: torch.device) -> float:
    """Return the most memory held since the last reset: the GPU's, or this process's, in MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 2**20  # a graph's pool is not "allocated"
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes


def memory_there_mib(device: torch.device) -> float:
    """Return the memory of the GPU, or of this machine or container, in MiB."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory / 2**20
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = memory_limit()
    return (there if limit is None else min(there, limit)) / 2**20


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error means that memory ran out; torch and CUDA have many texts for it."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(
        words in said
        for words in (
            "out of memory",
            "not enough memory",
            "can't allocate",
            "cannot allocate memory",
            "alloc_failed",  # cuBLAS
            "allocation_failed",  # cuDNN 9
        )
    )
