"""Finding the root of a CFP dataset: the folder that holds Data and Protocol, in any case."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from facesiam import files
from facesiam.data.archive import FolderSource, Source
from facesiam.errors import DataError, FileError, reason

LAYOUT = (
    "expected Data/Images/<person>/{frontal,profile}/NN.jpg and Protocol/ with Pair_list_F.txt, "
    "Pair_list_P.txt and Split/{FF,FP}/01..10/{same,diff}.txt"
)
DEPTH = 4
"""Folders down from the one that was given in which the dataset is looked for."""
_MOST_FOLDERS = 2_000
"""That are looked into on the way."""


def root_of(source: Source) -> str | None:
    """Return the nearest folder of a source that holds both Data and Protocol.

    Returns:
        Its path under the source's root, "" or ending with a slash; None: there is none.

    Raises:
        DataError: the source's folder cannot be listed.
    """
    if not isinstance(source, FolderSource):
        return _root_among(source.names())
    for folder in _below(source.root):
        if len(parts_of(folder)) == 2:
            inner = folder.relative_to(source.root).as_posix()
            return "" if inner == "." else f"{inner}/"
    return None


def are_its_images(source: Source, folder: str) -> bool:
    """Return whether a folder of images is that of a CFP dataset whose lists were not found.

    Args:
        source: the files.
        folder: path of the folder that the people's folders are in, "" or ending with a slash.
    """
    name = folder.lower()
    return around(source) is not None or (
        name.endswith("data/images/")
        and any(f.lower().startswith(name) and "/frontal/" in f.lower() for f in source.names())
    )


def around(source: Source) -> Path | None:
    """Return the CFP dataset that a folder is in, one folder up or two; None: it is in none."""
    if not isinstance(source, FolderSource):
        return None
    above = tuple(source.root.absolute().parents)[:2]
    return next((folder for folder in above if len(parts_of(folder)) == 2), None)


def hint(source: Source) -> str:
    """Return what to give instead of a source without a dataset, as "; give X", if known."""
    if not isinstance(source, FolderSource):
        return ""
    if whole := around(source):
        return f"; give {whole}"
    return ""


def _root_among(names: Iterable[str]) -> str | None:
    found: dict[str, set[str]] = {}
    for folder in {name.rpartition("/")[0] for name in names}:
        parts = folder.split("/")
        for depth, part in enumerate(parts):
            if part.lower() in ("data", "protocol"):
                root = "".join(f"{p}/" for p in parts[:depth])
                found.setdefault(root, set()).add(part.lower())
    roots = [root for root, parts in found.items() if len(parts) == 2 and "__MACOSX" not in root]
    return min(roots, key=lambda root: (root.count("/"), root), default=None)


def _below(root: Path) -> Iterator[Path]:
    """Yield a folder and those below it, the nearest first, not too many and not too deep.

    Raises:
        DataError: the first cannot be listed.
    """
    try:
        list(root.iterdir())
    except OSError as error:
        raise DataError(f"{root}: cannot be listed ({reason(error)})") from None
    level, looked = [root], 0
    for _ in range(DEPTH + 1):
        yield from level
        looked += len(level)
        below = [
            one
            for folder in level
            for one in inside(folder)
            if one.name != "__MACOSX" and not one.name.startswith(".") and _enters(one)
        ]
        level = below[: max(0, _MOST_FOLDERS - looked)]


def inside(folder: Path) -> list[Path]:
    """Return what is in a folder, in order; nothing where it cannot be listed."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def parts_of(root: Path) -> dict[str, Path]:
    """Return a folder's Data and Protocol by these names in lower case, where they are there."""
    return {
        one.name.lower(): one
        for one in reversed(inside(root))  # of two, the one in lower case is last
        if one.name.lower() in ("data", "protocol") and _enters(one)
    }


def _enters(path: Path) -> bool:
    try:
        return files.is_dir(path)
    except FileError:
        return False
