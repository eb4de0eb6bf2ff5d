"""The trunks against torchvision's: values, gradients, first weights."""

from __future__ import annotations

import pytest
import torch
import torchvision.models as tv
from torch import nn

from facesiam.nets.models import MODELS, Convolutions
from facesiam.nets.trunks import (
    Pooled,
    features_of,
    make_trunk,
    stages_of,
    without_values,
)
from facesiam.plugins.registry import HALVES


@pytest.mark.parametrize(
    ("net", "side"),
    [
        *((net, side) for net in ("alexnet", "vgg16_bn") for side in (64, 97)),
        ("alexnet", 224),
        pytest.param("vgg16_bn", 224, marks=pytest.mark.slow),  # 15 GFLOPs in fp64, three times
    ],
)
def test_the_rearranged_trunk_is_torchvisions_values_and_gradients(net: str, side: int) -> None:
    torch.manual_seed(0)
    plain = MODELS[net].make().features.double()
    ours = make_trunk(net).double()
    ours.load_state_dict(plain.state_dict())
    images = torch.rand(1 if side == 224 else 2, 3, side, side, dtype=torch.double)
    values = [trunk.train()(images.clone()) for trunk in (plain, ours)]
    assert torch.allclose(*values, rtol=1e-9, atol=1e-9)
    toward = torch.randn_like(values[0])
    grads = []
    for trunk, value in zip((plain, ours), values, strict=True):
        value.backward(toward)
        grads.append({name: p.grad for name, p in trunk.named_parameters()})
    for name, grad in grads[0].items():
        assert torch.allclose(grad, grads[1][name], rtol=1e-6, atol=1e-9), name


@pytest.mark.parametrize("net", ["alexnet", "vgg16_bn"])
def test_the_convolutions_are_torchvisions(net: str) -> None:
    kind = MODELS[net]
    assert isinstance(kind, Convolutions)
    with torch.device("meta"):
        ours, theirs = kind.layers(), kind.make().features
    assert [repr(layer) for layer in ours] == [repr(layer) for layer in theirs]


@pytest.mark.parametrize("net", ["alexnet", "vgg16_bn"])
def test_first_weights_are_spread_as_torchvisions(net: str) -> None:
    torch.manual_seed(0)
    plain, ours = MODELS[net].make().features.state_dict(), make_trunk(net).state_dict()
    assert plain.keys() == ours.keys()
    for name, value in plain.items():
        if value.numel() > 10_000:
            spread, reach = value.std().item(), value.abs().max().item()
            assert ours[name].std().item() == pytest.approx(spread, rel=0.03), name
            assert ours[name].abs().max().item() == pytest.approx(reach, rel=0.2), name
        elif value.ndim < 2 and net != "alexnet":
            assert torch.equal(ours[name], value), name  # batch-norm, and VGG's biases


def test_every_classifier_of_torchvision_is_there_and_one_of_a_kind_gives_a_vector() -> None:
    """By shapes alone: no weight is drawn."""
    torchvisions = set(tv.list_models(module=tv))
    assert torchvisions <= set(MODELS)
    lites = {f"efficientnet_lite{n}" for n in (0, 1, 2)}
    assert set(MODELS) - torchvisions == lites | {f"iresnet{n}" for n in (18, 34, 50, 100)}
    known = {
        "resnet18": 512,
        "resnet50": 2048,
        "resnext50_32x4d": 2048,
        "densenet121": 1024,
        "googlenet": 1024,
        "inception_v3": 2048,
        "efficientnet_b0": 1280,
        "convnext_tiny": 768,
        "vit_b_16": 768,
        "swin_t": 768,
        "squeezenet1_0": 512,
        "vgg16": 4096,
        "efficientnet_lite0": 1280,
        "mobilenet_v3_large": 1280,
        "regnet_x_400mf": 400,
        "iresnet18": 512,
    }
    assert {net: features_of(net) for net in known} == known


@pytest.mark.parametrize("net", ["resnet18", "regnet_x_400mf"])
def test_the_shapes_of_a_net_take_no_random_numbers_and_hold_no_values(net: str) -> None:
    before = torch.random.get_rng_state()
    trunk = without_values(net)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert {value.device.type for value in trunk.state_dict().values()} == {"meta"}


@pytest.mark.slow  # 80 nets are built, RegNet's largest in 6 s
def test_every_classifier_gives_one_vector_an_image() -> None:
    for net in MODELS:
        assert features_of(net) > 100, net


@pytest.mark.parametrize(
    ("net", "first", "last"),
    [
        ("resnet18", "net.conv1", "net.layer4.1.bn2"),
        ("efficientnet_lite0", "net._conv_stem", "net._bn1"),
        ("convnext_tiny", "net.features.0.0", "net.classifier.0"),
        ("swin_v2_t", "net.features.0.0", "net.norm"),
    ],
)
def test_a_stage_is_what_works_at_one_resolution(net: str, first: str, last: str) -> None:
    stages = stages_of(net)
    layers = {
        name
        for name, layer in make_trunk(net).named_modules()
        if list(layer.parameters(recurse=False))
    }
    assert stages.keys() == layers
    assert stages[first] == (2 if net in ("convnext_tiny", "swin_v2_t") else 1)
    assert stages[last] == 5


def test_resnet18s_stages_are_its_own() -> None:
    for name, stage in stages_of("resnet18").items():
        layer = name.removeprefix("net.")
        expected = int(layer[5]) + 1 if layer.startswith("layer") else 1
        assert stage == expected, name  # layer1 works at 56 pixels: 224 / 2^2


@pytest.mark.parametrize("net", ["squeezenet1_1", "vgg11", "efficientnet_lite0"])
def test_a_trunk_drops_nothing_out(net: str) -> None:
    dropouts = [layer for layer in make_trunk(net).modules() if isinstance(layer, nn.Dropout)]
    assert dropouts and not any(layer.p for layer in dropouts)


def test_without_its_last_layer_a_net_gives_what_that_layer_gets() -> None:
    torch.manual_seed(0)
    whole = tv.resnet18().eval()
    images, seen = torch.rand(2, 3, 64, 64), []
    whole.fc.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    whole(images)
    assert torch.equal(Pooled(whole).eval()(images), seen[0])


def test_a_net_that_normalises_layers_computes_in_bf16_under_autocast() -> None:
    torch.manual_seed(0)
    trunk = make_trunk("convnext_tiny").eval()
    assert isinstance(trunk, Pooled) and trunk.mixed and not make_trunk("resnet18").mixed
    images = torch.rand(1, 3, 64, 64)
    full = trunk(images)
    trunk.dtype = torch.bfloat16
    rounded = trunk(images.bfloat16())
    assert next(trunk.parameters()).dtype == torch.float32
    assert not torch.equal(full, rounded)
    assert torch.allclose(full, rounded.float(), atol=0.05 * full.abs().max().item())


def test_inputs_are_scaled_as_torchvisions_weights_say() -> None:
    for net in set(MODELS) & set(tv.list_models(module=tv)):
        weights = list(tv.get_model_weights(net))
        preset = weights[0].transforms()
        expected = (tuple(preset.mean), tuple(preset.std))
        if net in ("googlenet", "inception_v3"):  # torchvision has these turn it into halves
            expected = HALVES
        assert MODELS[net].scale == expected, net
