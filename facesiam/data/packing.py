"""Packing: images are decoded once into a uint8 array per packing, which later runs map.

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
from facesiam.config.trial import Packing
from facesiam.data import alignment, cache_files, checksums, images
from facesiam.data.archive import Source
from facesiam.data.geometry import GEOMETRIES, decode
from facesiam.data.progress import bar
from facesiam.device.cores import cores
from facesiam.errors import DataError

_CHUNK = 64


def align_decoded(
    image: Image.Image, content: bytes, landmarks: alignment.Floats, frontal: bool, side: int
) -> Image.Image:
    """Align what ``decode`` made of `content`.

    Args:
        image: decoded, and therefore upright and perhaps smaller than it is stored.
        content: the file.
        landmarks: (30, 2), in pixels of the image as it is stored, as CFP has them.
        frontal: whether the template is that of a frontal face.
        side: of the result, in pixels.
    """
    return alignment.aligned(image, images.upright(landmarks, content, image.size), frontal, side)


def pack(
    source: Source, names: list[str], folder: Path, packings: Iterable[Packing], progress: bool
) -> None:
    """Write (N, S, S, 3) uint8 and its seal for each packing: ``folder``/<geometry>-<side>.npy.

    A packing whose file is there and sound is left out. Each image is decoded once a side, for
    all geometries. A file gets its name only when it is whole. Packing a file again is reported on
    stderr.

    Args:
        source: the dataset.
        names: of its N images.
        folder: named after the dataset's key.
        packings: what is asked for.
        progress: show a bar.

    Raises:
        DataError: an image cannot be read, or is to be aligned and has no landmarks; the folder
            cannot be written.
    """
    marks = {
        packing: _landmarks(source, names) if packing.geometry == "aligned" else ""
        for packing in dict.fromkeys(packings)
    }
    wanted = [
        packing for packing, mark in marks.items() if not is_sound(folder / packing.file, mark)
    ]
    if not wanted:
        return
    paths = [folder / packing.file for packing in wanted]
    with cache_files.writing(*paths, *map(checksums.seal_of, paths)) as files:
        arrays = {
            packing: _allocate(file, len(names), packing.side)
            for packing, file in zip(wanted, files, strict=False)
        }
        shown = ", ".join(f"{geometry} at {side} px" for geometry, side in wanted)
        title = f"packing {len(names):,} images ({shown}) into {folder}"
        with bar(title, len(names), show=progress) as advance:
            _decode_all(source, names, arrays, advance)
        for packing, file, seal in zip(wanted, files, files[len(paths) :], strict=False):
            arrays[packing].flush()
            checksums.write(file, seal, packing.file, folder.name, marks[packing])


def _decode_all(
    source: Source,
    names: list[str],
    arrays: Mapping[Packing, np.memmap[Any, np.dtype[np.uint8]]],
    advance: Callable[[int], None],
) -> None:
    """Decode every image once a side, on all cores, into the array of each packing."""
    sides = {packing.side for packing in arrays}

    def fill(start: int) -> None:
        for at, name in enumerate(names[start : start + _CHUNK], start):
            content = source.read(name)
            decoded = {side: _decoded(source, name, content, side) for side in sides}
            for (geometry, side), array in arrays.items():
                if geometry == "aligned":
                    array[at] = np.asarray(_aligned(source, name, content, decoded[side], side))
                else:
                    array[at] = np.asarray(GEOMETRIES[geometry](decoded[side], side))
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


def _aligned(
    source: Source, name: str, content: bytes, image: Image.Image, side: int
) -> Image.Image:
    """Return a decoded image of the dataset, aligned by its landmarks."""
    landmarks = alignment.read(source, name)
    return align_decoded(image, content, landmarks, "/frontal/" in name.lower(), side)


def _decoded(source: Source, name: str, content: bytes, side: int) -> Image.Image:
    try:
        return decode(content, side)
    except ValueError as error:
        raise DataError(
            f"{source.path}: {name} is not a readable image ({error}); "
            "`python -m facesiam.data check PATH --all` lists every such file"
        ) from None


def _allocate(file: Path, count: int, side: int) -> np.memmap[Any, np.dtype[np.uint8]]:
    shape = (count, side, side, 3)
    array: np.memmap[Any, np.dtype[np.uint8]] = np.lib.format.open_memmap(
        file, "w+", np.uint8, shape
    )
    if hasattr(os, "posix_fallocate"):
        # a full disk is an error here; met through the memory map it would be a bus error
        with open(file, "r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, os.fstat(stream.fileno()).st_size)
    return array
