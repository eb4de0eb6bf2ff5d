"""The finalists of a race: the best trials of a run, and the trainings that a race may take."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count, islice
from pathlib import Path

import numpy as np

from facesiam.config import TrialConfig, Value
from facesiam.errors import counted
from facesiam.files import exists
from search.analysis import pareto, ranked_trials
from search.analysis.mcnemar import PAIR_SETTINGS
from search.runs import layout
from search.space.domains import Row
from search.space.finalists import Finalist, Finalists, NothingToRace, Race, row_of

COST = "macs"
"""Cost of a net that decides between equals, where the search minded none: it has no scatter."""


def choose(run: Path, terms: Finalists) -> Race:
    """Return a race of a run's best trials that differ in more than their seed.

    A trial that failed or has learned nothing is none of them, nor is one that was judged on other
    pairs than the best one. One that has not ended, as it runs or is paused, counts by its best
    score so far.

    Args:
        run: its folder.
        terms: how they are raced.

    Raises:
        NothingToRace: there are no two of them.
        RunError: not a run.
    """
    trials, _ = ranked_trials.load(run)
    space, configs = layout.space(run), layout.settings(run)
    metric, objective = space.metric, space.objective
    scored = trials[(trials["status"] != "failed") & np.isfinite(trials[metric])]
    scores = [float(score) for score in scored[metric]]
    able = scored[scored["learned"].fillna(True).astype(bool)]
    if able.empty:
        raise NothingToRace(f"{run}: no trial has learned anything; there is nothing to race")
    found, seen = list[str](), list[dict[str, Value]]()
    pairs = _pairs(configs[able["trial"].iloc[0]])
    for trial in map(str, able["trial"]):
        bare = {**configs[trial].to_dict(), "seed": 0}
        if len(found) < terms.top and bare not in seen and _pairs(configs[trial]) == pairs:
            seen.append(bare)
            found.append(trial)
    if len(found) < 2:
        raise NothingToRace(
            f"{run}: {found[0]} is the only trial that could be raced: the others have the same "
            "settings, were judged on other pairs, or have learned nothing"
        )
    raced = trials.set_index("trial", drop=False).loc[found]
    cost = space.costs[0] if space.costs else COST
    costs = pareto.costs_of(raced, [cost])[cost]
    if costs.isna().any():  # one lacks it, so that they cannot be compared
        cost = ""
    finalists = {
        trial: Finalist(float(raced[metric][trial]), float(costs[trial]) if cost else 0.0)
        for trial in found
    }
    return Race(run.name, terms, finalists, cost, objective.key(min(map(objective.key, scores))))


def _pairs(config: TrialConfig) -> list[Value]:
    return [getattr(config, name) for name in PAIR_SETTINGS]


def rows(run: Path, race: Race) -> dict[str, Row]:
    """Return all trainings that a race may take, in its order: round by round, best first.

    The seeds are the smallest that no finalist had in the search: the scores by which the
    finalists were chosen are no evidence for them.

    Args:
        run: folder of the run whose finalists they are.
        race: the race.
    """
    configs = layout.settings(run)
    finalists: dict[str, TrialConfig] = {trial: configs[trial] for trial in race.trials}
    had = {config.seed for config in finalists.values()}
    seeds = islice((seed for seed in count() if seed not in had), race.terms.seeds)
    return {
        row_of(trial, seed): Row({**config.to_dict(), "seed": seed})
        for seed in seeds
        for trial, config in finalists.items()
    }


def name_of(run: Path) -> str:
    """Return the name of the run that races the best trials of another one."""
    return f"{run.name}-race"


def unfinished(run: Path) -> str:
    """Return a sentence on a run that is raced before its end; "" of one that is at its end."""
    if not exists(run / layout.MANIFEST) or layout.manifest(run).get("finished"):
        return ""
    trials, _ = ranked_trials.load(run)
    return (
        f"{run.name} is unfinished (trials: {ranked_trials.states(trials)}): raced are the best "
        "that it has so far, and what is still to come is not among them"
    )


def described(race: Race) -> str:
    """Return what is raced as words that follow "a race"."""
    terms, names = race.terms, ", ".join(race.trials)
    return (
        f"of {race.of}'s {names} with up to {counted(terms.seeds, 'seed')} at the level "
        f"{terms.level:g}, within {terms.within:g}"
    )


def cost_of(race: Race, raced: Mapping[str, Row]) -> str:
    """Return what is raced and the trainings that it takes as words that follow "a race"."""
    number, seeds = len(race.trials), race.terms.seeds
    epochs = [int(row.settings["epochs"]) for row in raced.values()]
    least = sum(epochs[: number * min(2, seeds)])
    cost = bounded(number * min(2, seeds), number * seeds, least, sum(epochs))
    return f"{described(race)}: {cost}"


def bounded(fewest: int, most: int, least_epochs: int, most_epochs: int) -> str:
    """Return such a sentence from its four figures."""
    if fewest == most:
        return f"{counted(most, 'training')}, {counted(most_epochs, 'epoch')}"
    return (
        f"at least {counted(fewest, 'training')} and {counted(least_epochs, 'epoch')}, at most "
        f"{counted(most, 'training')} and {counted(most_epochs, 'epoch')}"
    )
