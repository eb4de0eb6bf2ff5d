"""The sampler on simulated searches: trials spent on nets that never learn, and the distance
to the best of a finite space.

    .venv/bin/python scripts/bench_sampler.py                     both, 20 seeds, some minutes
    .venv/bin/python scripts/bench_sampler.py --seeds 5 --workers 12

*Never learning.* The search of spaces/code2.yaml under its own rules and ASHA, simulated: nets
with a learning rate of 2e-4 and more stay at chance, as the 2019 study's did, all others learn;
VGG takes four times as long an epoch as AlexNet. Shown is the share of never-learning nets among
trials 11 to 30, by how many trials run at once.

*Finite.* 30 trials of the 160 of a space whose score is a sum of its settings', so that the best
is known. Shown is how far the best of the 30 lies below it, and how far trials 11 to 30 do in the
mean.

Each by four samplers: ours; `before`, which told Optuna of stopped trials by (value, step) and
drew 200 times before it went by the order of the file; `optuna`, as its tutorials have it (each
epoch reported, stopped trials told as pruned, trials may repeat); `random`. Means over seeds, with
Student's 95 % interval.
"""

from __future__ import annotations

import argparse
import dataclasses
import heapq
import math
import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import optuna
from samplers import SAMPLERS, SamplerUnderTest, Settings
from scipy.stats import t as student

from facesiam.config.settings import positive
from search.pruning.scheduler import Scheduler
from search.space import SearchSpace, load

CODE2 = Path(__file__).parent.parent / "spaces" / "code2.yaml"
TOO_FAST = 2e-4
"""Learning rate from which on a net never learns here."""
PAIRS, UPDATES = 2000, 188
"""Validation pairs, and updates an epoch."""
FINITE = """
fixed: {protocol: frontal-triplets, pretrained: true, net: vgg16_bn}
search:
  lr: [1e-3, 5e-4, 1e-4, 5e-5, 1e-5]
  batch_size: [8, 16, 32, 64]
  dropout: [false, true]
  freeze: [false, true]
  augment: [false, true]
algorithm: tpe
trials: 30
"""
Row = dict[str, Any]


def measured(settings: Settings, epoch: int, rng: random.Random) -> Row:
    """Return what an epoch of a simulated net measures."""
    lr = float(settings["lr"])
    mean = 0.5
    if lr < TOO_FAST:
        best = 0.80 + 0.02 * (settings["net"] == "vgg16_bn") + 0.02 * bool(settings["augment"])
        mean = best - 0.2 * math.exp(-(epoch + 1) / 4) - 0.01 * abs(math.log10(lr) + 4.5)
    accuracy = mean + rng.gauss(0, math.sqrt(mean * (1 - mean) / PAIRS))
    return {
        "epoch": epoch,
        "val_acc": accuracy,
        "val_auc": accuracy,
        "val_pairs": PAIRS,
        "val_loss": 0.6,
        "train_loss": 0.69,
        "train_acc": accuracy,
        "updates": UPDATES,
        "trunk_grad_max": 0.1,
        "trunk_grad_zero": 0.0,
        "trunk_live": 0.01,
        "head_live": 0.5,
        "logit_spread": 1.0,
        "seconds": 60.0,
    }


def search(space: SearchSpace, sampler: SamplerUnderTest, workers: int) -> list[Settings]:
    """Run a search of simulated nets; return the settings of its trials in their order."""
    scheduler, rng, order = Scheduler(space), random.Random(space.seed), list[Settings]()
    events: list[tuple[float, int, int, str]] = []  # time, trial's number, its epoch, its name
    best: dict[str, float] = {}

    def start(now: float) -> None:
        if found := sampler.ask(scheduler):
            name, settings = found
            scheduler.begin(name, settings)
            order.append(settings)
            heapq.heappush(events, (now + seconds(settings), len(order), 0, name))

    for _ in range(workers):
        start(0)
    while events:
        now, number, epoch, name = heapq.heappop(events)
        settings = order[number - 1]
        row, last = measured(settings, epoch, rng), epoch + 1 == settings["epochs"]
        stop = scheduler.observe(name, row, last)
        best[name] = max(row["val_acc"], best.get(name, 0.0))
        sampler.epoch(name, epoch + 1, row["val_acc"])
        if not stop and not last:
            heapq.heappush(events, (now + seconds(settings), number, epoch + 1, name))
            continue
        sampler.tell(name, best[name], stop, scheduler)
        scheduler.forget(name)
        start(now)
    return order


def seconds(settings: Settings) -> float:
    """Return how long an epoch takes, in those of AlexNet."""
    return 4.0 if settings["net"] == "vgg16_bn" else 1.0


def wasted(space: SearchSpace, name: str, workers: int) -> float:
    """Return the share of nets that never learn among trials 11 to 30."""
    order = search(space, SAMPLERS[name](space), workers)
    return statistics.mean(float(settings["lr"]) >= TOO_FAST for settings in order[10:])


def regret(space: SearchSpace, name: str) -> tuple[float, float]:
    """Return how far a finite space's 30 trials lie below its best: the best one, and the mean of
    all but the first ten."""
    sampler, scheduler = SAMPLERS[name](space), Scheduler(space)
    found = []
    while trial := sampler.ask(scheduler):
        found.append(worth(trial[1]))
        sampler.tell(trial[0], found[-1], None, scheduler)
    best = max(worth(settings) for settings in space.grid())
    return best - max(found), best - statistics.mean(found[10:])


def worth(settings: Settings) -> float:
    """Return the score of a configuration of the finite space, best at 1e-5 and 32."""
    return (
        0.8
        - 0.02 * abs(math.log10(float(settings["lr"])) + 5)
        - 0.005 * abs(math.log2(float(settings["batch_size"])) - 5)
        - 0.01 * bool(settings["dropout"])
        + 0.01 * bool(settings["freeze"])
        + 0.03 * bool(settings["augment"])
    )


def shown(values: list[float], unit: float) -> str:
    """Return the mean, and its 95 % interval where there are several values."""
    each = [value * unit for value in values]
    if len(each) == 1:
        return f"{each[0]:5.1f}"
    half = float(student.ppf(0.975, len(each) - 1)) * statistics.stdev(each) / len(each) ** 0.5
    return f"{statistics.mean(each):5.1f} ± {half:3.1f}"


def main() -> None:
    """Read the command line, simulate, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seeds", type=positive, default=20)
    parser.add_argument("--workers", type=positive, nargs="*", default=[2, 6, 12, 24])
    parser.add_argument("--samplers", nargs="+", choices=list(SAMPLERS), default=list(SAMPLERS))
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    code2 = load(CODE2)
    spaces = [dataclasses.replace(code2, seed=seed) for seed in range(args.seeds)]
    if args.workers:
        print(f"never-learning nets among trials 11-30, %, n = {args.seeds} seeds")
    for workers in args.workers:
        for name in args.samplers:
            shares = [wasted(space, name, workers) for space in spaces]
            print(f"  {workers:>2} at once  {name:<7} {shown(shares, 100)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "finite.yaml"
        file.write_text(FINITE)
        finite = load(file)
    print(f"30 trials of 160, n = {args.seeds} seeds; points below the best: their best, 11-30")
    for name in args.samplers:
        seeded = (dataclasses.replace(finite, seed=seed) for seed in range(args.seeds))
        below = [regret(space, name) for space in seeded]
        both = (shown(list(each), 100) for each in zip(*below, strict=True))
        print(f"  {name:<7} {'  '.join(both)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
