"""Pretrained weights: given or downloaded, checked to fit the net, loaded into a trunk."""

from __future__ import annotations

import urllib.error
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facesiam.config import SETTINGS
from facesiam.errors import WeightsError, first_line
from facesiam.nets.models import Convolutions, Embedder, Trunk, kind_of
from facesiam.nets.trunks import last_layer, make_trunk
from facesiam.nets.weight_files import not_finite, read_weights


def load_trunk(trunk: nn.Module, name: str, path: Path) -> None:
    """Load the pretrained weights of a net into its trunk, without those of a layer of classes.

    They may be nested in the file (`state_dict`, `model`), have a prefix (`module.`,
    `_orig_mod.`, `backbone.`), another precision, or other classes.

    Args:
        trunk: gets the weights.
        name: of the net.
        path: the file.

    Raises:
        WeightsError: it is no weights file, or that of another net, or a weight is not finite.
    """
    kind = kind_of(name)
    state = _state_dict(path, read_weights(path))
    mine, theirs = ("", "features.") if isinstance(kind, Convolutions) else ("net.", "")
    wanted = {theirs + key.removeprefix(mine): value for key, value in trunk.state_dict().items()}
    state = _bare(path, state, wanted)
    found = {key: value for key, value in state.items() if not _is_unused(kind, key)}
    if differ := _differences(wanted, found):
        raise WeightsError(f"{path}: not the weights of {name}: {differ}")
    for key, value in found.items():
        if value.layout != torch.strided or value.is_meta:
            what = "no values, only a shape" if value.is_meta else "sparse values"
            raise WeightsError(f"{path}: {key} holds {what}; save a plain state_dict")
        if wanted[key].is_floating_point() and not value.is_floating_point():
            raise WeightsError(
                f"{path}: {key} is {value.dtype}, as in a quantised net; floating point is needed"
            )
    found = {key: value.to(wanted[key].dtype) for key, value in found.items()}
    if key := not_finite(found):
        raise WeightsError(f"{path}: {key} holds NaN or infinity; a net cannot start from it")
    trunk.load_state_dict(
        {mine + key.removeprefix(theirs): value for key, value in found.items()}, strict=False
    )


def _is_unused(kind: Trunk, key: str) -> bool:
    """Return whether a weight of the whole net is not one of its trunk: of classes, or beside."""
    if isinstance(kind, Embedder):
        return False
    if isinstance(kind, Convolutions):
        return not key.startswith("features.")
    return key.startswith((f"{last_layer(kind)}.", "aux", "AuxLogits"))


