"""Where a format was found, as each format's ``find`` returns it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Found:
    """Where in a source a format was found, and by what."""

    root: str
    """Folder of the source that its reader takes as the root: "" or ending with a slash."""
    why: str
    """What it was recognised by, as in "has Data/ and Protocol/"."""
