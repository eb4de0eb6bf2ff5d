"""The nets of the documents: shapes, freezing, and every way in which weights can be wrong."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from facesiam.config import TrialConfig
from facesiam.models import (
    MODELS,
    WeightsError,
    build,
    find_weights,
    load_trunk,
    make_trunk,
    read_weights,
)


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
    kinds = [type(layer).__name__ for layer in build(TrialConfig(hidden=8, dropout=True)).head]
    assert kinds == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]


def test_difference_does_not_mind_the_order_and_concat_does() -> None:
    left, right = torch.rand(2, 5, 9216)
    symmetric = build(TrialConfig(join="difference", hidden=8))
    assert torch.equal(symmetric.judge(left, right), symmetric.judge(right, left))
    ordered = build(TrialConfig(join="concat", hidden=8))
    assert not torch.equal(ordered.judge(left, right), ordered.judge(right, left))


@pytest.mark.parametrize(("net", "frozen"), [("vgg16_bn", 7), ("alexnet", 3)])
def test_freeze_stops_the_first_convolutions_and_their_batchnorm(net: str, frozen: int) -> None:
    model = build(TrialConfig.from_dict({"net": net, "freeze": True, "hidden": 8})).train()
    convs = [layer for layer in model.trunk if isinstance(layer, nn.Conv2d)]
    trains = [conv.weight.requires_grad for conv in convs]
    assert trains == [False] * frozen + [True] * (len(convs) - frozen)
    norms = [layer for layer in model.trunk if isinstance(layer, nn.BatchNorm2d)]
    assert [norm.training for norm in norms] == [False] * min(frozen, len(norms)) + [True] * (
        len(norms) - min(frozen, len(norms))
    )
    assert [norm.weight.requires_grad for norm in norms] == [norm.training for norm in norms]


def test_freeze_batchnorm_fixes_statistics_and_leaves_scale_and_shift(tmp_path: Path) -> None:
    path = tmp_path / "vgg16_bn.pth"
    torch.save(MODELS["vgg16_bn"].make().state_dict(), path)
    config = TrialConfig(net="vgg16_bn", hidden=8, pretrained=True, freeze_batchnorm=True)
    model = build(config, {"vgg16_bn": str(path)}).train()
    norms = [layer for layer in model.trunk if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 13 and not any(norm.training for norm in norms)
    assert all(norm.weight.requires_grad for norm in norms)


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


def test_the_seed_decides_the_weights_and_leaves_torch_alone() -> None:
    before = torch.random.get_rng_state()
    first, same, other = (build(TrialConfig(hidden=8, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first.head[0].weight, same.head[0].weight)
    assert not torch.equal(first.head[0].weight, other.head[0].weight)


def test_weights_are_found_in_a_folder_and_loaded(tmp_path: Path) -> None:
    whole = MODELS["alexnet"].make()
    torch.save(whole.state_dict(), tmp_path / "alexnet-owt-7be5be79.pth")
    path = find_weights("alexnet", str(tmp_path))
    model = build(TrialConfig(hidden=8, pretrained=True), {"alexnet": str(path)})
    assert torch.equal(model.trunk[0].weight, whole.features[0].weight)


def test_weights_of_another_net_say_which_keys_differ(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(MODELS["alexnet"].make().state_dict(), path)
    with pytest.raises(
        WeightsError, match=r"not the weights of vgg16_bn; these keys differ: features\.0\.weight"
    ):
        find_weights("vgg16_bn", str(path))


class Payload:
    """Unpickling this would touch a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_a_file_with_code_is_refused_and_the_code_does_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "touched"
    torch.save({"features.0.weight": Payload(trap)}, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match="refused, it holds code or objects besides tensors"):
        read_weights(tmp_path / "weights.pth")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Payload(trap)))
    with pytest.raises(WeightsError, match="refused|not a torch weights file|cannot be read"):
        read_weights(tmp_path / "raw.pth")
    assert not trap.exists()


def test_files_that_are_no_weights_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such weights file"):
        read_weights(tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("hello, I am not a net")
    with pytest.raises(WeightsError, match=r"text.pth: not a torch weights file"):
        read_weights(tmp_path / "text.pth")
    whole = tmp_path / "alexnet.pth"
    torch.save(MODELS["alexnet"].make().features.state_dict(), whole)
    whole.write_bytes(whole.read_bytes()[:5000])
    with pytest.raises(WeightsError, match="cannot be read as torch weights"):
        read_weights(whole)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="holds list, not a state dict"):
        load_trunk(MODELS["alexnet"].make().features, "alexnet", tmp_path / "list.pth")
    with pytest.raises(WeightsError, match=r"no file named alexnet\*.pth in it; it holds note"):
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / "note").touch()
        find_weights("alexnet", str(tmp_path / "empty"))


def test_without_a_download_the_way_out_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("socket.getaddrinfo", _no_network)
    with pytest.raises(WeightsError, match=r"give the file or its folder with --weights; or set"):
        find_weights("alexnet", None)


def _no_network(*args: object, **kwargs: object) -> None:
    raise OSError("no network in this test")
