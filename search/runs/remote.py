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


def beside(place: str | Path, name: str) -> Path:
    """Return the folder of another run that lies where one does; what is behind a URL is fetched.

    Args:
        place: folder or URL of the one run.
        name: of the other one, which need not be there.

    Raises:
        RunError: the URL cannot be reached, or what is there is damaged.
    """
    return run_in(above(str(place)), name) if "://" in str(place) else Path(place).with_name(name)


def run_in(out: str, name: str) -> Path:
    """Return the folder of a run that need not be there; arguments as of ``search.run``.

    Raises:
        RunError: as ``beside``.
    """
    if "://" not in out:
        return Path(out) / name
    from facesiam.storage.bucket import join
    from search.runs.mirror import fetched  # which imports torch

    try:
        return fetched(join(out, name))
    except (StorageError, JournalError) as error:
        raise RunError(str(error)) from None


def above(url: str) -> str:
    """Return the URL of the folder above; the query stays at the end."""
    place, mark, query = url.partition("?")
    return place.rstrip("/").rpartition("/")[0] + mark + query
