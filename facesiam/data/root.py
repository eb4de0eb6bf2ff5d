"""Finding the root of a CFP dataset: the folder that holds Data and Protocol, in any case."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from facesiam import files
from facesiam.errors import DataError, FileError, reason

LAYOUT = (
    "expected Data/Images/<person>/{frontal,profile}/NN.jpg and Protocol/ with Pair_list_F.txt, "
    "Pair_list_P.txt and Split/{FF,FP}/01..10/{same,diff}.txt"
)
DEPTH = 4
"""Folders down from the one that was given in which the dataset is looked for."""
_MOST_FOLDERS = 2_000
"""That are looked into on the way."""


def root_among(path: Path, names: Iterable[str]) -> str:
    """Return the dataset's root in an archive, "" or ending with a slash: the nearest, the first.

    Args:
        path: of the archive, for the message.
        names: of its members.

    Raises:
        DataError: no folder of it holds both Data and Protocol.
    """
    found: dict[str, set[str]] = {}
    for folder in {name.rpartition("/")[0] for name in names}:
        parts = folder.split("/")
        for depth, part in enumerate(parts):
            if part.lower() in ("data", "protocol"):
                root = "".join(f"{p}/" for p in parts[:depth])
                found.setdefault(root, set()).add(part.lower())
    roots = [root for root, parts in found.items() if len(parts) == 2 and "__MACOSX" not in root]
    if not roots:
        raise DataError(f"{path}: not the CFP dataset; {LAYOUT}")
    return min(roots, key=lambda root: (root.count("/"), root))


def root_below(path: Path) -> Path:
    """Return the nearest folder, this one or below it, that holds Data and Protocol.

    Raises:
        DataError: there is none; the text says what to give instead, where that is known.
    """
    level, looked, archives = [path], 0, []
    for _ in range(DEPTH + 1):
        below: list[Path] = []
        for folder in level:
            if len(parts_of(folder)) == 2:
                return folder
            looked += 1
            try:
                inside = sorted(folder.iterdir())
            except OSError as error:
                if folder == path:
                    raise DataError(f"{path}: cannot be listed ({reason(error)})") from None
                continue
            archives += [file for file in inside if file.suffix.lower() == ".zip"]
            below += [
                one
                for one in inside
                if one.name != "__MACOSX" and not one.name.startswith(".") and _enters(one)
            ]
        level = below[: max(0, _MOST_FOLDERS - looked)]
    hint = f"; it holds {archives[0].name}: give that" if archives else ""
    if len(parts_of(path.absolute().parent)) == 2:
        hint = f"; give {path.absolute().parent}"
    raise DataError(f"{path}: not the CFP dataset{hint}; {LAYOUT}")


def parts_of(root: Path) -> dict[str, Path]:
    """Return a folder's Data and Protocol by these names in lower case, where they are there."""
    try:
        inside = sorted(root.iterdir(), reverse=True)  # of two, the one in lower case is last
    except OSError:
        return {}
    return {
        one.name.lower(): one
        for one in inside
        if one.name.lower() in ("data", "protocol") and _enters(one)
    }


def _enters(path: Path) -> bool:
    try:
        return files.is_dir(path)
    except FileError:
        return False
