"""ONNX against torch: a net of each family, both joins, any number of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from facesiam.config import TrialConfig
from facesiam.device.image_store import ImageStore
from facesiam.errors import NetError, WeightsError
from facesiam.export import onnx_files
from facesiam.export.onnx_files import Embedder, Verdict
from facesiam.nets.siamese import SiameseNet

SLOW = [
    ("alexnet", "concat"),
    ("alexnet", "distance"),
    ("efficientnet_lite0", "concat"),
    ("efficientnet_lite0", "cosine"),
    ("iresnet18", "cosine"),
    ("iresnet18", "linear"),
    ("resnet18", "distance"),
    ("vgg11_bn", "linear"),
    ("vgg16_bn", "concat"),
    ("vgg16_bn", "distance"),
    ("vit_b_16", "concat"),
    ("vit_b_16", "cosine"),
]
"""They take minutes together; the quick one is resnet18 with a decision join."""


def faces(side: int, count: int = 5) -> NDArray[np.uint8]:
    """Return images of noise, no two alike."""
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


def a_net(
    name: str, join: str, size: int = 64, packed: int = 80
) -> tuple[SiameseNet, TrialConfig]:
    """Return a net whose batch-norms have met images, as those of a trained one."""
    embeds = join in ("cosine", "distance")
    config = TrialConfig(
        net=name,
        join=join,
        loss="logistic" if embeds else "two",
        hidden=8,
        embedding=8,
        image_size=size,
        packed_size=packed,
        flip_average=embeds,
        calibrate=not embeds,
        input_scale="weights",
        precision="fp32",
    )
    torch.manual_seed(0)
    net = SiameseNet(config)
    for layer in net.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.momentum = 1.0
    net.train().embed(torch.rand(4, 3, size, size))
    net.calibrate(0.1, 3.0)
    return net.eval(), config


@pytest.mark.parametrize(
    ("name", "join"),
    [("resnet18", "difference"), *(pytest.param(*row, marks=pytest.mark.slow) for row in SLOW)],
)
def test_onnx_computes_what_torch_does(name: str, join: str, tmp_path: Path) -> None:
    size, packed = (224, 224) if name.startswith("vit") else (64, 80)
    net, config = a_net(name, join, size, packed)
    onnx_files.write(net, config, tmp_path)
    apart = onnx_files.largest_difference(net, config, tmp_path, faces(packed))
    # The tolerance is a hundred times as large as what is met.
    assert max(apart["score"], apart["probability"]) < 1e-4, apart
    assert "largest difference of ONNX to torch: features " in onnx_files.describe(apart)
    torch.testing.assert_close(
        nn.functional.adaptive_avg_pool2d(torch.ones(1, 1, 4, 4), 2), torch.ones(1, 1, 2, 2)
    )


@pytest.fixture(scope="module")
def small() -> tuple[SiameseNet, TrialConfig]:
    return a_net("alexnet", "cosine")


def test_the_modules_are_the_net_with_what_goes_before_and_after(
    small: tuple[SiameseNet, TrialConfig],
) -> None:
    net, config = small
    images = faces(80)
    known = net.describe(ImageStore(images, 64, torch.device("cpu")).batch(torch.arange(5)))
    found = Embedder(net, config)(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)
    torch.testing.assert_close(found, known, atol=1e-6, rtol=1e-5)
    logits = net.logits(known, known.roll(1, 0))
    score, probability = Verdict(net)(known, known.roll(1, 0))
    torch.testing.assert_close(score, net.scores(logits).float())
    torch.testing.assert_close(score, (known * known.roll(1, 0)).sum(1))
    torch.testing.assert_close(probability, logits.softmax(1)[:, 0])


@pytest.mark.parametrize(("length", "wanted"), [(80, 64), (7, 3), (2, 6), (6, 6), (5, 1)])
def test_averaging_by_matrices_is_torchs(length: int, wanted: int) -> None:
    images = torch.rand(2, 3, length, length + 1)
    known = nn.functional.adaptive_avg_pool2d(images, (wanted, wanted))
    torch.testing.assert_close(onnx_files._averaged(images, (wanted, wanted)), known)
    torch.testing.assert_close(onnx_files._averaged(images, wanted), known)


def test_what_differs_is_not_published(
    small: tuple[SiameseNet, TrialConfig], tmp_path: Path
) -> None:
    net, config = small
    onnx_files.write(net, config, tmp_path)
    apart = onnx_files.largest_difference(net, config, tmp_path, faces(80))
    assert max(apart.values()) < 1e-4, apart
    other, _ = a_net("alexnet", "cosine")
    with torch.no_grad():
        other.trunk[0].weight.mul_(1.1)
    with pytest.raises(
        WeightsError,
        match=r"^embedder\.onnx: what onnxruntime computes differs from torch by 0\.\d+, and at most .* nothing was written$",
    ):
        onnx_files.largest_difference(other, config, tmp_path, faces(80))
    other.load_state_dict(net.state_dict())
    other.calibrate(0.2, 3.0)
    with pytest.raises(WeightsError, match=r"^verdict\.onnx: .* at most 0\.001 is published"):
        onnx_files.largest_difference(other, config, tmp_path, faces(80))


@pytest.mark.parametrize(
    ("option", "package"), [("--onnx", "onnxruntime"), ("--safetensors", "safetensors")]
)
def test_what_is_not_installed_is_told(
    option: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx_files.check_installed(option)
    monkeypatch.setattr(
        "facesiam.export.onnx_files.find_spec", lambda name: None if name == package else 1
    )
    with pytest.raises(
        NetError,
        match=rf"^{option} needs {package}, of the extra `export`: pip install 'siamsearch\[export\]'$",
    ):
        onnx_files.check_installed(option)
