"""The random generators of torch on a device: their states, to be saved and set again."""

from __future__ import annotations

import torch
from torch import Tensor


def generator_states(device: torch.device) -> list[Tensor]:
    """Return the states of the generators that dropout draws from: the CPU's, then the GPU's."""
    states = [torch.get_rng_state()]
    return states + ([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])


def set_generator_states(states: list[Tensor], device: torch.device) -> None:
    """Set what ``generator_states`` returned, as far as this device has such generators."""
    torch.set_rng_state(states[0])
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)
