"""Packing: images are decoded once into a uint8 array per geometry, which later runs map.

Threads, not processes: Pillow decodes and resizes outside the interpreter lock, so two cores take
5.9 s for CFP's 7,000 images where processes take 5.1 s, and threads neither import the caller's
script again nor outlive it when it is killed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facesiam.cli import say
from facesiam.config.trial import Geometry
from facesiam.data import alignment, cache_files, checksums, images
from facesiam.data.archive import Source
from facesiam.data.progress import bar
from facesiam.device.cores import cores
from facesiam.errors import DataError

SIDE = 224
"""Pixels a side of a packed image: what the ImageNet trunks take."""
_CHUNK = 64


def decode(content: bytes) -> Image.Image:
    """Decode an image file to RGB as a viewer shows it; see ``images.read``.

    Raises:
        ValueError: not an image that can be read; says why.
    """
    # never below twice the target, so that the resize still averages
    return images.read(content, 2 * SIDE).image


def squeeze(image: Image.Image) -> Image.Image:
    """Resize to 224×224 whatever the aspect ratio; bilinear, averaging where it shrinks."""
    return image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)


def letterbox(image: Image.Image) -> Image.Image:
    """Resize the long side to 224 and centre the image on black; bilinear, averaging."""
    scale = SIDE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    canvas = Image.new("RGB", (SIDE, SIDE))
    small = image.resize((width, height), Image.Resampling.BILINEAR)
    canvas.paste(small, ((SIDE - width) // 2, (SIDE - height) // 2))
    return canvas


GEOMETRIES: dict[Geometry, Callable[[Image.Image], Image.Image]] = {
    "squeeze": squeeze,
    "letterbox": letterbox,
}
"""The geometries that need nothing but the image; `aligned` needs landmarks."""


def align_decoded(
    image: Image.Image, content: bytes, landmarks: alignment.Floats, frontal: bool
) -> Image.Image:
    """Align what ``decode`` made of `content`.

    Args:
        image: decoded, and therefore upright and perhaps smaller than it is stored.
        content: the file.
        landmarks: (30, 2), in pixels of the image as it is stored, as CFP has them.
        frontal: whether the template is that of a frontal face.
    """
    return alignment.aligned(image, images.upright(landmarks, content, image.size), frontal, SIDE)


def pack(
    source: Source, names: list[str], folder: Path, geometries: Iterable[Geometry], progress: bool
) -> None:
    """Write ``folder``/<geometry>.npy, (N, 224, 224, 3) uint8, and its seal for each geometry.

    A geometry whose file is there and sound is left out. Each image is decoded once for all
    geometries. A file gets its name only when it is whole. Packing a file again is reported on
    stderr.

    Args:
        source: the dataset.
        names: of its N images.
        folder: named after the dataset's key.
        geometries: what is asked for.
        progress: show a bar.

    Raises:
        DataError: an image cannot be read, or is to be aligned and has no landmarks; the folder
            cannot be written.
    """
    marks = {
        geometry: _landmarks(source, names) if geometry == "aligned" else ""
        for geometry in dict.fromkeys(geometries)
    }
    wanted = [
        geometry for geometry in marks if not is_sound(folder / f"{geometry}.npy", marks[geometry])
    ]
    if not wanted:
        return
    paths = [folder / f"{geometry}.npy" for geometry in wanted]
    with cache_files.writing(*paths, *map(checksums.seal_of, paths)) as files:
        arrays = {
            geometry: _allocate(file, len(names))
            for geometry, file in zip(wanted, files, strict=False)
        }
        title = f"packing {len(names):,} images ({', '.join(wanted)}) into {folder}"
        with bar(title, len(names), show=progress) as advance:
            _decode_all(source, names, arrays, advance)
        for geometry, file, seal in zip(wanted, files, files[len(paths) :], strict=False):
            arrays[geometry].flush()
            checksums.write(file, seal, f"{geometry}.npy", folder.name, marks[geometry])


def _decode_all(
    source: Source,
    names: list[str],
    arrays: Mapping[Geometry, np.memmap[Any, np.dtype[np.uint8]]],
    advance: Callable[[int], None],
) -> None:
    """Decode every image once, on all cores, into the array of each geometry."""

    def fill(start: int) -> None:
        for at, name in enumerate(names[start : start + _CHUNK], start):
            content, image = _load(source, name)
            for geometry, array in arrays.items():
                if geometry == "aligned":
                    array[at] = np.asarray(_aligned(source, name, content, image))
                else:
                    array[at] = np.asarray(GEOMETRIES[geometry](image))
            advance(1)

    with ThreadPoolExecutor(cores()) as pool:
        for _ in pool.map(fill, range(0, len(names), _CHUNK)):
            pass


def is_sound(file: Path, landmarks: str | None = None) -> bool:
    """Return whether a file of a packed folder is what was packed; report on stderr why it is not.

    Args:
        file: in a folder named after the dataset's key.
        landmarks: see ``checksums.broken``.
    """
    reason = checksums.broken(file, file.parent.name, landmarks)
    if reason and file.exists():
        say(f"{file}: {reason}; it is packed anew")
    return not reason


def _landmarks(source: Source, names: list[str]) -> str:
    """Return a hash of a dataset's landmarks."""
    stamps = [
        source.stamp(file) if source.has(file) else None for file in map(alignment.file_of, names)
    ]
    return hashlib.sha256(repr(stamps).encode()).hexdigest()[:16]


def _aligned(source: Source, name: str, content: bytes, image: Image.Image) -> Image.Image:
    """Return a decoded image of the dataset, aligned by its landmarks."""
    landmarks = alignment.read(source, name)
    return align_decoded(image, content, landmarks, "/frontal/" in name.lower())


def _load(source: Source, name: str) -> tuple[bytes, Image.Image]:
    try:
        content = source.read(name)
        return content, decode(content)
    except DataError:
        raise
    except ValueError as error:
        raise DataError(
            f"{source.path}: {name} is not a readable image ({error}); "
            "`python -m facesiam.data check PATH --all` lists every such file"
        ) from None


def _allocate(file: Path, count: int) -> np.memmap[Any, np.dtype[np.uint8]]:
    shape = (count, SIDE, SIDE, 3)
    array: np.memmap[Any, np.dtype[np.uint8]] = np.lib.format.open_memmap(
        file, "w+", np.uint8, shape
    )
    if hasattr(os, "posix_fallocate"):
        # a full disk is an error here; met through the memory map it would be a bus error
        with open(file, "r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, os.fstat(stream.fileno()).st_size)
    return array
