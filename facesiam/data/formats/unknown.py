"""What is said of a path that holds no dataset, or none of the format that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from facesiam.config.settings import did_you_mean
from facesiam.data.archive import Source
from facesiam.data.formats import cfp_root, tables
from facesiam.data.formats.folders import Layout
from facesiam.data.formats.tables import Columns


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
        return f"not the CFP dataset{cfp_root.hint(source)}; {cfp_root.LAYOUT}"
    kinds = [kind.columns for kind in formats.values() if kind.columns]
    if asked:
        columns = formats[asked].columns
        there = _table(source, [columns] if columns else []) or _there(source)
        return f"not in the format {asked} ({formats[asked].title}): {there}"
    if table := _table(source, kinds):
        return f"not a dataset; {table}"
    known = [kind.title for kind in formats.values()]
    return (
        f"not a dataset{cfp_root.hint(source)}; {_there(source)}; known formats are "
        f"{', '.join(known[:-1])} and {known[-1]}"
    )


def _table(source: Source, kinds: list[Columns]) -> str:
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
        named = " or ".join(",".join(kind.needed) for kind in kinds)
        return f"{files[0]} line 1: the first line has to name the columns, {named}; it is {said}"
    return ""


def _there(source: Source) -> str:
    """Return what a source holds, in a few words, and what to do with it."""
    names = source.names()
    layout = Layout(names)
    if layout.images and cfp_root.are_its_images(source, f"{layout.base}/"):
        return (
            f"it holds images of CFP and not its lists; {cfp_root.LAYOUT} (--format folders takes "
            "the images alone)"
        )
    if layout.images:
        return f"it holds images in {len(layout.folders):,} folders of people"
    if layout.left_out:
        return (
            f"it holds {len(layout.left_out):,} images and no folder of a person; put each "
            f"person's images into a folder that has the person's name"
        )
    if not names:
        return "it is empty"
    first = (layout.others or names)[0]
    return (
        f"it holds no image, and {len(names):,} other file{'s' * (len(names) > 1)} (first {first})"
    )
