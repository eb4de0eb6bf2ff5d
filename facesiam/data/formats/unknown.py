"""What is said of a path that holds no dataset, or none of the format that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

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
    if asked:
        columns = formats[asked].columns
        kinds = [columns] if columns else []
        return f"not in the format {asked} ({formats[asked].title}): {_there(source, kinds)}"
    kinds = [kind.columns for kind in formats.values() if kind.columns]
    known = [kind.title for kind in formats.values()]
    return (
        f"not a dataset{cfp_root.hint(source)}; {_there(source, kinds)}; known formats are "
        f"{', '.join(known[:-1])} and {known[-1]}"
    )


def _there(source: Source, kinds: list[Columns]) -> str:
    """Return what a source holds, in a few words, and what to do with it."""
    files = tables.files_of(source)
    if kinds and files:
        header = tables.header_of(source, files[0])
        nearest = max(kinds, key=lambda kind: len(kind.places(header)))
        missing = [name for name in nearest.needed if name not in nearest.places(header)]
        if missing and (len(missing) < len(nearest.needed) or not kinds[1:] or len(files) == 1):
            return tables.misfit(files[0], header, nearest, missing)
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
