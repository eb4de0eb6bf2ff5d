"""Images that are given one by one, brought to the square that a net's images were packed as."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from facesiam import files
from facesiam.config.trial import Packing
from facesiam.data import alignment, images, packing
from facesiam.data.geometry import GEOMETRIES, decode
from facesiam.data.text_files import text_of
from facesiam.data.zip_members import MAX_MEMBER
from facesiam.errors import DataError, FileError

_SHOWN = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK")
"""Pillow's modes of 8 bits a colour."""


def of_file(path: Path, to: Packing) -> Image.Image:
    """Bring an image file to the square of a packing, as ``packing.pack`` does.

    Raises:
        FileError: it cannot be read.
        DataError: it is no image, or faces are to be aligned and it has no landmarks.
    """
    geometry, side = to
    content = files.read_bytes(path, MAX_MEMBER)
    try:
        image = decode(content, side)
    except ValueError as error:
        raise DataError(f"{path}: not an image that can be read ({error})") from None
    if geometry != "aligned":
        return GEOMETRIES[geometry](image, side)
    file = path.with_suffix(".txt")
    try:
        text = text_of(files.read_bytes(file, MAX_MEMBER))
    except FileError as error:
        raise DataError(
            f"{error}; the net was trained on aligned faces, so it needs the image's 30 "
            "landmarks, as CFP has them, in a .txt beside it"
        ) from None
    landmarks = alignment.parse(text, str(file))
    frontal = alignment.is_frontal(landmarks)
    return packing.align_decoded(image, content, landmarks, frontal, side)


def of_image(image: Image.Image, to: Packing, name: str = "the image") -> Image.Image:
    """Bring a decoded image to the square of a packing: upright by its EXIF, in RGB, on white.

    Args:
        image: of 8 bits a colour.
        to: the geometry and the side.
        name: of the image, in an error.

    Raises:
        DataError: it has other pixels, or faces are to be aligned, which takes files.
    """
    geometry, side = to
    if geometry == "aligned":
        raise DataError(
            f"{name}: the net was trained on aligned faces; give the path of a file with its "
            "landmarks in a .txt beside it"
        )
    if image.mode not in _SHOWN:
        raise DataError(
            f"{name}: has pixels of the kind {image.mode}; give its file, or 8 bits a colour"
        )
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        seen = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", seen.size, images.WHITE), seen)
    return GEOMETRIES[geometry](upright.convert("RGB"), side)


def of_array(pixels: NDArray[np.uint8], to: Packing, name: str = "the array") -> Image.Image:
    """Bring an array (H, W, 3) uint8 RGB to the square of a packing, as ``of_image``.

    Raises:
        DataError: it has another shape or type, or as ``of_image``.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise DataError(
            f"{name}: has shape {tuple(pixels.shape)} and type {pixels.dtype}; an image is "
            "(H, W, 3) uint8 in RGB"
        )
    return of_image(Image.fromarray(np.ascontiguousarray(pixels)), to, name)
