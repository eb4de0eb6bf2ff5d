"""Reading files that may be damaged, and writing files whole or not at all.

``read_bytes``, ``read_json`` and ``exists`` are for files that a user, a crash or another program
may have changed: where one cannot be used, a UserError says why in one sentence.
``atomic`` is the one way in which a whole file is written.
"""

from __future__ import annotations

import functools
import hashlib
import json
import lzma
import os
import secrets
import stat
import struct
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from facesiam.errors import FileError, MissingFileError, reason

MOST_BYTES = 2**30
"""Largest file in bytes that is read whole. These packages write none near it, except weights."""
DAMAGED = (
    OSError,  # cannot be read; a place before the file's beginning; bzip2's decoder
    EOFError,  # cut short
    ValueError,  # a number out of its range, text that is not UTF-8
    LookupError,  # a part that is not there, a codec that does not exist
    TypeError,  # an archive was expected, and the file is a single array
    RuntimeError,  # zipfile: an encrypted part, or by NotImplementedError, a kind of RuntimeError,
    # a compression or version of zip that it does not know
    OverflowError,  # a length beyond those that the machine can count
    MemoryError,  # or beyond its memory
    SyntaxError,  # the header of a NumPy file is written in Python
    tokenize.TokenError,  # the same: a bracket or quote of it is never closed
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
"""What zipfile, NumPy and their decoders raise for a damaged file, apart from its content."""


def exists(path: Path) -> bool:
    """Return whether anything is at a path, be it a broken link.

    Raises:
        FileError: that is not known, as the name is too long, a folder on the way may not be
            entered, or links form a circle.
    """
    return _stat(path, follow=False) is not None


def is_dir(path: Path) -> bool:
    """Return whether a folder, or a link to one, is at a path.

    Raises:
        FileError: as ``exists``.
    """
    found = _stat(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def is_file(path: Path) -> bool:
    """Return whether a regular file, or a link to one, is at a path.

    Raises:
        FileError: as ``exists``.
    """
    found = _stat(path)
    return found is not None and stat.S_ISREG(found.st_mode)


def _stat(path: Path, follow: bool = True) -> os.stat_result | None:
    try:
        return os.stat(path, follow_symlinks=follow)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise FileError(f"{path}: {reason(error)}") from None


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return the content of a regular file.

    Args:
        path: of the file, or of a link to one.
        most: largest size in bytes.

    Raises:
        MissingFileError: there is none.
        FileError: it is a folder, a pipe or a device, too large, or cannot be read.
    """
    file = open_regular(path)
    try:
        with file:
            content = file.read(most + 1)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({reason(error)})") from None
    if len(content) > most:
        raise FileError(
            f"{path}: has {max(size, len(content)):,} bytes; at most {most:,} are read"
        )
    return content


def own_folder(root: Path, *parts: str) -> Path:
    """Return a folder below ``root``, which may not be there yet.

    Raises:
        FileError: it, or one on the way to it, is a link: what it leads to is somebody else's, and
            nothing may be removed or written there.
    """
    path = root
    for part in parts:
        path = path / part
        found = _stat(path, follow=False)
        if found is not None and stat.S_ISLNK(found.st_mode):
            raise FileError(
                f"{path}: is a link to {os.readlink(path)}; a run's own folders must "
                "be folders, as files are removed from them: remove the link"
            )
    return path


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, without ever waiting for another process.

    Raises:
        MissingFileError: there is none.
        FileError: it is a folder, a pipe or a device, or may not be read.
    """
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise MissingFileError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise FileError(f"{path}: cannot be read ({reason(error)})") from None
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISREG(kind):
        return open(descriptor, "rb")
    os.close(descriptor)
    what = "a folder" if stat.S_ISDIR(kind) else "a pipe or a device"
    raise FileError(f"{path}: is {what}, not a file")


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """Return the text of a UTF-8 file, with or without a byte order mark.

    Raises:
        FileError: as ``read_bytes``, or it is no UTF-8 text.
    """
    try:
        return read_bytes(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: is not UTF-8 text (byte {error.start})") from None


def read_json(path: Path, most: int = MOST_BYTES) -> Any:
    """Return what a JSON file holds.

    Raises:
        FileError: as ``read_text``, or it is not JSON.
    """
    text = read_text(path, most)
    if not text.strip("\0 \t\r\n"):
        raise FileError(f"{path}: is empty")
    try:
        return json.loads(text)
    except RecursionError:
        raise FileError(f"{path}: not JSON (nested too deeply)") from None
    except ValueError as error:
        raise FileError(f"{path}: not JSON ({error})") from None


def read_object(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file of notes holds; {} where it is missing or damaged.

    For what is made anew where it cannot be read.
    """
    try:
        held = read_json(path)
    except FileError:
        return {}
    return held if isinstance(held, dict) else {}


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits; an unchanged file is read once.

    Raises:
        FileError: it cannot be read; the text says why.
    """
    try:
        now = path.stat()
        return _digest(path, now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns)
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({reason(error)})") from None


@functools.lru_cache(maxsize=64)
def _digest(path: Path, *_stamp: int) -> str:
    """Return the digest of a file; the stamp makes a changed file another one."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield the name of a new file beside ``path``, which takes its place once it is written.

    No reader ever sees half of it, nor does one after a power cut; see ``publish``. A link at
    ``path`` is replaced, what it leads to is not touched. Where the block raises, nothing is left.

    Raises:
        OSError: there is no such folder, it cannot be written, or the disk is full.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        yield partial
        publish(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def publish(partial: Path, path: Path) -> None:
    """Put a complete file at ``path``, in the same folder.

    The content is on the disk before the name is changed, and then the name, so that after a power
    cut there is the old file or the whole new one.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    sync(partial)
    os.replace(partial, path)
    sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file, as ``atomic``; its folder is made."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file, as ``atomic``; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as partial:
        partial.write_bytes(content)


def sync(path: Path) -> None:
    """Flush the content of a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unwritable(folder: Path) -> str:
    """Return why no file can be made in a folder; "" where one can."""
    try:
        # By trying: permissions say nothing of /proc, of a full disk or of a read-only mount.
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return f"{folder} cannot be written to ({reason(error)})"
    return ""
