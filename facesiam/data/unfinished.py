"""A packed array while it is written: chunks of images, each noted with its checksum.

What was killed goes on: ``.squeeze-112.npy.unfinished`` is the array, ``….unfinished.chunks``
says what it is of and which chunks are in it. A chunk that is noted and whose bytes are others, as
after a power cut, is decoded again.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import time
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesiam.cli import say
from facesiam.device.cores import cores
from facesiam.files import publish, sync

STALE_SECONDS = 30 * 86_400
"""Age at which an unfinished array counts as given up."""
_SUFFIX, _NOTES = ".unfinished", ".unfinished.chunks"
_WAIT_SECONDS = 0.5


class Unfinished:
    """An array (N, S, S, 3) uint8 that is being written, in chunks, by several threads.

    Args:
        path: where it will be.
        shape: its shape.
        chunk: images of a chunk.
        origin: what it is made of; an array of another origin is not gone on with.

    Raises:
        OSError: it cannot be written, or the disk is full.
    """

    def __init__(
        self, path: Path, shape: tuple[int, int, int, int], chunk: int, origin: Mapping[str, Any]
    ) -> None:
        self.path, self.shape, self.chunk = path, shape, chunk
        self.file, self._notes_file = named(path)
        self._header = _header(shape)
        self._image_bytes = shape[1] * shape[2] * shape[3]
        self._about = json.dumps({**origin, "shape": shape, "chunk": chunk})
        self._array = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o666)
        self._notes = os.open(self._notes_file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            self.done = self._kept()
            """First images of the chunks that are in it."""
            if not self.done:
                self._begin()
        except OSError:
            self.close()
            self.remove()
            raise

    def write(self, start: int, images: NDArray[np.uint8]) -> None:
        """Write the chunk that begins at an image, and note it."""
        content = images.tobytes()
        left, at = memoryview(content), len(self._header) + start * self._image_bytes
        while left:
            written = os.pwrite(self._array, left, at)
            left, at = left[written:], at + written
        os.write(self._notes, f"{start} {zlib.crc32(content):08x}\n".encode())

    def publish(self) -> None:
        """Give the complete array its name, and forget the chunks."""
        publish(self.file, self.path)
        self._notes_file.unlink(missing_ok=True)
        sync(self.path.parent)

    def close(self) -> None:
        """Close the files; they stay."""
        os.close(self._array)
        os.close(self._notes)

    def remove(self) -> None:
        """Remove the files."""
        self.file.unlink(missing_ok=True)
        self._notes_file.unlink(missing_ok=True)

    def _kept(self) -> set[int]:
        """Return the noted chunks whose bytes are in the array; none where it is of another."""
        with open(self._notes_file, encoding="ascii", errors="replace") as stream:
            lines = stream.read().split("\n")[:-1]  # a last line without its end was cut short
        size = len(self._header) + self.shape[0] * self._image_bytes
        if lines[:1] != [self._about] or os.fstat(self._array).st_size != size:
            return set()
        noted = [line.split() for line in lines[1:]]
        with ThreadPoolExecutor(cores()) as pool:
            sound = pool.map(self._is_sound, noted)
            return {int(line[0]) for line, good in zip(noted, sound, strict=True) if good}

    def _is_sound(self, line: list[str]) -> bool:
        if len(line) != 2 or not line[0].isdecimal():
            return False
        start = int(line[0])
        count = min(self.chunk, self.shape[0] - start) * self._image_bytes
        content = os.pread(self._array, count, len(self._header) + start * self._image_bytes)
        return len(content) == count and f"{zlib.crc32(content):08x}" == line[1]

    def _begin(self) -> None:
        """Empty both files, write the array's header, and take the room that it will need."""
        os.ftruncate(self._notes, 0)
        os.ftruncate(self._array, 0)
        size = len(self._header) + self.shape[0] * self._image_bytes
        if hasattr(os, "posix_fallocate"):  # a full disk is an error now, not after an hour
            os.posix_fallocate(self._array, 0, size)
        else:
            os.ftruncate(self._array, size)
        os.pwrite(self._array, self._header, 0)
        os.write(self._notes, f"{self._about}\n".encode())


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Within this no other process of the machine packs into a folder; says whether one was.

    Where the file system has no locks two may pack at once; both write the same bytes.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        told = False
        while not _locked(descriptor):
            if not told:
                say(f"{folder}: another process is packing this data; waiting for it")
            told = True
            time.sleep(_WAIT_SECONDS)
        yield told
    finally:
        os.close(descriptor)


def named(path: Path) -> tuple[Path, Path]:
    """Return the files of an unfinished array, and of its chunks."""
    return path.with_name(f".{path.name}{_SUFFIX}"), path.with_name(f".{path.name}{_NOTES}")


def sweep(folder: Path) -> None:
    """Remove what was given up in a folder long ago."""
    for file in folder.glob(f".*{_SUFFIX}*"):
        try:
            if time.time() - file.stat().st_mtime > STALE_SECONDS:
                file.unlink()
        except OSError:
            continue


def _locked(descriptor: int) -> bool:
    """Return whether the lock is had, or cannot be had at all."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _header(shape: tuple[int, int, int, int]) -> bytes:
    """Return what a .npy file of such images begins with."""
    stream = io.BytesIO()
    about = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, about)
    return stream.getvalue()
