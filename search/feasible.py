"""What no trial of a space could run with, though each line of it is right by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search.combinations import clashes
from search.options import OPTIONS

if TYPE_CHECKING:
    from search.space import SearchSpace

Finding = tuple[str, str, str]
"""Where it stands in the file, as a dotted path; the key; the sentence."""


def problems(space: SearchSpace) -> list[Finding]:
    """List what is wrong with the trials that the space's algorithm would run."""
    found = [
        (name, name, problem)
        for name in ("algorithm", "trials", "minutes", "seed", "metric", "mode")
        if (problem := OPTIONS[name].problem(getattr(space, name)))
    ]
    parts = (_rows,) if space.algorithm == "rows" else (_grid, _asha, _clashes)
    return found + [finding for part in parts for finding in part(space)]


def _rows(space: SearchSpace) -> list[Finding]:
    if not space.rows:
        return [("algorithm", "algorithm", "rows, but the space has no rows")]
    return [
        (f"rows.{id}", f"row {id}, {key}", text)
        for id in space.rows
        for key, text in clashes(space.row_settings(id), {})
    ]


def _grid(space: SearchSpace) -> list[Finding]:
    if space.algorithm != "grid":
        return []
    text = "a grid cannot list a continuous range; give it a step, or choices"
    return [
        (f"search.{name}", name, text)
        for name, domain in space.search.items() if domain.count() is None
    ]  # fmt: skip


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
    return [("prune.asha.grace", "prune.asha.grace", text)]


def _clashes(space: SearchSpace) -> list[Finding]:
    found = []
    for key, text in clashes(space.fixed, space.search):
        part = "search" if key in space.search or not space.fixed else "fixed"
        found.append((f"{part}.{key}", key, text))
    return found