def _differences(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """Say what a file lacks, has besides, and has in another shape; "" where all is as wanted."""
    # Files saved before torch 1.0 lack the batch-norm counters, which nothing here reads.
    missing = sorted(k for k in wanted.keys() - found.keys() if "num_batches_tracked" not in k)
    shapes = [
        f"{key} {tuple(found[key].shape)} instead of {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in found and found[key].shape != value.shape
    ]
    kinds = {
        "lacks": missing,
        "has besides": sorted(found.keys() - wanted.keys()),
        "other shapes": shapes,
    }
    return "; ".join(f"{kind}: {_listed(names)}" for kind, names in kinds.items() if names)


def _listed(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


_NESTED = (
    "state_dict",
    "model",
    "model_state_dict",
    "net",
    "network",
    "weights",
    "params",
    "state_dict_ema",
    "model_ema",
    "ema",
    "ema_state_dict",
    "checkpoint",
    "state_dict_backbone",
)
"""Entries in which training scripts store the weights; averaged weights come last."""


def _state_dict(path: Path, read: Any) -> dict[str, Tensor]:
    """Return the tensors by name from the content of a file, one or two levels down if need be.

    Tensors beside such a level are no weights: one may be the accuracy.
    """
    if not isinstance(read, dict):
        raise WeightsError(f"{path}: holds {type(read).__name__}, not a state dict")
    for _ in range(2):
        read = next((read[n] for n in _NESTED if read.get(n) and isinstance(read[n], dict)), read)
    found = {str(name): value for name, value in read.items() if isinstance(value, Tensor)}
    if not found:
        known = ", ".join(map(str, list(read)[:6])) or "nothing"
        raise WeightsError(f"{path}: holds no tensors by name, not a state dict ({known})")
    return found


def _bare(path: Path, state: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict without the prefixes of wrappers and of larger nets.

    Raises:
        WeightsError: it has two nets of this kind.
    """
    state = {key.replace("_orig_mod.", ""): value for key, value in state.items()}
    needed = {k for k in wanted if "num_batches_tracked" not in k}
    one = next(key for key in wanted if key in needed)
    before = [key.removesuffix(one) for key in state if key.endswith(one)]
    there = {
        prefix: sum(prefix + key in state for key in needed)
        for prefix in before
        if not prefix or prefix.endswith(".")
    }
    whole = [prefix for prefix, count in there.items() if count == len(needed)]
    if "" in whole or not there:
        return state
    if len(whole) > 1:
        raise WeightsError(
            f"{path}: holds more than one such net ({', '.join(whole)}); save the "
            "state_dict of one of them"
        )
    # Where none is whole, what the one with the most of it lacks is told.
    prefix = max(there, key=lambda prefix: there[prefix])
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def find_weights(name: str, given: str | None) -> Path:
    """Return the file with the pretrained weights of net `name`, checked to fit it.

    Where ``place_of_weights`` has none, torchvision's are downloaded, and their hash verified.

    Raises:
        WeightsError: they are not available or do not fit; the text says what to do.
        NetError: the package with the net is not installed.
    """
    path = place_of_weights(name, given)
    if not path.is_file():
        _download(name, path)
    load_trunk(make_trunk(name), name, path)
    return path.resolve()


def place_of_weights(name: str, given: str | None) -> Path:
    """Return where the pretrained weights of net `name` are, or will be once downloaded.

    That is `given` (a file, or a folder with a file named ``<name>*.pth``, ``.pt`` or
    ``.safetensors``, of IResNet also ``backbone.pth``), else the package of the net, else
    torchvision's cache, the only place that may be empty.

    Raises:
        WeightsError: there are none; the text says what to do.
    """
    kind = kind_of(name)
    if kind.package and not (given and _named(name, Path(given))):
        return _packaged_weights(name, kind.package)
    if given:
        return _given_weights(name, Path(given))
    if isinstance(kind, Embedder):
        raise WeightsError(
            f"pretrained: true: there are no weights of {name} to download (those of ArcFace's "
            "nets have licences of their own); give a file of yours, such as insightface's "
            "backbone.pth, with --weights, or set pretrained: false"
        )
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(imagenet_url(name)).name


def _named(name: str, given: Path) -> bool:
    """Return whether a file, or one in a folder, is given for this net."""
    return not given.is_dir() or any(_is_of(name, file) for file in given.iterdir())


def _is_of(name: str, file: Path) -> bool:
    """Return whether a file's name is torchvision's for this net, or begins with the net's name.

    The longest name counts: vgg16_bn.pth is not of vgg16.
    """
    kind = kind_of(name)
    hub = kind.package is None and not isinstance(kind, Embedder)
    if hub and file.name == Path(imagenet_url(name)).name:
        return True
    nets = [net for net in SETTINGS["net"].choices if file.name.startswith(net)]
    return file.suffix in _SUFFIXES and bool(nets) and max(nets, key=len) == name


def _packaged_weights(name: str, package: str) -> Path:
    """Return the file of weights in a package, which is not imported."""
    spec = find_spec(package)
    folders = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    files = [file for folder in folders for file in sorted(folder.glob("models/*.pth"))]
    if not files:
        raise WeightsError(
            f"pretrained: true needs the ImageNet weights of {name}, which the extra `lite` has: "
            "pip install 'siamsearch[lite]'; or give their file with --weights"
        )
    return files[0]


def _given_weights(name: str, given: Path) -> Path:
    if given.is_file():
        return given
    if not given.is_dir():
        raise WeightsError(f"--weights {given}: no such file or folder")
    files = sorted(file for file in given.iterdir() if _is_of(name, file))
    if not files and isinstance(kind_of(name), Embedder):  # as insightface's training names it
        files = sorted(file for file in given.iterdir() if file.name == "backbone.pth")
    if not files:
        names = ", ".join(sorted(p.name for p in given.iterdir())[:5]) or "nothing"
        raise WeightsError(f"--weights {given}: no file named {name}*.pth in it; it holds {names}")
    return files[0]


_SUFFIXES = (".pth", ".pt", ".safetensors")


def imagenet_url(name: str) -> str:
    """Return the URL of torchvision's ImageNet weights of a net, its first for 224 pixels."""
    import torchvision

    weights = torchvision.models.get_model_weights(name)
    for version in ("IMAGENET1K_V1", "IMAGENET1K_SWAG_LINEAR_V1"):
        if version in weights.__members__:
            return str(weights[version].url)
    raise WeightsError(f"pretrained: true: torchvision has no ImageNet weights of {name}")


def _download(name: str, path: Path) -> None:
    url = imagenet_url(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = path.stem.rsplit("-", 1)[1]  # torchvision puts the hash's first digits into the name
    try:
        # Not get_state_dict: it would unpickle the download before read_weights can refuse code.
        torch.hub.download_url_to_file(url, str(path), prefix, progress=True)
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise WeightsError(
            f"pretrained: true needs the ImageNet weights of {name}, and downloading them failed "
            f"({first_line(error)}). Download {url} on a machine that can, and give the file "
            "or its folder with --weights; or set pretrained: false."
        ) from None
