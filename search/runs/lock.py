"""The lock of a run folder: one command at a time writes there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facesiam.files import exists
from search.runs.line_format import JournalError


def is_locked(run: Path) -> bool:
    """Return whether a command holds a folder's lock; True where that cannot be told.

    A command that starts in the very instant of the look is refused, so it is for rare use.
    """
    from filelock import FileLock, Timeout

    path = run / ".lock"
    if not exists(path):
        return False
    try:
        with FileLock(path, blocking=False, fallback_to_soft=False):
            return False
    except (Timeout, OSError):
        return True


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold a folder's lock, which is released however the process ends; make the folder.

    Raises:
        JournalError: another command holds it, or .lock is no plain file.
    """
    from filelock import FileLock, Timeout  # takes longer to import than a journal does to read

    path = run / ".lock"
    # No lock by the file's existence where the system has none: it would outlive a killed driver.
    lock = FileLock(path, blocking=False, fallback_to_soft=False)
    while not lock.is_locked:
        run.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
            if exists(path):
                raise JournalError(f"{run}: another command is running in it") from None
        except FileNotFoundError:
            continue  # a start that failed has just removed the folder
        except OSError as error:
            raise JournalError(f"{path}: cannot be locked ({error.strerror})") from None
    try:
        yield
    finally:
        lock.release()
