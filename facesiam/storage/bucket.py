"""The storage of a run in a bucket, or behind another URL that pyarrow or fsspec knows."""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facesiam.errors import StorageError, first_line
from facesiam.nets.weight_files import read_weights

PATIENCE = (1, 2, 4, 8)
"""Seconds between the attempts to reach a bucket."""


def is_url(where: str | Path) -> bool:
    """Return whether this is a URL, and not a path of this machine."""
    return "://" in str(where)


def join(url: str, name: str) -> str:
    """Return the URL of what lies at `name` below `url`, whose query stays at the end."""
    place, mark, query = url.partition("?")
    return f"{place.rstrip('/')}/{name}{mark}{query}"


class Bucket:
    """A place behind a URL. A written file appears when it is complete.

    Args:
        url: such as s3://bucket/runs/code2; options of the file system as its query, such as
            ?endpoint_override=http://127.0.0.1:9000 for a server of one's own.
        patience: seconds between the attempts.

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
                raise StorageError(f"{file.name}: {reason_of(error)}") from None
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
        """Return whether there is a file of this name."""
        (info,) = self._patiently(name, lambda: self.system.get_file_info([self._at(name)]))
        return bool(info.is_file)

    def put(self, file: Path, name: Path) -> None:
        """See Storage."""
        self._patiently(str(name), lambda: self._copy(file, str(name)))

    def download(self, name: str, file: Path) -> bool:
        """Copy a file to this machine, if it exists; return whether it does."""
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
        waits = list(self.patience)
        while True:
            try:
                return act()
            except FileNotFoundError:
                raise StorageError(f"{join(self.url, name)}: the bucket is not there") from None
            except (OSError, RuntimeError) as error:
                if not waits:
                    raise StorageError(f"{join(self.url, name)}: {reason_of(error)}") from None
                time.sleep(waits.pop(0))


def _system(url: str) -> tuple[Any, str]:
    from pyarrow import ArrowException
    from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem

    try:
        system, root = FileSystem.from_uri(url)
        return system, root.rstrip("/")
    except (ArrowException, ValueError) as error:
        first = reason_of(error)
    try:
        from fsspec.core import url_to_fs

        system, root = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise StorageError(f"{url}: not a place that can be reached ({first}; {error})") from None
    return PyFileSystem(FSSpecHandler(system)), root.rstrip("/")


def reason_of(error: BaseException) -> str:
    """Return the system's text, which torch hides behind an error of its own."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return first_line(error, 200)
