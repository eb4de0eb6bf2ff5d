"""The Siamese nets: a trunk that both images share, a join, a head of two logits.

The first logit is "same person". A new trunk is a line in MODELS, a new join a line in JOINS.
"""

from __future__ import annotations

import pickle
import re
import urllib.error
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import torchvision.models as tv
from torch import Tensor, nn

from facesiam.config import TrialConfig


class WeightsError(ValueError):
    """Pretrained weights that cannot be had or do not fit; the text says what to do."""


def _kaiming_uniform(conv: nn.Conv2d) -> None:
    conv.reset_parameters()


def _kaiming_normal(conv: nn.Conv2d) -> None:
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Trunk:
    """A torchvision classifier whose convolutions are used."""

    make: Callable[[], nn.Module]
    fill: Callable[[nn.Conv2d], None]
    """Draws a convolution's first weights as torchvision does."""
    weights: Any
    """Member of torchvision's weights enum."""
    shape: tuple[int, int, int]
    """Features of one 224×224 image, (C, H, W)."""
    frozen_convs: int
    """How many convolutions `freeze: true` freezes."""


MODELS: dict[str, Trunk] = {
    "alexnet": Trunk(
        tv.alexnet, _kaiming_uniform, tv.AlexNet_Weights.IMAGENET1K_V1, (256, 6, 6), 3
    ),
    "vgg16_bn": Trunk(
        tv.vgg16_bn, _kaiming_normal, tv.VGG16_BN_Weights.IMAGENET1K_V1, (512, 7, 7), 7
    ),
}

JOINS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "concat": lambda left, right: torch.cat([left, right], 1),
    "difference": lambda left, right: (left - right).abs(),
    "linear": lambda left, right: torch.cat([left, right], 1),
}
"""Two (P, F) feature batches → (P, 2F) or (P, F)."""


class SiameseNet(nn.Module):
    """Trunk, join and head as `config` says, with fresh weights from torch's global generator."""

    def __init__(self, config: TrialConfig) -> None:
        super().__init__()
        trunk = MODELS[config.net]
        channels, height, width = trunk.shape
        features, hidden = channels * height * width, config.hidden
        self.trunk = make_trunk(config.net)
        # Smaller images give fewer positions; averaging onto the usual grid keeps one head size.
        self.grid = (height, width)
        self.reduce = nn.Linear(features, hidden) if config.join == "linear" else nn.Identity()
        self.join = JOINS[config.join]
        embedded = hidden if config.join == "linear" else features
        joined = embedded if config.join == "difference" else 2 * embedded
        depth = 1 if config.join == "linear" else 2
        self.head = _head(joined, hidden, depth, config.dropout)
        self.freeze_batchnorm = config.freeze_batchnorm
        self.frozen = _first_layers(self.trunk, trunk.frozen_convs) if config.freeze else []
        for layer in self.frozen:
            layer.requires_grad_(False)

    def embed(self, images: Tensor) -> Tensor:
        """Return the features of images: (B, 3, S, S) in [0, 1] → (B, F)."""
        maps = self.trunk(images)
        if maps.shape[2:] != self.grid:
            maps = F.adaptive_avg_pool2d(maps, self.grid)
        return self.reduce(maps.flatten(1))  # type: ignore[no-any-return]

    def judge(self, left: Tensor, right: Tensor) -> Tensor:
        """Return logits (P, 2) for two (P, F) feature batches; the first is "same person"."""
        return self.head(self.join(left, right))  # type: ignore[no-any-return]

    def train(self, mode: bool = True) -> SiameseNet:
        """Switch to training, but leave batch-norm that is frozen on its running statistics."""
        super().train(mode)
        fixed = self.trunk.modules() if self.freeze_batchnorm else self.frozen
        for layer in fixed:
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
        return self


