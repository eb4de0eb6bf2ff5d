"""What is said of a path that holds no dataset, or none of the format that was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from facesiam.config.settings import did_you_mean
from facesiam.data.archive import FolderSource, Source
from facesiam.data.formats import cfp_root, tables
from facesiam.data.formats.folders import SUFFIXES, Layout, is_litter, kinds_of
from facesiam.data.formats.tables import Columns
from facesiam.errors import counted

_ARCHIVES = (".zip", ".rar", ".7z", ".tar", ".tgz", ".gz", ".xz", ".bz2")
_LOOKED_AT = 50
"""Files and folders beside one that may be a person's."""


class Kind(Protocol):
    """What is needed of a format."""

    @property
    def title(self) -> str:
        """What it is, in a few words."""

    @property
    def columns(self) -> Columns | None:
        """The columns of its table."""


def said(source: Source, formats: Mapping[str, Kind], asked: str | None) -> str:
    """Return a sentence on what is there instead, and what could be.

    Args:
        source: where nothing was found.
        formats: every format.
        asked: the only one that was looked for; None: all were.

    Raises:
        DataError: a file or folder cannot be read.
    """
    if asked == "cfp":
        archive = _archive(source, source.names())
        where = cfp_root.hint(source) + (f"; {archive}" if archive else "")
        return f"not the CFP dataset{where}; {cfp_root.LAYOUT}"
    kinds = [kind.columns for name, kind in formats.items() if asked in (None, name)]
    columns = [kind for kind in kinds if kind]
    advice = _advice(source, columns)
    if asked:
        there = advice or _held(source)
        return f"not in the format {asked} ({formats[asked].title}): {there}"
    if advice:
        return f"not a dataset{cfp_root.hint(source)}; {advice}"
    known = [kind.title for kind in formats.values()]
    return (
        f"not a dataset{cfp_root.hint(source)}; {_held(source)}; known formats are "
        f"{', '.join(known[:-1])} and {known[-1]}"
    )


def _table(source: Source, kinds: Sequence[Columns]) -> str:
    """Return what is missing in the header of a source's table; "": it is not meant to be one."""
    files = tables.files_of(source)
    if not files or not kinds:
        return ""
    header = tables.header_of(source, files[0])

    def likeness(kind: Columns) -> int:
        """Count the needed columns that are there, or nearly."""
        there = kind.places(header)
        return sum(
            2 if name in there else any(did_you_mean(other, [name]) for other in header)
            for name in kind.needed
        )

    nearest = max(kinds, key=likeness)
    missing = [name for name in nearest.needed if name not in nearest.places(header)]
    if missing and (likeness(nearest) > 1 or len(kinds) == 1):
        return tables.misfit(files[0], header, nearest, missing)
    if source.path.name == files[0]:
        said = ", ".join(name[:40] for name in header[:6]) or "empty"
        if "\0" in said:
            return f"{files[0]} is not text; save it as CSV"
        named = " or ".join(",".join(kind.needed) for kind in kinds)
        return f"{files[0]} line 1: the first line has to name the columns, {named}; it is {said}"
    return ""


def _advice(source: Source, kinds: Sequence[Columns]) -> str:
    """Return what a user has to do with what a source holds; "" where that is not clear.

    Args:
        source: the files.
        kinds: the tables that are looked for.
    """
    if table := _table(source, kinds):
        return table
    names = source.names()
    layout = Layout(names)
    if layout.images and cfp_root.are_its_images(source, f"{layout.base}/"):
        return (
            f"it holds images of CFP and not its lists; {cfp_root.LAYOUT} (--format folders takes "
            "the images alone)"
        )
    if layout.left_out and not layout.images and (people := _people_above(source)):
        return f"{_held(source)}; if it is one person's, give {people}"
    return "" if layout.files else _archive(source, names)


def _held(source: Source) -> str:
    """Return what a source holds, in a few words."""
    names = source.names()
    layout = Layout(names)
    if layout.images:
        return f"it holds images in {counted(len(layout.folders), 'folder')} of people"
    if layout.left_out:
        count = len(layout.left_out)
        return (
            f"it holds {counted(count, 'image')} and no folder of a person; put each "
            "person's images into a folder that has the person's name"
        )
    if not names:
        return "it is empty"
    others = layout.others or names
    return (
        f"it holds no image ({', '.join(SUFFIXES)}), and "
        f"{counted(len(others), 'other file')}: {kinds_of(others)}"
    )


def _archive(source: Source, names: Sequence[str]) -> str:
    """Return what to do with an archive among the files of a source, if there is one."""
    found = next((name for name in names if name.lower().endswith(_ARCHIVES)), "")
    if not found:
        return ""
    can_be_given = isinstance(source, FolderSource) and found.lower().endswith(".zip")
    return (
        f"it holds {found}: {'give that' if can_be_given else 'unpack that and give its folder'}"
    )


def _people_above(source: Source) -> Path | None:
    """Return the folder that the given one is in, if that looks like people's folders."""
    if not isinstance(source, FolderSource):
        return None
    above = source.root.absolute().parent
    beside = [one for one in cfp_root.inside(above) if not is_litter(one.name)][:_LOOKED_AT]
    people = [one for one in beside if any(map(_is_image, cfp_root.inside(one)))]
    return above if len(people) > 1 and 2 * len(people) >= len(beside) else None


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES
