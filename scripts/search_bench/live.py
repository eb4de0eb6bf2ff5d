"""The same comparison live: this package and Ray Tune search the same space, with real Ray.

Both train with ``facesiam.training``, one CPU core a trial, on the same packed data. The clock
runs from the call to its end: starting Ray and the workers is part of it. Each side is told of
an epoch in the process that drives it, and notes the moment.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facesiam.files import read_json, write_text
from search.space import SearchSpace

from .playing import Point
from .regret import at, mean_of

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Budgets, as shares of the minutes, and of the epochs of the search that had the fewest."""


@dataclass
class Clock:
    """Notes each epoch of a search: how many so far, when, and the best accuracy."""

    began: float = field(default_factory=time.monotonic)
    points: list[Point] = field(default_factory=lambda: [Point(0, 0.0, 0.0)])

    def note(self, accuracy: float) -> None:
        """Note an epoch that has just come in."""
        last = self.points[-1]
        now = time.monotonic() - self.began
        self.points.append(Point(last.epochs + 1, now, max(last.best, accuracy)))


@dataclass(frozen=True)
class Task:
    """What both sides search."""

    space: SearchSpace
    data: str
    """The dataset."""
    packed: Path
    """Folder in which it is packed."""
    weights: Mapping[str, str]
    """File of pretrained weights of each net."""
    seconds: float
    trials: int
    """Of ours under halving, which has to know how many will come."""
    workers: int
    out: Path
    """Where a search leaves its files."""


def ours(task: Task) -> Clock:
    """Search with this package, as the space says."""
    return _ours(task, dataclasses.replace(task.space, trials=task.trials), "ours")


def ours_asha(task: Task) -> Clock:
    """Search with this package and ASHA, until the minutes are up."""
    from .methods import under_asha

    return _ours(task, under_asha(task.space), "ours-asha")


def _ours(task: Task, space: SearchSpace, name: str) -> Clock:
    from search.api.searching import run
    from search.runs.line_format import EpochLine
    from search.tracking.callback import Callback

    clock = Clock()

    class Watch(Callback):
        def on_epoch(self, trial: str, record: EpochLine) -> None:
            clock.note(float(record["val_acc"]))

    run(
        space,
        task.data,
        name=f"{name}-{space.seed}",
        out=task.out,
        minutes=task.seconds / 60,
        seed=space.seed,
        concurrent=task.workers,
        cpus=1,
        callbacks=[Watch()],
        progress=False,
    )
    return clock


def ray_tune(task: Task) -> Clock:
    """Search with Ray Tune's OptunaSearch and ASHA, as its documentation has them."""
    import ray
    from ray import tune

    from .methods import METRIC, asha, optuna_search

    clock = Clock()

    class Watch(tune.Callback):
        def on_trial_result(
            self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any
        ) -> None:
            clock.note(float(result[METRIC]))

    ray.init(num_cpus=task.workers, include_dashboard=False, log_to_driver=False)
    try:
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(_train, folder=str(task.packed), weights=dict(task.weights)),
                {"cpu": 1},
            ),
            tune_config=tune.TuneConfig(
                search_alg=optuna_search(task.space),
                scheduler=asha(task.space),
                num_samples=-1,
                max_concurrent_trials=task.workers,
                time_budget_s=task.seconds,
            ),
            run_config=tune.RunConfig(
                name=f"ray-{task.space.seed}",
                storage_path=str(task.out.absolute()),
                callbacks=[Watch()],
                verbose=0,
            ),
        )
        tuner.fit()
    finally:
        ray.shutdown()
    return clock


def _train(config: dict[str, Any], folder: str, weights: dict[str, str]) -> None:
    """Train a net in a worker of Ray Tune; report each epoch."""
    import torch
    from ray import tune

    from facesiam.config import TrialConfig
    from facesiam.data.dataset import open_packed
    from facesiam.training.loop import Training

    torch.set_num_threads(1)
    settings = TrialConfig.from_dict(config)
    for metrics in Training(settings, open_packed(folder), weights, "cpu"):
        tune.report(metrics.to_dict())


SIDES: dict[str, Callable[[Task], Clock]] = {
    "ours": ours,
    "ours, ASHA": ours_asha,
    "Ray OptunaSearch + ASHA": ray_tune,
}


def compare(task: Task, seeds: int, sides: Sequence[str]) -> str:
    """Run the searches that have not run yet, a file for each in the folder; return a table.

    Which side comes first alternates, so that what else the machine does meets both.
    """
    points: dict[str, list[list[Point]]] = {name: [] for name in sides}
    for seed in range(seeds):
        seeded = dataclasses.replace(task, space=dataclasses.replace(task.space, seed=seed))
        for name in sides if seed % 2 == 0 else reversed(sides):
            file = task.out / f"{name.replace(',', '').replace(' ', '-')}-{seed}.json"
            if not file.exists():
                _in_process(name, seeded, file)
            points[name].append([Point(*point) for point in read_json(file)])
    return table(points, task.seconds)


def _in_process(name: str, task: Task, file: Path) -> None:
    """Run a search in a process of its own, as a Ray leaves its environment behind."""
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(name, task, file))
    process.start()
    process.join()
    if not file.exists():
        raise SystemExit(f"{name}, seed {task.space.seed}: the search failed, see above")


def _run(name: str, task: Task, file: Path) -> None:
    write_text(file, json.dumps(SIDES[name](task).points) + "\n")


def table(points: Mapping[str, Sequence[Sequence[Point]]], seconds: float) -> str:
    """Return the best accuracy at equal epochs and at equal minutes as text."""
    every = [one for searches in points.values() for one in searches]
    fewest = min(one[-1].epochs for one in every)
    seeds = min(len(searches) for searches in points.values())
    lines = [
        f"best validation accuracy in %; n = {seeds} seeds, mean ± half of Student's interval"
    ]
    for what, whole, unit in (("epochs", fewest, 1), ("seconds", seconds, 60)):
        axis = "epochs" if what == "epochs" else "seconds"
        budgets = [share * whole for share in SHARES]
        shown = "".join(f"{budget / unit:>15.4g}" for budget in budgets)
        lines += ["", f"{'epochs' if unit == 1 else 'minutes':<32}{shown}"]
        for name, searches in points.items():
            means = [mean_of([100 * at(one, b, axis) for one in searches]) for b in budgets]
            lines.append(f"{name:<32}" + "".join(f"{mean!s:>15}" for mean in means))
    return "\n".join(lines)
