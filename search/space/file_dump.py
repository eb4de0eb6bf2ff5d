"""The text of a space file that says what a search space has."""

from __future__ import annotations

from typing import Any

from search.space import metric_key
from search.space.model import SearchSpace
from search.space.prune import UNCERTAIN
from search.space.yaml_text import written

OPTIONS = ("algorithm", "trials", "minutes", "stop_when", "seed", "metric", "mode", "prune")
OFF: dict[str, Any] = {"minutes": 0.0, "stop_when": {}}
"""Values of options that are left out, as they do nothing."""


def dump(space: SearchSpace, columns: int | None = None) -> str:
    """Return a space as YAML, in lines of so many columns, which ``load`` reads back."""
    plain: dict[str, object] = {"name": space.name}
    plain |= {"data": space.data} if space.data else {}
    if space.plugins:
        plain["plugins"] = [plugin.plain() for plugin in space.plugins]
    plain |= {name: said for name in ("format", "fixed") if (said := getattr(space, name))}
    if space.search:
        plain["search"] = {name: part.plain() for name, part in space.search.items()}
    if space.enqueue and space.uses("enqueue"):
        plain["enqueue"] = list(space.enqueue)
    if space.rows:
        plain["rows"] = {id: row.plain() for id, row in space.rows.items()}
    for name in OPTIONS:  # what does nothing is left out: whoever writes it is told so
        if space.uses(name) and getattr(space, name) != OFF.get(name):
            plain[name] = getattr(space, name)
    plain["metric"] = metric_key.written(space.metric, space.costs)
    if space.algorithm == "rows":
        plain["prune"] = {n: on for n, on in space.prune.items() if not (on and n in UNCERTAIN)}
    parts = {"finalists": space.finalists, "race": space.race, "resources": space.resources}
    plain |= {name: part.plain() for name, part in parts.items() if part}
    plain |= {"keep": space.keep, "report": space.report}
    log = {name: told or None for name, told in space.log.items()}
    return written(plain | ({"log": log} if log else {}), columns)
