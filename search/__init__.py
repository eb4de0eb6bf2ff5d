"""Which settings to try next, which trials to stop, what was learned.

Example::

    from search import load, run

    found = run("quickstart", name="first")
    found.best.settings["lr"]
    load("ray_results/first").trials
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from facesiam.cli.interrupts import while_importing

if TYPE_CHECKING:
    from search.api import Run, SearchFailed, SearchInterrupted, Trial, load, run

__all__ = ["Run", "SearchFailed", "SearchInterrupted", "Trial", "load", "run"]

while_importing()


def __getattr__(name: str) -> Any:
    """Import the Python API when it is asked for."""
    if name in __all__:
        return getattr(importlib.import_module("search.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the names of the Python API too, for completion."""
    return sorted({*globals(), *__all__})
