"""Sentences on who chooses the trials of a search: what is enqueued, chance, or the sampler."""

from __future__ import annotations

from facesiam.errors import counted
from search.space import SearchSpace, enqueue
from search.space.algorithms import TITLES, chosen_apart
from search.space.combinations import listed


def first_tried(space: SearchSpace) -> str | None:
    """Say how many trials `enqueue:` makes; None where there are none."""
    given = len(space.enqueue) if space.uses("enqueue") else 0
    if not given:
        return None
    count = space.count()
    run = given if count is None else min(given, count)
    of = f" of {given}" * (run < given)
    text = f"enqueued: {run}{of} {'configuration' if given == 1 else 'configurations'} tried first"
    partial = sum(enqueue.narrowed(space, one).size() != 1 for one in space.enqueue[:run])
    return text + f"; what {partial} of them leave open is drawn" * bool(partial)


def who_chooses(space: SearchSpace, at_once: int | None, known: int = 0) -> tuple[str, int]:
    """Say how many trials are drawn at random and how many the sampler chooses.

    Args:
        space: a search by one of ``TITLES``.
        at_once: how many trials run at once; None: not known.
        known: trials of earlier runs that it begins with.

    Returns:
        A sentence, and the number of trials that the sampler chooses.
    """
    who = TITLES[space.algorithm]
    given = min(len(space.enqueue), space.count() or 0)
    count, startup = (space.count() or 0) - given, max(0, space.startup() - known - given)
    unscored = 0 if known else max(0, (at_once or 1) - given)  # that start before any has a score
    drawn = min(count, max(startup, unscored))
    after = f" after {given} enqueued" if given else ""
    why = f", as {at_once} start before any has a score" if unscored > startup and at_once else ""
    if drawn == count:
        how = f"{_all(count)} drawn at random{after}{why}" if count else "all are enqueued"
        text = f"{who} chooses no trial: {how}; with more trials, or fewer at once, it would"
        return text[0].upper() + text[1:], 0
    first = (
        f"the first {drawn} of {counted(count, 'trial')}{after} {'is' if drawn == 1 else 'are'} "
        f"drawn at random{why}"
    )
    if at_once is None and not known:
        first += ", and all that start before any has a score"
    text = f"{first}; {who} chooses the other {count - drawn}"
    text = text if drawn else f"{who[0].upper()}{who[1:]} chooses every trial{after}"
    if count + given == space.size():
        text += ", in which order: every configuration is run"
    return text, count - drawn


def _all(count: int) -> str:
    return "its one trial is" if count == 1 else f"all {count} are"


def drawn_apart(space: SearchSpace) -> str | None:
    """Say which settings the sampler draws at random, each by itself; None where it draws none."""
    apart = chosen_apart(space.algorithm, space.search)
    if not apart:
        return None
    why = "it chooses all others together, and these have a condition"
    if space.algorithm == "cmaes":
        why = "it chooses numbers from ranges without a condition"
    who = TITLES[space.algorithm]
    return f"{who[0].upper()}{who[1:]} draws {listed(apart)} at random: {why}"
