"""A run's weights and states in a folder, and what a folder has in common with a bucket.

``opened`` takes a path, or any URL that pyarrow or fsspec knows (s3://, gs://, abfs://, hdfs://,
sftp://, …).
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from facesiam import files
from facesiam.errors import FileError, MissingFileError, StorageError
from facesiam.nets.checkpoint import save_atomically
from facesiam.nets.weight_files import read_weights
from facesiam.storage.bucket import Bucket, is_url, reason_of

ENDINGS = {"weights": ".pt", "state": ".pt", "logs": ".log"}
"""Suffix of a trial's file, by the folder of the run."""


class Storage(Protocol):
    """Files by name, such as ``state/0001.pt``; a file is there whole or not at all."""

    def save(self, state: Mapping[str, Any], name: Path) -> None:
        """Write tensors and plain values.

        Raises:
            StorageError: the disk is full or gone, the bucket cannot be reached.
        """

    def load(self, name: Path) -> Any:
        """Read what ``save`` wrote, or None where there is nothing.

        Raises:
            WeightsError: it cannot be read as that.
            StorageError: it cannot be reached.
        """

    def put(self, file: Path, name: Path) -> None:
        """Copy a file of this machine there.

        Raises:
            StorageError: as ``save``.
        """

    def names(self, folder: str) -> list[str]:
        """Return the files of a folder, without its name, sorted."""

    def remove(self, name: Path) -> None:
        """Remove a file, if it is there."""


def opened(where: str | Path) -> Storage:
    """Return the storage at a path or URL."""
    return Bucket(str(where)) if is_url(where) else Folder(Path(where))


def sweep(storage: Storage, over: Mapping[str, Collection[str]]) -> None:
    """Remove the files of some trials from some folders, and nothing else.

    Other files there may belong to a trial of another journal, or to no trial at all.
    """
    for folder, trials in over.items():
        for name in storage.names(folder):
            if is_of(name, folder, trials):
                storage.remove(Path(folder) / name)


def is_of(name: str, folder: str, trials: Collection[str]) -> bool:
    """Return whether a file of this name in a run's folder is of one of the trials."""
    stem, dot, ending = name.rpartition(".")
    return dot + ending == ENDINGS[folder] and stem in trials


class Folder:
    """A folder of this machine, or of storage that every machine sees under the same path."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def save(self, state: Mapping[str, Any], name: Path) -> None:
        """See Storage."""
        try:
            save_atomically(state, self.root / name)
        except (OSError, RuntimeError) as error:  # torch has a RuntimeError for a full disk
            raise StorageError(f"{self.root / name}: {reason_of(error)}") from None

    def load(self, name: Path) -> Any:
        """See Storage."""
        try:
            with files.open_regular(self.root / name) as file:
                file.read(1)
        except MissingFileError:
            return None
        except (OSError, FileError) as error:  # of the storage, it says nothing of the file
            raise StorageError(f"{self.root / name}: {reason_of(error)}") from None
        return read_weights(self.root / name)

    def put(self, file: Path, name: Path) -> None:
        """See Storage."""
        target = self.root / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with files.atomic(target) as partial:
                shutil.copyfile(file, partial)
        except OSError as error:
            raise StorageError(f"{target}: {reason_of(error)}") from None

    def names(self, folder: str) -> list[str]:
        """See Storage; a link to a folder counts as empty, as its target is not the run's."""
        with self._opened(folder) as opened:
            found = [] if opened is None else os.listdir(opened)
        return sorted(name for name in found if not name.startswith("."))

    def remove(self, name: Path) -> None:
        """See Storage; never through a link, nor a folder."""
        with self._opened(str(name.parent)) as opened:
            if opened is not None and _is_plain(name.name, opened):
                os.unlink(name.name, dir_fd=opened)

    def clear_halves(self, trials: Collection[str]) -> None:
        """Remove the unfinished files of killed workers for these trials.

        To be called only while no worker runs.
        """
        for folder in ("weights", "state"):
            with self._opened(folder) as opened:
                for name in [] if opened is None else os.listdir(opened):
                    half = _HALF.fullmatch(name)
                    if half and half["trial"] in trials and _is_plain(name, opened):
                        os.unlink(name, dir_fd=opened)

    @contextmanager
    def _opened(self, folder: str) -> Iterator[int | None]:
        """Yield a descriptor of a folder of the run; None where there is none, or it is a link."""
        try:
            opened = os.open(self.root / folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):  # a link is no folder to this
            yield None
            return
        except OSError as error:
            raise StorageError(f"{self.root / folder}: {reason_of(error)}") from None
        try:
            yield opened
        finally:
            os.close(opened)


_HALF = re.compile(r"\.(?P<trial>.+)\.pt\.\d+-[0-9a-f]+")
"""The names of ``files.atomic`` for unfinished files."""


def _is_plain(name: str, folder: int | None) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
