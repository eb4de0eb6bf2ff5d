"""The share of a GPU's memory that this process may take, where several trials run on one GPU."""

from __future__ import annotations

import torch

CONTEXT_MIB = 600
"""GPU memory of a process besides its tensors: the CUDA context and its libraries."""

_allowed = 1.0
"""Share of the memory that torch may allocate in this process."""


def limit(device: str, share: float) -> None:
    """Limit what torch may allocate in this process to its share of the GPU.

    A trial that needs more runs out of memory itself, and is tried again with a larger share.
    Without a limit the memory that one trial keeps can make another one fail.

    Args:
        device: cuda; on a cpu nothing is done.
        share: of the GPU, context included, as Ray counts it; 1 or more: all of it.
    """
    global _allowed
    if device != "cuda":
        return
    if share >= 1:
        _allowed = 1.0
    else:
        there = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
        _allowed = max(share / 2, share - CONTEXT_MIB * 2**20 / there)
    torch.cuda.set_per_process_memory_fraction(_allowed)


def room(device: torch.device) -> int:
    """Return the bytes of a GPU that are free, as far as this process may take them."""
    free, there = torch.cuda.mem_get_info(device)
    return min(free, int(_allowed * there) - torch.cuda.memory_reserved(device))
