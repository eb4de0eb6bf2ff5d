"""The ablation of a run's best trial: its settings changed one at a time.

    python -m search.run spaces/cpu.yaml --ablate ray_results/cpu --seeds 3

The changed trials run as rows of the space. ``search.report`` compares each change with the best
trial of the same seed, and gives the mean difference over the seeds, with intervals that hold for
all changes together.
"""

from __future__ import annotations

from dataclasses import replace

from facesiam.config import Value
from facesiam.config.constraints import conflicts
from search.analysis import ranked_trials
from search.runs import layout
from search.runs.remote import open_run
from search.space import SearchSpace
from search.space.domains import Choice, Row, active


def misfit(space: SearchSpace, run: str) -> str | None:
    """Return the setting that keeps the best trial of a run out of the space; None: it fits.

    `epochs`, `people` and `seed` may differ: a shorter ablation is one of the same settings.
    So may a `packed_size` that the space's file does not say.

    Raises:
        RunError: no such run or trial.
    """
    best = _best(run, 1)
    names = ["epochs", "people", "seed"] + ["packed_size"] * (not space.packed_given)
    loose = {name: best[name] for name in names}
    return replace(space, fixed={**space.fixed, **loose}, algorithm="tpe").excludes(best)


def rows(space: SearchSpace, run: str, rank: int, seeds: int) -> dict[str, Row]:
    """Return the trials of an ablation by name: the best trial and each change of it, per seed.

    Each setting that the space searches is changed to every other choice or, in a range, to its
    two ends. A change that contradicts the other settings is left out.

    Args:
        space: whose searched settings are changed.
        run: earlier run that has the trial.
        rank: place of the trial in the ranked table.
        seeds: number of seeds, from the trial's own upwards.

    Raises:
        RunError: no such run or trial.
    """
    best = _best(run, rank)
    changes: dict[str, dict[str, Value]] = {"best": {}}
    for name, domain in space.ordered():
        if not active(domain, best):
            continue
        ends = domain.choices if isinstance(domain, Choice) else (domain.low, domain.high)
        for value in ends:
            if value != best[name] and not conflicts({**best, name: value}):
                shown = f"{value:g}" if isinstance(value, float) else str(value).lower()
                changes[f"{name}-{shown}"] = {name: value}
    seed = int(best["seed"])
    return {
        f"{label}-s{number}": Row({**best, **change, "seed": number})
        for number in range(seed, seed + seeds)
        for label, change in changes.items()
    }


def _best(run: str, rank: int) -> dict[str, Value]:
    """Return all settings of the trial of this rank."""
    folder = open_run(run)
    trials, _ = ranked_trials.load(folder)
    chosen = trials[trials["rank"] == rank]
    if chosen.empty:
        raise layout.RunError(f"{run}: no trial of rank {rank}")
    return layout.settings(folder)[str(chosen["trial"].iloc[0])].to_dict()
