"""Preparation of a dataset: finding, reading (cfp.py), checking, packing, opening."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facesiam.config.trial import Packing
from facesiam.data import cache_files, checksums, duplicates, listing, unfinished
from facesiam.data.common_problems import common_problems
from facesiam.data.dataset import INDEX, FaceData, cache_root
from facesiam.data.formats import Opened, open_dataset
from facesiam.data.listing import Listing
from facesiam.data.packing import is_sound, pack
from facesiam.data.problems import listed
from facesiam.data.stamps import StampMemory, joined
from facesiam.errors import DataError

DRAWN = "drawn"
"""The word that stands for drawn faces, instead of a path."""
ARCHIVE = "cfp-dataset.zip"
NO_DATA = (
    "no data: give --data with the CFP zip or faces of your own (or set $FACESIAM_DATA to them), "
    "fetch CFP with `python -m facesiam.data download`, or use --data drawn for drawn faces"
)


def prepare(
    spec: str | None,
    packings: Iterable[Packing],
    *,
    format: str | None = None,
    cache: Path | None = None,
    progress: bool = True,
) -> FaceData:
    """Find the dataset, pack what is not packed yet, and open it. For the driver, not for workers.

    What was packed before is compared with its checksum each time, and packed again where it
    differs.

    Args:
        spec: path of a dataset (``formats``), or ``drawn`` for drawn faces; None:
            ``$FACESIAM_DATA``, then the archive that ``download`` put into the cache.
        packings: the packed arrays that will be asked for.
        format: what the dataset is to be read as; None: recognised.
        cache: folder for what is packed, drawn and downloaded; None: ``cache_root()``.
        progress: show progress bars on stderr.

    Raises:
        DataError: no data, or it cannot be used; names every problem of its lists and splits.
    """
    cache = (cache or cache_root()).absolute()
    spec = spec or _usual(cache)
    opened = open_given(spec, cache, format, progress)
    source, dataset = opened.source, opened.read()
    if dataset.problems:
        raise DataError(listed(str(source.path), dataset.problems))
    memory = StampMemory(source, cache)
    found = memory.of(dataset.files + dataset.names)
    content = duplicates.contents(source, dataset.names, found[len(dataset.files) :])
    if problems := common_problems(dataset, content):
        raise DataError(listed(str(source.path), problems))
    folder = cache / listing.content_key(dataset, found)
    memory.write()
    for other in cache.glob("*/"):
        cache_files.sweep(other)
        unfinished.sweep(other)
    if not is_sound(folder / INDEX):
        _write_index(folder / INDEX, dataset, content, spec)
    try:
        pack(source, dataset, folder, packings, progress)
    except DataError:
        _remove_index_alone(folder)
        raise
    # Some are of files that are left out, by which the key does not change.
    return FaceData(folder, spec, notes=dataset.notes + duplicates.notes(dataset, content))


def prepare_known(
    spec: str | None,
    packings: Iterable[Packing],
    key: str | None,
    whose: str,
    format: str | None = None,
) -> FaceData:
    """Prepare the data that a run or weights were made with, as ``prepare``.

    Args:
        spec: as for ``prepare``.
        packings: as for ``prepare``.
        key: of the data, as the run or the weights have it; None: not known, any data is taken.
        whose: ends "not the data that ...", as in ``w.pt was trained on``.
        format: as for ``prepare``.

    Raises:
        DataError: as ``prepare``, or it is other data, whose test people the net may have seen.
    """
    data = prepare(spec, [], format=format)  # packs nothing yet: it may be refused
    if key not in (None, data.key):
        raise DataError(
            f"{data.source}: not the data that {whose} (content {data.key[:12]}, and that was "
            f"{str(key)[:12]}); give that with --data"
        )
    return prepare(spec, packings, format=format)


def is_packed(folder: Path, packings: Iterable[Packing]) -> bool:
    """Return whether a packed folder is there and intact; reads all of it."""
    return all(
        is_sound(folder / name) for name in (INDEX, *(packing.file for packing in packings))
    )


def open_given(spec: str, cache: Path, format: str | None = None, progress: bool = True) -> Opened:
    """Open what a user gave as data: a path, or the word ``drawn``.

    Raises:
        DataError: it is not there, or is no dataset.
    """
    path = drawn(cache, progress) if spec == DRAWN else Path(spec).expanduser()
    return open_dataset(path, format)


def _usual(cache: Path) -> str:
    """Return the path of the data that is taken where none is named.

    Raises:
        DataError: there is none.
    """
    if named := os.environ.get("FACESIAM_DATA"):
        return named
    if not (cache / ARCHIVE).exists():
        raise DataError(NO_DATA)
    return str(cache / ARCHIVE)


def drawn(cache: Path, progress: bool = True) -> Path:
    """Return the folder of drawn faces in a cache; draw them where it is missing."""
    from facesiam.data.synthetic import writer

    return writer.draw(cache / writer.folder_name(), progress=progress)


def _remove_index_alone(folder: Path) -> None:
    """Remove a folder in which nothing but the index is: an image of the dataset is damaged.

    The images are part of the folder's name, so what is mended has another.
    """
    index = folder / INDEX
    if set(folder.iterdir()) <= {index, checksums.seal_of(index)}:
        shutil.rmtree(folder, ignore_errors=True)


def _write_index(index: Path, dataset: Listing, content: NDArray[np.int64], source: str) -> None:
    """Write a packed dataset's index with its seal.

    Args:
        index: the file, in the folder named after the dataset's key.
        dataset: what the lists and splits say.
        content: (N,) a number for each image, the same for byte-identical ones.
        source: what the user gave.
    """
    with cache_files.writing(index, checksums.seal_of(index)) as (file, seal):
        with open(file, "wb") as stream:
            np.savez(
                stream,
                person=dataset.person,
                people=joined(dataset.people),
                frontal=dataset.frontal,
                fold=dataset.fold,
                format=np.array(dataset.format),
                pairs=dataset.pairs,
                names=joined(dataset.names),
                content=content,
                source=np.array(source),
            )
        checksums.write(file, seal, INDEX, index.parent.name)
