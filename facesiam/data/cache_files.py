"""Files of the cache: unfinished ones are named after their writer, and removed when it has ended.

A writer holds a lock on its unfinished file. The system releases the lock when the writer ends, so
what a killed writer left is recognised at once; without locks, and for writers on other machines,
by its age. On some file systems every lock succeeds, held or not: a free lock therefore counts
only where the process whose number is in the name does not run.
"""

from __future__ import annotations

import fcntl
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from facesiam.device.processes import runs_elsewhere
from facesiam.errors import DataError, reason
from facesiam.files import publish

STALE_SECONDS = 3600
"""Age at which a file without a usable lock counts as left behind; writers touch theirs all the
time."""


def part_of(path: Path) -> Path:
    """Return the name of the unfinished file for `path`, beside it and unique to this process."""
    return path.with_name(f".{path.name}-{_host()}-{os.getpid()}-{secrets.token_hex(4)}.part")


@contextmanager
def writing(*paths: Path) -> Iterator[list[Path]]:
    """Yield an unfinished file for each path; they take its place on success, else are removed.

    Several processes may write the same paths at once: the last one's files stay.

    Raises:
        DataError: the folder cannot be written or the disk is full.
    """
    folder = paths[0].parent
    with cannot_be_written(folder), ExitStack() as stack:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        files = [part_of(path) for path in paths]
        for file in files:
            stack.enter_context(held(file))
        yield files
        for file, path in zip(files, paths, strict=True):
            publish(file, path)


@contextmanager
def cannot_be_written(folder: Path) -> Iterator[None]:
    """Turn errors of the system within this into a DataError that a folder cannot be written."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written ({reason(error)}); "
            "FACESIAM_CACHE=DIR puts the cache elsewhere"
        ) from None


@contextmanager
def held(path: Path, folder: bool = False) -> Iterator[None]:
    """Create an unfinished file, or folder, hold its lock until the block ends, and remove it.

    Raises:
        OSError: it cannot be made.
    """
    descriptor = _made(path, folder)
    _own.add(path.name)
    try:
        yield
    finally:
        _own.discard(path.name)
        os.close(descriptor)
        _remove(path)


_own: set[str] = set()
"""Names of what this process holds now."""


def _made(path: Path, folder: bool) -> int:
    """Create it and return a locked descriptor; again where a sweep removed it in between."""
    while True:
        if folder:
            path.mkdir()
        flags = os.O_RDONLY if folder else os.O_CREAT | os.O_EXCL | os.O_RDWR
        descriptor = os.open(path, flags, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        except OSError:  # no locks here: its age has to tell
            return descriptor
        try:
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove what ended writers left in a folder."""
    try:
        found = list(folder.glob(".*.part"))
    except OSError:
        return
    for path in found:
        try:
            if _left_behind(path):
                _remove(path)
        except OSError:
            continue


def _left_behind(path: Path) -> bool:
    if path.name in _own:
        return False
    if time.time() - path.lstat().st_mtime > STALE_SECONDS:
        return not _locked(path)
    named = re.search(rf"-{_host()}-(\d+)-[0-9a-f]{{8}}\.part$", path.name)
    if not named:
        return False  # another machine's, whose locks may not be seen here
    return _locked(path) is False and not runs_elsewhere(int(named[1]))


def _locked(path: Path) -> bool | None:
    """Return whether a file or folder is locked; None where that is not known."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _host() -> str:
    """Return this machine's name as it stands in the names of its files."""
    return re.sub(r"[^A-Za-z0-9]", "", platform.node()) or "host"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
