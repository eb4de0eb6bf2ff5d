"""Every way in which pretrained weights can be wrong, and the one in which they are right."""

from __future__ import annotations

import json
import os
import pickle
import re
import struct
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from builders import unknown_compression

from facesiam.config import TrialConfig
from facesiam.errors import NetError, WeightsError
from facesiam.nets.models import MODELS, Embedder
from facesiam.nets.pretrained import _is_of, find_weights, imagenet_url, load_trunk
from facesiam.nets.siamese import build
from facesiam.nets.trunks import make_trunk
from facesiam.nets.weight_files import read_weights


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
        WeightsError, match=r"not the weights of vgg16_bn: lacks: features\.1\.bias"
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


@pytest.mark.parametrize("net", ["efficientnet_b0", "shufflenet_v2_x1_0", "inception_v3", "vgg16"])
def test_a_folder_of_downloads_is_searched_by_torchvisions_names(tmp_path: Path, net: str) -> None:
    for other in ("efficientnet_b0", "shufflenet_v2_x1_0", "inception_v3", "vgg16", "vgg16_bn"):
        (tmp_path / Path(imagenet_url(other)).name).touch()
    found = [file.name for file in sorted(tmp_path.iterdir()) if _is_of(net, file)]
    assert found == [Path(imagenet_url(net)).name]


def test_every_net_of_torchvision_has_weights_somewhere() -> None:
    for net in MODELS:
        if MODELS[net].package is None and not isinstance(MODELS[net], Embedder):
            assert imagenet_url(net).endswith(".pth"), net


