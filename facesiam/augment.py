"""Augmentation of whole batches: images and random numbers in, images of the same shape out.

Images are (B, 3, H, W) float in [0, 1], the random numbers (B, 3), uniform in [0, 1) and on the
same device. Each image has its own flip and its own angle or shift; flip and movement are one
affine resampling, bilinear, black outside.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_ANGLE_DEGREES = 20.0
MAX_SHIFT = 0.125  # of a side


def resample(images: Tensor, flip: Tensor, angle: Tensor, shift: Tensor) -> Tensor:
    """Turn, move and mirror each image by its own parameters in one bilinear resampling.

    Args:
        images: (B, 3, H, W) float, square.
        flip: (B,) bool, mirror left and right first.
        angle: (B,) counter-clockwise, in radians.
        shift: (B, 2) to the right and down, as shares of a side.
    """
    cos, sin = torch.cos(angle), torch.sin(angle)
    mirror = torch.where(flip, -1.0, 1.0)
    # affine_grid maps an output position to the input position it is read from, in units of half
    # a side: the inverse of the movement, and the mirror last, as the image was mirrored first.
    x, y = -2 * shift[:, 0], -2 * shift[:, 1]
    across = torch.stack([mirror * cos, -mirror * sin, mirror * (cos * x - sin * y)], 1)
    down = torch.stack([sin, cos, sin * x + cos * y], 1)
    theta = torch.stack([across, down], 1)  # (B, 2, 3)
    grid = F.affine_grid(theta.to(images), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def flip_rotate(images: Tensor, draws: Tensor) -> Tensor:
    """Mirror half of the images and turn each by up to ±20°."""
    angle = (2 * draws[:, 1] - 1) * math.radians(MAX_ANGLE_DEGREES)
    return resample(images, draws[:, 0] < 0.5, angle, torch.zeros_like(draws[:, 1:]))


def flip_shift(images: Tensor, draws: Tensor) -> Tensor:
    """Mirror half of the images and shift each by up to ±12.5 % of each side."""
    shift = (2 * draws[:, 1:] - 1) * MAX_SHIFT
    return resample(images, draws[:, 0] < 0.5, torch.zeros_like(draws[:, 0]), shift)


AUGMENTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cfp-pairs": flip_rotate,
    "frontal-triplets": flip_shift,
}
"""What `augment: true` means under each protocol."""
