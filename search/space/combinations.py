"""All the configurations that a set of searched settings allows: listed, counted, projected.

A setting is decided after those that its conditions ask about. One that is not active keeps its
base value: the fixed one, else TrialConfig's default. Only ``combinations`` lists configurations;
``count``, ``reachable`` and ``assignments`` go through groups of those that the conditions cannot
tell apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from facesiam.config import SETTINGS, Value
from search.space.domains import Domain, active
from search.space.errors import SpaceError

Search = Mapping[str, Domain]
Settings = dict[str, Value]
Values = Callable[[Domain], Iterable[Value]]

MOST_STEPS = 300_000
"""Groups of configurations that a count may take: a second or so. Conditions can be woven so that
no way is known to count without listing nearly all; nobody writes such a space by hand."""


class TooMany(SpaceError):
    """Conditions so woven that what they allow cannot be counted in a bounded time."""


def base(fixed: Mapping[str, Value]) -> Settings:
    """Return every setting: TrialConfig's defaults with the fixed ones over them."""
    return {name: setting.default for name, setting in SETTINGS.items()} | dict(fixed)


def order(search: Search) -> list[str]:
    """Return the searched settings, each after those that its conditions ask about."""
    placed: dict[str, None] = {}
    waiting = list(search)
    while waiting:
        ready = [n for n in waiting if all(o in placed for o in search[n].when if o in search)]
        if not ready:
            raise AssertionError(f"conditions go in a circle among {waiting}")
        placed[ready[0]] = None
        waiting.remove(ready[0])
    return list(placed)


def circle(search: Search) -> list[str]:
    """Return settings whose conditions go in a circle, the first of them also last; or none."""
    clear: set[str] = set()

    def walk(trail: list[str]) -> list[str]:
        for other in search[trail[-1]].when:
            if other in trail:
                return [*trail[trail.index(other) :], other]
            if other in search and other not in clear and (found := walk([*trail, other])):
                return found
        clear.add(trail[-1])
        return []

    return next((found for name in search if (found := walk([name]))), [])


def combinations(start: Settings, search: Search, names: list[str]) -> Iterator[Settings]:
    """Yield ``start`` with every assignment of ``names``, in ``order``, that conditions allow."""
    if not names:
        yield dict(start)
        return
    name, rest = names[0], names[1:]
    if not active(search[name], start):
        yield from combinations(start, search, rest)
        return
    for value in search[name].values():
        yield from combinations({**start, name: value}, search, rest)


def count(start: Settings, search: Search) -> int | None:
    """Return how many assignments ``combinations`` would yield of all of ``search``.

    Two assignments always differ as configurations: where they first part, the setting is active
    in both.

    Returns:
        The number, or None for infinitely many.

    Raises:
        TooMany: it cannot be told within a bounded time.
    """
    total, endless = 1, False
    for domains in _independent(search):
        tally, reached = _tally(start, domains, (), _few_that_count)
        total *= sum(tally.values())
        endless |= any(domains[name].count() is None for name in reached)
    return None if endless else total


def reachable(start: Settings, search: Search) -> set[str]:
    """Return the searched settings that are active in some trial.

    What their `when:` asks for can be, all at once.

    Raises:
        TooMany: it cannot be told within a bounded time.
    """
    groups = (_tally(start, domains, (), _few_that_count) for domains in _independent(search))
    return set[str]().union(*(reached for _, reached in groups))


def assignments(
    start: Settings,
    search: Search,
    fields: tuple[str, ...],
    values: Values = lambda domain: domain.few(),
) -> dict[tuple[Value, ...], int]:
    """Return what some settings can be together, and in how many combinations they are so.

    Combinations are those of ``needed``: of the fields that are searched and of what their
    conditions ask about.

    Args:
        start: every setting, as it is where it is not searched.
        search: the searched settings.
        fields: the settings that are asked for, searched or not.
        values: which values of a setting are tried; those that conditions ask for are tried too.

    Raises:
        TooMany: that are more than can be told in a bounded time.
    """
    domains = {name: search[name] for name in needed(search, fields)}
    return _tally(
        start,
        domains,
        fields,
        lambda domain, asked: [(value, 1) for value in dict.fromkeys([*values(domain), *asked])],
    )[0]


def needed(search: Search, read: Iterable[str]) -> list[str]:
    """Return the searched settings that are read, or asked about by the conditions of those."""
    wanted = set(read)
    for name in reversed(order(search)):
        if name in wanted:
            wanted |= set(search[name].when)
    return [name for name in order(search) if name in wanted]


