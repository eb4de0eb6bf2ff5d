"""All the configurations that a set of searched settings allows: listed, counted, checked.

A setting is decided after those that its conditions ask about. One that is not active keeps its
base value: the fixed one, else TrialConfig's default.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from facesiam.config import SETTINGS, Value, conflicts
from search.parts import Choice, Domain, active

Search = Mapping[str, Domain]
Settings = dict[str, Value]


def base(fixed: Mapping[str, Value]) -> Settings:
    """Return every setting: TrialConfig's defaults with the fixed ones over them."""
    return {name: setting.default for name, setting in SETTINGS.items()} | dict(fixed)


def order(search: Search) -> list[str]:
    """Return the searched settings, each after those that its conditions ask about."""
    placed: list[str] = []
    waiting = list(search)
    while waiting:
        ready = [n for n in waiting if all(o in placed for o in search[n].when if o in search)]
        if not ready:
            raise AssertionError(f"conditions go in a circle among {waiting}")
        placed.append(ready[0])
        waiting.remove(ready[0])
    return placed


def circle(search: Search) -> list[str]:
    """Return settings whose conditions go in a circle, the first of them also last; or none."""
    def walk(trail: list[str]) -> list[str]:
        for other in search[trail[-1]].when:
            if other in trail:
                return [*trail[trail.index(other):], other]
            if other in search and (found := walk([*trail, other])):
                return found
        return []

    return next((found for name in search if (found := walk([name]))), [])


def combinations(
    start: Settings, search: Search, names: list[str],
    values: Callable[[Domain], Iterable[Value]] = lambda domain: domain.values(),
) -> Iterator[Settings]:
    """Yield ``start`` with every assignment of ``names``, in ``order``, that conditions allow."""
    if not names:
        yield dict(start)
        return
    name, rest = names[0], names[1:]
    if not active(search[name], start):
        yield from combinations(start, search, rest, values)
        return
    for value in values(search[name]):
        yield from combinations({**start, name: value}, search, rest, values)


def count(start: Settings, search: Search, names: list[str]) -> int | None:
    """Return how many assignments ``combinations`` would yield, without listing them.

    None: infinitely many. Two assignments always differ as configurations: where they first part,
    the setting is active in both.
    """
    if not names:
        return 1
    name, rest = names[0], names[1:]
    domain = search[name]
    if not active(domain, start):
        return count(start, search, rest)
    number = domain.count()
    asked = {v for other in rest for v in search[other].when.get(name, ()) if domain.can_be(v)}
    if number is None or not asked:
        others = count(start, search, rest)
        return None if number is None or others is None else number * others
    # All values that no condition asks about lead to equally many configurations.
    parts = [(1, value) for value in asked]
    if number > len(asked):
        parts.append((number - len(asked), next(v for v in domain.values() if v not in asked)))
    counts = [(times, count({**start, name: value}, search, rest)) for times, value in parts]
    return None if any(n is None for _, n in counts) else sum(t * (n or 0) for t, n in counts)


class Clash(NamedTuple):
    """Combinations that no trial can run with, by ``facesiam.config.conflicts``."""

    key: str
    """The setting that the broken rule is about."""
    text: str
    """The rule, how many combinations break it, and what would mend it."""


def clashes(fixed: Mapping[str, Value], search: Search) -> list[Clash]:
    """List the rules between settings that combinations of searched values break.

    Every combination of the settings that a rule reads is tried. Ranges stand by their lowest
    value, those of whole numbers by the lowest two.
    """
    broken, names = _broken(fixed, search)
    found = []
    for key, (rule, bad, total) in broken.items():
        text = rule
        if total > 1:
            verb = "breaks" if bad == 1 else "break"
            kind = "combinations" if len(names) > 1 else "values"
            text += f"; {bad} of {total} {kind} of {_and(names)} {verb} this"
            text += _cure(fixed, search, key, rule, names)
        found.append(Clash(key, text))
    return found


Broken = dict[str, tuple[str, int, int]]
"""By setting: the rule, how many combinations break it, of how many."""


def _broken(fixed: Mapping[str, Value], search: Search) -> tuple[Broken, list[str]]:
    """Return the broken rules and the searched settings that they read."""
    read: set[str] = set()
    while True:
        names = _needed(search, read)
        tried = [
            (_Watched(each, read), each)
            for each in combinations(base(fixed), search, names, lambda domain: domain.few())
        ]
        rules = [dict(_split(rule) for rule in conflicts(watched)) for watched, _ in tried]
        if _needed(search, read) == names:
            break
    first = {key: text for found in reversed(rules) for key, text in found.items()}
    counts = {key: sum(key in found for found in rules) for key in first}
    return {key: (first[key], counts[key], len(rules)) for key in first}, names


def _needed(search: Search, read: set[str]) -> list[str]:
    """Return the searched settings that are read, or asked about by the conditions of those."""
    needed = set(read)
    for name in reversed(order(search)):
        if name in needed:
            needed |= set(search[name].when)
    return [name for name in order(search) if name in needed]


def _cure(
    fixed: Mapping[str, Value], search: Search, key: str, rule: str, names: list[str]
) -> str:
    """Return the `when:` that leaves no combination which breaks the rule, or ''."""
    searched = search.get(key)
    domain: Domain | None = searched or (Choice((fixed[key],)) if key in fixed else None)
    rest = {name: value for name, value in fixed.items() if searched or name != key}
    # A setting that the rule itself names is the better advice.
    for other in sorted(names, key=lambda name: f"{name}:" not in rule):
        asked = search[other]
        if domain is None or other in (key, *domain.when) or not isinstance(asked, Choice):
            continue
        good = tuple(
            v for v in asked.choices if not _breaks(rest, search, key, domain, other, (v,))
        )
        if good and not _breaks(rest, search, key, domain, other, good):
            shown = good[0] if len(good) == 1 else list(good)
            when = f"`when: {{{other}: {_written(shown)}}}`"
            put = f"give {key} " if searched else f"search {key} with its one choice and "
            return f"; {put}{when}"
    return ""


def _breaks(
    fixed: Mapping[str, Value], search: Search, key: str, domain: Domain, other: str,
    values: tuple[Value, ...],
) -> bool:
    """Say whether the rule on ``key`` is still broken if it has a condition on ``other``."""
    changed = {**search, key: replace(domain, when={**domain.when, other: values})}
    return bool(circle(changed)) or key in _broken(fixed, changed)[0]


class _Watched(UserDict[str, Value]):
    """Settings that note in ``read`` which of them are looked at."""

    def __init__(self, settings: Settings, read: set[str]) -> None:
        self.read = read
        super().__init__(settings)

    def __getitem__(self, name: str) -> Value:
        self.read.add(name)
        return super().__getitem__(name)


def _split(rule: str) -> tuple[str, str]:
    key, colon, text = rule.partition(": ")
    return (key, text) if colon and key in SETTINGS else ("", rule)


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _written(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
