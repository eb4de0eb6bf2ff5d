"""What may have been meant by a path at which there is nothing: one hint for all commands."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from facesiam.config.settings import nearest
from facesiam.errors import FileError
from facesiam.files import exists, is_dir, is_file

RESULTS = "ray_results"
"""The folder in which the runs of searches are, unless a command says otherwise."""
WEIGHTS = (".pt", ".pth", ".safetensors")
"""Endings of files of weights."""
MOST = 5
"""Names that a hint lists at most."""
MOST_STEPS = 50
"""Of a path that may be a misspelt one."""


def did_you_mean(
    missing: Path, suits: Callable[[Path], bool], beside: Sequence[str] = (RESULTS,)
) -> str:
    """Return '; did you mean PATH?' for the nearest path that suits, or '' where none is near.

    Every step of the path may be misspelt. A trial's file is near by its number alone: 0010 is
    none that was meant by 0001. What is in the folder is listed then.

    Args:
        missing: what was given; nothing is there.
        suits: whether something that is there is of the kind that was asked for.
        beside: folders within the path's own in which the same or a similar name is looked for,
            too.
    """
    folder, name = missing.parent, missing.name
    if found := _found(missing, suits):
        return f"; did you mean {found}?"
    for place in (folder / each for each in beside if _is(folder / each, is_dir)):
        if found := _found(place / name, suits):
            return f"; did you mean {found}?"
    there = _names(folder, suits) if missing.stem.isdecimal() else []
    if there:
        more = f" and {len(there) - MOST} more" if len(there) > MOST else ""
        return f"; {folder} has {', '.join(there[:MOST])}{more}"
    return "" if _is(folder, is_dir) else f"; there is no folder {folder}"


def nearest_weights(missing: Path, suits: Callable[[Path], bool] | None = None) -> str:
    """Return the hint at the nearest file of weights, or at what suits, of one that is missing."""
    return did_you_mean(missing, suits or is_weights, (RESULTS, "weights"))


def is_weights(path: Path) -> bool:
    """Return whether there is a file of weights by its name, which need not be whole."""
    return path.suffix in WEIGHTS and is_file(path)


def _found(path: Path, suits: Callable[[Path], bool]) -> Path | None:
    """Return the path that suits and has the nearest names; None where none is near."""
    if _is(path, suits):
        return path
    folder = path.parent
    if folder == path or len(path.parts) > MOST_STEPS:
        return None
    if not _is(folder, is_dir):
        meant = _found(folder, is_dir)
        return _found(meant / path.name, suits) if meant else None
    near = _near(path.name, _names(folder, suits))
    return folder / near if near else None


def _near(name: str, names: Sequence[str]) -> str:
    """Return the name that may have been meant; '' where none may."""
    stem, end = Path(name).stem, Path(name).suffix
    if stem.isdecimal():
        same = [each for each in names if Path(each).stem.lstrip("0") == stem.lstrip("0")]
        return same[0] if same else ""
    later = [each for each in names if re.fullmatch(rf"{re.escape(name)}-\d.*", each)]
    if later:  # a run that was named by its time
        return later[-1]
    # An ending that all have would make all names alike.
    stems = {Path(each).stem: each for each in names if end and Path(each).suffix == end}
    near = nearest(stem, stems)
    return stems[near] if near else nearest(name, names)


def _names(folder: Path, suits: Callable[[Path], bool]) -> list[str]:
    """Return the names in a folder of what suits, in order; none where it cannot be read."""
    try:
        return sorted(each.name for each in folder.iterdir() if _is(each, suits))
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return []


def _is(path: Path, suits: Callable[[Path], bool]) -> bool:
    """Return whether something is at a path and suits; what cannot be looked at does not."""
    try:
        return exists(path) and suits(path)
    except (FileError, OSError):
        return False
