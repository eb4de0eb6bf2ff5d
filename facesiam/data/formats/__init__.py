"""The data formats: which one a path holds, and a reader of each.

A new format is a module with ``find`` and ``read`` and a line in FORMATS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from facesiam.config.settings import did_you_mean
from facesiam.data.archive import FolderSource, Source, open_source
from facesiam.data.formats import bin_file, cfp, cfp_root, folders, images, lfw, pairs, unknown
from facesiam.data.formats.found import Found
from facesiam.data.formats.tables import Columns
from facesiam.data.listing import Listing, one_sided
from facesiam.errors import DataError


@dataclass(frozen=True)
class Format:
    """A data format."""

    title: str
    """What it is, in a few words."""
    find: Callable[[Source], Found | None]
    """Says where the format is in a source; None: it is not in there. Opens no image."""
    read: Callable[[Source], Listing]
    """Reads the images, people and pairs of a source whose root ``find`` gave."""
    columns: Columns | None = None
    """The columns of the table that describes it, where it has one."""


FORMATS: dict[str, Format] = {
    "cfp": Format("CFP (Data/Images and Protocol)", cfp.find, cfp.read),
    "bin": Format("insightface's .bin (to evaluate on)", bin_file.find, bin_file.read),
    "lfw": Format("LFW (pairs.txt, PERSON/PERSON_0001.jpg)", lfw.find, lfw.read),
    "pairs": Format(
        f"a CSV of pairs ({','.join(pairs.COLUMNS.needed)})", pairs.find, pairs.read, pairs.COLUMNS
    ),
    "images": Format(
        f"a CSV of images ({','.join(images.COLUMNS.needed)})",
        images.find,
        images.read,
        images.COLUMNS,
    ),
    "folders": Format("folders of people (PERSON/*.jpg)", folders.find, folders.read),
}
"""Every format by the name that ``--format`` takes, in the order in which they are tried."""


@dataclass(frozen=True)
class Opened:
    """A dataset that was recognised, not yet read."""

    name: str
    """Of the format."""
    why: str
    """What the format was recognised by; for a format that was asked for, that."""
    source: Source
    """The files under the dataset's root."""

    def read(self) -> Listing:
        """Return what the lists say; decodes no image.

        Raises:
            DataError: there is no image at all. What else is wrong is in its ``problems``.
        """
        found = FORMATS[self.name].read(self.source)
        if not found.problems and self.name != "bin":
            found.problems.extend(one_sided(found))
        return found


def open_dataset(path: Path, format: str | None = None) -> Opened:
    """Open a dataset and recognise its format.

    Args:
        path: a zip, a folder, or a file that describes a dataset.
        format: a name of FORMATS that it has to be; None: the first that fits.

    Raises:
        DataError: it is not there, or holds no dataset, or none of that format.
    """
    if format is not None and format not in FORMATS:
        raise DataError(
            f"format: {format!r} is not one of {', '.join(FORMATS)}{did_you_mean(format, FORMATS)}"
        )
    source = open_source(path)
    given_file = isinstance(source, FolderSource) and source.root != source.path
    for name, kind in FORMATS.items():
        if given_file and not kind.columns:
            continue  # what else is in the folder of a table is not asked for
        if format in (None, name) and (found := kind.find(source)):
            if (format, name) == (None, "folders") and cfp_root.are_its_images(source, found.root):
                break  # CFP's own pairs are wanted
            why = found.why if format is None else f"asked for; {found.why}"
            return Opened(name, why, source.enter(found.root))
    raise DataError(f"{path}: {unknown.said(source, FORMATS, format)}")
