"""IResNet, ArcFace's residual nets: faces of 112×112 pixels to embeddings of 512 numbers.

Source: J. Deng et al., "ArcFace: additive angular margin loss for deep face recognition", CVPR
2019, section 3.2; the block is that of D. Han et al., "Deep pyramidal residual networks", CVPR
2017. Parameters have the names and shapes of insightface's arcface_torch, whose ``backbone.pth``
is loaded as it is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCKS = {
    "iresnet18": (2, 2, 2, 2),
    "iresnet34": (3, 4, 6, 3),
    "iresnet50": (3, 4, 14, 3),
    "iresnet100": (3, 13, 30, 3),
}
"""Residual blocks of each of the four stages."""
WIDTHS = (64, 128, 256, 512)
"""Channels of each stage."""
GRID = (7, 7)
"""Positions of the last map that the linear layer takes: those of a 112×112 image."""
EMBEDDING = 512


class IBasicBlock(nn.Module):
    """Batch-norm, 3×3, batch-norm, PReLU, 3×3 with the stride, batch-norm; plus the shortcut."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = _conv(channels, width, 3, 1)
        self.bn2 = nn.BatchNorm2d(width)
        self.prelu = nn.PReLU(width)
        self.conv2 = _conv(width, width, 3, stride)
        self.bn3 = nn.BatchNorm2d(width)
        self.downsample: nn.Module | None = None
        if stride > 1 or channels != width:
            self.downsample = nn.Sequential(
                _conv(channels, width, 1, stride), nn.BatchNorm2d(width)
            )

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, C, H, W) → (B, width, H / stride, W / stride)."""
        shortcut = images if self.downsample is None else self.downsample(images)
        inner = self.prelu(self.bn2(self.conv1(self.bn1(images))))
        out: Tensor = self.bn3(self.conv2(inner)) + shortcut
        return out


class IResNet(nn.Module):
    """A stem at full resolution, four stages that halve it, a linear layer and batch-norm.

    Args:
        blocks: of each stage.
    """

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(self, blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.conv1 = _conv(3, WIDTHS[0], 3, 1)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.prelu = nn.PReLU(WIDTHS[0])
        channels = WIDTHS[0]
        for number, (width, count) in enumerate(zip(WIDTHS, blocks, strict=True), 1):
            first = IBasicBlock(channels, width, 2)
            rest = (IBasicBlock(width, width, 1) for _ in range(count - 1))
            self.add_module(f"layer{number}", nn.Sequential(first, *rest))
            channels = width
        self.bn2 = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels * GRID[0] * GRID[1], EMBEDDING)
        self.features = nn.BatchNorm1d(EMBEDDING)
        self.features.weight.requires_grad_(False)  # lengths mean nothing: it stays 1
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the embeddings (B, 512) of (B, 3, S, S) images, in [-1, 1] as they were trained.

        Of other sizes than 112 the last map is averaged onto its grid, or repeated.
        """
        maps = self.prelu(self.bn1(self.conv1(images)))
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        maps = self.bn2(maps)
        if maps.shape[2:] != torch.Size(GRID):
            maps = F.adaptive_avg_pool2d(maps, GRID)
        embeddings: Tensor = self.features(self.fc(maps.flatten(1)))
        return embeddings


def _conv(channels: int, width: int, kernel: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=False)
