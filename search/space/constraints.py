"""What no trial of a space could run with, though each line of it is right by itself."""

from __future__ import annotations

from search.space.combinations import TooMany, base, clashes, reachable
from search.space.errors import Finding, Problem, label, report
from search.space.model import SearchSpace
from search.space.spec import OPTIONS


def check(space: SearchSpace) -> SearchSpace:
    """Return the space itself, once it is known that its trials can run as they are.

    Raises:
        SpaceError: what the command line changed does not fit the rest.
    """
    if found := problems(space):
        told = [Problem(0, label(each.place), each.text) for each in found]
        raise report(f"{space.path}, with the options given", told)
    return space


def problems(space: SearchSpace) -> list[Finding]:
    """List what is wrong with the trials that the space's algorithm would run."""
    found = [
        Finding((name,), problem)
        for name in ("algorithm", "trials", "minutes", "seed", "metric", "mode")
        if (problem := OPTIONS[name].problem(getattr(space, name)))
    ]
    parts = (_rows,) if space.algorithm == "rows" else (_grid, _asha, _clashes)
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
        for key, text in clashes(space.row_settings(id), {})
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


def _short(number: int) -> str:
    return f"{number:,}" if number < 10**15 else f"some 1e{len(str(number)) - 1}"


def _asha(space: SearchSpace) -> list[Finding]:
    asha = space.prune["asha"]
    if not asha:
        return []
    possible = [int(epochs) for epochs in space.possible("epochs")]
    shares = asha["compare"] == "share"
    epochs, trial = (max(possible), "longest") if shares else (min(possible), "shortest")
    if asha["grace"] <= epochs:
        return []
    text = f"must be at most the {epochs} epochs of the {trial} trial, got {asha['grace']}"
    return [Finding(("prune", "asha", "grace"), text)]


def _clashes(space: SearchSpace) -> list[Finding]:
    space.size()  # that it can be counted is asked of every space that is searched
    found = []
    for key, text in clashes(space.fixed, space.search):
        part = "search" if key in space.search or not space.fixed else "fixed"
        found.append(Finding((part, key), text))
    return found
