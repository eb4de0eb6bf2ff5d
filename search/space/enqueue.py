"""Configurations to try first (`enqueue:`): read from Python, checked against the space.

A configuration names values of searched settings; what it leaves out is drawn at random. It stands
for a trial that could have been drawn: each value lies in its setting's domain, and a setting with
a condition is named only where the configuration meets the condition.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from facesiam.config import SETTINGS, Value
from facesiam.config.settings import did_you_mean
from facesiam.config.trial import unknown_setting
from search.space.combinations import base
from search.space.domains import Choice, Domain, written
from search.space.errors import Finding, Problem, label, report
from search.space.model import SearchSpace

Configuration = Mapping[str, Value]


def added(space: SearchSpace, configurations: Sequence[Mapping[str, object]]) -> SearchSpace:
    """Return the space with configurations to try first, after those that it has.

    Args:
        space: what is searched.
        configurations: each some searched settings by name; a value may be text, as in a file.

    Raises:
        SpaceError: one cannot be a trial of the space; a line for each problem.
    """
    read, wrong = list[dict[str, Value]](), list[Finding]()
    known = list(space.enqueue)
    for at, given in enumerate(configurations, len(known)):
        read.append({})
        for name, value in given.items():
            place = ("enqueue", at, str(name))
            if name not in SETTINGS:
                wrong.append(Finding(place, unknown_setting(str(name)).partition(": ")[2]))
                continue
            try:
                read[-1][name] = _read(name, value)
            except ValueError as error:
                wrong.append(Finding(place, str(error)))
        if not given:
            wrong.append(Finding(("enqueue", at), "has nothing in it; name a setting's value"))
    changed = replace(space, enqueue=(*known, *read))
    wrong = wrong or list(problems(changed))
    if wrong:
        told = [Problem(0, label(each.place), each.text) for each in wrong]
        raise report(f"{space.path}, with what is enqueued", told)
    return changed


def problems(space: SearchSpace) -> Iterator[Finding]:
    """Yield what keeps a configuration of `enqueue:` from being a trial of the space."""
    for at, given in enumerate(space.enqueue):
        for name, value in given.items():
            if text := _misfit(space, name, value, given):
                yield Finding(("enqueue", at, name), text)
        if given in space.enqueue[:at]:
            first = space.enqueue.index(given) + 1
            yield Finding(("enqueue", at), f"the same as enqueue {first}; take one out")


def fitting(space: SearchSpace, enqueue: Sequence[Configuration]) -> tuple[dict[str, Value], ...]:
    """Return those of some configurations that could be trials of the space."""
    return tuple(
        dict(given)
        for given in enqueue
        if not any(_misfit(space, name, value, given) for name, value in given.items())
    )


def narrowed(space: SearchSpace, given: Configuration) -> SearchSpace:
    """Return the space of the trials that a configuration stands for."""
    search: dict[str, Domain] = {
        name: Choice((given[name],), domain.when) if name in given else domain
        for name, domain in space.search.items()
    }
    return replace(space, search=search)


def _read(name: str, value: object) -> Value:
    """Return a value of Python, of numpy or of a file as that of a setting.

    Raises:
        ValueError: it cannot be one.
    """
    setting = SETTINGS[name]
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, str) and setting.type is not str:
        value = setting.parse(value)
    if setting.type is float and type(value) is int:
        value = float(value)
    if problem := setting.problem(value):
        raise ValueError(problem)
    assert isinstance(value, bool | int | float | str)
    return value


def _misfit(space: SearchSpace, name: str, value: Value, given: Configuration) -> str | None:
    """Say why a value of a configuration is none of the space's; None where it is one."""
    rest = base(space.fixed)
    domain = space.search.get(name)
    if domain is None:
        if value == rest[name]:
            return None
        return (
            f"is {written(rest[name])} in every trial, as it is not searched; leave it out, or "
            "put it under search:"
        )
    for other, values in domain.when.items():
        wanted = written(values[0] if len(values) == 1 else list(values))
        if other not in given:
            return f"is searched only where {other} is {wanted}; name {other} here, too"
        if given[other] not in values and value != rest[name]:
            return (
                f"is searched only where {other} is {wanted}, and here it is "
                f"{written(given[other])}; leave it out"
            )
        if given[other] not in values:
            return None
    if domain.holds(value):
        return None
    return f"{written(value)} is not in {written_domain(domain)}{_nearest(domain, value)}"


def written_domain(domain: Domain) -> str:
    """Return a domain as a sentence says it: ``[8, 16]``, ``1e-05 to 0.1``."""
    if isinstance(domain, Choice):
        return written(list(domain.choices))
    step = f" in steps of {domain.step:g}" if domain.step else ""
    return f"{domain.low:g} to {domain.high:g}{step}"


def _nearest(domain: Domain, value: Value) -> str:
    """Return the nearest value of a domain as the end of a sentence."""
    if isinstance(domain, Choice):
        numbers = [choice for choice in domain.choices if _is_number(choice)]
        if not numbers or not _is_number(value):
            return did_you_mean(str(value), [str(choice) for choice in domain.choices])
        return f"; the nearest is {min(numbers, key=lambda choice: _apart(choice, value)):g}"
    low, high = float(domain.low), float(domain.high)
    near = min(max(float(value), low), high)
    if domain.count() is not None:
        step = float(domain.step or 1)
        top = (domain.count() or 1) - 1
        near = low + step * min(max(round((near - low) / step), 0), top)
    return f"; the nearest is {near:g}"


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _apart(one: Value, other: Value) -> float:
    """Return how far two numbers are apart: by their ratio where both are above 0."""
    a, b = float(one), float(other)
    return abs(math.log(a / b)) if min(a, b) > 0 else abs(a - b)
