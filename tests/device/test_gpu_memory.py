"""How much of a GPU a process may take; torch's CUDA is stood in for, as tests have none."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from facesiam.device import gpu_memory

GIB = 2**30
CONTEXT = gpu_memory.CONTEXT_MIB / (80 * 1024)
"""Share of the stand-in's 80 GiB."""


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the shares that torch is given, on a GPU of 80 GiB."""
    shares: list[float] = []
    monkeypatch.setattr(gpu_memory, "_allowed", 1.0)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=80 * GIB)
    )
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    return shares


def test_a_trial_may_take_its_share_of_a_gpu_less_the_context(given: list[float]) -> None:
    for share in (0.5, 1.0, 0.25, 2.0):
        gpu_memory.limit("cuda", share)
    assert given == pytest.approx([0.5 - CONTEXT, 1.0, 0.25 - CONTEXT, 1.0])
    gpu_memory.limit("cuda", 0.005)  # 410 MiB, less than a context
    assert given[-1] == 0.0025
    gpu_memory.limit("cpu", 0.5)
    assert len(given) == 5


def test_room_is_what_is_free_and_what_is_left_of_the_share(
    given: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    device = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (60 * GIB, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 5 * GIB)
    assert gpu_memory.room(device) == 60 * GIB
    gpu_memory.limit("cuda", 0.5)
    assert gpu_memory.room(device) / GIB == pytest.approx(40 - CONTEXT * 80 - 5)
