"""The optimizer against torch's own: autocast over fp32 weights, and fused Adam."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from facesiam.config import TrialConfig
from facesiam.nets.precision import compute_in
from facesiam.training import optimizer
from facesiam.training.optimizer import MasterWeightOptimizer
from facesiam.training.schedules import learning_rate

SEEDS = range(5)


def net() -> nn.Sequential:
    """A convolution, a batch-norm and two linear layers, with weights from a fixed seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(8 * 36, 40),
            nn.ReLU(),
            nn.Linear(40, 2),
        ).to(memory_format=torch.channels_last)


def batch(seed: int) -> torch.Tensor:
    """(4, 3, 8, 8) images."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(4, 3, 8, 8, generator=generator)


def loss_of(logits: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with two images of each kind."""
    return nn.functional.cross_entropy(logits.float(), torch.tensor([0, 1, 0, 1]))


def torchs(dtype: torch.dtype, make: Callable[..., torch.optim.Optimizer]) -> nn.Module:
    """The net after five updates by an optimizer of torch."""
    theirs = net()
    reference = make(theirs.parameters())
    for seed in SEEDS:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            logits = theirs(batch(seed))
        reference.zero_grad()
        loss_of(logits).backward()
        reference.step()
    return theirs


def adam_of(decay: float) -> Callable[..., torch.optim.Optimizer]:
    """Torch's fused Adam, for ``torchs``."""
    return partial(torch.optim.Adam, lr=1e-3, weight_decay=decay, fused=True)


def train(
    adam: MasterWeightOptimizer, seeds: range = SEEDS, dtype: torch.dtype = torch.bfloat16
) -> None:
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
    config = TrialConfig(lr=1e-3, weight_decay=decay)
    adam = MasterWeightOptimizer(ours, dtype, config, early=ours[4:] if early else None)
    train(adam, dtype=dtype)
    found, expected = adam.weights(), torchs(dtype, adam_of(decay)).state_dict()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype and torch.equal(found[name], value), name


def test_early_gradients_are_gone_after_the_backward_pass_and_the_others_are_there() -> None:
    ours = net()
    adam = MasterWeightOptimizer(ours, torch.bfloat16, TrialConfig(lr=1e-3), early=ours[4:])
    loss_of(adam.net(batch(0).bfloat16())).backward()
    assert all(p.grad is None for p in ours[4:].parameters())
    assert all(p.grad is not None for p in ours[:4].parameters())


def test_frozen_layers_keep_their_full_precision() -> None:
    ours = net()
    ours[0].requires_grad_(False)
    before = ours[0].weight.detach().clone()
    adam = MasterWeightOptimizer(ours, torch.bfloat16, TrialConfig(lr=1e-3))
    train(adam)
    assert torch.equal(adam.weights()["0.weight"], before)
    assert ours[0].weight.dtype == torch.bfloat16


def test_a_state_is_taken_up_bit_for_bit() -> None:
    whole = MasterWeightOptimizer(net(), torch.bfloat16, TrialConfig(lr=1e-3))
    train(whole)
    first = MasterWeightOptimizer(net(), torch.bfloat16, TrialConfig(lr=1e-3))
    train(first, range(2))
    second = MasterWeightOptimizer(net(), torch.bfloat16, TrialConfig(lr=1e-3))
    second.load(first.weights(), first.state())
    train(second, range(2, 5))
    for name, value in whole.weights().items():
        assert torch.equal(value, second.weights()[name]), name


