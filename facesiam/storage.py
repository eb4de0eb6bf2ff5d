"""Where a run's weights and states lie: a folder, or a bucket behind any URL that pyarrow or
fsspec knows (s3://, gs://, abfs://, hdfs://, sftp://, …). The same few operations for both.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import time
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from facesiam import files
from facesiam.errors import FileError, MissingFileError, StorageError
from facesiam.nets.checkpoint import save_atomically
from facesiam.nets.weight_files import read_weights

ENDINGS = {"weights": ".pt", "state": ".pt", "logs": ".log"}
"""Of what is written for each trial, by the folder of the run that it lies in."""
PATIENCE = (1, 2, 4, 8)
"""Seconds between the attempts to reach a bucket."""


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


def is_url(where: str | Path) -> bool:
    """Say whether this names something else than a path of this machine."""
    return "://" in str(where)


def sweep(storage: Storage, over: Mapping[str, Collection[str]]) -> None:
    """Remove, from each folder named, the files of the trials named, and nothing else.

    What else lies there is somebody's: a trial's of another journal, or no trial's at all.
    """
    for folder, trials in over.items():
        for name in storage.names(folder):
            if is_of(name, folder, trials):
                storage.remove(Path(folder) / name)


def is_of(name: str, folder: str, trials: Collection[str]) -> bool:
    """Say whether a file of this name in a run's folder was written for one of the trials."""
    stem, dot, ending = name.rpartition(".")
    return dot + ending == ENDINGS[folder] and stem in trials


def join(url: str, name: str) -> str:
    """Return the URL of what lies at `name` below `url`, whose query stays at the end."""
    place, mark, query = url.partition("?")
    return f"{place.rstrip('/')}/{name}{mark}{query}"