def test_lites_weights_come_from_its_package_or_are_told_how_to_be_had(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = find_weights("efficientnet_lite0", None)
    net = build(
        TrialConfig(net="efficientnet_lite0", hidden=8, pretrained=True),
        {"efficientnet_lite0": str(path)},
    )
    given = torch.load(path, weights_only=True)
    assert torch.equal(net.trunk.net._conv_stem.weight, given["_conv_stem.weight"])
    assert find_weights("efficientnet_lite0", str(tmp_path)) == path  # nothing of it there
    with pytest.raises(WeightsError, match="no such file or folder"):
        find_weights("efficientnet_lite0", str(tmp_path / "none"))
    monkeypatch.setattr("facesiam.nets.pretrained.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"pip install 'siamsearch\[lite\]'"):
        find_weights("efficientnet_lite0", None)
    monkeypatch.setattr("facesiam.nets.models.find_spec", lambda name: None)
    with pytest.raises(NetError, match=r"needs the extra `lite`: pip install"):
        make_trunk("efficientnet_lite0")


def test_weights_of_a_whole_net_are_loaded_but_for_its_classes(tmp_path: Path) -> None:
    whole = MODELS["googlenet"].make()
    state = whole.state_dict() | {"aux1.fc1.weight": torch.zeros(2)}  # as the download has it
    torch.save(state, tmp_path / "googlenet-1378be20.pth")
    path = find_weights("googlenet", str(tmp_path))
    net = build(TrialConfig(net="googlenet", hidden=8, pretrained=True), {"googlenet": str(path)})
    mine = net.trunk.net.state_dict()
    assert not any(name.startswith("fc.") for name in mine)
    assert all(torch.equal(mine[name], state[name]) for name in mine)
    torch.save(MODELS["resnet18"].make().state_dict(), tmp_path / "googlenet-1378be20.pth")
    with pytest.raises(WeightsError, match="not the weights of googlenet: lacks: conv1.bn"):
        find_weights("googlenet", str(tmp_path))


State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def features() -> State:
    """The weights that AlexNet's trunk takes, under torchvision's names."""
    torch.manual_seed(1)
    layers = MODELS["alexnet"].make().features
    return {f"features.{name}": value for name, value in layers.state_dict().items()}


def safetensors(state: State, **changes: Any) -> bytes:
    """Write a file as its format says: length, header of JSON, values end to end."""
    kinds = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
    head: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, value in state.items():
        raw = value.contiguous().view(torch.uint8).numpy().tobytes()
        head[name] = {
            "dtype": kinds[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [len(body), len(body) + len(raw)],
        }
        body += raw
    for name, change in changes.items():
        head[name.replace("_", ".")] |= change
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + body


DRESSES: dict[str, Callable[[State], Any]] = {
    "plain": lambda state: state,
    "parallel": lambda state: {f"module.{k}": v for k, v in state.items()},
    "compiled": lambda state: {f"_orig_mod.{k}": v for k, v in state.items()},
    "both": lambda state: {f"module._orig_mod.{k}": v for k, v in state.items()},
    "compiled within": lambda state: {
        k.replace(".", "._orig_mod.", 1): v for k, v in state.items()
    },
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model": lambda state: {"model": {f"module.{k}": v for k, v in state.items()}, "lr": 0.1},
    # As torch's own ImageNet example writes it: the accuracy beside the weights is a tensor.
    "beside tensors": lambda state: {
        "best_acc1": torch.tensor(56.5),
        "epoch": 89,
        "state_dict": {f"module.{k}": v for k, v in state.items()},
    },
    "two levels down": lambda state: {"checkpoint": {"model": state, "step": torch.ones(())}},
    "an average": lambda state: {"model_ema": {f"module.{k}": v for k, v in state.items()}},
    "beside an average": lambda state: {
        "ema": {k: v + 1 for k, v in state.items()},
        "model": state,
    },
    "averaged by torch": lambda state: (
        {"n_averaged": torch.tensor(3)} | {f"module.{k}": v for k, v in state.items()}
    ),
    "a larger net": lambda state: (
        {"model.loss.weight": torch.ones(2), "step": torch.ones(())}
        | {f"model.backbone.{k}": v for k, v in state.items()}
    ),
    "ten classes": lambda state: {**state, "classifier.6.weight": torch.ones(10, 4096)},
}


def loaded(path: Path) -> State:
    """Return what a trunk has after reading the file, under torchvision's names."""
    trunk = make_trunk("alexnet")
    load_trunk(trunk, "alexnet", path)
    return {f"features.{name}": value for name, value in trunk.state_dict().items()}


@pytest.mark.parametrize("dress", DRESSES)
def test_the_right_weights_are_taken_in_any_dress(
    tmp_path: Path, features: State, dress: str
) -> None:
    torch.save(DRESSES[dress](features), tmp_path / "w.pth")
    found = loaded(tmp_path / "w.pth")
    assert found.keys() == features.keys()
    assert all(torch.equal(found[name], features[name]) for name in features)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_safetensors_and_halves_hold_the_same_values(
    tmp_path: Path, features: State, dtype: torch.dtype
) -> None:
    rounded = {name: value.to(dtype) for name, value in features.items()}
    (tmp_path / "alexnet.safetensors").write_bytes(safetensors(rounded))
    torch.save(rounded, tmp_path / "w.pth")
    place = find_weights("alexnet", str(tmp_path))  # a folder is searched for it as well
    assert place.name == "alexnet.safetensors"
    for path in (place, tmp_path / "w.pth"):
        found = loaded(path)
        assert all(torch.equal(found[name], rounded[name].float()) for name in features)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "not a torch weights file, it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n", "a pointer of Git LFS"),
        (b"\n <!DOCTYPE html><title>404</title>", "a web page, not weights"),
        (b"\x89HDF\r\n\x1a\n" + b"0" * 99, "an HDF5 file"),
        (struct.pack("<Q", 2**60) + b"{}", "no safetensors file, or one that is cut short"),
        (struct.pack("<Q", 4) + b"{,,}", "its header is not JSON"),
        (struct.pack("<Q", 31) + b'{"a":{"dtype":"F8","shape":[]}}', "a is {'dtype': 'F8'"),
        (struct.pack("<Q", 15) + b'{"a":{},"a":{}}', "a name is given twice"),
    ],
)
def test_what_a_file_is_instead_is_said(tmp_path: Path, raw: bytes, sentence: str) -> None:
    (tmp_path / "w.pth").write_bytes(raw)
    with pytest.raises(WeightsError, match=re.escape(sentence)):
        read_weights(tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="a folder; give a file of weights in it"):
        read_weights(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WeightsError, match="not a file"):  # and does not wait for a writer
        read_weights(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dtype": "F16"}, "damaged: a.b of shape [2, 3] has 24 bytes"),
        ({"shape": [2, 2**40, 2**40]}, "a.b is {"),
        ({"shape": [2, -3]}, "a.b is {"),
        ({"shape": [True, 6]}, "a.b is {"),
        ({"data_offsets": [8, 32]}, "the values of a.b begin at 8, not at 0"),
        ({"data_offsets": [0, 24, 24]}, "a.b is {"),
    ],
)
def test_a_safetensors_header_that_does_not_hold_is_refused(
    tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    path, values = tmp_path / "w.safetensors", torch.arange(6.0).reshape(2, 3)
    path.write_bytes(safetensors({"a.b": values, "c": torch.zeros(0)}))
    read = read_weights(path)
    assert torch.equal(read["a.b"], values) and read["c"].shape == (0,)
    path.write_bytes(safetensors({"a.b": values}, a_b=change))
    with pytest.raises(WeightsError, match=re.escape(sentence)):
        read_weights(path)
    whole = safetensors({"a.b": values})
    cuts = [
        (whole[:-1], "cut short: the values of a.b"),
        (whole + b"0", "1 bytes after"),
        (whole[:20], "cut short"),
    ]
    for cut, said in cuts:
        path.write_bytes(cut)
        with pytest.raises(WeightsError, match=said):
            read_weights(path)


def with_nan(values: torch.Tensor) -> torch.Tensor:
    """Return a copy in which one value is NaN."""
    spoilt = values.clone()
    spoilt[5] = float("nan")
    return spoilt


UNUSABLE: list[tuple[Callable[[State], Any], str]] = [
    (
        lambda state: {name: torch.full_like(v, float("nan")) for name, v in state.items()},
        "features.0.weight holds NaN or infinity; a net cannot start from it",
    ),
    (
        lambda state: {**state, "features.3.bias": with_nan(state["features.3.bias"])},
        "features.3.bias holds NaN or infinity",
    ),
    (
        lambda state: {name: v.mul(99).to(torch.int8) for name, v in state.items()},
        "features.0.weight is torch.int8, as in a quantised net",
    ),
    (
        lambda state: {f"{side}.{k}": v for side in ("left", "right") for k, v in state.items()},
        "holds more than one such net (left., right.)",
    ),
    (
        lambda state: {name: v.to("meta") for name, v in state.items()},
        "features.0.weight holds no values, only a shape",
    ),
    (
        lambda state: {**state, "features.3.bias": state["features.3.bias"].to_sparse()},
        "features.3.bias holds sparse values",
    ),
    (
        lambda state: {name: v.double().abs() + 1e39 for name, v in state.items()},
        "features.0.weight holds NaN or infinity",  # beyond float32
    ),
    (lambda state: {"epoch": 3}, "holds no tensors by name, not a state dict"),
    (
        lambda state: {"model": state, "args": Namespace(lr=1)},
        "(argparse.Namespace), which would run",
    ),
    (lambda state: torch.nn.Linear(2, 2), "(torch.nn.modules.linear.Linear), which would run"),
]


@pytest.mark.parametrize(("spoil", "sentence"), UNUSABLE)
def test_weights_that_no_net_could_start_from_are_refused(
    tmp_path: Path, features: State, spoil: Callable[[State], Any], sentence: str
) -> None:
    torch.save(spoil(features), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=re.escape(sentence)):
        loaded(tmp_path / "w.pth")


def flipped(content: bytes, at: int) -> bytes:
    """Return the bytes with one bit of one byte changed."""
    return content[:at] + bytes([content[at] ^ 0x40]) + content[at + 1 :]


def test_damaged_weights_are_refused(tmp_path: Path, features: State) -> None:
    path = tmp_path / "w.pth"
    torch.save(features, path)
    whole = path.read_bytes()
    for damaged, said in (
        (whole[: len(whole) // 2], "cut short or damaged: half a download"),
        (unknown_compression(whole), "cut short or damaged: .*compression method"),
        (flipped(whole, len(whole) // 2), "damaged"),
        (flipped(whole, len(whole) // 3), "damaged"),
        (flipped(whole, 3000), "damaged"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(WeightsError, match=said):
            loaded(path)
