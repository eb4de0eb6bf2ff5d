"""The data of a run, opened once more to train or test on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facesiam.config.trial import Packing
from facesiam.data.dataset import FaceData, cache_root, open_packed
from facesiam.data.preparation import is_packed, prepare_known
from search.runs.layout import data_of


def open_data(run: Path, given: str | None, packings: Sequence[Packing]) -> FaceData:
    """Open the data that a run was made with, packed already or from `given`.

    Args:
        run: its folder.
        given: where the data is now; None: where it was.
        packings: of the images that are wanted.

    Raises:
        DataError: the data is missing, or is other data.
    """
    source, key, format = data_of(run)
    packed = cache_root() / key
    if given is None and is_packed(packed, packings):
        return open_packed(packed)
    return prepare_known(given or source, packings, key, f"{run} was made with", format)
