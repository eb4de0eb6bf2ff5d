"""Going on with a run from Python: its last session's options, read from its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.api import wording
from search.api.opened import Run
from search.api.searching import run
from search.cli.run_parser import parser
from search.runs.layout import SPACE
from search.runs.reuse import RunRefused

AGAIN = (
    *("data", "format", "weights", "plugin", "reuse", "log", "optuna"),
    *("concurrent", "cpus", "gpus", "address"),
)
"""Options that a session hands on. All else is in the run's own space file."""


def resume(made: Run, changes: Mapping[str, Any]) -> Run:
    """Go on with a run, as ``Run.resume``."""
    folder, url = made.folder, made.url
    handed = {**_last(made), **changes}
    for name, value in handed.items():
        if "***" in str(value):
            raise RunRefused(
                f"{name} {value}: the secret in place of *** is noted nowhere; give {name}= again"
            )
    space = handed.pop("space", folder / SPACE)
    given = {"name": folder.name, "out": _above(url) if url else folder.parent, "resume": True}
    again = run(space, **{**given, **handed})
    return again if url is None else Run(again.folder, url)


def _above(url: str) -> str:
    """Return the URL of the folder above; the query stays at the end."""
    place, mark, query = url.partition("?")
    return place.rstrip("/").rpartition("/")[0] + mark + query


def _last(made: Run) -> dict[str, Any]:
    """Return the options of the last session that hold for the next one too."""
    session = made.manifest["sessions"][-1]
    words = session.get("arguments")
    if not words:  # of an older version
        return {}
    found = wording.read(parser(wording.Reader), list(words))
    return {name: found[name] for name in AGAIN if found.get(name)}
