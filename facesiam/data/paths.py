"""Paths under a root: all of them, and the one that is meant by a name in another case."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from facesiam.errors import DataError, reason

_OUTSIDE = re.compile(r"^[/\\]|^[A-Za-z]:|(?:^|[/\\])\.\.(?:[/\\]|$)")


@dataclass(frozen=True)
class Tree:
    """The paths under a folder, relative to it, in order."""

    files: list[str]
    folders: list[str]
    links: list[str]

    def below(self, root: str) -> Tree:
        """Return the paths under a folder of it, "" or ending with a slash, relative to that."""
        return Tree(*(below(root, names) for names in (self.files, self.folders, self.links)))


class Cases:
    """Finds a path among others in any case and Unicode form, where exactly one matches."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._exact = set(paths)
        self._folded: dict[str, list[str]] = {}
        for path in self._exact:
            self._folded.setdefault(_folded(path), []).append(path)

    def of(self, path: str) -> str:
        """Return the path that matches, else `path`."""
        alike = self._folded.get(_folded(path), [])
        return alike[0] if len(alike) == 1 and path not in self._exact else path


def list_tree(root: Path) -> Tree:
    """List all that is under a folder; links to folders are followed.

    Raises:
        DataError: a folder cannot be listed, or a link leads back to one above it.
    """

    def unreadable(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed ({reason(error)})")

    found = Tree([], [], [])
    above = {str(root): frozenset([os.path.realpath(root)])}
    for at, folders, inside in os.walk(root, onerror=unreadable, followlinks=True):
        known = above.pop(at)
        here = "" if Path(at) == root else f"{Path(at).relative_to(root).as_posix()}/"
        for name in folders:
            path = os.path.join(at, name)
            real = os.path.realpath(path) if os.path.islink(path) else None
            if real in known:
                raise DataError(f"{path}: a link to a folder above it")
            above[path] = known | {real} if real else known
            found.folders.append(here + name)
            if real:
                found.links.append(here + name)
        for name in inside:
            found.files.append(here + name)
            if os.path.islink(os.path.join(at, name)):
                found.links.append(here + name)
    return Tree(sorted(found.files), sorted(found.folders), sorted(found.links))


def below(root: str, names: list[str]) -> list[str]:
    """Return the paths under a root, "" or ending with a slash, relative to it."""
    return [name[len(root) :] for name in names if name.startswith(root) and name != root]


def slashed(path: str) -> str:
    """Return a path as a table has it, of whatever system, as a source has it."""
    return path.replace("\\", "/").removeprefix("./")


def leaves(path: str) -> bool:
    """Whether a path is absolute, of whatever system, or has ".." in it."""
    return _OUTSIDE.search(path) is not None


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()
