"""Geometries: how a decoded image comes to a square, as it is packed."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from facesiam.config.trial import Geometry
from facesiam.data import images


def decode(content: bytes, side: int) -> Image.Image:
    """Decode an image file to RGB as a viewer shows it; see ``images.read``.

    Args:
        content: the file.
        side: of the square that it will come to, in pixels.

    Raises:
        ValueError: not an image that can be read; says why.
    """
    # never below twice the target, so that the resize still averages
    return images.read(content, 2 * side).image


def squeeze(image: Image.Image, side: int) -> Image.Image:
    """Resize to a square whatever the aspect ratio; bilinear, averaging where it shrinks."""
    return image.resize((side, side), Image.Resampling.BILINEAR)


def letterbox(image: Image.Image, side: int) -> Image.Image:
    """Resize the long side to a square's and centre the image on black; bilinear, averaging."""
    scale = side / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    canvas = Image.new("RGB", (side, side))
    small = image.resize((width, height), Image.Resampling.BILINEAR)
    canvas.paste(small, ((side - width) // 2, (side - height) // 2))
    return canvas


GEOMETRIES: dict[Geometry, Callable[[Image.Image, int], Image.Image]] = {
    "squeeze": squeeze,
    "letterbox": letterbox,
}
"""The geometries that need nothing but the image; `aligned` needs landmarks."""
