"""Checks for options of a space that would do nothing, or the opposite of what is meant.

Only what somebody wrote is held against the rest: a default contradicts nothing.
"""

from __future__ import annotations

from collections.abc import Collection

from facesiam.config import metrics
from facesiam.errors import counted
from search.space.errors import Finding, Place
from search.space.model import SearchSpace
from search.space.prune import RULE_OPTIONS, UNCERTAIN, pruning


def mode_of(metric: str) -> str:
    """Return whether more (max) or less (min) of a metric is better."""
    return metrics.OWN.get(metric) or ("min" if "loss" in metric else "max")


def opposite(space: SearchSpace, said: Collection[Place]) -> list[Finding]:
    """List what would have a search do the opposite of what is meant.

    Args:
        space: what the file leads to.
        said: every place of the file that says something.
    """
    usual = mode_of(space.metric)
    if ("mode",) not in said or space.mode == usual:
        return []
    text = f"{space.mode} takes the worst {space.metric} for the best; leave it out, or write "
    return [Finding(("mode",), text + usual)]


def guesses(space: SearchSpace) -> list[Finding]:
    """List what a file says of the score of a guess and no guess can have."""
    score = (space.prune["chance"] or {}).get("score", 0.0)
    wrong = no_guess(space.metric, score)
    return [Finding(("prune", "chance", "score"), wrong)] if wrong else []


def no_guess(metric: str, score: float) -> str:
    """Say why a guess cannot have a score in a metric; '' where it can."""
    if metric not in metrics.SHARES or 0 <= score <= 1:
        return ""
    percent = f": {score:g} % is {score / 100:g}" * (1 < score <= 100)
    return f"{metric} is a share from 0 to 1, got {score:g}{percent}"


def idle(space: SearchSpace, said: Collection[Place]) -> list[Finding]:
    """List what a space file says and what would do nothing; the arguments are ``opposite``'s."""
    found = [
        Finding((name,), text)
        for name in ("trials", "stop_when", "seed")
        if (name,) in said and (text := unused(space, name))
    ]
    return [*found, *_enqueued(space, said), *_rules(space, said), *_resources(space)]


def _enqueued(space: SearchSpace, said: Collection[Place]) -> list[Finding]:
    if ("enqueue",) not in said:
        return []
    if not space.uses("enqueue"):
        text = "rows are run as they are; leave it out, or take algorithm: random or tpe"
        return [Finding(("enqueue",), text)]
    count, last = space.count(), len(space.enqueue)
    if count is None or last <= count:
        return []
    text = (
        f"one more than the {counted(count, 'trial')} of the search, so it would not run; raise "
        "trials:"
    )
    return [Finding(("enqueue", count), text)]


def unused(space: SearchSpace, name: str) -> str:
    """Say why an option such as `trials` or `seed` does nothing; '' where it does something."""
    if space.uses(name):
        return ""
    many = {"grid": "a grid runs each of its configurations", "rows": "rows are run as they are"}
    if name == "stop_when":
        return f"{many[space.algorithm]}; leave it out, or take algorithm: random or tpe"
    if name == "trials":
        count = space.count()
        some = "" if count is None else f", {count:,} here"
        return f"{many[space.algorithm]}{some}; leave it out, or take algorithm: random or tpe"
    return (
        f"draws which trials to run, and {many[space.algorithm]}; leave it out. The seed of "
        "the trials is a setting: under fixed:, or by --set seed="
    )


def _rules(space: SearchSpace, said: Collection[Place]) -> list[Finding]:
    found = []
    on = [name for name in RULE_OPTIONS if space.prune[name]]
    if space.prune["control"] and not on:
        text = "no rule is on, so none stops a trial that could run on"
        found.append(Finding(("prune", "control"), text))
    if space.algorithm == "rows" and not space.search:
        text = "rows run to their end; of the rules only dead and diverged hold for them"
        found += [
            Finding(("prune", name), text)
            for name in on
            if ("prune", name) in said and name in UNCERTAIN
        ]
    plateau, most, place = (
        space.prune["plateau"],
        space.max_epochs(),
        ("prune", "plateau", "patience"),
    )
    # The usual one is also what a run's own space.yaml says, whether anybody wrote it or not.
    asked = place in said and plateau and plateau["patience"] != pruning()["plateau"]["patience"]
    if asked and plateau["patience"] >= most:
        text = (
            f"no trial has more than {counted(most, 'epoch')}, so none can be without a new best "
            "so long"
        )
        found.append(Finding(place, text))
    return found


def _resources(space: SearchSpace) -> list[Finding]:
    there = space.all_nets()
    few = ", ".join(there) if len(there) <= 6 else f"{len(there)} others"
    return [
        Finding(("resources", "per_net", net), f"no trial has this net; they have {few}")
        for net in space.resources.per_net
        if net not in there
    ]
