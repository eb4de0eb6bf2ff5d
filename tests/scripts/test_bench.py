"""The benchmarks' own arithmetic."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from builders import SCRIPTS, script

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.data.formats import open_dataset
from facesiam.nets import siamese
from facesiam.training import loop
from search.resources.cost import seconds_of_rows
from search.space import load
from search.space.shipped import SPACES

sys.path.insert(0, str(SCRIPTS))  # as for a script that is run: they import each other
bench, bench_sampler = script("bench_train"), script("bench_sampler")
reference_loop, roofline = sys.modules["reference_loop"], sys.modules["roofline"]
timed_sides = sys.modules["timed_sides"]


def test_the_flops_of_a_step_are_those_counted_by_hand() -> None:
    """Two operations a multiply-add; forward, toward the weights and toward the input."""
    config = TrialConfig(net="alexnet", join="difference", batch_size=16)
    convs = [  # output positions, output channels, inputs of each
        (55 * 55, 64, 3 * 121),
        (27 * 27, 192, 64 * 25),
        (169, 384, 192 * 9),
        (169, 256, 384 * 9),
        (169, 256, 256 * 9),
    ]
    each = [positions * out * inputs for positions, out, inputs in convs]
    trunk = 48 * 2 * (3 * sum(each) - each[0])  # no gradient toward the pixels
    head = 32 * 2 * 3 * (9216 * 4096 + 4096 * 4096 + 4096 * 2)
    flops, weights = bench.work_of_a_step(config)
    assert flops == pytest.approx(trunk + head, rel=1e-9)
    assert weights == 2_469_696 + 9217 * 4096 + 4097 * 4096 + 4097 * 2


def test_attention_is_counted_as_by_hand() -> None:
    """ViT-B/16 on 16 images: 12 layers of 768 units on 197 tokens."""
    flops, weights = bench.work_of_a_step(
        TrialConfig.from_dict({"net": "vit_b_16", "join": "cosine", "loss": "logistic"})
    )
    tokens, units = 197, 768
    layer = 12 * tokens * units**2 + 2 * tokens**2 * units  # four projections, two of the MLP
    patches = 196 * units * 3 * 16**2
    assert flops == pytest.approx(3 * 16 * 2 * (12 * layer + patches), rel=1e-6)
    assert weights == pytest.approx(85.8e6, rel=1e-3)


@pytest.mark.parametrize(
    ("net", "gmac", "million"),  # torchvision's own figures of an image and of the classifier
    [
        ("regnet_y_400mf", 0.402, 4.344 - 0.441),
        ("resnext50_32x4d", 4.23, 25.029 - 2.049),
        ("mobilenet_v2", 0.301, 3.505 - 1.281),
        ("swin_t", 4.491, 28.288 - 0.769),
    ],
)
def test_the_work_of_a_trunk_is_what_torchvision_says(
    net: str, gmac: float, million: float
) -> None:
    settings: dict[str, Any] = {"net": net, "join": "cosine", "loss": "logistic"}
    flops, weights = bench.work_of_a_step(TrialConfig.from_dict(settings))
    assert flops / (3 * 2 * 16) / 1e9 == pytest.approx(gmac, rel=0.02)
    assert weights / 1e6 == pytest.approx(million, rel=1e-3)


def test_of_alexnet_only_what_is_trained_counts() -> None:
    flops, weights = bench.work_of_a_step(
        TrialConfig.from_dict({"net": "alexnet", "join": "cosine", "loss": "logistic"})
    )
    assert weights == 2_469_696 and flops / (3 * 2 * 16) == pytest.approx(0.6556e9, rel=1e-3)


def test_the_reference_computes_what_ours_computes() -> None:
    """The same logits from the same weights: what is compared is speed, not another task."""
    config = TrialConfig(hidden=8, join="concat")
    torch.manual_seed(0)
    plain = reference_loop.PlainNet(config)
    ours = siamese.build(config)
    ours.trunk.load_state_dict(plain.trunk.state_dict())
    ours.head.load_state_dict(plain.head.state_dict())
    a, b = torch.rand(2, 2, 3, 224, 224)
    with torch.no_grad():
        assert torch.allclose(plain(a, b), ours.logits(ours.embed(a), ours.embed(b)), atol=1e-5)


@pytest.mark.parametrize("side", [64, 224])
def test_the_reference_takes_images_of_any_size(side: int) -> None:
    plain = reference_loop.PlainNet(TrialConfig(hidden=8, join="concat", image_size=side))
    assert plain.features(torch.rand(2, 3, side, side)).shape == (2, 9216)


def test_the_reference_trains_on_people_with_our_loss(data: FaceData, faces: Path) -> None:
    """Each batch has two people with four images each; the loss falls on the same few."""
    config = TrialConfig.from_dict(
        {"net": "alexnet", "join": "cosine", "loss": "supcon", "images_per_person": 4}
        | {"views": "all", "batch_size": 8, "image_size": 64, "lr": 1e-4}
    )
    side = reference_loop.Notebook(config, data, open_dataset(faces).source, "cpu")
    before = [p.detach().clone() for p in side.net.parameters()]
    assert side._update() == 8
    assert all(len(images) == 8 for images in side.of_person)
    assert any(not torch.equal(a, b) for a, b in zip(before, side.net.parameters(), strict=True))


def test_the_estimate_of_the_19_rows_is_that_worked_out_by_hand() -> None:
    spaces = [load(SPACES / f"code{number}.yaml") for number in (1, 2)]
    rates = {"alexnet/difference": 1000.0, "alexnet/concat": 500.0, "vgg16_bn/concat": 100.0}
    code1 = 6 * 60 * 8400 / (100 * 0.75)
    vgg = 6 * 60 * 6000 / 100  # C to H
    alexnet = (2 * 60 + 240) * 6000 / 1000 + 4 * 240 * 6000 / 500  # A, B and I; J to M
    assert seconds_of_rows(spaces, rates) == pytest.approx(code1 + vgg + alexnet)
    assert seconds_of_rows(spaces, {"alexnet/difference": 1000.0}) is None


def test_a_product_that_is_slow_when_small_is_not_tried_larger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = iter([0.5, 2.0, 100.0])
    monkeypatch.setattr(roofline, "best", lambda work, device: next(seconds))
    found = roofline.best_product(torch.float32, "cpu", roofline.SIDES["cpu"])
    assert found == pytest.approx(2 * 2048**3 / 2.0)
    assert next(seconds) == 100.0


def test_the_best_of_some_tries_is_found_within_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = [0.0], []

    def work() -> None:
        calls.append(None)
        clock[0] += {1: 9.0, 2: 0.5, 3: 0.25}.get(len(calls), 1.0)

    monkeypatch.setattr(roofline.time, "perf_counter", lambda: clock[0])
    assert roofline.best(work, "cpu", enough=10.0) == 0.25  # the first warms up
    assert len(calls) == 8  # seven tries: 6.75 s
    calls.clear()
    assert roofline.best(work, "cpu", enough=1.5) == 0.25
    assert len(calls) == 4  # 0.5 + 0.25 + 1 is enough


def test_a_gpu_is_timed_until_it_has_raised_its_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = [0.0], []

    def work() -> None:
        calls.append(None)
        clock[0] += 0.002 if len(calls) > 100 else 0.004

    monkeypatch.setattr(roofline.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    assert roofline.best(work, "cuda") == pytest.approx(0.002)
    assert len(calls) == 152  # a warm-up, 99 slow ones, and 52 that reach half a second


class DeadPipe:
    def send(self, what: object) -> None: ...

    def recv(self) -> object:
        raise EOFError


class KilledProcess:
    exitcode = -9

    def join(self, seconds: float) -> None: ...

    def kill(self) -> None: ...


def test_a_net_that_the_machine_cannot_hold_costs_the_bench_its_line_and_not_the_table(
    faces: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A killed process is what too little memory looks like; the other case is measured."""

    def start(self: Any, kind: str, config: TrialConfig, *args: Any) -> None:
        self.pipe, self.process = DeadPipe(), KilledProcess()
        if config.net == "resnet18":
            self.ask = lambda what: 100.0
            self.stop = lambda: None

    monkeypatch.setattr(bench.Side, "__init__", start)
    monkeypatch.setattr(
        bench,
        "measure_machine",
        lambda device: dict.fromkeys(("bf16_product", "fp32_product", "copy", "update"), 1e12),
    )
    monkeypatch.setenv("FACESIAM_CACHE", str(tmp_path))
    argv = ["bench_train.py", "--data", str(faces), "--cases", "vit_b_32/cosine,resnet18/cosine"]
    monkeypatch.setattr(sys, "argv", [*argv, "--rounds", "1", "--device", "cpu"])
    assert bench.main() == 1
    died, lived = capsys.readouterr().out.splitlines()[-2:]
    assert died.split(maxsplit=1) == ["vit_b_32/cosine", "killed, most likely for memory"]
    assert lived.split(maxsplit=1)[1].startswith("100.0 pairs/s, 160 ms a step")


