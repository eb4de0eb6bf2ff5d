"""Every way in which pretrained weights can be wrong, and the one in which they are right."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from facesiam.config import TrialConfig
from facesiam.models import build
from facesiam.trunks import MODELS, NetError, make_trunk
from facesiam.weights import (
    WeightsError,
    _is_of,
    find_weights,
    imagenet_url,
    load_trunk,
    read_weights,
)


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


@pytest.mark.parametrize("net", ["efficientnet_b0", "shufflenet_v2_x1_0", "inception_v3", "vgg16"])
def test_a_folder_of_downloads_is_searched_by_torchvisions_names(
    tmp_path: Path, net: str
) -> None:
    for other in ("efficientnet_b0", "shufflenet_v2_x1_0", "inception_v3", "vgg16", "vgg16_bn"):
        (tmp_path / Path(imagenet_url(other)).name).touch()
    found = [file.name for file in sorted(tmp_path.iterdir()) if _is_of(net, file)]
    assert found == [Path(imagenet_url(net)).name]


def test_every_net_of_torchvision_has_weights_somewhere() -> None:
    for net in MODELS:
        if MODELS[net].package is None:
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
    monkeypatch.setattr("facesiam.weights.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"pip install 'siamsearch\[lite\]'"):
        find_weights("efficientnet_lite0", None)
    monkeypatch.setattr("facesiam.trunks.find_spec", lambda name: None)
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
    with pytest.raises(WeightsError, match="not the weights of googlenet; these keys differ"):
        find_weights("googlenet", str(tmp_path))
