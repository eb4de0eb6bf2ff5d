"""Seals beside the packed files: their checksums and origin, so that damage is found.

``letterbox.npy.json`` holds the dataset of ``letterbox.npy``, the versions that made it, and a
CRC-32 of each piece. The driver reads the whole file at each start: 0.2 s a GiB on one core where
it is in memory, and otherwise the first epoch would read it anyway. A file above LARGE is read
once, and from then on only where its size or the time of its last change is another than when it
was read, which ``letterbox.npy.read`` says. Without that note it is read again.
"""

from __future__ import annotations

import json
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import PIL

from facesiam import files
from facesiam.device.cores import cores
from facesiam.errors import FileError, MissingFileError

DECODER = 2
"""Incremented whenever the same image file gives other pixels than before. 2: upright, 16 bits
scaled, on white."""
LARGE = 2**31
"""Bytes above which a file is not read at each start."""
_PIECE = 2**26
_MOST_BYTES = 2**20


def seal_of(file: Path) -> Path:
    """Return the path of a file's seal."""
    return file.with_name(f"{file.name}.json")


def write(file: Path, seal: Path, name: str, key: str, landmarks: str = "") -> None:
    """Write the seal of a file that is complete.

    Args:
        file: the file to be sealed, perhaps under a temporary name.
        seal: path of the seal.
        name: the file's final name.
        key: of the dataset.
        landmarks: hash of the landmarks that it was made with.
    """
    noted = {**origin(name, key, landmarks), **_measured(file)}
    seal.write_text(json.dumps(noted), encoding="utf-8")


def broken(file: Path, key: str, landmarks: str | None = None) -> str | None:
    """Return why a file cannot be used; None where it is as it was sealed.

    Args:
        file: packed before, or not there.
        key: of the dataset that it should be of.
        landmarks: hash of those that it should have been made with; None: any.
    """
    try:
        if not files.exists(file):
            return "is not there"
        noted: Any = files.read_json(seal_of(file), _MOST_BYTES)
    except MissingFileError:
        return "was packed by an earlier version, without a checksum"
    except FileError as error:
        return f"its checksum cannot be read: {error}"
    expected = origin(file.name, key, landmarks or "")
    if landmarks is None:
        expected.pop("landmarks")
    if not isinstance(noted, dict):
        return "its checksum is damaged"
    for name, value in expected.items():
        if noted.get(name) != value:
            return _DIFFERS[name]
    if _is_trusted(file):
        return None
    try:
        found = _measured(file)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if any(noted.get(name) != value for name, value in found.items()):
        return "is damaged: it is not what was packed"
    trust(file)
    return None


def trust(file: Path) -> None:
    """Note of a large file that it is as it was sealed, and need not be read at the next start."""
    if (state := _state(file)) and state["bytes"] > LARGE:
        with suppress(OSError):  # then it is read again
            _read_note(file).write_text(json.dumps(state), encoding="utf-8")


def _is_trusted(file: Path) -> bool:
    """Return whether a large file has not changed since it was read."""
    try:
        noted: Any = files.read_json(_read_note(file), _MOST_BYTES)
    except FileError:
        return False
    state = _state(file)
    return state is not None and state["bytes"] > LARGE and noted == state


def _read_note(file: Path) -> Path:
    return file.with_name(f"{file.name}.read")


def _state(file: Path) -> dict[str, int] | None:
    """Return the bytes of a file, its inode, when it changed, and when its seal did."""
    try:
        found, seal = os.stat(file), os.stat(seal_of(file))
    except OSError:
        return None
    return {
        "bytes": found.st_size,
        "inode": found.st_ino,
        "changed": found.st_mtime_ns,
        "sealed": seal.st_mtime_ns,
    }


_DIFFERS = {
    "name": "is another file",
    "key": "is of another dataset",
    "decoder": "was packed by an earlier version",
    "pillow": "was packed with another Pillow",
    "landmarks": "was packed with other landmarks",
}


def origin(name: str, key: str, landmarks: str) -> dict[str, Any]:
    """Return what a file is made of: the dataset, its landmarks, and who decoded them."""
    return {
        "name": name,
        "key": key,
        "decoder": DECODER,
        "pillow": PIL.__version__,
        "landmarks": landmarks,
    }


def _measured(file: Path) -> dict[str, Any]:
    size = os.stat(file).st_size

    def checksum(start: int) -> int:
        with open(file, "rb", buffering=0) as stream:
            stream.seek(start)
            left, value = min(_PIECE, size - start), 0
            while left and (block := stream.read(min(left, 2**20))):
                value, left = zlib.crc32(block, value), left - len(block)
        return value

    with ThreadPoolExecutor(cores()) as pool:
        return {"bytes": size, "crc32": list(pool.map(checksum, range(0, size, _PIECE)))}
