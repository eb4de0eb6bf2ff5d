"""Keys that a space file has inside of another one, found by a name that stands elsewhere."""

from __future__ import annotations

from facesiam.config import SETTINGS
from facesiam.config.settings import nearest
from facesiam.config.trial import unknown_setting
from search.space.file_models import OWNERS, SpaceFile, StopWhen
from search.space.finalists import FinalistsPart
from search.space.prune import Prune
from search.space.resource_models import Resources


def _inside() -> dict[str, str]:
    """Return where each key is that stands in another one; of several places the first."""
    found: dict[str, str] = {}
    for group, kind in (("prune", Prune), ("resources", Resources), ("stop_when", StopWhen)):
        found |= dict.fromkeys(kind.model_fields, group)
    places = {option: f"prune.{owners[0]}" for option, owners in OWNERS.items()}
    found = dict.fromkeys(FinalistsPart.model_fields, "finalists") | places | found
    return {
        key: at for key, at in found.items() if key not in (*SpaceFile.model_fields, *SETTINGS)
    }


INSIDE = _inside()
"""By key the dotted place that it belongs to, such as ``prune`` or ``prune.asha``; without those
that are keys of the file itself or settings."""


def belongs(name: str) -> str:
    """Say where a key of this name belongs that stands at the top of a file; "" of none."""
    if name not in INSIDE:
        return ""
    place = INSIDE[name]
    return f"a key of {place}; put it under {place.rpartition('.')[2]}:"


def near(name: str) -> str:
    """Return a question for the key that is nearest to one at the top of a file; "" without one.

    It may be one of the top, a setting, or one inside of another, and is said with its place.
    """
    usual = unknown_setting(name).partition("; did you mean ")[2].rstrip("?")
    meant = nearest(name, [*SpaceFile.model_fields, *SETTINGS, *INSIDE]) or usual
    place = INSIDE.get(meant, "fixed: or search" if meant in SETTINGS else "")
    if meant in SpaceFile.model_fields:
        return f"; did you mean {meant}?"
    return f"; did you mean {meant}, under {place}:?" if meant else ""
