"""Convolutions that were rearranged; AlexNet's in blocks is in test_trunks.py, within its net."""

from __future__ import annotations

import pytest
import torch

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
