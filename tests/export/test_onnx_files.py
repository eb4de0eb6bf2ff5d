"""ONNX against torch: a net of each family, both joins, any number of images.

All ONNX files of the quick tests are written here: torch's exporter takes as long to be imported
as to write several.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from facesiam import Verifier
from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.device.image_store import ImageStore
from facesiam.errors import NetError, WeightsError
from facesiam.export import onnx_files
from facesiam.export.__main__ import main
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
"""They take minutes together; the quick ones are resnet18 with a decision join, and
alexnet with an embedding's, of a file of weights, at the end."""


def faces(side: int, count: int = 5) -> NDArray[np.uint8]:
    """Return images of noise, no two alike."""
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


def a_net(
    name: str, join: str, size: int = 64, packed: int = 80, **more: Any
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
        **more,
    )
    torch.manual_seed(0)
    net = SiameseNet(config, people=6)
    for layer in net.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.momentum = 1.0
    net.train().embed(torch.rand(4, 3, size, size))
    net.calibrate(0.1, 3.0)
    return net.eval(), config


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[SiameseNet, TrialConfig, Path]:
    """A net with a decision join, and the folder of its ONNX files: seconds to write."""
    net, config = a_net("resnet18", "difference")
    folder = tmp_path_factory.mktemp("onnx")
    onnx_files.write(net, config, folder)
    return net, config, folder


def test_onnx_computes_what_torch_does(written: tuple[SiameseNet, TrialConfig, Path]) -> None:
    check_equal(*written)
    torch.testing.assert_close(  # as before the export
        nn.functional.adaptive_avg_pool2d(torch.ones(1, 1, 4, 4), 2), torch.ones(1, 1, 2, 2)
    )


def test_onnx_has_the_scores_of_views_and_of_a_cohort(tmp_path: Path) -> None:
    """The six views of an image, and a pair's scores relative to those with other people."""
    net, config = a_net("alexnet", "cosine", packed=64, cohort=4, scale_average=0.1)
    net.cohort.copy_(nn.functional.normalize(torch.randn(6, 8), dim=1))
    onnx_files.write(net, config, tmp_path)
    check_equal(net, config, tmp_path)
    embedder, verdict = (
        onnxruntime.InferenceSession(tmp_path / name) for name in ("embedder.onnx", "verdict.onnx")
    )
    images = faces(64, 6)
    pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / np.float32(255)
    (features,) = embedder.run(None, {"images": pixels})
    score, probability = verdict.run(None, {"left": features[:3], "right": features[3:]})
    chosen = ImageStore(images, 64, torch.device("cpu")).batch(torch.arange(6))
    with torch.inference_mode():
        known = net.describe(chosen)
        logits = net.logits(known[:3], known[3:])
        plain = net.embed(chosen)
    np.testing.assert_allclose(features, known, atol=1e-5)
    np.testing.assert_allclose(score, net.scores(logits), atol=1e-3, rtol=1e-4)
    np.testing.assert_allclose(probability, logits.softmax(1)[:, 0], atol=1e-3)
    assert not np.allclose(features, plain, atol=1e-3)  # of one view
    assert not np.allclose(score, (known[:3] * known[3:]).sum(1), atol=0.1)  # of no cohort


@pytest.mark.slow
@pytest.mark.parametrize(("name", "join"), SLOW)
def test_onnx_of_every_family_computes_what_torch_does(
    name: str, join: str, tmp_path: Path
) -> None:
    net, config = a_net(name, join, *((224, 224) if name.startswith("vit") else (64, 80)))
    onnx_files.write(net, config, tmp_path)
    check_equal(net, config, tmp_path)


def check_equal(net: SiameseNet, config: TrialConfig, folder: Path) -> None:
    """Assert that both files compute what torch does."""
    apart = onnx_files.largest_difference(net, config, folder, faces(config.packed_size))
    # The tolerance is a hundred times as large as what is met.
    assert max(apart["score"], apart["probability"]) < 1e-4, apart
    assert "largest difference of ONNX to torch: features " in onnx_files.describe(apart)


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


def test_what_differs_is_not_published(written: tuple[SiameseNet, TrialConfig, Path]) -> None:
    net, config, folder = written
    apart = onnx_files.largest_difference(net, config, folder, faces(80))
    assert max(apart.values()) < 1e-4, apart
    other, _ = a_net("resnet18", "difference")
    with torch.no_grad():
        next(other.trunk.parameters()).mul_(1.1)
    with pytest.raises(
        WeightsError,
        match=r"^embedder\.onnx: what onnxruntime computes differs from torch by \d[\d.]*, and at most .* nothing was written$",
    ):
        onnx_files.largest_difference(other, config, folder, faces(80))
    other.load_state_dict(net.state_dict())
    other.calibrate(0.2, 3.0)
    with pytest.raises(WeightsError, match=r"^verdict\.onnx: .* at most 0\.001 is published"):
        onnx_files.largest_difference(other, config, folder, faces(80))


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


@pytest.fixture(scope="module")
def everything(weights: Path, data: FaceData, faces: Path) -> tuple[Path, str]:
    """An export with all files, and what was printed."""
    said: list[str] = []
    out = weights.parent / "everything"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACESIAM_CACHE", str(data.folder.parent))
        patch.setattr("facesiam.cli.show", lambda text: said.append(str(text)))
        assert main([str(weights), "--out", str(out), "--data", str(faces)]) == 0
    return out, "\n".join(said)


def test_the_onnx_files_do_without_torch_what_the_verifier_does(
    everything: tuple[Path, str], faces: Path, data: FaceData
) -> None:
    out, said = everything
    names = {"README.md", "config.json", "preprocess.json", "thresholds.json", "model.safetensors"}
    assert {path.name for path in out.iterdir()} == names | {"embedder.onnx", "verdict.onnx"}
    assert "largest difference of ONNX to torch: features " in said
    assert said.splitlines()[1].endswith(" validation images")
    noted = json.loads((out / "preprocess.json").read_text())
    wanted = noted["input"]
    assert (wanted["geometry"], wanted["colour_order"], wanted["range"]) == (
        "letterbox",
        "RGB",
        [0, 1],
    )
    assert noted["within_the_net"] == {
        "averaged_down_to": 64,
        "mean": [0.0] * 3,
        "deviation": [1.0] * 3,
        "flip_average": True,
        "scale_average": 0.0,
    }
    side, files = wanted["side"], [faces / name for name in data.names[:4]]

    def square(file: Path) -> np.ndarray:
        """As preprocess.json says, of images that are squares already."""
        image = Image.open(file).convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
        return np.asarray(image, np.float32).transpose(2, 0, 1) / 255

    embedder, verdict = (
        onnxruntime.InferenceSession(out / name) for name in ("embedder.onnx", "verdict.onnx")
    )
    (features,) = embedder.run(None, {"images": np.stack([square(file) for file in files])})
    score, probability = verdict.run(None, {"left": features[:2], "right": features[2:]})
    known = Verifier.load(out).compare(files[:2], files[2:])
    np.testing.assert_allclose(score, known.score, atol=1e-5)
    np.testing.assert_allclose(probability, known.probability, atol=1e-4)
