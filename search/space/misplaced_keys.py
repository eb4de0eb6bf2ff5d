"""Keys that a space file has inside of another one, found by a name that stands elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facesiam.config import SETTINGS
from facesiam.config.settings import nearest
from facesiam.config.trial import unknown_setting
from search.space.file_models import OWNERS, SpaceFile, StopWhen
from search.space.finalists import FinalistsPart
from search.space.prune import SWITCH, Prune
from search.space.resource_models import Resources


def _inside() -> dict[str, list[str]]:
    """Return where each key can be that stands in another one."""
    found: dict[str, list[str]] = {}
    for group, kind in (("prune", Prune), ("resources", Resources), ("stop_when", StopWhen)):
        for key in kind.model_fields:
            found.setdefault(key, []).append(group)
    for option, owners in OWNERS.items():
        found.setdefault(option, []).extend(f"prune.{owner}" for owner in owners)
    for key in FinalistsPart.model_fields:
        found.setdefault(key, []).append("finalists")
    top = (*SpaceFile.model_fields, *SETTINGS)
    return {key: places for key, places in found.items() if key not in top}


INSIDE = _inside()
"""By key the dotted places that it can be in, such as ``prune`` or ``prune.asha``; without those
that are keys of the file itself or settings."""


def belongs(name: str, data: Any, above: str = "") -> str:
    """Say where a misplaced key of this name belongs; "" where there is no such place.

    Args:
        name: of the key.
        data: of the file. Of several places the first that it has is said.
        above: the key that it stands in, ``prune``; "" at the top of the file.
    """
    places = [each for each in INSIDE.get(name, ()) if each.startswith(above) and each != above]
    if not places:
        return ""
    place = next((each for each in places if _has(data, each)), places[0])
    return f"a key of {place}; put it under {place.rpartition('.')[2]}:"


def _has(data: Any, place: str) -> bool:
    for key in place.split("."):
        if not isinstance(data, Mapping) or key not in data:
            return False
        data = data[key]
    try:
        return bool(SWITCH.parse(str(data)))  # a rule that is switched off is not meant
    except ValueError:
        return True


def near(name: str) -> str:
    """Return a question for the key that is nearest to one at the top of a file; "" without one.

    It may be one of the top, a setting, or one inside of another, and is said with its place.
    """
    usual = unknown_setting(name).partition("; did you mean ")[2].rstrip("?")
    meant = nearest(name, [*SpaceFile.model_fields, *SETTINGS, *INSIDE]) or usual
    place = INSIDE[meant][0] if meant in INSIDE else "fixed: or search" * (meant in SETTINGS)
    if meant in SpaceFile.model_fields:
        return f"; did you mean {meant}?"
    return f"; did you mean {meant}, under {place}:?" if meant else ""
