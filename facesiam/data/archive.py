"""The files of a dataset: in a zip that is read in place, or in its extracted folder.

Both take paths under a root, at first the folder or archive itself, such as
``Protocol/Pair_list_F.txt``; a path in another case (``01.JPG``) is found where it is unambiguous.
Nothing is ever extracted, yet an archive is refused as a whole where a member would be extracted
outside its folder, or where its sizes exceed those of any dataset of faces.
"""

from __future__ import annotations

import copy
import os
import stat
import threading
import zlib
from pathlib import Path

from facesiam import files
from facesiam.config.settings import did_you_mean
from facesiam.data.paths import Cases, Tree, below, leaves, list_tree
from facesiam.data.pickled_pairs import BinSource
from facesiam.data.zip_members import MAX_MEMBER, is_folder, name_of, open_zip
from facesiam.errors import DataError, FileError, UserError, reason

DESCRIPTIONS = (".csv", ".tsv")
"""Suffixes of files that describe a dataset and are opened with their folder."""
SPREADSHEETS = (".xlsx", ".xls", ".ods", ".numbers")
"""Suffixes of tables that are not read."""


class ZipSource:
    """A zip archive, read in place. Reading is safe from several threads.

    Raises:
        DataError: not a whole zip, a member outside its folder, or a bomb.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._zip = open_zip(path)
        members = self._zip.infolist()
        self._members = {name_of(member): member for member in members if not is_folder(member)}
        self._folders = [name_of(member) for member in members if is_folder(member)]
        self._cases: Cases | None = None

    def enter(self, root: str) -> ZipSource:
        """Return the same archive with another root: a folder of it, "" or ending with a slash."""
        inner = copy.copy(self)
        inner._members = {
            name[len(root) :]: member
            for name, member in self._members.items()
            if name.startswith(root)
        }
        inner._folders = below(root, self._folders)
        inner._cases = None
        return inner

    def names(self) -> list[str]:
        """Return the path of every file under the root, in order."""
        return sorted(self._members)

    def folders(self) -> list[str]:
        """Return the path of every folder under the root that the archive has an entry for."""
        return sorted(self._folders)

    def links(self) -> dict[str, str]:
        """Return the target of each link under the root; an archive's links are never followed."""
        return {
            name: self.read(name).decode("utf-8", "replace")
            for name, member in self._members.items()
            if stat.S_ISLNK(member.external_attr >> 16)
        }

    def has(self, name: str) -> bool:
        """Whether there is a file of this path under the root."""
        return self.place(name) in self._members

    def place(self, name: str) -> str:
        """Return the path of this file as the archive writes it; `name` where there is none."""
        if name in self._members:
            return name
        if self._cases is None:  # only built where a name needs it
            self._cases = Cases(self._members)
        return self._cases.of(name)

    def stamp(self, name: str) -> tuple[int, int]:
        """Return size in bytes and CRC-32 as the archive's directory declares them."""
        member = self._members[self.place(name)]
        return member.file_size, member.CRC

    def read(self, name: str) -> bytes:
        """Return a file's bytes, never more than declared, checked against the declared CRC.

        Raises:
            DataError: the member is damaged, encrypted, or not as long as declared.
        """
        member = self._members[self.place(name)]
        try:
            # One reader at a time: ZipFile counts its open members without a lock. Asking for a
            # size bounds what zlib may produce; read() without one inflates first and cuts after.
            with self._lock, self._zip.open(member) as stream:
                content = stream.read(member.file_size + 1)
        except files.DAMAGED as error:
            raise DataError(f"{self.path}: member {name} is damaged ({error})") from None
        if len(content) != member.file_size:
            raise DataError(
                f"{self.path}: member {name} is damaged ({len(content)} bytes, "
                f"{member.file_size} declared)"
            )
        return content


class FolderSource:
    """A folder of files.

    Args:
        path: the folder, or a file in it that describes the dataset.
        root: the folder; None: `path`.
    """

    def __init__(self, path: Path, root: Path | None = None) -> None:
        self.path = path
        self.root = path if root is None else root
        self._at = str(self.root)
        self._listed: Tree | None = None
        self._places: Cases | None = None

    def enter(self, root: str) -> FolderSource:
        """Return the same source with another root: a folder of it, "" or ending with a slash."""
        inner = FolderSource(self.path, self.root / root)
        if self._listed:
            inner._listed = self._listed.below(root)
        return inner

    def state(self, name: str) -> tuple[int, int, int]:
        """Return a file's bytes, and when its content and its status changed, in nanoseconds.

        Raises:
            DataError: there is no such file.
        """
        try:
            try:
                found = os.stat(f"{self._at}/{name}")
            except OSError:
                found = os.stat(self.root / self.place(name))
        except OSError as error:
            raise DataError(f"{self.root / name}: cannot be read ({reason(error)})") from None
        return found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def names(self) -> list[str]:
        """Return the path of every file under the root, in order; links to folders are followed.

        Raises:
            DataError: a folder cannot be listed, or a link leads back to one above it.
        """
        return self._tree().files

    def folders(self) -> list[str]:
        """Return the path of every folder under the root, in order."""
        return self._tree().folders

    def links(self) -> dict[str, str]:
        """Return the target of each link under the root that is broken or leads out of `path`."""
        given = os.path.realpath(self.path if self.path.is_dir() else self.path.parent)
        found = {name: os.path.realpath(self.root / name) for name in self._tree().links}
        return {
            name: target
            for name, target in found.items()
            if not (os.path.exists(target) and Path(target).is_relative_to(given))
        }

    def _tree(self) -> Tree:
        if self._listed is None:  # once: a large set takes seconds
            self._listed = list_tree(self.root)
        return self._listed

    def has(self, name: str) -> bool:
        """Whether there is a file of this path under the root."""
        return not leaves(name) and self._is_file(self.place(name))

    def place(self, name: str) -> str:
        """Return the path of this file as the folder writes it; `name` where there is none."""
        if leaves(name) or self._is_file(name):
            return name
        if self._places is None:  # the folders are only listed where a name needs it
            self._places = Cases(self.names())
        return self._places.of(name)

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
            return files.read_bytes(self.root / self.place(name), MAX_MEMBER)
        except FileError as error:
            raise DataError(str(error)) from None

    def _is_file(self, name: str) -> bool:
        try:
            return files.is_file(self.root / name)
        except FileError:  # a name of 300 letters, a folder that may not be entered
            return False


Source = ZipSource | FolderSource | BinSource


def open_source(path: Path) -> Source:
    """Open a zip, a folder, an insightface .bin, or the folder of a file that describes a dataset.

    Raises:
        DataError: the path does not exist (with the nearest name that does), or is no dataset.
    """
    try:
        if files.is_dir(path):
            return FolderSource(path)
        if files.is_file(path):
            if path.suffix.lower() == ".bin":
                return BinSource(path)
            if path.suffix.lower() in DESCRIPTIONS:
                return FolderSource(path, path.parent)
            if path.suffix.lower() in SPREADSHEETS:
                raise DataError(f"{path}: a spreadsheet; save it as CSV and give that")
            return ZipSource(path)
        if files.exists(path):
            raise DataError(f"{path}: neither a folder nor a zip archive")
        folder = path.parent
        listed = os.listdir(folder) if files.is_dir(folder) else None
    except (FileError, OSError) as error:
        raise DataError(
            str(error)
            if isinstance(error, UserError)
            else f"{path}: cannot be read ({reason(error)})"
        ) from None
    where = f" (nor does its folder {folder})" if listed is None else ""
    raise DataError(f"{path}: does not exist{where}{did_you_mean(path.name, listed or [])}")
