"""The trunks: torchvision's convolutions, arranged to compute fast.

A new one is a line in MODELS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
import torchvision.models as tv
from torch import Tensor, nn


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
