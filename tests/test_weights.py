"""Every way in which pretrained weights can be wrong, and the one in which they are right."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from facesiam.config import TrialConfig
from facesiam.models import build
from facesiam.trunks import MODELS
from facesiam.weights import WeightsError, find_weights, load_trunk, read_weights


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
