"""Augmentation of whole batches: images and random numbers in, images of the same shape out.

Images are (B, 3, H, W) float in [0, 1], the random numbers uniform in [0, 1) and on the same
device: (B, 3) for the augmentation of the 2019 study, (B, DRAWS) for that of the settings. Flip
and movement are one affine resampling, bilinear, black outside.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from facesiam.config import TrialConfig

MAX_ANGLE_DEGREES = 20.0
MAX_SHIFT = 0.125  # of a side


def resample(
    images: Tensor, flip: Tensor, angle: Tensor, shift: Tensor, zoom: Tensor | None = None
) -> Tensor:
    """Turn, move, zoom and mirror each image by its own parameters in one bilinear resampling.

    Args:
        images: (B, 3, H, W) float, square.
        flip: (B,) bool, mirror left and right first.
        angle: (B,) counter-clockwise, in radians.
        shift: (B, 2) to the right and down, as shares of a side.
        zoom: (B,) factor by which the content is enlarged; None: 1.
    """
    cos, sin = torch.cos(angle), torch.sin(angle)
    if zoom is not None:
        cos, sin = cos / zoom, sin / zoom
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


DRAWS = 12
"""Number of random numbers an image that ``varied`` takes."""
SETTINGS = ("flip", "rotate", "shift", "crop", "colour", "erase")
"""The settings that use it."""
GREY = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in brightness (ITU-R BT.601)."""
ERASED = (0.02, 0.2)
"""Least and most that ``erase`` takes, as a share of the image; its sides are up to 1 : 2."""


def draws_of(config: TrialConfig) -> int:
    """Return how many random numbers an image takes in training: 0, 3 or DRAWS."""
    if any(getattr(config, name) for name in SETTINGS) or (config.augment and config.align):
        return DRAWS  # aligned profiles are not mirrored, which the 2019 study's does
    return 3 if config.augment else 0


def augmented(images: Tensor, draws: Tensor, turnable: Tensor, config: TrialConfig) -> Tensor:
    """Return images augmented by their random numbers: as ``varied``, or as the 2019 study did."""
    if draws.shape[1] == 3:
        return AUGMENTS[config.protocol](images, draws)
    return varied(images, draws, turnable, config)


def varied(images: Tensor, draws: Tensor, turnable: Tensor, config: TrialConfig) -> Tensor:
    """Return images changed by the settings; ``augment: true`` adds what the 2019 study did.

    Args:
        images: (B, 3, H, W) float in [0, 1], square.
        draws: (B, DRAWS).
        turnable: (B,) bool, whether the image may be mirrored.
        config: the SETTINGS, `augment` and `protocol`.
    """
    turn, move, mirror = config.rotate, config.shift, config.flip or config.augment
    if config.augment and AUGMENTS[config.protocol] is flip_rotate:
        turn = max(turn, MAX_ANGLE_DEGREES)
    elif config.augment:
        move = max(move, MAX_SHIFT)
    if mirror or turn or move or config.crop:
        either = 2 * draws - 1
        images = resample(
            images,
            (draws[:, 0] < 0.5) & turnable & mirror,
            either[:, 1] * math.radians(turn),
            either[:, 2:4] * move,
            (1 - config.crop) ** either[:, 4],
        )
    if config.colour:
        images = _coloured(images, draws[:, 5:8], config.colour)
    if config.erase:
        images = _erased(images, draws[:, 8:12], config.erase)
    return images


def _coloured(images: Tensor, draws: Tensor, most: float) -> Tensor:
    """Change brightness, contrast and saturation of each image, each by a factor of 1 ± most."""
    brightness, contrast, saturation = (
        factor[:, None, None, None] for factor in (1 + (2 * draws - 1) * most).unbind(1)
    )
    # Plain numbers: a tensor made here would be copied to the GPU within a recorded step.
    red, green, blue = images.unbind(1)
    grey = (GREY[0] * red + GREY[1] * green + GREY[2] * blue)[:, None]
    images = grey + (images - grey) * saturation
    middle = grey.mean((2, 3), keepdim=True)
    return ((middle + (images - middle) * contrast) * brightness).clamp(0, 1)


def _erased(images: Tensor, draws: Tensor, chance: float) -> Tensor:
    """Fill a rectangle of some images with their mean colour.

    Source: Z. Zhong et al., "Random erasing data augmentation", AAAI 2020.
    """
    side = images.shape[-1]
    # One number decides whether, and again, stretched to [0, 1), how much.
    chosen, amount = draws[:, 0] < chance, draws[:, 0] / chance
    area = ERASED[0] + (ERASED[1] - ERASED[0]) * amount
    aspect = 2.0 ** (2 * draws[:, 3] - 1)
    high, wide = (area * aspect).sqrt(), (area / aspect).sqrt()
    top, left = draws[:, 1] * (1 - high), draws[:, 2] * (1 - wide)
    at = (torch.arange(side, device=images.device) + 0.5) / side  # centres of the pixels
    rows = (at >= top[:, None]) & (at < (top + high)[:, None])
    columns = (at >= left[:, None]) & (at < (left + wide)[:, None])
    where = (rows[:, :, None] & columns[:, None, :] & chosen[:, None, None])[:, None]
    return torch.where(where, images.mean((2, 3), keepdim=True), images)


AUGMENTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cfp-pairs": flip_rotate,
    "dataset-pairs": flip_rotate,
    "frontal-triplets": flip_shift,
}
"""What `augment: true` means under each protocol."""
