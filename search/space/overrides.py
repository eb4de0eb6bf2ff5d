"""Settings pinned by ``--set KEY=VALUE``: they win over fixed, search and rows alike.

A value in brackets pins nothing: it narrows what is searched (narrowing.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from facesiam.config import SETTINGS, Value
from facesiam.config.settings import nearest
from facesiam.config.trial import unknown_setting
from search.space.combinations import Search, base
from search.space.domains import Domain, Row
from search.space.errors import SpaceError
from search.space.fields import read
from search.space.file_models import SpaceFile
from search.space.misplaced_keys import INSIDE
from search.space.narrowing import values_of

Settings = dict[str, Value]
ON_COMMAND_LINE = ("name", "data", "algorithm", "trials", "minutes", "stop_when", "rows", "report")
"""Keys of a space file that the command has an option for."""


def assigned(assignments: Sequence[str]) -> tuple[Settings, dict[str, list[Value]]]:
    """Return the settings of ``KEY=VALUE`` texts; of two for one key, the last.

    Returns:
        Those with one value, and those with a list in brackets. A list of one is that value.

    Raises:
        SpaceError: an unknown setting or an impossible value; a line each.
    """
    given: dict[str, list[Value]] = {}
    lists: set[str] = set()
    problems = []
    for assignment in assignments:
        name, equals, text = (part.strip() for part in assignment.partition("="))
        if not equals:
            problems.append(f"{assignment}: must be KEY=VALUE, such as epochs=10")
        elif name not in SETTINGS:
            problems.append(no_setting(name))
        else:
            try:
                listed = text.startswith("[")
                one = SETTINGS[name]
                given[name] = values_of(one, text) if listed else [read(one, text)]
                lists = lists | {name} if len(given[name]) > 1 else lists - {name}
            except ValueError as error:
                problems.append(f"{name}: {error}")
    if problems:
        raise SpaceError("\n".join(f"--set {problem}" for problem in problems))
    pinned = {name: values[0] for name, values in given.items() if name not in lists}
    return pinned, {name: values for name, values in given.items() if name in lists}


def no_setting(name: str) -> str:
    """Say what a name is that is no setting: a key of the file, or something like a setting."""
    said, keys = unknown_setting(name), [*SpaceFile.model_fields, *INSIDE]
    meant = nearest(name, [*keys, *SETTINGS])
    if meant not in keys:
        return said
    instead = f"--{meant.replace('_', '-')}" if meant in ON_COMMAND_LINE else "the space file"
    if meant in INSIDE:
        instead += f", under {INSIDE[meant][0]}:"
    if meant == name:
        return f"{name}: not a setting of a trial; it goes into {instead}"
    return f"{name}: not a setting; did you mean {meant}, which goes into {instead}?"


def pin(
    fixed: Settings, search: Search, rows: Mapping[str, Row], pinned: Settings
) -> tuple[Settings, dict[str, Domain], dict[str, Row]]:
    """Return fixed, search and rows with the ``pinned`` settings in force."""
    fixed = fixed | pinned
    search = {name: domain for name, domain in search.items() if name not in pinned}
    search = _settled(search, base(fixed))
    # Whose condition is met for good is searched in every trial; only rows need the fixed value.
    freed = {name: fixed.pop(name) for name in search if name in fixed and not search[name].when}
    changed = {}
    for id, row in rows.items():
        settings = {n: v for n, v in (freed | row.settings).items() if n not in pinned}
        changed[id] = replace(row, settings=settings)
    return fixed, search, changed


def _settled(search: Search, settings: Mapping[str, Value]) -> dict[str, Domain]:
    """Decide the conditions on settings that are not searched any more, until none is left."""
    settled: dict[str, Domain] = {}
    for name, domain in search.items():
        decided = [other for other in domain.when if other not in search]
        if all(settings[other] in domain.when[other] for other in decided):
            when = {other: v for other, v in domain.when.items() if other not in decided}
            settled[name] = replace(domain, when=when)
    return settled if len(settled) == len(search) else _settled(settled, settings)


def without(enqueue: Sequence[Settings], names: Collection[str]) -> tuple[Settings, ...]:
    """Return configurations without some settings; of those that are then equal, the first."""
    left = [{n: v for n, v in each.items() if n not in names} for each in enqueue]
    return tuple(each for at, each in enumerate(left) if each and each not in left[:at])
