"""Stamps of a dataset's files: bytes and CRC-32 of each, remembered where they lie in a folder.

A folder's files are read once. From then on a file is read again only where its size, or the time
at which its content or its status changed, is another than when it was read. A zip's directory
has the stamps of all its files.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facesiam import files
from facesiam.data import cache_files
from facesiam.data.archive import FolderSource, Source
from facesiam.device.cores import cores
from facesiam.errors import FileError

Stamp = tuple[int, int]
"""Bytes and CRC-32."""
_State = tuple[int, int, int]
"""Bytes, and nanoseconds of the last change of the content and of the status."""
_SETTLED_SECONDS = 2
"""A file that changed so shortly before it was read may change again in the same tick of its file
system's clock; it is not remembered."""


class StampMemory:
    """The stamps of a dataset's files, with those that are remembered of a folder's.

    Args:
        source: the dataset.
        cache: folder in which they are remembered; None: nowhere.
    """

    def __init__(self, source: Source, cache: Path | None = None) -> None:
        self.source = source
        self._file: Path | None = None
        self._known: dict[str, tuple[_State, Stamp]] = {}
        self._fresh: dict[str, tuple[_State, Stamp]] = {}
        if cache and isinstance(source, FolderSource):
            self._file = cache / "stamps" / f"{_digest(source)}.npz"
            self._known = _read(self._file)

    def of(self, names: list[str]) -> list[Stamp]:
        """Return the stamp of each file, in order, read on all cores."""
        chunks = [names[at : at + 256] for at in range(0, len(names), 256)]
        with ThreadPoolExecutor(cores()) as pool:
            return list(chain(*pool.map(self._some, chunks)))

    def write(self) -> None:
        """Remember what was read.

        Raises:
            DataError: the cache cannot be written.
        """
        if self._file and self._fresh:
            _write(self._file, {**self._known, **self._fresh})

    def _some(self, names: list[str]) -> list[Stamp]:
        if not isinstance(self.source, FolderSource):
            return [self.source.stamp(name) for name in names]
        found = []
        for name in names:
            state = self.source.state(name)
            known = self._known.get(name)
            if known and known[0] == state:
                found.append(known[1])
                continue
            settled = (time.time() - _SETTLED_SECONDS) * 1e9
            found.append(self.source.stamp(name))
            if max(state[1:]) < settled:
                self._fresh[name] = state, found[-1]
        return found


def stamps(source: Source, names: list[str]) -> list[Stamp]:
    """Return the stamp of each file, in order, all of them read."""
    return StampMemory(source).of(names)


def joined(names: list[str]) -> NDArray[np.uint8]:
    """Return paths as one array of bytes, (n,): an array of strings is as wide as the longest."""
    return np.frombuffer("\0".join(names).encode("utf-8", "surrogateescape"), np.uint8)


def parted(content: NDArray[np.uint8]) -> list[str]:
    """Return the paths of ``joined``."""
    text = content.tobytes().decode("utf-8", "surrogateescape")
    return text.split("\0") if text else []


def _digest(source: FolderSource) -> str:
    root = os.path.realpath(source.root)
    return hashlib.sha256(os.fsencode(root)).hexdigest()[:16]


def _read(file: Path) -> dict[str, tuple[_State, Stamp]]:
    """Return what is remembered; nothing where it is missing or damaged."""
    try:
        with np.load(io.BytesIO(files.read_bytes(file)), allow_pickle=False) as held:
            names, rows = parted(held["names"]), held["rows"].tolist()
        return {
            name: ((size, changed, status), (size, crc))
            for name, (size, changed, status, crc) in zip(names, rows, strict=True)
        }
    except (FileError, *files.DAMAGED):
        return {}


def _write(file: Path, known: dict[str, tuple[_State, Stamp]]) -> None:
    rows = [(*state, stamp[1]) for state, stamp in known.values()]
    with cache_files.writing(file) as (partial,), open(partial, "wb") as stream:
        np.savez(stream, names=joined(list(known)), rows=np.array(rows, np.int64).reshape(-1, 4))
