"""What a net costs in use: parameters and multiply-accumulates by hand, and nothing left changed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from builders import worker_config
from torch import Tensor, nn

from facesiam.config import TrialConfig
from facesiam.config.costs import COSTS
from facesiam.data.dataset import FaceData
from facesiam.nets.siamese import SiameseNet, build
from facesiam.nets.views import Views
from facesiam.trainable import FaceTrial
from facesiam.training import inference_cost as costs
from facesiam.training.loop import Training

CPU = torch.device("cpu")


class Restless(SiameseNet):
    """A net that draws, counts its forwards and keeps a tensor of them, as a plugin's might."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(2 * 4 * 8 * 8, 2)
        self.still_dropout = nn.Dropout().eval()
        self.criterion = nn.Linear(10, 10)
        self.register_buffer("forwards", torch.zeros(()))
        self.kept: Tensor | None = None

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32

    def train(self, mode: bool = True) -> Restless:
        nn.Module.train(self, mode)
        return self

    def describe(self, images: Tensor) -> Tensor:
        assert not self.training
        self.forwards += torch.rand(()) + 1
        self.kept = images[:1] if self.kept is None else self.kept
        return self.conv(images).flatten(1)

    def logits(self, left: Tensor, right: Tensor) -> Tensor:
        return self.head(torch.cat([left, right], 1))


def test_parameters_and_products_of_known_layers_are_those_by_hand() -> None:
    net = Restless()
    cost = costs.inference_cost(net, 8, CPU)
    assert tuple(cost) == COSTS
    assert cost["params"] == (4 * 3 * 9 + 4) + (2 * 512 + 2)  # and none of the loss
    assert cost["macs"] == 2 * (4 * 3 * 9 * 8 * 8) + 2 * 512
    assert 0 < cost["latency_ms"] < 1000 * 60


def test_resnet_18_costs_what_is_known_of_it() -> None:
    config = TrialConfig(net="resnet18", join="cosine", loss="arcface", embedding=128)
    net = build(config, people=10).eval()
    # torchvision: 11,689,512 parameters, 513,000 of them in the last layer, which is not used.
    assert costs.params_of(net) == 11_689_512 - 513_000 + 512 * 128 + 2 * 128
    # Its 1,814,073,344 products at 224 pixels, 512,000 of them in that layer; 64 pixels are a
    # factor of (64 / 224)² of each convolution.
    images = torch.zeros(2, 3, 64, 64)
    with torch.no_grad():
        one = (1_814_073_344 - 512_000) * 4 // 49
        assert costs._macs(net, images) == 2 * (one + 512 * 128)
        net.views = Views(True, 0.0)
        assert costs._macs(net, images) == 4 * (one + 512 * 128)


def test_a_frozen_trunk_costs_what_it_did_and_another_head_what_it_adds() -> None:
    """In use all of it is computed, whatever is trained."""
    config = TrialConfig(net="resnet18", join="difference", hidden=16, image_size=64)
    frozen = build(dataclasses.replace(config, freeze_stages=4))
    assert not all(one.requires_grad for one in frozen.trunk.parameters())
    nets = build(config), frozen, build(dataclasses.replace(config, hidden=48))
    plain, other, wider = (costs.inference_cost(net.eval(), 64, CPU) for net in nets)
    assert [other[name] for name in ("params", "macs")] == [plain["params"], plain["macs"]]
    # 512 features, two hidden layers of so many, two logits; of one comparison.
    products = 512 * 48 + 48 * 48 + 48 * 2 - (512 * 16 + 16 * 16 + 16 * 2)
    assert wider["macs"] - plain["macs"] == products
    assert wider["params"] - plain["params"] == products + 2 * 32  # and their biases


def test_attention_counts() -> None:
    layer = nn.MultiheadAttention(8, 2, batch_first=True).eval()

    class Attending(Restless):
        def describe(self, images: Tensor) -> Tensor:
            tokens = images.flatten(2)[:, :, :8]  # (2, 3, 8): three tokens of eight numbers
            return layer(tokens, tokens, tokens)[0].flatten(1)

        def logits(self, left: Tensor, right: Tensor) -> Tensor:
            return left

    with torch.no_grad():
        macs = costs._macs(Attending().eval(), torch.rand(2, 3, 4, 4))
    projections, products = 3 * 8 * 8 * 4, 3 * 3 * 8 * 2  # q, k, v and out; scores and sums
    assert macs == 2 * (projections + products)


def test_measuring_leaves_the_net_and_the_generators_as_they_were() -> None:
    net = Restless()
    before, drawn = net.state_dict(), torch.get_rng_state()
    before = {name: value.clone() for name, value in before.items()}
    costs.inference_cost(net, 8, CPU)
    assert torch.equal(torch.get_rng_state(), drawn)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert net.training and net.conv.training and not net.still_dropout.training
    assert net.kept is not None and not net.kept.is_inference()  # it can be trained with


def test_a_measured_training_has_the_numbers_of_one_that_was_not(
    tiny: TrialConfig, data: FaceData
) -> None:
    config = dataclasses.replace(
        tiny, net="resnet18", image_size=64, epochs=1, people=4, augment=True, dropout=True
    )
    plain, measured = Training(config, data), Training(config, data)
    costs.cost_in_training(measured)
    torch.manual_seed(5)
    rows = [next(one).to_dict() for one in (plain, measured)]
    for name in rows[0]:
        if name not in ("seconds", "samples_per_second", "peak_memory_mib"):
            assert repr(rows[0][name]) == repr(rows[1][name]), name  # NaN too
    for name, value in plain.weights().items():
        assert torch.equal(measured.weights()[name], value), name


def test_a_worker_measures_once_and_tells_it_with_each_epoch(
    tiny: TrialConfig, data: FaceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = worker_config(tmp_path, data, dataclasses.replace(tiny, people=4))
    trial = FaceTrial(config)
    cost = trial.step()["cost"]
    assert tuple(cost) == COSTS and trial.step()["cost"] == cost
    known = {"params": 1, "macs": 2, "latency_ms": 3.0}

    def fails(*given: object) -> None:
        raise ValueError("a net of two outputs")

    monkeypatch.setattr(costs, "inference_cost", fails)
    assert trial.reset_config({**config, "trial": "0002", "cost": known})
    assert trial.step()["cost"] == known
    assert trial.reset_config({**config, "trial": "0003"})
    result = trial.step()
    assert result["cost"] == {} and result["epoch"] == 0
    assert result["said"] == [
        "params, macs and latency_ms: not measured (ValueError: a net of two outputs)"
    ]
