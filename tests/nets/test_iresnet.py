"""ArcFace's residual nets: insightface's names and shapes, its weight files, one step of each."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from facesiam.config import TrialConfig
from facesiam.errors import WeightsError
from facesiam.nets.checkpoint import load_model, save_model
from facesiam.nets.iresnet import BLOCKS, IResNet
from facesiam.nets.pretrained import find_weights, load_trunk
from facesiam.nets.siamese import build
from facesiam.nets.trunks import make_trunk, without_values
from facesiam.training.optimizer import MasterWeightOptimizer
from search.resources.cost import GIGA_MACS

PARAMETERS = {18: 24_025_600, 34: 34_139_328, 50: 43_590_848, 100: 65_156_160}
"""Of insightface's nets with an embedding of 512."""


def norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    """Return what a batch-norm has in a state dict."""
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (width,) for part in parts} | {f"{name}.num_batches_tracked": ()}


def layout(blocks: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of insightface's backbone.pth."""
    found = {"conv1.weight": (64, 3, 3, 3), **norm("bn1", 64), "prelu.weight": (64,)}
    before = 64
    for stage, (count, width) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True), 1):
        for block in range(count):
            at = f"layer{stage}.{block}"
            found |= norm(f"{at}.bn1", before)
            found |= {f"{at}.conv1.weight": (width, before, 3, 3), f"{at}.prelu.weight": (width,)}
            found |= norm(f"{at}.bn2", width) | norm(f"{at}.bn3", width)
            found |= {f"{at}.conv2.weight": (width, width, 3, 3)}
            if not block:
                found |= {f"{at}.downsample.0.weight": (width, before, 1, 1)}
                found |= norm(f"{at}.downsample.1", width)
            before = width
    found |= norm("bn2", 512) | norm("features", 512)
    return found | {"fc.weight": (512, 512 * 7 * 7), "fc.bias": (512,)}


@pytest.mark.parametrize("depth", PARAMETERS)
def test_parameters_have_insightfaces_names_and_shapes(depth: int) -> None:
    trunk = without_values(f"iresnet{depth}")
    found = {k.removeprefix("net."): tuple(v.shape) for k, v in trunk.state_dict().items()}
    assert found == layout(BLOCKS[f"iresnet{depth}"])
    assert sum(value.numel() for value in trunk.parameters()) == PARAMETERS[depth]


@pytest.fixture(scope="module")
def backbone() -> dict[str, Tensor]:
    """Random weights of an iresnet18, as insightface writes them."""
    torch.manual_seed(1)
    return IResNet(BLOCKS["iresnet18"]).state_dict()


DRESSES: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "as insightface writes it": lambda state: state,
    "with its classes": lambda state: {
        "epoch": 19,
        "state_dict_backbone": state,
        "state_dict_softmax_fc": {"weight": torch.ones(2, 512)},
    },
    "parallel": lambda state: {"state_dict": {f"module.{k}": v for k, v in state.items()}},
    "compiled": lambda state: {"model": {f"_orig_mod.{k}": v for k, v in state.items()}},
    "a larger net": lambda state: {
        **{f"backbone.{k}": v for k, v in state.items()},
        "head.weight": torch.ones(10, 512),
    },
}


@pytest.mark.parametrize("dress", DRESSES)
def test_a_backbone_is_loaded_in_any_dress(
    tmp_path: Path, backbone: dict[str, Tensor], dress: str
) -> None:
    torch.save(DRESSES[dress](backbone), tmp_path / "backbone.pth")
    trunk = make_trunk("iresnet18")
    load_trunk(trunk, "iresnet18", tmp_path / "backbone.pth")
    found = trunk.state_dict()
    assert len(found) == len(backbone)
    assert all(torch.equal(found[f"net.{name}"], value) for name, value in backbone.items())


def test_a_folder_has_it_under_insightfaces_name_or_the_nets(
    tmp_path: Path, backbone: dict[str, Tensor]
) -> None:
    torch.save(backbone, tmp_path / "backbone.pth")
    assert find_weights("iresnet18", str(tmp_path)).name == "backbone.pth"
    torch.save(backbone, tmp_path / "iresnet18_mine.pt")
    assert find_weights("iresnet18", str(tmp_path)).name == "iresnet18_mine.pt"


def test_what_differs_is_told_by_name_and_shape(
    tmp_path: Path, backbone: dict[str, Tensor]
) -> None:
    path = tmp_path / "w.pth"
    odd = {f"module.{name}": value for name, value in backbone.items()}
    del odd["module.layer2.1.bn3.bias"]
    odd |= {"module.fc.weight": torch.ones(512, 512 * 49 * 4), "module.mine": torch.ones(1)}
    torch.save(odd, path)
    said = (
        f"{path}: not the weights of iresnet18: lacks: layer2.1.bn3.bias; has besides: mine; "
        "other shapes: fc.weight (512, 100352) instead of (512, 25088)"
    )
    with pytest.raises(WeightsError, match=f"^{re.escape(said)}$"):
        find_weights("iresnet18", str(path))
    torch.save(backbone, path)
    with pytest.raises(WeightsError, match=r"iresnet34: lacks: layer1\.2\.bn1\.bias, .* and \d+ "):
        find_weights("iresnet34", str(path))


def test_there_are_none_to_download() -> None:
    with pytest.raises(WeightsError, match=r"no weights of iresnet50 to download \(those of"):
        find_weights("iresnet50", None)


@pytest.mark.parametrize(("side", "dtype"), [(112, torch.float32), (64, torch.bfloat16)])
def test_steps_lower_the_loss(side: int, dtype: torch.dtype) -> None:
    config = TrialConfig(
        net="iresnet18", join="cosine", loss="arcface", embedding=16, image_size=side, lr=1e-3
    )
    net = build(config, people=2).train()
    optimizer = MasterWeightOptimizer(net, dtype, config, trunk=net.trunk, early=net.head)
    torch.manual_seed(0)
    images, person = torch.rand(4, 3, side, side, dtype=dtype), torch.tensor([0, 0, 1, 1])
    losses = []
    for _ in range(4):
        assert net.criterion is not None
        loss = net.criterion(net.embed(images), person)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0] - 0.5


def test_pretrained_weights_get_inputs_from_minus_one_to_one_in_training_and_prediction(
    tmp_path: Path, backbone: dict[str, Tensor]
) -> None:
    torch.save(backbone, tmp_path / "backbone.pth")
    config = TrialConfig(net="iresnet18", join="cosine", loss="triplet", pretrained=True)
    net = build(config, {"iresnet18": str(tmp_path / "backbone.pth")}).eval()
    save_model(tmp_path / "model.pt", net.state_dict(), config)
    images, seen = torch.stack([torch.zeros(3, 64, 64), torch.ones(3, 64, 64)]), []
    for made in (net, load_model(tmp_path / "model.pt")[0]):
        made.trunk.register_forward_pre_hook(lambda layer, given: seen.append(given[0]))
        with torch.no_grad():
            made.embed(images.to(made.dtype))
    for given in seen:
        assert given.aminmax() == (-1, 1)
    assert not build(TrialConfig(net="iresnet18")).scaled


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_the_multiply_adds_that_an_estimate_takes_are_counted(name: str) -> None:
    with torch.device("meta"):
        made = IResNet(BLOCKS[name]).eval()
        images = torch.empty(1, 3, 224, 224)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        made(images)
    assert counted.get_total_flops() / 2e9 == pytest.approx(GIGA_MACS[name], abs=0.05)
    assert not made.features.weight.requires_grad  # lengths stay what they are
