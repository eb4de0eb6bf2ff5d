"""The ablation of a run's best trial: its settings changed one at a time.

    python -m search.run spaces/cpu.yaml --ablate ray_results/cpu --seeds 3

The changed trials run as rows of the space. ``search.report`` compares each change with the best
trial of the same seed, and gives the mean difference over the seeds, with intervals that hold for
all changes together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from facesiam.config import Value
from facesiam.config.constraints import conflicts
from facesiam.config.metrics import TPR
from search.analysis import ranked_trials
from search.runs import layout
from search.runs.remote import open_run
from search.space import SearchSpace
from search.space.constraints import JUDGED_BY
from search.space.domains import Choice, Row, active


def misfit(space: SearchSpace, run: str) -> str | None:
    """Return the setting that keeps the best trial of a run out of the space; None: it fits.

    `epochs`, `people` and `seed` may differ: a shorter ablation is one of the same settings.
    So may a `packed_size` that the space's file does not say, a `precision` that it fixes, and
    what trials are judged by.

    Raises:
        RunError: no such run or trial.
    """
    best = _best(space, run, 1)
    names = ["epochs", "people", "seed"] + ["packed_size"] * (not space.packed_given)
    loose = {name: best[name] for name in names}
    return replace(space, fixed={**space.fixed, **loose}, algorithm="tpe").excludes(best)


def rows(space: SearchSpace, run: str, rank: int, seeds: int) -> dict[str, Row]:
    """Return the trials of an ablation by name: the best trial and each change of it, per seed.

    Each setting that the space searches is changed to every other choice or, in a range, to its
    two ends. A change that contradicts the other settings is left out. All are judged as the
    space says, whatever the earlier run was judged by.

    Args:
        space: whose searched settings are changed.
        run: earlier run that has the trial.
        rank: place of the trial in the ranked table.
        seeds: number of seeds, from the trial's own upwards.

    Raises:
        RunError: no such run or trial.
    """
    best = _best(space, run, rank)
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


def told(space: SearchSpace, run: str) -> str:
    """Return a line that names the trial that an ablation changes, and by what it is the best.

    Args:
        space: of the ablation.
        run: earlier run that has the trial.

    Raises:
        RunError: no such run or trial.
        SpaceError: the run's space cannot be read.
    """
    folder = open_run(run)
    trial, was = _ranked(folder, run, 1)
    earlier = _judged(ranked_trials.objective(folder).metric, was)
    here = _judged(space.metric, was | _rates(space))
    line = f"ablation of {run}: changes trial {trial}, its best by {earlier}"
    return line if here == earlier else f"{line}; this search ranks by {here}"


def _judged(metric: str, settings: Mapping[str, Value]) -> str:
    """Return a metric with the settings that it depends on."""
    if metric != TPR:
        return metric
    return f"{metric} ({', '.join(f'{name}: {settings[name]}' for name in JUDGED_BY)})"


def _rates(space: SearchSpace) -> dict[str, Value]:
    """Return the settings that the trials of a space are judged by, the same in all of them."""
    return {name: space.possible(name)[0] for name in JUDGED_BY}


def _ranked(folder: Path, run: str, rank: int) -> tuple[str, dict[str, Value]]:
    """Return the trial of this rank and all of its settings."""
    trials, _ = ranked_trials.load(folder)
    chosen = trials[trials["rank"] == rank]
    if chosen.empty:
        raise layout.RunError(f"{run}: no trial of rank {rank}")
    trial = str(chosen["trial"].iloc[0])
    return trial, layout.settings(folder)[trial].to_dict()


def _best(space: SearchSpace, run: str, rank: int) -> dict[str, Value]:
    """Return the settings of the trial of this rank, computed and judged as the space says."""
    computed = {name: space.fixed[name] for name in ("precision",) if name in space.fixed}
    return _ranked(open_run(run), run, rank)[1] | computed | _rates(space)