class Folder:
    """A folder of this machine, or of storage that every machine sees under the same path."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def save(self, state: Mapping[str, Any], name: Path) -> None:
        """See Storage."""
        try:
            save_atomically(state, self.root / name)
        except (OSError, RuntimeError) as error:  # torch has a RuntimeError for a full disk
            raise StorageError(f"{self.root / name}: {_reason(error)}") from None

    def load(self, name: Path) -> Any:
        """See Storage."""
        try:
            with files.open_regular(self.root / name) as file:
                file.read(1)
        except MissingFileError:
            return None
        except (OSError, FileError) as error:  # of the storage, it says nothing of the file
            raise StorageError(f"{self.root / name}: {_reason(error)}") from None
        return read_weights(self.root / name)

    def put(self, file: Path, name: Path) -> None:
        """See Storage."""
        target = self.root / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with files.atomic(target) as partial:
                shutil.copyfile(file, partial)
        except OSError as error:
            raise StorageError(f"{target}: {_reason(error)}") from None

    def names(self, folder: str) -> list[str]:
        """See Storage; a link to a folder has none, as what it leads to is not the run's."""
        with self._opened(folder) as opened:
            found = [] if opened is None else os.listdir(opened)
        return sorted(name for name in found if not name.startswith("."))

    def remove(self, name: Path) -> None:
        """See Storage; never through a link, nor a folder."""
        with self._opened(str(name.parent)) as opened:
            if opened is not None and _is_plain(name.name, opened):
                os.unlink(name.name, dir_fd=opened)

    def clear_halves(self, trials: Collection[str]) -> None:
        """Remove what workers that were killed had begun to write for these trials.

        Only where no worker runs.
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
            raise StorageError(f"{self.root / folder}: {_reason(error)}") from None
        try:
            yield opened
        finally:
            os.close(opened)


_HALF = re.compile(r"\.(?P<trial>.+)\.pt\.\d+-[0-9a-f]+")
"""How ``files.atomic`` names what is not whole yet."""


def _is_plain(name: str, folder: int | None) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


class Bucket:
    """A place behind a URL. What is written appears when it is complete.

    Args:
        url: such as s3://bucket/runs/code2; options of the file system as its query, such as
            ?endpoint_override=http://127.0.0.1:9000 for a server of one's own.
        patience: seconds between attempts.

    Raises:
        StorageError: no such kind of URL.
    """

    def __init__(self, url: str, patience: tuple[float, ...] = PATIENCE) -> None:
        self.url, self.patience = url, patience
        self.system, self.root = _system(url)

    def save(self, state: Mapping[str, Any], name: Path) -> None:
        """See Storage."""
        import torch

        with tempfile.NamedTemporaryFile(prefix="siamsearch-") as file:
            try:
                torch.save(dict(state), file)
                file.flush()
            except (OSError, RuntimeError) as error:
                raise StorageError(f"{file.name}: {_reason(error)}") from None
            self.put(Path(file.name), name)

    def load(self, name: Path) -> Any:
        """See Storage."""
        with tempfile.TemporaryDirectory(prefix="siamsearch-") as folder:
            local = Path(folder) / "file.pt"
            return read_weights(local) if self.download(str(name), local) else None

    def names(self, folder: str) -> list[str]:
        """See Storage."""
        from pyarrow.fs import FileSelector

        wanted = FileSelector(self._at(folder), allow_not_found=True)
        found = self._patiently(folder, lambda: self.system.get_file_info(wanted))
        return sorted(
            info.base_name for info in found if info.is_file and not info.base_name.startswith(".")
        )

    def remove(self, name: Path) -> None:
        """See Storage."""
        if self.exists(str(name)):
            self._patiently(str(name), lambda: self.system.delete_file(self._at(str(name))))

    def exists(self, name: str) -> bool:
        """Say whether there is a file of this name."""
        (info,) = self._patiently(name, lambda: self.system.get_file_info([self._at(name)]))
        return bool(info.is_file)

    def put(self, file: Path, name: Path) -> None:
        """See Storage."""
        self._patiently(str(name), lambda: self._copy(file, str(name)))

    def download(self, name: str, file: Path) -> bool:
        """Copy a file from there, if it is there; say whether it is."""
        from pyarrow.fs import LocalFileSystem, copy_files

        if not self.exists(name):
            return False
        here = LocalFileSystem()
        self._patiently(
            name,
            lambda: copy_files(
                self._at(name),
                str(file),
                source_filesystem=self.system,
                destination_filesystem=here,
            ),
        )
        return True

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
        with tempfile.NamedTemporaryFile(prefix="siamsearch-") as file:
            file.write(content)
            file.flush()
            self.put(Path(file.name), Path(name))

    def read(self, name: str) -> bytes | None:
        """Return a small file's content, or None where it is not there."""
        with tempfile.TemporaryDirectory(prefix="siamsearch-") as folder:
            local = Path(folder) / "file"
            return local.read_bytes() if self.download(name, local) else None

    def _copy(self, file: Path, name: str) -> None:
        from pyarrow.fs import LocalFileSystem, copy_files

        whole = self.system.type_name in ("s3", "gcs", "abfs")  # appear when they are complete
        target = self._at(name)
        if not whole:
            self.system.create_dir(os.path.dirname(target), recursive=True)
        place, name = os.path.split(target)
        partial = target if whole else f"{place}/.{name}.{uuid.uuid4().hex[:8]}"
        copy_files(
            str(file),
            partial,
            source_filesystem=LocalFileSystem(),
            destination_filesystem=self.system,
        )
        if not whole:
            self.system.move(partial, target)

    def _at(self, name: str) -> str:
        return f"{self.root}/{name}" if self.root else name

    def _patiently(self, name: str, act: Any) -> Any:
        for wait in (*self.patience, None):
            try:
                return act()
            except FileNotFoundError:
                raise StorageError(f"{join(self.url, name)}: the bucket is not there") from None
            except (OSError, RuntimeError) as error:
                if wait is None:
                    raise StorageError(f"{join(self.url, name)}: {_reason(error)}") from None
                time.sleep(wait)


def _system(url: str) -> tuple[Any, str]:
    from pyarrow import ArrowException
    from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem

    try:
        system, root = FileSystem.from_uri(url)
        return system, root.rstrip("/")
    except (ArrowException, ValueError) as error:
        first = _reason(error)
    try:
        from fsspec.core import url_to_fs

        system, root = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise StorageError(f"{url}: not a place that can be reached ({first}; {error})") from None
    return PyFileSystem(FSSpecHandler(system)), root.rstrip("/")


def _reason(error: BaseException) -> str:
    """Return what the system said: torch hides that of a full disk behind an error of its own."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