def test_the_rounded_weights_are_those_of_the_masters() -> None:
    adam = MasterWeightOptimizer(net(), torch.bfloat16, TrialConfig(lr=1e-3))
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
    adam = MasterWeightOptimizer(ours, torch.bfloat16, TrialConfig(lr=1e-3), early=ours[4:])
    train(adam)
    left = weakref.ref(adam.param_states[ours[4].weight].moments[0])
    gc.disable()
    try:
        del ours, adam
        assert left() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_updates_of_a_gpu_are_the_same(dtype: torch.dtype) -> None:
    """All parameters at once, as on a GPU; its kernels take CPU tensors too."""
    adam = MasterWeightOptimizer(net(), dtype, TrialConfig(lr=1e-3, weight_decay=0.1))
    for seed in SEEDS:
        loss_of(adam.net(batch(seed).to(dtype))).backward()
        with torch.no_grad():
            adam._update_together([p for p in adam.param_states if p.grad is not None])
            adam.next_step += 1
    for name, value in torchs(dtype, adam_of(0.1)).state_dict().items():
        assert torch.equal(adam.weights()[name], value), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("config", "theirs"),
    [
        (
            TrialConfig(optimizer="adamw", lr=1e-3, weight_decay=0.3),
            lambda p: torch.optim.AdamW(p, lr=1e-3, weight_decay=0.3, fused=True),
        ),
        (
            TrialConfig(optimizer="sgd", lr=0.05, weight_decay=0.01, momentum=0.9),
            lambda p: torch.optim.SGD(
                p, lr=0.05, weight_decay=0.01, momentum=0.9, nesterov=True, fused=True
            ),
        ),
        (
            TrialConfig(optimizer="sgd", lr=0.05, momentum=0.0),
            lambda p: torch.optim.SGD(p, lr=0.05, fused=True),
        ),
    ],
)
def test_adamw_and_sgd_are_torchs(
    config: TrialConfig, theirs: Any, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimizer, "PIECE", 1000)
    ours = net()
    masters = MasterWeightOptimizer(ours, dtype, config, early=ours[4:])
    train(masters, dtype=dtype)
    for name, value in torchs(dtype, theirs).state_dict().items():
        assert torch.allclose(masters.weights()[name], value, rtol=1e-6, atol=1e-7), name


@pytest.mark.parametrize("together", [False, True])
def test_what_is_not_the_trunk_learns_at_its_own_rate(together: bool) -> None:
    config = TrialConfig(lr=1e-3, head_lr=5)
    ours, other = net(), net()
    masters = MasterWeightOptimizer(ours, torch.float32, config, trunk=ours[:4])
    reference = torch.optim.Adam(
        [
            {"params": other[:4].parameters(), "lr": 1e-3},
            {"params": other[4:].parameters(), "lr": 5e-3},
        ],
        fused=True,
    )
    for seed in SEEDS:
        for one in (ours, other):
            loss_of(one(batch(seed))).backward()
        if together:  # as on a GPU
            with torch.no_grad():
                masters._update_together(list(masters.param_states))
            masters.next_step += 1
        else:
            masters.step()
        reference.step()
        reference.zero_grad()
    for name, value in other.state_dict().items():
        assert torch.allclose(masters.weights()[name], value, rtol=1e-6, atol=1e-7), name


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
def test_a_rate_in_a_tensor_is_the_same_rate(kind: str) -> None:
    """As on a GPU, where a recorded step reads it; SGD's and Adam's kernels take both."""
    found = []
    for lr in (2e-3, torch.tensor(2e-3)):
        masters = MasterWeightOptimizer(
            net(), torch.float32, TrialConfig.from_dict({"optimizer": kind})
        )
        masters.lr = lr
        train(masters, dtype=torch.float32)
        found.append(masters.weights())
    for name, value in found[0].items():
        # A bias before batch-norm has no gradient but rounding, which Adam scales up.
        if name not in ("0.bias", "1.running_mean"):
            assert torch.allclose(found[1][name], value, rtol=1e-4, atol=1e-5), name


@pytest.mark.parametrize(
    ("schedule", "theirs"),
    [
        ("onecycle", lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=2001)),
        ("cosine", lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 2000)),
    ],
)
def test_schedules_are_torchs(schedule: str, theirs: Any) -> None:
    config = TrialConfig.from_dict({"schedule": schedule, "lr": 0.1})
    weight = nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([weight], lr=0.1)
    scheduler = theirs(sgd)
    for step in range(2000):
        expected = sgd.param_groups[0]["lr"]
        # OneCycleLR puts its peak at step 0.3 * 2001 - 1, 0.7 of a step before ours.
        near = 2e-4 if schedule == "onecycle" else 1e-9
        assert learning_rate(config, step / 2000) == pytest.approx(expected, abs=near), step
        sgd.step()
        scheduler.step()


def test_a_warm_up_rises_linearly_into_the_schedule() -> None:
    config = TrialConfig(lr=0.1, warmup=0.2)
    assert [learning_rate(config, done) for done in (0, 0.1, 0.2, 0.9)] == [0, 0.05, 0.1, 0.1]
    both = TrialConfig(lr=0.1, warmup=0.2, schedule="cosine")
    assert learning_rate(both, 0.1) == pytest.approx(0.05 * (1 + math.cos(0.1 * math.pi)) / 2)
    assert learning_rate(both, 0.5) == pytest.approx(0.05)