def test_of_one_seed_the_bench_of_samplers_shows_no_interval(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["bench_sampler.py", "--seeds", "1", "--samplers", "random", "--workers"]
    monkeypatch.setattr(sys, "argv", argv)
    bench_sampler.main()
    title, row = capsys.readouterr().out.splitlines()
    assert "n = 1 seeds" in title and row.split()[0] == "random" and len(row.split()) == 3
    # sd √2, t(1) = 12.706, so half the width is 12.706 · √2 / √2
    assert bench_sampler.shown([0.0, 0.02], 100) == "  1.0 ± 12.7"


def test_the_parts_of_a_step_are_those_of_the_trainer(data: FaceData) -> None:
    """The study's augmentation, which has draws of its own, and a loss that takes norms."""
    parts = script("bench_parts")
    settings = {"net": "squeezenet1_1", "join": "cosine", "loss": "adaface", "embedding": 16}
    config = TrialConfig.from_dict(
        {**settings, "image_size": 64, "augment": True, "batch_size": 4}
    )
    training = loop.Training(config, data, device="cpu")
    assert list(parts.parts_of(training, 1)) == list(parts.PARTS)
    assert training.net.criterion is not None
    assert float(training.net.criterion.get_buffer("mean")) > 2  # 4, of 16 numbers of deviation 1


def test_a_step_that_is_timed_without_graphs_is_not_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FACESIAM_GRAPHS", raising=False)
    on_gpu: Any = SimpleNamespace(
        net=SimpleNamespace(embeds=False),
        device=torch.device("cuda"),
        optimizer=SimpleNamespace(drop_gradients=lambda: None),
        notes=[],
    )
    assert loop.Training._graphed_step(on_gpu) is not None
    with timed_sides.WITHOUT["graphs"]():
        assert loop.Training._graphed_step(on_gpu) is None


def test_the_parts_of_a_step_are_split_where_training_begins() -> None:
    parts = script("bench_parts")
    config = parts.config_of(str(SPACES / "cpu.yaml"), ["freeze_stages=2", "precision=bf16"])
    assert (config.freeze_stages, config.precision, config.image_size) == (2, "bf16", 160)
    net = siamese.build(config)
    first = parts.first_that_trains(net.trunk)
    assert first is net.trunk.get_submodule("net._blocks.3._depthwise_conv")
