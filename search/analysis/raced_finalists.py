"""The finalists of a race: the best trials of a run, and the trainings that a race may take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count, islice
from pathlib import Path

from facesiam.config import TrialConfig, Value
from facesiam.errors import counted
from search.analysis import ranked_trials
from search.runs import layout
from search.runs.layout import RunError
from search.space.domains import Row
from search.space.finalists import Finalist, Finalists, Race, row_of


def choose(run: Path, terms: Finalists, cost: Callable[[Mapping[str, Value]], float]) -> Race:
    """Return a race of a run's best trials that differ in more than their seed.

    A trial that failed, or has not ended, is none of them.

    Args:
        run: its folder.
        terms: how they are raced.
        cost: returns what a net of some settings costs where it is used.

    Raises:
        RunError: not a run, or no trial of it has ended with a score.
    """
    trials, _ = ranked_trials.load(run)
    metric, configs = ranked_trials.objective(run).metric, layout.settings(run)
    ended = trials[trials["status"].isin(["done", "stopped"]) & trials[metric].notna()]
    found, seen = dict[str, Finalist](), list[dict[str, Value]]()
    for trial, score in zip(ended["trial"], ended[metric], strict=True):
        settings = configs[trial].to_dict()
        if len(found) < terms.top and (bare := {**settings, "seed": 0}) not in seen:
            seen.append(bare)
            found[str(trial)] = Finalist(float(score), round(cost(settings), 3))
    if not found:
        raise RunError(f"{run}: no trial has ended with a score, so there is nothing to race")
    return Race(run.name, terms, found)


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
