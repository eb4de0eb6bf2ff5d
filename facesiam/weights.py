"""Pretrained weights: given or downloaded, checked to fit, and read without running code."""

from __future__ import annotations

import pickle
import re
import urllib.error
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from facesiam.trunks import MODELS, make_trunk


class WeightsError(ValueError):
    """Pretrained weights that cannot be had or do not fit; the text says what to do."""


def load_trunk(trunk: nn.Module, name: str, path: Path) -> None:
    """Load the ``features.*`` weights of a torchvision `name` classifier from `path`."""
    state = read_weights(path)
    if not isinstance(state, dict):
        raise WeightsError(f"{path}: holds {type(state).__name__}, not a state dict")
    found = {key: value for key, value in state.items() if key.startswith("features.")}
    wanted = {f"features.{key}": value for key, value in trunk.state_dict().items()}
    # Files saved before torch 1.0 lack the batch-norm counters, which nothing here reads.
    missing = {key for key in wanted.keys() - found.keys() if "num_batches_tracked" not in key}
    differ = sorted(
        missing | (found.keys() - wanted.keys())
        | {key for key in wanted.keys() & found.keys() if wanted[key].shape != found[key].shape}
    )
    if differ:
        shown = ", ".join(differ[:6]) + (f" and {len(differ) - 6} more" if len(differ) > 6 else "")
        raise WeightsError(f"{path}: not the weights of {name}; these keys differ: {shown}")
    trunk.load_state_dict(
        {key.removeprefix("features."): value for key, value in found.items()}, strict=False
    )


def read_weights(path: Path) -> Any:
    """Read tensors and plain values from a torch file, never code.

    Raises:
        WeightsError: no such file, not a torch file, or one that would run code when read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch remarks on pickles that are refused anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such weights file") from None
    except pickle.UnpicklingError as error:
        refused = re.search("unsupported|global|not allowed", str(error), re.IGNORECASE)
        if refused and _is_pickled(path):
            raise WeightsError(
                f"{path}: refused, it holds code or objects besides tensors; save a plain "
                "state_dict"
            ) from None
        raise WeightsError(f"{path}: not a torch weights file") from None
    except Exception as error:  # what a broken file makes the unpickler raise is not bounded
        if path.is_file() and not _is_pickled(path):
            raise WeightsError(f"{path}: not a torch weights file") from None
        raise WeightsError(f"{path}: cannot be read as torch weights ({_first(error)})") from None


def _is_pickled(path: Path) -> bool:
    """Say whether a file begins as torch's zip or as a bare pickle, and not, say, as a text."""
    with path.open("rb") as file:
        return file.read(2).startswith((b"PK", pickle.PROTO))


def find_weights(name: str, given: str | None) -> Path:
    """Return the file with the ImageNet weights of net `name`, checked to fit it.

    Looks at `given` (a file, or a folder with a file named ``<name>*.pth`` or ``.pt``); without
    it asks torchvision, which uses its cache or downloads and verifies the hash.

    Raises:
        WeightsError: they cannot be had or do not fit; says what to do.
    """
    path = _given_weights(name, Path(given)) if given else _torchvision_weights(name)
    load_trunk(make_trunk(name), name, path)
    return path.resolve()


def _given_weights(name: str, given: Path) -> Path:
    if given.is_file():
        return given
    if not given.is_dir():
        raise WeightsError(f"--weights {given}: no such file or folder")
    files = sorted(p for p in given.iterdir() if p.name.startswith(name) and p.suffix in _SUFFIXES)
    if not files:
        names = ", ".join(sorted(p.name for p in given.iterdir())[:5]) or "nothing"
        raise WeightsError(f"--weights {given}: no file named {name}*.pth in it; it holds {names}")
    return files[0]


_SUFFIXES = (".pth", ".pt")


def _torchvision_weights(name: str) -> Path:
    weights = MODELS[name].weights
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = path.stem.rsplit("-", 1)[1]  # torchvision puts the hash's first digits into the name
    try:
        # Not get_state_dict: it would unpickle the download before read_weights can refuse code.
        torch.hub.download_url_to_file(weights.url, str(path), prefix, progress=True)
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise WeightsError(
            f"pretrained: true needs the ImageNet weights of {name}, and downloading them failed "
            f"({_first(error)}). Download {weights.url} on a machine that can, and give the file "
            "or its folder with --weights; or set pretrained: false."
        ) from None
    return path


def _first(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
