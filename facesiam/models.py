"""The Siamese nets: a trunk that both images share, a join, a head of two logits.

The first logit is "same person". A new join is a line in JOINS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesiam.config import TrialConfig
from facesiam.trunks import MODELS, make_trunk
from facesiam.weights import load_trunk

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
