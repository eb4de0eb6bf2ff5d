"""The nets of the documents: shapes, joins, freezing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from facesiam.config import TrialConfig
from facesiam.models import build
from facesiam.trunks import MODELS


def linears(module: nn.Module) -> list[tuple[int, int]]:
    """(in, out) of each linear layer."""
    found = (layer for layer in module.modules() if isinstance(layer, nn.Linear))
    return [(layer.in_features, layer.out_features) for layer in found]


@pytest.mark.parametrize(
    ("net", "join", "expected"),
    [
        ("vgg16_bn", "concat", [(50176, 8), (8, 8), (8, 2)]),
        ("vgg16_bn", "linear", [(25088, 8), (16, 8), (8, 2)]),
        ("alexnet", "concat", [(18432, 8), (8, 8), (8, 2)]),
        ("alexnet", "difference", [(9216, 8), (8, 8), (8, 2)]),
        ("vgg16_bn", "difference", [(25088, 8), (8, 8), (8, 2)]),
    ],
)
def test_the_five_nets_have_the_documents_sizes(
    net: str, join: str, expected: list[tuple[int, int]]
) -> None:
    config = TrialConfig.from_dict({"net": net, "join": join, "hidden": 8})
    assert linears(build(config)) == expected


def test_dropout_follows_each_hidden_layer() -> None:
    kinds = [type(layer).__name__ for layer in build(TrialConfig(hidden=8, dropout=True)).head]
    assert kinds == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]


def test_difference_does_not_mind_the_order_and_concat_does() -> None:
    left, right = torch.rand(2, 5, 9216)
    symmetric = build(TrialConfig(join="difference", hidden=8))
    assert torch.equal(symmetric.judge(left, right), symmetric.judge(right, left))
    ordered = build(TrialConfig(join="concat", hidden=8))
    assert not torch.equal(ordered.judge(left, right), ordered.judge(right, left))


@pytest.mark.parametrize(("net", "frozen"), [("vgg16_bn", 7), ("alexnet", 3)])
def test_freeze_stops_the_first_convolutions_and_their_batchnorm(net: str, frozen: int) -> None:
    model = build(TrialConfig.from_dict({"net": net, "freeze": True, "hidden": 8})).train()
    convs = [layer for layer in model.trunk if isinstance(layer, nn.Conv2d)]
    trains = [conv.weight.requires_grad for conv in convs]
    assert trains == [False] * frozen + [True] * (len(convs) - frozen)
    norms = [layer for layer in model.trunk if isinstance(layer, nn.BatchNorm2d)]
    assert [norm.training for norm in norms] == [False] * min(frozen, len(norms)) + [True] * (
        len(norms) - min(frozen, len(norms))
    )
    assert [norm.weight.requires_grad for norm in norms] == [norm.training for norm in norms]


def test_freeze_batchnorm_fixes_statistics_and_leaves_scale_and_shift(tmp_path: Path) -> None:
    path = tmp_path / "vgg16_bn.pth"
    torch.save(MODELS["vgg16_bn"].make().state_dict(), path)
    config = TrialConfig(net="vgg16_bn", hidden=8, pretrained=True, freeze_batchnorm=True)
    model = build(config, {"vgg16_bn": str(path)}).train()
    norms = [layer for layer in model.trunk if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 13 and not any(norm.training for norm in norms)
    assert all(norm.weight.requires_grad for norm in norms)


def test_the_seed_decides_the_weights_and_leaves_torch_alone() -> None:
    before = torch.random.get_rng_state()
    first, same, other = (build(TrialConfig(hidden=8, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first.head[0].weight, same.head[0].weight)
    assert not torch.equal(first.head[0].weight, other.head[0].weight)
