"""Convolutions that were rearranged; AlexNet's in blocks is in test_trunks.py, within its net."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from facesiam.nets.convolutions import PaddedConv2d
from facesiam.nets.depthwise import depthwise_conv2d
from facesiam.nets.trunks import make_trunk


@pytest.mark.parametrize("net", ["efficientnet_lite0", "efficientnet_lite2"])
@pytest.mark.parametrize("side", [64, 75, 112])  # maps of odd and of even sides
def test_lites_own_padding_gives_its_packages_values_and_gradients(net: str, side: int) -> None:
    from efficientnet_lite_pytorch import EfficientNet

    package = EfficientNet.from_name(net.replace("_", "-")).double().eval()
    ours = make_trunk(net).net.double().eval()
    ours.load_state_dict(
        {name: value for name, value in package.state_dict().items() if "_fc" not in name}
    )
    images = torch.rand(2, 3, side, side, dtype=torch.double)
    values = [each.extract_features(images) for each in (package, ours)]
    assert torch.allclose(*values, rtol=1e-9, atol=1e-12)
    for value in values:
        value.square().sum().backward()
    for name, parameter in ours.named_parameters():
        theirs = package.get_parameter(name).grad
        near = {"rtol": 1e-6, "atol": 1e-9 * theirs.abs().max().item()}
        assert torch.allclose(parameter.grad, theirs, **near), name


@pytest.mark.parametrize(
    ("size", "stride", "before", "after", "side"),
    [
        (5, 1, 2, 2, 10),
        (5, 1, 2, 2, 5),  # a side that two does not divide
        (7, 1, 3, 3, 8),  # nor three
        (5, 2, 1, 2, 8),
        (5, 2, 2, 2, 9),
        (3, 2, 0, 1, 8),
        (3, 2, 1, 1, 7),
        (5, 2, 1, 2, 7),  # padded as an even side, as at 112 pixels
        (3, 2, 0, 1, 7),
        (5, 2, 1, 2, 9),
        (5, 2, 2, 2, 8),  # and an even one as an odd
    ],
)
def test_depthwise_gradients_in_pieces_are_torchs(
    size: int, stride: int, before: int, after: int, side: int
) -> None:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.rand(shape, dtype=torch.double, generator=generator) - 0.5

    images = drawn(3, 4, side, side).to(memory_format=torch.channels_last).requires_grad_()
    weight = drawn(4, 1, size, size).requires_grad_()
    padded = F.pad(images, (before, after, before, after))
    theirs = F.conv2d(padded, weight, None, stride, groups=4)
    ours = depthwise_conv2d(images, weight, stride, before, after)
    assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-14)
    grad = drawn(*theirs.shape)
    wanted = torch.autograd.grad(theirs, (images, weight), grad)
    for found, right in zip(
        torch.autograd.grad(ours, (images, weight), grad), wanted, strict=True
    ):
        assert torch.allclose(found, right, rtol=1e-5, atol=1e-6)  # sums of some parts are fp32


@pytest.mark.parametrize("net", ["efficientnet_lite0"])
def test_lites_wide_kernels_train_in_pieces_in_bf16_alone(
    net: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[tuple[int, int]] = []

    def noting(
        images: torch.Tensor, weight: torch.Tensor, stride: int, *ends: int
    ) -> torch.Tensor:
        called.append((weight.shape[3], stride))
        return depthwise_conv2d(images, weight, stride, *ends)

    monkeypatch.setattr("facesiam.nets.convolutions.depthwise_conv2d", noting)
    trunk = make_trunk(net).train().to(memory_format=torch.channels_last)
    images = torch.rand(2, 3, 64, 64).to(memory_format=torch.channels_last)
    trunk(images)
    assert not called  # fp32
    for layer in trunk.modules():
        if isinstance(layer, PaddedConv2d):
            layer.bfloat16()
    with torch.no_grad():
        trunk(images.bfloat16())
    assert not called
    trunk(images.bfloat16())
    assert sorted(set(called)) == [(3, 2), (5, 1), (5, 2)]
    assert len(called) == 11
