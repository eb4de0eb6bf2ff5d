"""The decoder of image files: an image as a viewer shows it.

The image is upright by its EXIF orientation, in 8 bits a colour, and on white where it is
transparent. A file that cannot be shown so, or is not whole, is refused. Colour profiles are not
applied.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from facesiam.data import jpeg
from facesiam.data.file_kinds import kind_of

# Of a damaged EXIF or a huge picture; what matters of it is said by an error. For the process, as
# the images are read by threads.
warnings.filterwarnings("ignore", module=r"PIL\.")

MAX_PIXELS = 50_000_000
"""Largest image that is decoded. The largest of CFP has 5.4 million pixels."""
FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
WHITE = (255, 255, 255, 255)
"""What is behind transparent pixels, as in most viewers."""
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings an image of this EXIF orientation upright; Pillow turns anticlockwise."""
_GREY = {"1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "I;16N"}
_DEEP = _GREY - {"1", "L", "LA"}
_CANNOT = (
    OSError,
    SyntaxError,
    ValueError,
    Warning,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""Errors that Pillow's readers raise for a damaged file."""


@dataclass(frozen=True)
class Picture:
    """A decoded image and what its file said of it."""

    image: Image.Image
    """RGB, upright."""
    orientation: int
    """As EXIF numbers it, 1 to 8; 1: upright as stored."""
    grey: bool
    """Whether the file has no colours."""
    size: tuple[int, int]
    """Width and height in the file, before it was made smaller or turned."""


def read(content: bytes, side: int) -> Picture:
    """Decode a JPEG (of an MPO its first picture), PNG, WebP or BMP.

    Args:
        content: the file.
        side: a large JPEG comes at a half, quarter or eighth of its size, but never below this
            many pixels a side.

    Raises:
        ValueError: it is no such file, damaged, above MAX_PIXELS, an animation, or of a kind that
            cannot be shown in 8 bits of red, green and blue; says which.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check(image)
            size = image.size
            image.draft("RGB", (side, side))
            orientation = _orientation(image)
            flat = _flat(image, content)
            if image.format in ("JPEG", "MPO"):
                _check_whole(content, image.size, image.mode, image.tobytes(), side)
            turn = _TURNS.get(orientation)
            turned = flat if turn is None else flat.transpose(turn)
            return Picture(turned, orientation, image.mode in _GREY, size)
    except UnidentifiedImageError:  # its text is the address of a buffer
        raise ValueError(f"neither JPEG nor PNG nor WebP nor BMP{_guess(content)}") from None
    except _CANNOT as error:
        raise ValueError(str(error) or type(error).__name__) from None


def upright(
    points: NDArray[np.float64], content: bytes, size: tuple[int, int]
) -> NDArray[np.float64]:
    """Take points from a file's stored pixels to its decoded image.

    Args:
        points: (K, 2), x from the left edge and y from the upper one, in stored pixels.
        content: the file.
        size: width and height of the decoded image.

    Returns:
        (K, 2), in pixels of the decoded image.
    """
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        (width, height), orientation = image.size, _orientation(image)
    x, y = points[:, 0] / width, points[:, 1] / height
    turned = {
        2: (1 - x, y),
        3: (1 - x, 1 - y),
        4: (x, 1 - y),
        5: (y, x),
        6: (1 - y, x),
        7: (1 - y, 1 - x),
        8: (y, 1 - x),
    }.get(orientation, (x, y))
    return np.stack(turned, axis=1) * size


def _check(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width}×{height} pixels; refused above {MAX_PIXELS:,}")
    # The second picture of an MPO is the other eye's, or a preview.
    pictures = getattr(image, "n_frames", 1)
    if image.format != "MPO" and pictures > 1:
        raise ValueError(f"an animation of {pictures} pictures; give one of them")


def _check_whole(
    content: bytes, size: tuple[int, int], mode: str, pixels: bytes, side: int
) -> None:
    """Refuse a JPEG whose last codes are missing: with others put there it looks different."""
    with Image.open(io.BytesIO(jpeg.extended(content)), formats=("JPEG",)) as other:
        other.draft("RGB", (side, side))
        if (other.size, other.mode) != (size, mode) or other.tobytes() != pixels:
            raise ValueError("a damaged JPEG: it was cut short, a part of the picture is missing")


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except _CANNOT:  # a viewer shows the image all the same
        return 1
    return orientation if orientation in _TURNS else 1


def _flat(image: Image.Image, content: bytes) -> Image.Image:
    """Return an image in RGB, on white, not turned."""
    image.load()
    clear = image.info.get("transparency")
    depth = content[24] if image.format == "PNG" else 8
    if depth not in (1, 2, 4, 8, 16):  # Pillow reads on after a first header that is none
        raise ValueError("a PNG with a damaged header")
    if image.mode == "P" and image.palette is None:
        raise ValueError("a picture of palette colours without its palette")
    if image.mode in _DEEP and image.format == "PNG":
        deep = np.asarray(image).astype(np.int64)
        grey = ((deep * 255 + 32767) // 65535).astype(np.uint8)
        return Image.fromarray(_on_white(grey, deep == clear)).convert("RGB")
    if image.mode in ("1", "L") and clear is not None:  # Pillow does not scale the value
        grey = np.asarray(image.convert("L"))
        return Image.fromarray(_on_white(grey, grey == clear * 255 // (2**depth - 1))).convert(
            "RGB"
        )
    if image.mode == "RGB" and clear is not None and depth > 8:
        raise ValueError("16 bits a colour, one of which is transparent")
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK"):
        raise ValueError(f"pixels of the kind {image.mode}, which is neither grey nor a colour")
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", seen.size, WHITE), seen).convert("RGB")
    return image.convert("RGB")


def _on_white(grey: NDArray[np.uint8], clear: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.where(clear, np.uint8(255), grey)


def _guess(content: bytes) -> str:
    kind = kind_of(content)
    if kind in ("a JPEG", "a PNG", "a WebP", "a BMP"):
        kind += " with a damaged header"
    return f", but {kind}" if kind else ""
