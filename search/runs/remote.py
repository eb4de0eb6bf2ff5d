"""Opening a run that the user names: a folder, or a copy here of one behind a URL."""

from __future__ import annotations

from pathlib import Path

from facesiam.errors import StorageError
from search.runs.layout import RunError, folder_of
from search.runs.line_format import JournalError


def open_run(run: str | Path) -> Path:
    """Return the folder of a run; what a URL leads to is fetched, so a command calls this once.

    Raises:
        RunError: as ``folder_of``, or the URL cannot be reached, or what is there is damaged.
    """
    if "://" not in str(run):
        return folder_of(run)
    from search.runs.mirror import fetched  # which imports torch

    try:
        return folder_of(fetched(str(run)))
    except (StorageError, JournalError) as error:
        raise RunError(str(error)) from None
