"""Checks of a whole space: impossible combinations, endless grids, options out of bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from facesiam.config import Value
from facesiam.config.constraints import CONSTRAINTS, Constraint
from facesiam.errors import counted
from search.space import enqueue
from search.space.algorithms import chosen_apart
from search.space.combinations import (
    Search,
    TooMany,
    assignments,
    base,
    circle,
    listed,
    needed,
    reachable,
)
from search.space.domains import Choice, written
from search.space.errors import Finding, Problem, label, report
from search.space.file_models import OPTIONS
from search.space.metric_key import metric_setting
from search.space.model import SearchSpace

MOST_TRIED = 100_000
"""Combinations that a `when:` that would mend a space may be sought among."""


def check(space: SearchSpace) -> SearchSpace:
    """Return the space itself, once it is known that its trials can run as they are.

    Raises:
        SpaceError: what the command line changed does not fit the rest.
    """
    if found := problems(space):
        told = [Problem(0, label(each.place), each.text) for each in found]
        raise report(f"{space.path}, with the options given", told)
    return space


JUDGED_BY = ("fpr", "fpr_pairs")
"""Settings that trials are judged by: they are fixed, and the same in all."""


def problems(space: SearchSpace) -> list[Finding]:
    """List what is wrong with the trials that the space's algorithm would run."""
    options = {**OPTIONS, "metric": metric_setting()}
    found = [
        Finding((name,), problem)
        for name in ("algorithm", "trials", "minutes", "seed", "metric", "mode")
        if (problem := options[name].problem(getattr(space, name)))
    ]
    found += [
        Finding(("search", name), "is what trials are judged by, so it is the same in all of them")
        for name in JUDGED_BY
        if len(space.possible(name)) > 1
    ]
    searches = (_grid, _sampler, _asha, _combinations, enqueue.problems)
    parts = (_rows,) if space.algorithm == "rows" else searches
    try:
        return found + [finding for part in parts for finding in part(space)]
    except TooMany as error:
        return [*found, Finding(("search",), str(error))]


def never_searched(space: SearchSpace) -> list[Finding]:
    """List the searched settings whose conditions hold in no trial."""
    try:
        reached = reachable(base(space.fixed), space.search)
    except TooMany:
        return []  # which ``problems`` says
    return [
        Finding(("search", name, "when"), "holds in no trial: what it asks for cannot be at once")
        for name in space.search
        if name not in reached
    ]


def _rows(space: SearchSpace) -> list[Finding]:
    if not space.rows:
        return [Finding(("algorithm",), "rows, but the space has no rows")]
    return [
        Finding(("rows", id, "settings", key), text)
        for id in space.rows
        for key, text in broken_constraints(space.row_settings(id), {})
    ]


def _grid(space: SearchSpace) -> list[Finding]:
    if space.algorithm != "grid":
        return []
    text = "a grid cannot list a continuous range; give it a step, or choices"
    found = [
        Finding(("search", name), text)
        for name, domain in space.search.items()
        if domain.count() is None
    ]
    most, size = int(OPTIONS["trials"].high or 0), 0 if found else space.size() or 0
    if size > most:
        text = f"a grid of {_short(size)} trials; at most {most:,} are run: list fewer values, or "
        found.append(Finding(("algorithm",), text + "take random or tpe, with trials:"))
    return found


def _sampler(space: SearchSpace) -> list[Finding]:
    if space.costs and space.algorithm == "cmaes":
        text = (
            "cmaes chooses by one score, and metric: has costs beside it; take tpe, nsga2 or gp, "
            "or leave the costs out"
        )
        return [Finding(("algorithm",), text)]
    searched = [name for name, domain in space.search.items() if domain.count() != 1]
    if not searched or searched != chosen_apart(space.algorithm, space.search):
        return []
    kind = "a range without a condition" if space.algorithm == "cmaes" else "without a condition"
    text = f"{space.algorithm} could choose nothing, as no searched setting is {kind}; take tpe"
    return [Finding(("algorithm",), text)]


