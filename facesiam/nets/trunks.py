"""The trunks: torchvision's classifiers and EfficientNet-lite without their last layer, IResNet.

Of AlexNet and VGG-16, the nets of the 2019 study, the convolutions alone are used, arranged to
compute fast; of the other classifiers the whole net but its last layer, which gives one vector an
image; of nets that give embeddings, IResNet, all of it.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor, nn

from facesiam.config.constraints import own_stochastic_depth
from facesiam.nets.convolutions import in_blocks
from facesiam.nets.models import (
    MODELS,
    Convolutions,
    Embedder,
    PluginNet,
    Trunk,
    check_package,
    kind_of,
    replace_layer,
)
from facesiam.plugins import registry

SIDE, SMALLEST = 224, 64
"""Pixels a side of the largest and of the smallest images."""


def check_net(name: str) -> None:
    """Refuse a net whose package is not installed, or that a plugin makes and that gives nothing.

    Raises:
        NetError: says what to install.
        PluginError: says what is wrong, with file and line.
    """
    if name not in MODELS:
        features_of(name)
    check_package(name)


class Pooled(nn.Module):
    """A whole net, without its last layer where that gives classes: (B, 3, S, S) → (B, F).

    The dropout before that layer is removed as well; the setting `dropout` is of the head's own.
    Nets with layer normalisation compute bf16 under autocast: its parameters meet values of both
    dtypes, which those of batch-norm do not.

    Args:
        net: the net.
        classes: whether its last layer gives classes.
        mixed: whether it computes under autocast, whatever its layers are.
    """

    def __init__(self, net: nn.Module, classes: bool = True, mixed: bool = False) -> None:
        super().__init__()
        self.net = net
        if classes:
            replace_layer(net, _last_layer(net), nn.Identity())
        for layer in net.modules() if classes else ():
            if isinstance(layer, nn.modules.dropout._DropoutNd):
                layer.p = 0.0
        mixing = (nn.LayerNorm, nn.MultiheadAttention)
        self.mixed = mixed or any(isinstance(layer, mixing) for layer in net.modules())
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
        PluginError: the plugin that it comes from was not loaded.
    """
    trunk = kind_of(name)
    if not isinstance(trunk, Convolutions):
        return _pooled(trunk, trunk.make())
    with torch.device("meta"):  # their weights are drawn below
        layers = trunk.layers()
    for at in range(len(layers) - 1):
        # Pooling commutes with a ReLU, values and gradients, and leaves it a quarter of the work;
        # but what the last one puts out is a vital sign.
        more = any(isinstance(layer, nn.ReLU) for layer in layers[at + 1 :])
        if isinstance(layers[at], nn.ReLU) and isinstance(layers[at + 1], nn.MaxPool2d) and more:
            layers[at], layers[at + 1] = layers[at + 1], layers[at]
    layers[0] = in_blocks(layers[0])  # type: ignore[arg-type]  # a convolution
    made = nn.Sequential(*layers)
    # As ``to_empty``, which brings sympy: half a second of each worker.
    made._apply(lambda value: torch.empty(value.shape, dtype=value.dtype))  # type: ignore[no-untyped-call]
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
    own = own_stochastic_depth(name)
    if not own:
        return
    from torchvision.ops import StochasticDepth  # takes long to import, see models.py

    for layer in trunk.modules():
        lite: Any = getattr(layer, "_global_params", None)
        if isinstance(layer, StochasticDepth):
            layer.p *= rate / own
        elif lite is not None:  # EfficientNet-lite, which gives its blocks their shares of it
            layer._global_params = lite._replace(drop_connect_rate=rate)


def features_of(name: str) -> int:
    """Return F, the number of features of one 224×224 image.

    Raises:
        PluginError: as ``kind_of``, or the plugin's net gives no features.
    """
    return _features_of(kind_of(name))


@functools.cache
def _features_of(trunk: Trunk) -> int:
    if isinstance(trunk, Convolutions):
        return math.prod(trunk.shape)
    if isinstance(trunk, PluginNet):
        return _features_of_plugin(trunk)
    with torch.no_grad():
        images = torch.empty(1, 3, SIDE, SIDE, device="meta")
        return int(_pooled(trunk, _without_values(trunk)).eval()(images).shape[1])


def _features_of_plugin(trunk: PluginNet) -> int:
    """Return the same, once the net has given as many of small and of large images."""
    with registry.blamed(trunk.part), torch.random.fork_rng(devices=[]), torch.no_grad():
        net = trunk.make()
        if not isinstance(net, nn.Module):
            raise TypeError(f"must make an nn.Module, got {type(net).__name__}")
        pooled = _pooled(trunk, net).eval().to(memory_format=torch.channels_last)
        found: dict[int, tuple[int, ...]] = {}
        for side in (SMALLEST, SIDE):
            images = torch.zeros(2, 3, side, side).to(memory_format=torch.channels_last)
            found[side] = tuple(pooled(images).shape)
        few, many = found.values()
        if few != many or len(few) != 2 or few[0] != 2:
            raise ValueError(
                f"must give as many features an image of any size, and gives {few} of two images "
                f"of {SMALLEST} pixels, {many} of {SIDE}; end with nn.AdaptiveAvgPool2d(1), say"
            )
        return few[1]


def stages_of(net: str) -> dict[str, int]:
    """Return the stage of each layer with parameters, by its name in the trunk.

    Stage n works at a resolution of 224 / 2^n: stage 1 at 112 pixels a side, stage 5 at 7. Layers
    on pooled values within a block (squeeze and excitation) and on sequences (attention) belong to
    the stage of the layer before them.
    """
    return _stages_of(kind_of(net))


@functools.cache
def _stages_of(kind: Trunk) -> dict[str, int]:
    found: dict[str, int] = {}
    stage = 0

    def note(name: str, output: Any) -> None:
        nonlocal stage
        # Two images go in: what has another length, tables of positions, tells of no resolution.
        image = isinstance(output, Tensor) and output.ndim == 4 and len(output) == 2
        if image and output.shape[2] > 1:
            stage = max(stage, round(math.log2(SIDE / output.shape[2])))
        found.setdefault(name, stage)

    trunk = _trunk_without_values(kind)
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
    return _trunk_without_values(kind_of(net))


def _trunk_without_values(kind: Trunk) -> nn.Module:
    made: Any = _without_values(kind)
    return nn.Sequential(*made.features) if isinstance(kind, Convolutions) else _pooled(kind, made)


def _pooled(trunk: Trunk, net: nn.Module) -> Pooled:
    classes, mixed = not isinstance(trunk, Embedder), isinstance(trunk, PluginNet)
    return Pooled(net, classes, mixed)


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


@functools.cache
def last_layer(trunk: Trunk) -> str:
    """Return the name of the classifier's layer that gives the classes."""
    return _last_layer(_without_values(trunk))


def _last_layer(net: nn.Module) -> str:
    """Return the name of the last linear layer, or of the last convolution without any."""
    layers = dict(net.named_modules())
    linear = [str(name) for name, layer in layers.items() if isinstance(layer, nn.Linear)]
    convs = [str(name) for name, layer in layers.items() if isinstance(layer, nn.Conv2d)]
    return (linear or convs)[-1]
