"""Train one Siamese net with one set of settings; knows nothing of a search."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from facesiam.cli.interrupts import while_importing

if TYPE_CHECKING:
    from facesiam.verifier import Comparison, Verifier

__all__ = ["Comparison", "Verifier"]

while_importing()


def __getattr__(name: str) -> Any:
    """Import what an application uses when it is asked for: torch takes seconds."""
    if name in __all__:
        return getattr(importlib.import_module("facesiam.verifier"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
