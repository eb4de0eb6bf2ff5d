"""What the options of a command make of a space: settings fixed, rows chosen, numbers changed."""

from __future__ import annotations

import dataclasses

from facesiam.plugins import loading
from search.runs.reuse import RunRefused
from search.space import (
    SearchSpace,
    contradictions,
    enqueue,
    from_mapping,
    load,
    overrides,
    shipped,
)
from search.space.constraints import check as check_space
from search.space.prune import UNCERTAIN
from search.space.run_options import RunOptions
from search.tuning import option_checks

ONLY_ROWS: dict[str, object] = {
    "algorithm": "rows",
    "fixed": {},
    "search": {},
    "enqueue": (),
    "minutes": 0.0,
    "finalists": None,
}
"""What a search of rows that are not its space's changes in that."""


def resolve(options: RunOptions) -> SearchSpace:
    """Return the space with what the options change in it.

    Raises:
        PluginError: a --plugin cannot be used.
        SpaceError: the file, a --set or --rows is wrong.
        RunRefused: an option does not go with the space or with another option.
    """
    own = loading.load_all(options.plugin)
    if options.content is None:
        space = load(shipped.space_file(options.space), strict=True)
    else:
        space = from_mapping(options.content, options.space)
    space = space.override(options.set)
    option_checks.check_place(options, space)
    changes: dict[str, object] = {"plugins": tuple(dict.fromkeys((*space.plugins, *own)))}
    changes |= _asked_rows(options, space)
    for name in ("algorithm", "trials", "minutes", "stop_when", "seed"):
        if (value := getattr(options, name)) is not None:
            changes[name] = value
    changed = dataclasses.replace(space, **changes)  # type: ignore[arg-type]
    if changed.algorithm == "rows" and (lists := overrides.assigned(options.set)[1]):
        raise RunRefused(
            f"--set {next(iter(lists))}=[…]: rows run as they are; --rows A,B chooses among them"
        )
    if options.enqueue:
        changed = enqueue.added(changed, options.enqueue)
    for name in ("trials", "stop_when", "seed"):
        if getattr(options, name) and (why := contradictions.unused(changed, name)):
            asked = getattr(options, name)
            shown = f"gain={asked['gain']:g}" if name == "stop_when" else asked
            raise RunRefused(f"--{name.replace('_', '-')} {shown}: {why}")
    return check_space(changed.override(options.set) if options.ablate else changed.packed())


def _asked_rows(options: RunOptions, space: SearchSpace) -> dict[str, object]:
    """Return what --rows, and --ablate and a race with rows of their own, change in the space."""
    changes: dict[str, object] = {}
    if options.rows is not None:
        if options.algorithm not in (None, "rows"):
            raise RunRefused(f"--algorithm {options.algorithm}: --rows runs rows; leave one out")
        rows = space.rows_named([row for row in options.rows.split(",") if row])
        changes |= {"rows": rows, "algorithm": "rows"}
    if options.seeds > 1 and not options.ablate:
        raise RunRefused(
            "--seeds goes with --ablate; search.retrain trains the best trial with more seeds"
        )
    if options.ablate:
        from search.tuning import ablation

        if options.rows is not None or options.algorithm not in (None, "rows"):
            raise RunRefused("--ablate runs rows of its own: leave out --rows and --algorithm")
        if why := ablation.misfit(space.packed(), options.ablate):
            raise RunRefused(
                f"--ablate {options.ablate}: does not fit this space: its best trial has {why}"
            )
        rows = ablation.rows(space.packed(), options.ablate, 1, options.seeds)
        changes |= {"rows": rows, **ONLY_ROWS}
    if options.race:
        prune = space.prune | dict.fromkeys(UNCERTAIN, False) | {"control": 0.0}
        changes |= {"rows": options.race.rows, "race": options.race.race, **ONLY_ROWS}
        changes |= {"prune": prune, "report": False}
    return changes
