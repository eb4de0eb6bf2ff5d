"""Where a dataset's files come from: a zip read in place, or its extracted folder.

Both answer to paths under the dataset's root, such as ``Protocol/Pair_list_F.txt``. Nothing is
ever extracted, yet an archive is refused as a whole where a member would land outside its folder
or where its sizes are beyond any dataset of faces.
"""

from __future__ import annotations

import os
import re
import threading
import zipfile
import zlib
from pathlib import Path

from facesiam.config import did_you_mean
from facesiam.errors import UserError

MAX_MEMBER = 64 * 2**20
"""Bytes of the largest file that is read. The largest of CFP has 0.4 MB."""
MAX_TOTAL = 4 * 2**30
"""Bytes that an archive may unpack to. CFP has 0.09 GB."""
_OUTSIDE = re.compile(r"^[/\\]|^[A-Za-z]:|(?:^|[/\\])\.\.(?:[/\\]|$)")
LAYOUT = (
    "expected Data/Images/<person>/{frontal,profile}/NN.jpg and Protocol/ with Pair_list_F.txt, "
    "Pair_list_P.txt and Split/{FF,FP}/01..10/{same,diff}.txt"
)


class DataError(UserError, ValueError):
    """Data that cannot be used; the text names the file and says what to do."""


class ZipSource:
    """A CFP archive, read in place. Reading is safe from several threads.

    Raises:
        DataError: not a whole zip, no CFP layout inside, a member outside its folder, or a bomb.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
            # The last is zipfile's word for a compression or a split archive that it cannot read.
            raise DataError(_broken(path, error)) from None
        members = self._zip.infolist()
        _refuse_unsafe(path, members)
        root = _root(path, [member.filename for member in members])
        self._members = {
            member.filename[len(root) :]: member
            for member in members
            if member.filename.startswith(root) and not member.is_dir()
        }

    def has(self, name: str) -> bool:
        """Whether there is a file of this path under the root."""
        return name in self._members

    def stamp(self, name: str) -> tuple[int, int]:
        """Return size in bytes and CRC-32 as the archive's directory declares them."""
        return self._members[name].file_size, self._members[name].CRC

    def read(self, name: str) -> bytes:
        """Return a file's bytes, never more than declared, checked against the declared CRC.

        Raises:
            DataError: the member is damaged, encrypted, or not as long as declared.
        """
        member = self._members[name]
        try:
            # One reader at a time: ZipFile counts its open members without a lock. Asking for a
            # size bounds what zlib may produce; read() without one inflates first and cuts after.
            with self._lock, self._zip.open(member) as stream:
                content = stream.read(member.file_size + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
            raise DataError(f"{self.path}: member {name} is damaged ({error})") from None
        if len(content) != member.file_size:
            raise DataError(
                f"{self.path}: member {name} is damaged ({len(content)} bytes, "
                f"{member.file_size} declared)"
            )
        return content


class FolderSource:
    """An extracted CFP archive: the folder that holds Data/ and Protocol/, or its parent.

    Raises:
        DataError: neither the folder nor one inside it has that layout.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            inside = sorted(path.iterdir())
        except OSError as error:
            raise DataError(f"{path}: cannot be listed ({error.strerror})") from None
        roots = [
            folder
            for folder in [path, *inside]
            if folder.name != "__MACOSX" and _is_folder(folder / "Data", folder / "Protocol")
        ]
        if not roots:
            raise DataError(f"{path}: not the CFP dataset; {LAYOUT}")
        self._root = roots[0]

    def has(self, name: str) -> bool:
        """Whether there is a file of this path under the root."""
        return not _leaves(name) and (self._root / name).is_file()

    def stamp(self, name: str) -> tuple[int, int]:
        """Return size in bytes and CRC-32, the same as a zip of this folder would declare."""
        content = self.read(name)
        return len(content), zlib.crc32(content)

    def read(self, name: str) -> bytes:
        """Return a file's bytes.

        Raises:
            DataError: it cannot be read, or is larger than any image of faces.
        """
        try:
            with open(self._root / name, "rb") as stream:
                content = stream.read(MAX_MEMBER + 1)
        except OSError as error:
            raise DataError(f"{self._root / name}: cannot be read ({error.strerror})") from None
        if len(content) > MAX_MEMBER:
            raise DataError(f"{self._root / name}: larger than {MAX_MEMBER // 2**20} MiB; refused")
        return content


Source = ZipSource | FolderSource


def open_source(path: Path) -> Source:
    """Open a CFP zip or folder.

    Raises:
        DataError: the path does not exist (with the nearest name that does), or is no dataset.
    """
    if path.is_dir():
        return FolderSource(path)
    if path.is_file():
        return ZipSource(path)
    folder = path.parent
    near = did_you_mean(path.name, os.listdir(folder)) if folder.is_dir() else ""
    where = "" if folder.is_dir() else f" (nor does its folder {folder})"
    raise DataError(f"{path}: does not exist{where}{near}")


def _broken(path: Path, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return f"{path}: cannot be read ({error.strerror})"
    with open(path, "rb") as stream:
        begins_as_zip = stream.read(2) == b"PK"
    if begins_as_zip:
        return (
            f"{path}: a truncated or damaged zip ({error}); "
            "`python -m facesiam.data download` fetches it again"
        )
    return f"{path}: not a zip archive; give the CFP zip or its extracted folder"


def _refuse_unsafe(path: Path, members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        # orig_filename: zipfile cuts the name at a NUL and rewrites separators
        names = {member.orig_filename, member.filename}
        if any(_leaves(name) for name in names):
            raise DataError(
                f"{path}: member {member.orig_filename!r} would land outside its folder; refused"
            )
        if member.file_size > MAX_MEMBER:
            raise DataError(
                f"{path}: member {member.filename!r} unpacks to {member.file_size:,} bytes; "
                f"refused above {MAX_MEMBER:,}"
            )
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(
                f"{path}: member {member.filename!r} is neither stored nor deflated; refused"
            )
    total = sum(member.file_size for member in members)
    if total > MAX_TOTAL:
        raise DataError(f"{path}: unpacks to {total:,} bytes; refused above {MAX_TOTAL:,}")


def _leaves(name: str) -> bool:
    return _OUTSIDE.search(name) is not None


def _root(path: Path, names: list[str]) -> str:
    found: dict[str, set[str]] = {}
    for folder in {name.rpartition("/")[0] for name in names}:
        parts = folder.split("/")
        for depth, part in enumerate(parts):
            if part in ("Data", "Protocol"):
                found.setdefault("".join(f"{p}/" for p in parts[:depth]), set()).add(part)
    roots = [root for root, parts in found.items() if len(parts) == 2 and "__MACOSX" not in root]
    if not roots:
        raise DataError(f"{path}: not the CFP dataset; {LAYOUT}")
    return min(roots, key=len)


def _is_folder(*paths: Path) -> bool:
    return all(path.is_dir() for path in paths)