def _short(number: int) -> str:
    return f"{number:,}" if number < 10**15 else f"some 1e{len(str(number)) - 1}"


def _asha(space: SearchSpace) -> list[Finding]:
    asha = space.prune["asha"]
    if not asha:
        return []
    if space.prune["halving"]:
        text = "does what asha does, with pauses; take one of the two"
        return [Finding(("prune", "halving"), text)]
    possible = [int(epochs) for epochs in space.possible("epochs")]
    shares = asha["compare"] == "share"
    epochs, trial = (max(possible), "longest") if shares else (min(possible), "shortest")
    if asha["grace"] <= epochs:
        return []
    text = (
        f"must be at most the {counted(epochs, 'epoch')} of the {trial} trial, got {asha['grace']}"
    )
    return [Finding(("prune", "asha", "grace"), text)]


def _combinations(space: SearchSpace) -> list[Finding]:
    space.size()  # that it can be counted is asked of every space that is searched
    found = []
    for key, text in broken_constraints(space.fixed, space.search):
        part = "search" if key in space.search or not space.fixed else "fixed"
        if key not in space.fixed and key not in space.search:
            text += f" ({key} is not given, so its default counts)"
        found.append(Finding((part, key), text))
    return found


class _Broken(NamedTuple):
    """How combinations break a constraint."""

    text: str
    """What the constraint says of the first of them."""
    bad: int
    total: int
    names: list[str]
    """The searched settings that were combined."""


def broken_constraints(fixed: Mapping[str, Value], search: Search) -> Iterator[tuple[str, str]]:
    """Yield the constraints that combinations of searched values break: the setting, a sentence.

    Every combination of the settings that a constraint reads is tried. Ranges stand by their
    lowest value, those of whole numbers by the lowest two, and by what conditions ask for.

    Raises:
        TooMany: the conditions allow more cases than can be told in a bounded time.
    """
    for constraint in CONSTRAINTS:
        if broken := _broken(constraint, fixed, search):
            text, bad, total, names = broken
            if total > 1:
                verb = "breaks" if bad == 1 else "break"
                kind = "combinations" if len(names) > 1 else "values"
                text += f"; {bad} of {total} {kind} of {listed(names)} {verb} this"
                text += _cure(constraint, broken, fixed, search)
            yield constraint.key, text


def _broken(constraint: Constraint, fixed: Mapping[str, Value], search: Search) -> _Broken | None:
    bad, first = 0, ""
    tally = assignments(base(fixed), search, constraint.fields)
    for values, times in tally.items():
        settings = dict(zip(constraint.fields, values, strict=True))
        if constraint.broken(settings):
            bad += times
            first = first or constraint.text(settings)
    names = needed(search, constraint.fields)
    return _Broken(first, bad, sum(tally.values()), names) if bad else None


def _cure(
    constraint: Constraint, broken: _Broken, fixed: Mapping[str, Value], search: Search
) -> str:
    """Return the `when:` that leaves no combination which breaks the constraint, or ''."""
    key = constraint.key
    domain = search.get(key) or (Choice((fixed[key],)) if key in fixed else None)
    if domain is None:
        return ""
    rest = {name: value for name, value in fixed.items() if key in search or name != key}

    def mends(other: str, values: tuple[Value, ...]) -> bool:
        """Say whether nothing about the setting is broken where it is conditional on another."""
        changed = {**search, key: replace(domain, when={**domain.when, other: values})}
        return not circle(changed) and not any(
            each.key == key and _broken(each, rest, changed) for each in CONSTRAINTS
        )

    for other in sorted(broken.names, key=constraint.rank):
        asked = search[other]
        if other in (key, *domain.when) or not isinstance(asked, Choice):
            continue
        if broken.total * len(asked.choices) > MOST_TRIED:
            continue
        good = tuple(value for value in asked.choices if mends(other, (value,)))
        if good and mends(other, good):
            shown = written(good[0] if len(good) == 1 else list(good))
            put = f"give {key} " if key in search else f"search {key} with its one choice and "
            return f"; {put}`when: {{{other}: {shown}}}`"
    return ""
