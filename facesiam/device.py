"""What this machine computes on: its GPUs, and whether it multiplies in bf16."""

from __future__ import annotations

import torch

from facesiam.config import TrialConfig


def gpu_names() -> list[str]:
    """Return the names of this machine's CUDA devices."""
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def wants_bf16(config: TrialConfig, device: torch.device) -> bool:
    """Say whether the layers run in bf16; `auto` asks for hardware that multiplies in it."""
    if config.precision != "auto":
        return config.precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(check() for name in checks if (check := getattr(torch.cpu, name, None)))
