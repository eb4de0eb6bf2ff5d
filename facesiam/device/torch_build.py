"""The build of torch on this machine: which CUDA it was made for."""

from __future__ import annotations

import torch


def cuda_version() -> str | None:
    """Return the CUDA version that torch was built for; None: a build for CPUs."""
    return torch.version.cuda
