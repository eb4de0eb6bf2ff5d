"""Progressive image sizes: the side of the training images of each epoch.

They grow evenly from `first_image_size` over the share `growing` of the epochs, in steps of STEP
pixels, and stay at `image_size` then. Source: J. Howard's training of 128, 224 and 288 pixels for
DAWNBench, 2018, and M. Tan, Q. V. Le, "EfficientNetV2", ICML 2021, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping

from facesiam.config.settings import Value

STEP = 16
"""Pixels: the sizes between the first and the last are multiples of it, rounded down."""


def side_of(settings: Mapping[str, Value], epoch: int) -> int:
    """Return the side of the training images of an epoch, from 0, in pixels."""
    first, last = int(settings["first_image_size"]), int(settings["image_size"])
    grows = float(settings["growing"]) * int(settings["epochs"])
    if not first or epoch >= grows:
        return last
    side = first + (last - first) * epoch / grows
    return max(first, int(side // STEP) * STEP)


def mean_share(settings: Mapping[str, Value]) -> float:
    """Return the pixels of an average epoch's images as a share of those of `image_size`."""
    epochs = int(settings["epochs"])
    if not settings["first_image_size"]:
        return 1.0
    return sum(share_of(settings, epoch) for epoch in range(epochs)) / epochs


def share_of(settings: Mapping[str, Value], epoch: int) -> float:
    """Return the pixels of an epoch's images as a share of those of `image_size`."""
    return (side_of(settings, epoch) / int(settings["image_size"])) ** 2