Weighed = Callable[[Domain, list[Value]], list[tuple[Value, int]]]
"""A setting's domain and those of its values that conditions ask about → values, and how many
values each of them stands for."""


def _few_that_count(domain: Domain, asked: list[Value]) -> list[tuple[Value, int]]:
    """Return the values that conditions ask about, and one for all the others.

    All values that no condition asks about lead to equally many configurations.
    """
    found: list[tuple[Value, int]] = [(value, 1) for value in asked]
    number = domain.count()
    others = 1 if number is None else number - len(asked)
    if others:
        known = set(asked)
        rest = domain.few() if number is None else domain.values()
        found.append((next(value for value in rest if value not in known), others))
    return found


Tally = dict[tuple[Value, ...], int]
"""Values of some settings → in how many combinations they have these."""


def _tally(
    start: Settings, search: Search, fields: tuple[str, ...], weighed: Weighed
) -> tuple[Tally, set[str]]:
    """Count the assignments of all of ``search`` by what they give ``fields``.

    One setting after the other is decided, each followed by those that only waited for it. What
    has been decided is forgotten but for two things: which of the settings to come can still be
    active (as long as one can, all that was decided is as it asks), and the values of ``fields``.

    Returns:
        The tally, and the settings that are active in at least one assignment.
    """
    names = _near(search)
    alive = frozenset(
        name
        for name in names
        if all(start[o] in values for o, values in search[name].when.items() if o not in search)
    )
    states = {(alive, tuple(start[name] for name in fields)): 1}
    steps, reached = 0, set[str]()
    for name in names:
        asked_by = {n: set(search[n].when[name]) for n in names if name in search[n].when}
        asked = {v for when in asked_by.values() for v in when if search[name].can_be(v)}
        choices = weighed(search[name], sorted(asked, key=str))
        at = fields.index(name) if name in fields else None
        coming: dict[tuple[frozenset[str], tuple[Value, ...]], int] = {}
        for (living, known), times in states.items():
            decided = choices if name in living else [(start[name], 1)]
            reached |= living & {name}
            if (steps := steps + len(decided)) > MOST_STEPS:
                raise TooMany(_too_many(names))
            for value, weight in decided:
                left = living - {name, *(n for n, when in asked_by.items() if value not in when)}
                kept = known if at is None else (*known[:at], value, *known[at + 1 :])
                coming[left, kept] = coming.get((left, kept), 0) + times * weight
        states = coming
    tally: Tally = {}
    for (_, known), times in states.items():
        tally[known] = tally.get(known, 0) + times
    return tally, reached


def _too_many(names: list[str]) -> str:
    shown = listed(names if len(names) <= 6 else [*names[:5], f"{len(names) - 5} more"])
    return (
        f"more combinations of {shown} than can be checked ({MOST_STEPS:,} cases); take values or "
        "conditions (`when:`) out"
    )


def _near(search: Search) -> list[str]:
    """Return the settings in an order in which each comes soon after those that it asks about.

    The fewer conditions wait at any time, the fewer cases have to be told apart.
    """
    placed: dict[str, None] = {}
    waiting = order(search)
    while waiting:

        def missing(name: str) -> set[str]:
            return {o for o in search[name].when if o in search and o not in placed}

        # Whatever is ready and has waited for something comes first; else what the setting that
        # lacks least is waiting for.
        ready = [name for name in waiting if not missing(name)]
        chosen = next((name for name in ready if search[name].when), "")
        if not chosen:
            held = [name for name in waiting if name not in ready]
            least = min(held, key=lambda name: len(missing(name)), default="")
            lacks = missing(least) if least else set()
            chosen = next((name for name in ready if name in lacks), ready[0])
        placed[chosen] = None
        waiting.remove(chosen)
    return list(placed)


def _independent(search: Search) -> list[dict[str, Domain]]:
    """Return ``search`` in groups, none of which asks about a setting of another."""
    groups: list[set[str]] = []
    for name, domain in search.items():
        group = {name, *(other for other in domain.when if other in search)}
        touched = [each for each in groups if each & group]
        groups = [each for each in groups if not each & group] + [group.union(*touched)]
    return [{name: search[name] for name in search if name in group} for group in groups]


def listed(names: list[str]) -> str:
    """Return names as a sentence lists them."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
