"""The trunks against torchvision's: values, gradients, first weights."""

from __future__ import annotations

import pytest
import torch

from facesiam.trunks import MODELS, make_trunk


@pytest.mark.parametrize("net", list(MODELS))
@pytest.mark.parametrize("side", [64, 97, 224])
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


@pytest.mark.parametrize("net", list(MODELS))
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
