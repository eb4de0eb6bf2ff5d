"""Packing: images are decoded once into a uint8 array per packing, which later runs map.

Threads, not processes: Pillow decodes and resizes outside the interpreter lock, so two cores take
5.9 s for CFP's 7,000 images where processes take 5.1 s, and threads neither import the caller's
script again nor outlive it when it is killed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesiam.cli import say
from facesiam.config.trial import Packing
from facesiam.data import alignment, cache_files, checksums, images, landmarks, unfinished
from facesiam.data.archive import Source
from facesiam.data.geometry import GEOMETRIES, decode
from facesiam.data.landmarks import Landmarks
from facesiam.data.listing import Listing
from facesiam.data.progress import bar
from facesiam.data.unfinished import Unfinished
from facesiam.device.cores import cores
from facesiam.errors import DataError, counted

_CHUNK = 64
"""Images of a piece of work: 10 MB at 224 pixels."""


def align_decoded(
    image: Image.Image, content: bytes, points: alignment.Floats, frontal: bool, side: int
) -> Image.Image:
    """Align what ``decode`` made of `content`.

    Args:
        image: decoded, and therefore upright and perhaps smaller than it is stored.
        content: the file.
        points: (30, 2) or (5, 2) landmarks, in pixels of the image as it is stored.
        frontal: whether the template is that of a frontal face.
        side: of the result, in pixels.
    """
    return alignment.aligned(image, images.upright(points, content, image.size), frontal, side)


def pack(
    source: Source, dataset: Listing, folder: Path, packings: Iterable[Packing], progress: bool
) -> None:
    """Write (N, S, S, 3) uint8 and its seal for each packing: ``folder``/<geometry>-<side>.npy.

    A packing whose file is there and sound is left out; one that was cut short goes on. Each image
    is decoded once a side, for all geometries. A file gets its name only when it is whole. Packing
    a file again is reported on stderr.

    Args:
        source: the dataset.
        dataset: what its reader found, with its N images.
        folder: named after the dataset's key.
        packings: what is asked for.
        progress: show a bar.

    Raises:
        DataError: an image cannot be read, or is to be aligned and has no landmarks; the folder
            cannot be written.
    """
    asked = list(dict.fromkeys(packings))
    aligns = any(packing.geometry == "aligned" for packing in asked)
    marks = landmarks.of_dataset(source, dataset) if aligns else None

    def wanted() -> list[Packing]:
        return [one for one in asked if not is_sound(folder / one.file, _mark(one, marks))]

    if not (missing := wanted()):
        return
    with cache_files.cannot_be_written(folder), unfinished.alone(folder) as waited:
        # Another process may have packed them meanwhile.
        missing = wanted() if waited else missing
        if missing:
            _Packer(source, dataset.names, marks).pack(folder, missing, progress)


class _Packer:
    """Packs the images of a dataset."""

    def __init__(self, source: Source, names: list[str], marks: Landmarks | None) -> None:
        self.source, self.names, self.marks = source, names, marks

    def pack(self, folder: Path, packings: list[Packing], progress: bool) -> None:
        """Write the array and the seal of each packing."""
        arrays: dict[Packing, Unfinished] = {}
        try:
            for packing in packings:
                arrays[packing] = self._begun(folder, packing)
            self._fill(folder, arrays, progress)
            for packing, array in arrays.items():
                path, mark = array.path, _mark(packing, self.marks)
                with cache_files.writing(checksums.seal_of(path)) as (part,):
                    checksums.write(array.file, part, path.name, folder.name, mark)
                    array.publish()
                checksums.trust(path)
        except Exception:  # what is interrupted, by no Exception, goes on next time
            for array in arrays.values():
                array.remove()
            raise
        finally:
            for array in arrays.values():
                array.close()

    def _begun(self, folder: Path, packing: Packing) -> Unfinished:
        """Return a packing's array, with the chunks that an earlier process wrote."""
        shape = len(self.names), packing.side, packing.side, 3
        path, mark = folder / packing.file, _mark(packing, self.marks)
        return Unfinished(path, shape, _CHUNK, checksums.origin(path.name, folder.name, mark))

    def _fill(self, folder: Path, arrays: Mapping[Packing, Unfinished], progress: bool) -> None:
        """Decode on all cores the chunks that an array lacks."""
        starts = range(0, len(self.names), _CHUNK)
        left = [at for at in starts if any(at not in array.done for array in arrays.values())]
        before = (len(starts) - len(left)) * _CHUNK
        title = f"packing {counted(len(self.names), 'image')} ({_shown(arrays)}) into {folder}"
        if before:
            title += f", {before:,} of them before"

        def fill(start: int) -> None:
            lacking = {one: array for one, array in arrays.items() if start not in array.done}
            names = self.names[start : start + _CHUNK]
            for packing, chunk in self._chunk(names, list(lacking)).items():
                lacking[packing].write(start, chunk)
            advance(len(names))

        with bar(title, len(self.names), done=before, show=progress) as advance:
            pool = ThreadPoolExecutor(cores())
            try:
                for _ in pool.map(fill, left):
                    pass
            finally:
                pool.shutdown(cancel_futures=True)

    def _chunk(
        self, names: list[str], packings: list[Packing]
    ) -> dict[Packing, NDArray[np.uint8]]:
        """Return some images in each packing, (n, S, S, 3)."""
        found = {one: np.empty((len(names), one.side, one.side, 3), np.uint8) for one in packings}
        for at, name in enumerate(names):
            content = self.source.read(name)
            decoded = {
                side: _decoded(self.source, name, content, side)
                for side in {packing.side for packing in packings}
            }
            for packing in packings:
                image = self._fitted(packing, name, content, decoded[packing.side])
                found[packing][at] = np.asarray(image)
        return found

    def _fitted(
        self, packing: Packing, name: str, content: bytes, image: Image.Image
    ) -> Image.Image:
        """Bring a decoded image to its square."""
        if packing.geometry != "aligned":
            return GEOMETRIES[packing.geometry](image, packing.side)
        assert self.marks is not None
        frontal = "/frontal/" in name.lower()
        return align_decoded(image, content, self.marks.of(name), frontal, packing.side)


def _mark(packing: Packing, marks: Landmarks | None) -> str:
    """Return a hash of the landmarks that a packing takes; empty where it takes none."""
    return marks.mark if marks and packing.geometry == "aligned" else ""


def _shown(packings: Iterable[Packing]) -> str:
    return ", ".join(f"{geometry} at {side} px" for geometry, side in packings)


def is_sound(file: Path, mark: str | None = None) -> bool:
    """Return whether a file of a packed folder is what was packed; report on stderr why it is not.

    Args:
        file: in a folder named after the dataset's key.
        mark: hash of its landmarks, see ``checksums.broken``.
    """
    reason = checksums.broken(file, file.parent.name, mark)
    if reason and file.exists():
        say(f"{file}: {reason}; it is packed anew")
    return not reason


def _decoded(source: Source, name: str, content: bytes, side: int) -> Image.Image:
    try:
        return decode(content, side)
    except ValueError as error:
        raise DataError(
            f"{source.path}: {name} is not a readable image ({error}); "
            "`python -m facesiam.data check PATH --all` lists every such file"
        ) from None
