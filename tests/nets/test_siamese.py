"""The nets of the documents: shapes, joins, freezing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from facesiam.config import TrialConfig
from facesiam.nets.models import MODELS
from facesiam.nets.precision import compute_in
from facesiam.nets.siamese import SiameseNet, build
from facesiam.nets.trunks import features_of, stages_of


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
    kinds = [
        type(layer).__name__
        for layer in build(TrialConfig(hidden=8, dropout=True)).head.children()
    ]
    assert kinds == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]


def test_difference_does_not_mind_the_order_and_concat_does() -> None:
    left, right = torch.rand(2, 5, 9216)
    symmetric = build(TrialConfig(join="difference", hidden=8))
    assert torch.equal(symmetric.logits(left, right), symmetric.logits(right, left))
    ordered = build(TrialConfig(join="concat", hidden=8))
    assert not torch.equal(ordered.logits(left, right), ordered.logits(right, left))


@pytest.mark.parametrize(("net", "frozen"), [("vgg16_bn", 7), ("alexnet", 3)])
def test_freeze_stops_the_first_convolutions_and_their_batchnorm(net: str, frozen: int) -> None:
    model = build(TrialConfig.from_dict({"net": net, "freeze": True, "hidden": 8})).train()
    convs = [layer for layer in model.trunk.children() if isinstance(layer, nn.Conv2d)]
    trains = [conv.weight.requires_grad for conv in convs]
    assert trains == [False] * frozen + [True] * (len(convs) - frozen)
    norms = [layer for layer in model.trunk.children() if isinstance(layer, nn.BatchNorm2d)]
    assert [norm.training for norm in norms] == [False] * min(frozen, len(norms)) + [True] * (
        len(norms) - min(frozen, len(norms))
    )
    assert [norm.weight.requires_grad for norm in norms] == [norm.training for norm in norms]


def test_freeze_batchnorm_fixes_statistics_and_leaves_scale_and_shift(tmp_path: Path) -> None:
    path = tmp_path / "vgg16_bn.pth"
    torch.save(MODELS["vgg16_bn"].make().state_dict(), path)
    config = TrialConfig(net="vgg16_bn", hidden=8, pretrained=True, freeze_batchnorm=True)
    model = build(config, {"vgg16_bn": str(path)}).train()
    norms = [layer for layer in model.trunk.children() if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 13 and not any(norm.training for norm in norms)
    assert all(norm.weight.requires_grad for norm in norms)


def test_the_seed_decides_the_weights_and_leaves_torch_alone() -> None:
    before = torch.random.get_rng_state()
    first, same, other = (build(TrialConfig(hidden=8, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first.head[0].weight, same.head[0].weight)
    assert not torch.equal(first.head[0].weight, other.head[0].weight)


def embedding(**settings: object) -> TrialConfig:
    """An embedding net that is small to build."""
    more = {"net": "resnet18", "join": "cosine", "loss": "logistic", "embedding": 4, **settings}
    return TrialConfig.from_dict(more)


def test_an_embedding_net_gives_unit_vectors_and_judges_them_by_cosine() -> None:
    net = build(embedding()).eval()
    vectors = net.embed(torch.rand(3, 3, 64, 64))
    assert vectors.shape == (3, 4) and torch.allclose(vectors.norm(dim=1), torch.ones(3))
    east, north, back = torch.eye(4)[:1], torch.eye(4)[1:2], -torch.eye(4)[:1]
    net.calibrate(threshold=0.25, slope=8.0)
    for other, cosine in ((east, 1.0), (north, 0.0), (back, -1.0)):
        logits = net.logits(east, other)
        assert (logits[0, 0] - logits[0, 1]).item() == pytest.approx(8 * (cosine - 0.25))
        assert net.scores(logits).item() == pytest.approx(cosine)
        assert torch.allclose(net.score_logits(net.scores(logits)), logits)


def test_a_distance_is_higher_the_nearer_two_vectors_are() -> None:
    net = build(embedding(join="distance", loss="triplet"))
    east, north = torch.eye(4)[:1], torch.eye(4)[1:2]
    net.calibrate(0.0, 1.0)
    assert net.scores(net.logits(east, north)).item() == pytest.approx(-(2**0.5))
    assert net.scores(net.logits(east, east)).item() == pytest.approx(0, abs=1e-5)


def test_a_decision_net_is_calibrated_only_where_asked() -> None:
    plain, moved = (
        build(TrialConfig(join="difference", hidden=8, calibrate=calibrate)).eval()
        for calibrate in (False, True)
    )
    assert "threshold" not in plain.state_dict() and "threshold" in moved.state_dict()
    left, right = torch.rand(2, 5, 9216)
    assert torch.allclose(plain.logits(left, right), moved.logits(left, right))  # before it is
    score = moved.scores(moved.logits(left, right)).detach()
    moved.calibrate(threshold=score[2].item(), slope=2.0)
    logits = moved.logits(left, right)
    assert (logits[2, 0] - logits[2, 1]).item() == pytest.approx(0, abs=1e-5)
    assert torch.allclose(moved.scores(logits), score, atol=1e-6)
    moved.train()  # what is trained knows nothing of the validation pairs
    assert torch.equal(moved.logits(left, right), plain.logits(left, right))


@pytest.mark.parametrize(
    ("settings", "mean"),
    [
        ({"pretrained": True}, 0.485),
        ({}, None),
        ({"input_scale": "weights"}, 0.485),
        ({"input_scale": "unit", "pretrained": True}, None),
        ({"net": "googlenet", "pretrained": True}, 0.5),
        ({"net": "efficientnet_lite0", "pretrained": True}, 0.498),
    ],
)
def test_inputs_are_scaled_as_the_weights_are_for(
    settings: dict[str, object], mean: float | None
) -> None:
    net = SiameseNet(embedding(**settings))
    assert (net.mean[0].item() if net.scaled else None) == (
        None if mean is None else pytest.approx(mean)
    )


def test_the_documents_nets_stay_in_0_to_1_though_pretrained() -> None:
    assert not SiameseNet(TrialConfig(hidden=8, pretrained=True)).scaled
    assert SiameseNet(TrialConfig(hidden=8, input_scale="weights")).scaled


def test_scaling_is_what_the_net_gets() -> None:
    net = build(embedding(input_scale="weights")).eval()
    images = torch.rand(2, 3, 64, 64)
    net.scaled = False
    mean, deviation = (torch.tensor(values)[:, None, None] for values in MODELS["resnet18"].scale)
    expected = net.embed((images - mean) / deviation)
    net.scaled = True
    assert torch.allclose(net.embed(images), expected)


def test_flip_average_does_not_mind_which_way_a_face_looks() -> None:
    images = torch.rand(2, 3, 64, 64)
    plain, both = (build(embedding(flip_average=flip)).eval() for flip in (False, True))
    assert torch.allclose(both.describe(images), both.describe(images.flip(3)), atol=1e-6)
    assert not torch.allclose(plain.describe(images), plain.describe(images.flip(3)), atol=1e-3)
    mean = plain.embed(images) + plain.embed(images.flip(3))
    assert torch.allclose(both.describe(images), nn.functional.normalize(mean, dim=1))
    assert torch.equal(plain.describe(images), plain.embed(images))


@pytest.mark.parametrize("net", ["resnet18", "efficientnet_lite0", "convnext_tiny", "alexnet"])
def test_frozen_stages_get_no_gradient_and_keep_their_statistics(net: str) -> None:
    config = embedding(net=net, freeze_stages=3)
    model = build(config).train()
    before = {name: value.clone() for name, value in model.trunk.state_dict().items()}
    model.embed(torch.rand(2, 3, 64, 64)).sum().backward()
    frozen = {name for name, stage in stages_of(net).items() if stage <= 3}
    assert frozen
    for name, layer in model.trunk.named_modules():
        for parameter in layer.parameters(recurse=False):
            assert (parameter.grad is None) == (name in frozen), name
        if isinstance(layer, nn.BatchNorm2d):
            same = torch.equal(before[f"{name}.running_mean"], layer.running_mean)
            assert same == (name in frozen), name


def test_what_a_loss_learns_is_the_nets_only_while_it_trains() -> None:
    config = embedding(loss="arcface")
    names = {name for name, _ in build(config, people=7).named_parameters()}
    assert any(name.startswith("criterion.") for name in names)
    assert not any(n.startswith("criterion.") for n, _ in build(config).named_parameters())


@pytest.mark.parametrize("join", ["linear", "difference", "cosine"])
def test_a_trunk_that_mixes_dtypes_is_joined_in_bf16(join: str) -> None:
    loss = "logistic" if join == "cosine" else "single"
    more = {"images_per_person": 4} if join == "cosine" else {}
    config = TrialConfig.from_dict(
        {
            **TrialConfig(net="convnext_tiny", hidden=8, image_size=64).to_dict(),
            "join": join,
            "loss": loss,
            **more,
        }
    )
    net = build(config).eval()
    compute_in(net, torch.bfloat16)
    features = net.embed(torch.rand(2, 3, 64, 64).bfloat16())
    assert net.logits(features[:1], features[1:]).shape == (1, 2)


@pytest.mark.parametrize(
    ("loss", "dtype"), [("arcface", torch.bfloat16), ("triplet", torch.float32)]
)
def test_without_a_length_of_its_own_the_embedding_is_the_trunks_features(
    loss: str, dtype: torch.dtype
) -> None:
    config = TrialConfig.from_dict(
        {"net": "squeezenet1_1", "join": "cosine", "loss": loss, "embedding": 0, "image_size": 64}
    )
    net = build(config, people=3)
    compute_in(net, dtype)
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)).to(dtype)
    net.eval()
    features = net.trunk(images).flatten(1).float()
    expected = torch.nn.functional.normalize(features, dim=1)
    assert features.shape == (4, features_of("squeezenet1_1"))
    assert torch.equal(net.embed(images), expected)
    assert not list(net.head.parameters())
    net.train()
    assert net.criterion is not None
    value = net.criterion(net.embed(images), torch.tensor([0, 0, 1, 2]))
    value.backward()
    assert value.isfinite() and all(
        p.grad is not None for p in net.trunk.parameters() if p.requires_grad
    )
