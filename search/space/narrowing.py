"""What a search varies made narrower by ``--set KEY=[…]``: part of a range, or some choices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from facesiam.config import Value
from facesiam.config.settings import Setting, did_you_mean
from search.space.combinations import Search, base, reachable
from search.space.domains import Choice, Domain, Range, written
from search.space.errors import SpaceError
from search.space.fields import read

Settings = dict[str, Value]


def values_of(setting: Setting, text: str) -> list[Value]:
    """Return the values of a list as it is typed: ``[1e-4,1e-3]``.

    Raises:
        ValueError: it is no list, or a value is impossible; a sentence without the name.
    """
    if not text.endswith("]"):
        raise ValueError(f"a list ends with ], got {text}")
    parts = [part.strip() for part in text[1:-1].split(",")]
    if parts == [""]:
        raise ValueError("an empty list; name at least one value")
    return [read(setting, part) for part in parts]


def narrow(
    search: Search, fixed: Settings, asked: Mapping[str, Sequence[Value]]
) -> dict[str, Domain]:
    """Return what is searched with some of it narrowed.

    A setting whose condition can be met no more is searched no more.

    Args:
        search: the searched settings.
        fixed: those that are fixed.
        asked: by setting the low and the high end of a range, or the choices that are left.

    Raises:
        SpaceError: a setting is not searched, or not with these values; a line each.
    """
    narrower, problems = dict(search), []
    for name, values in asked.items():
        try:
            narrower[name] = _narrowed(name, search, list(values))
        except ValueError as error:
            problems.append(f"--set {name}: {error}")
    if problems:
        raise SpaceError("\n".join(problems))
    reached = reachable(base(fixed), narrower)
    return {name: domain for name, domain in narrower.items() if name in reached}


def without_others(
    enqueue: Sequence[Settings], search: Search, names: Sequence[str]
) -> tuple[Settings, ...]:
    """Return configurations to try first without the values that narrowed settings lack now."""
    return tuple(
        {
            name: value
            for name, value in each.items()
            if name not in names or (name in search and search[name].holds(value))
        }
        for each in enqueue
    )


def _narrowed(name: str, search: Search, values: list[Value]) -> Domain:
    domain = search.get(name)
    if domain is None:
        near = did_you_mean(name, search)
        raise ValueError(
            f"not searched in this space, so there is nothing to narrow{near}; "
            f"{name}={written(values[0])} fixes it; to search it, put it under search: in the file"
        )
    narrower = _choices if isinstance(domain, Choice) else _range
    return narrower(name, domain, values)  # type: ignore[arg-type]


def _choices(_name: str, domain: Choice, values: list[Value]) -> Domain:
    known = [written(choice) for choice in domain.choices]
    for value in values:
        if not domain.can_be(value):
            near = did_you_mean(written(value), known) or _nearest(value, domain.choices)
            said = f"{written(value)} is not one of the choices that are searched"
            raise ValueError(f"{said} ({', '.join(known)}){near}")
    return replace(domain, choices=tuple(dict.fromkeys(values)))


def _range(name: str, domain: Range, values: list[Value]) -> Domain:
    here = f"{written(domain.low)} to {written(domain.high)}"
    if len(values) != 2:
        raise ValueError(f"a range ({here}) is narrowed by two ends, such as {name}=[LOW,HIGH]")
    low, high = (float(value) if not domain.whole else int(value) for value in values)
    if low >= high:
        raise ValueError(f"the low end must be below the high one, got [{low:g},{high:g}]")
    for end in (low, high):
        if not domain.low <= end <= domain.high:
            nearest = domain.low if end < domain.low else domain.high
            raise ValueError(
                f"{end:g} is outside the range that is searched, {here}; "
                f"did you mean {written(nearest)}?"
            )
    if domain.step and not domain.can_be(low):
        near = min(domain.values(), key=lambda value: abs(float(value) - low))
        raise ValueError(
            f"{written(low)} is no value of the range {here} in steps of {domain.step:g}; "
            f"did you mean {written(near)}?"
        )
    return replace(domain, low=low, high=high)


def _nearest(value: Value, choices: Sequence[Value]) -> str:
    """Return a hint at the choice that is the nearest number."""
    numbers = [choice for choice in choices if isinstance(choice, int | float)]
    if not isinstance(value, int | float) or isinstance(value, bool) or not numbers:
        return ""
    return f"; did you mean {written(min(numbers, key=lambda one: math.fabs(one - value)))}?"
