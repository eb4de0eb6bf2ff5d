"""The optimizer against torch's own: autocast over fp32 weights, and fused Adam."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn

from facesiam import optimizer
from facesiam.optimizer import MasterAdam, compute_in

SEEDS = range(5)


def net() -> nn.Sequential:
    """A convolution, a batch-norm and two linear layers, with weights from a fixed seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(),
            nn.Linear(8 * 36, 40), nn.ReLU(), nn.Linear(40, 2),
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def batch(seed: int) -> torch.Tensor:
    """(4, 3, 8, 8) images."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(4, 3, 8, 8, generator=generator)


def loss_of(logits: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with two images of each kind."""
    return nn.functional.cross_entropy(logits.float(), torch.tensor([0, 1, 0, 1]))


def torchs(dtype: torch.dtype, decay: float) -> nn.Module:
    """The net after five updates by torch."""
    theirs = net()
    adam = torch.optim.Adam(theirs.parameters(), lr=1e-3, weight_decay=decay, fused=True)
    for seed in SEEDS:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            logits = theirs(batch(seed))
        adam.zero_grad()
        loss_of(logits).backward()
        adam.step()
    return theirs


def train(adam: MasterAdam, seeds: range = SEEDS, dtype: torch.dtype = torch.bfloat16) -> None:
    """Make updates with ours."""
    for seed in seeds:
        loss_of(adam.net(batch(seed).to(dtype))).backward()
        adam.step()


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_weight_is_that_of_autocast_and_torchs_adam(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, decay: float, early: bool
) -> None:
    monkeypatch.setattr(optimizer, "PIECE", 1000)  # 12 pieces, the last one smaller
    ours = net()
    adam = MasterAdam(ours, dtype, 1e-3, decay, early=ours[4:] if early else None)
    train(adam, dtype=dtype)
    found, expected = adam.weights(), torchs(dtype, decay).state_dict()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype and torch.equal(found[name], value), name


def test_early_gradients_are_gone_after_the_backward_pass_and_the_others_are_there() -> None:
    ours = net()
    adam = MasterAdam(ours, torch.bfloat16, 1e-3, early=ours[4:])
    loss_of(adam.net(batch(0).bfloat16())).backward()
    assert all(p.grad is None for p in ours[4:].parameters())
    assert all(p.grad is not None for p in ours[:4].parameters())


def test_frozen_layers_keep_their_full_precision() -> None:
    ours = net()
    ours[0].requires_grad_(False)
    before = ours[0].weight.detach().clone()
    adam = MasterAdam(ours, torch.bfloat16, 1e-3)
    train(adam)
    assert torch.equal(adam.weights()["0.weight"], before)
    assert ours[0].weight.dtype == torch.bfloat16


def test_a_state_is_taken_up_bit_for_bit() -> None:
    whole = MasterAdam(net(), torch.bfloat16, 1e-3)
    train(whole)
    first = MasterAdam(net(), torch.bfloat16, 1e-3)
    train(first, range(2))
    second = MasterAdam(net(), torch.bfloat16, 1e-3)
    second.load(first.weights(), first.state())
    train(second, range(2, 5))
    for name, value in whole.weights().items():
        assert torch.equal(value, second.weights()[name]), name


def test_the_rounded_weights_are_those_of_the_masters() -> None:
    adam = MasterAdam(net(), torch.bfloat16, 1e-3)
    train(adam)
    for name, parameter in adam.net.named_parameters():
        assert torch.equal(parameter.detach(), adam.masters[name].to(parameter.dtype)), name


def test_batchnorm_stays_in_fp32() -> None:
    ours = net()
    compute_in(ours, torch.bfloat16)
    kinds = {name.split(".")[0]: p.dtype for name, p in ours.named_parameters()}
    half, full = torch.bfloat16, torch.float32
    assert kinds == {"0": half, "1": full, "4": half, "6": half}


def test_nothing_keeps_a_net_alive_that_is_let_go() -> None:
    """A worker trains one net after the other: the hooks must not hold the last one."""
    ours = net()
    adam = MasterAdam(ours, torch.bfloat16, 1e-3, early=ours[4:])
    train(adam)
    left = weakref.ref(adam.slots[ours[4].weight].mean)
    gc.disable()
    try:
        del ours, adam
        assert left() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_updates_of_a_gpu_are_the_same(dtype: torch.dtype) -> None:
    """All parameters at once, as on a GPU; its kernels take CPU tensors too."""
    adam = MasterAdam(net(), dtype, 1e-3, 0.1)
    for seed in SEEDS:
        loss_of(adam.net(batch(seed).to(dtype))).backward()
        with torch.no_grad():
            adam._update_together([p for p in adam.slots if p.grad is not None])
            adam.coming += 1
    for name, value in torchs(dtype, 0.1).state_dict().items():
        assert torch.equal(adam.weights()[name], value), name