class BlockConv2d(nn.Conv2d):
    """A strided convolution of few channels, computed over blocks of stride × stride pixels.

    The same sums as nn.Conv2d's, with its parameters: 11×11 over 3 channels at stride 4 becomes
    3×3 over 48 channels at stride 1, the kernel filled up with zeros to whole blocks. Matrix
    units get full tiles that way, where 3 channels leave most of them idle (AlexNet's first
    layer, forward and backward, on AMX: 20 ms and 11 ms).
    """

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (B, C, H, W) → (B, O, H', W') as nn.Conv2d does."""
        block, (height, width) = int(self.stride[0]), input.shape[2:]
        pad, kernel = int(self.padding[0]), self.kernel_size[0]
        reach = -(-kernel // block)  # blocks a side that the kernel touches
        high, wide = ((side + 2 * pad - kernel) // block + reach for side in (height, width))
        # A negative pad cuts off pixels that no kernel reaches.
        edges = (pad, wide * block - width - pad, pad, high * block - height - pad)
        images = F.pad(input, edges).permute(0, 2, 3, 1)  # (B, high·block, wide·block, C)
        images = images.reshape(len(input), high, block, wide, block * input.shape[1])
        images = images.transpose(2, 3).flatten(3).permute(0, 3, 1, 2)
        more = reach * block - kernel
        weight = F.pad(self.weight, (0, more, 0, more))
        weight = weight.reshape(*weight.shape[:2], reach, block, reach, block)
        weight = weight.permute(0, 3, 5, 1, 2, 4).flatten(1, 3)  # (O, block·block·C, reach, reach)
        weight = weight.contiguous(memory_format=torch.channels_last)
        return F.conv2d(images, weight, self.bias)


def make_trunk(name: str) -> nn.Sequential:
    """Return the convolutions of net `name` with fresh weights, arranged to compute fast.

    The values are those of torchvision's ``features``, and so are the names of the parameters.
    """
    trunk = MODELS[name]
    with torch.device("meta"):  # the classifier, most of the weights, is never made
        layers = list(trunk.make().features.children())  # type: ignore[union-attr]
    for at in range(len(layers) - 1):
        # Pooling commutes with a ReLU, values and gradients, and leaves it a quarter of the work;
        # but what the last one puts out is a vital sign.
        more = any(isinstance(layer, nn.ReLU) for layer in layers[at + 1 :])
        if isinstance(layers[at], nn.ReLU) and isinstance(layers[at + 1], nn.MaxPool2d) and more:
            layers[at], layers[at + 1] = layers[at + 1], layers[at]
    layers[0] = _in_blocks(layers[0])
    made = nn.Sequential(*layers).to_empty(device="cpu")
    for layer in made:
        if isinstance(layer, nn.Conv2d):
            trunk.fill(layer)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
    return made


def _in_blocks(conv: nn.Conv2d) -> nn.Conv2d:
    if conv.stride[0] == 1:
        return conv
    with torch.device("meta"):
        return BlockConv2d(
            conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
        )


def build(config: TrialConfig, weights: Mapping[str, str] | None = None) -> SiameseNet:
    """Build the net of `config`, seeded by `config.seed`; pretrained trunks are loaded.

    Args:
        config: the trial's settings.
        weights: file per net name, as ``find_weights`` returned it; needed where pretrained.

    Raises:
        WeightsError: the file is missing, is no weights file, or belongs to another net.
    """
    with torch.random.fork_rng(devices=[]):  # built on the CPU
        torch.manual_seed(config.seed)
        net = SiameseNet(config)
    if config.pretrained:
        load_trunk(net.trunk, config.net, Path((weights or {}).get(config.net, "")))
    return net


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


def _head(width: int, hidden: int, depth: int, dropout: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, hidden), nn.ReLU(inplace=True)]
        layers += [nn.Dropout(0.5)] if dropout else []
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, 2))


def _first_layers(trunk: nn.Sequential, convs: int) -> list[nn.Module]:
    """Return the trunk's layers up to its n-th convolution and the batch-norm that follows it."""
    chosen: list[nn.Module] = []
    for layer in trunk:
        if isinstance(layer, nn.Conv2d):
            convs -= 1
        if convs < 0:
            break
        chosen.append(layer)
    return chosen


def _first(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
