"""What is asked for and would do nothing, or the opposite of what is meant: refused, not ignored.

Only what somebody wrote is held against the rest: a default contradicts nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from search.space.constraints import Finding
from search.space.spec import RULES

if TYPE_CHECKING:
    from search.space.model import SearchSpace

LISTED = ("grid", "rows")
"""Algorithms that run all they have, in its order."""
CERTAIN = ("dead", "diverged")
"""Rules that hold for rows as well; by others they are not stopped, as they run to their end."""


def mode_of(metric: str) -> str:
    """Return whether more (max) or less (min) of a metric is better."""
    return "min" if "loss" in metric else "max"


def opposite(space: SearchSpace, said: Collection[str]) -> list[Finding]:
    """List what would have a search do the opposite of what is meant.

    Args:
        space: what the file leads to.
        said: its top-level keys.
    """
    if "mode" not in said or space.mode == mode_of(space.metric):
        return []
    return [
        (
            "mode",
            "mode",
            f"{space.mode} takes the worst {space.metric} for the best; leave it "
            f"out, or write {mode_of(space.metric)}",
        )
    ]


def idle(space: SearchSpace, said: Collection[str], rules: Collection[str]) -> list[Finding]:
    """List what a space file says and what would do nothing.

    Args:
        space: what the file leads to.
        said: its top-level keys.
        rules: the rules that it names under `prune:`, and their options, as plateau.patience.
    """
    found: list[Finding] = []
    for name in ("trials", "seed"):
        if name in said and (text := unused(space, name)):
            found.append((name, name, text))
    return [*found, *_rules(space, rules), *_resources(space)]


def unused(space: SearchSpace, name: str) -> str:
    """Say why an option such as `trials` or `seed` does nothing; '' where it does something."""
    if space.algorithm not in LISTED or name not in ("trials", "seed"):
        return ""
    many = {"grid": "a grid runs each of its configurations", "rows": "rows are run as they are"}
    if name == "trials":
        count = space.count()
        some = "" if count is None else f", {count:,} here"
        return f"{many[space.algorithm]}{some}; leave it out, or take algorithm: random or tpe"
    if space.prune["control"]:  # who is in the control group is drawn
        return ""
    return (
        f"draws which trials to run, and {many[space.algorithm]}; leave it out. The seed of "
        "the trials is a setting: under fixed:, or by --set seed="
    )


def _rules(space: SearchSpace, rules: Collection[str]) -> list[Finding]:
    found: list[Finding] = []
    on = [name for name in RULES if space.prune[name]]
    if space.prune["control"] and not on:
        found.append(
            (
                "prune.control",
                "prune.control",
                "no rule is on, so none stops a trial that could run on",
            )
        )
    if space.algorithm == "rows" and not space.search:
        found += [
            (
                f"prune.{name}",
                f"prune.{name}",
                "rows run to their end; of the rules only dead and diverged hold for them",
            )
            for name in on
            if name in rules and name not in CERTAIN
        ]
    plateau, most = space.prune["plateau"], space.max_epochs()
    usual = RULES["plateau"].options["patience"].default
    # The usual one is also what a run's own space.yaml says, whether anybody wrote it or not.
    asked = "plateau.patience" in rules and plateau and plateau["patience"] != usual
    if asked and plateau["patience"] >= most:
        text = f"no trial has more than {most} epochs, so none can be without a new best so long"
        found.append(("prune.plateau.patience", "prune.plateau.patience", text))
    return found


def nets(space: SearchSpace) -> list[str]:
    """Return the nets of the trials that a space describes, its search's and its rows'."""
    of_rows = (str(space.row_settings(id)["net"]) for id in space.rows)
    searched = replace(space, algorithm="tpe").nets()
    return list(dict.fromkeys([*searched, *of_rows]))


def _resources(space: SearchSpace) -> list[Finding]:
    there = nets(space)
    few = ", ".join(there) if len(there) <= 6 else f"{len(there)} others"
    return [
        (
            f"resources.per_net.{net}",
            f"resources.per_net.{net}",
            f"no trial has this net; they have {few}",
        )
        for net in space.resources.per_net
        if net not in there
    ]
