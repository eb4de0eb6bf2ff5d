"""What the vital signs cost: the share of a step and of an epoch, with and without in turn.

    .venv/bin/python scripts/bench_vitals.py                     drawn faces, row A of code 2
    .venv/bin/python scripts/bench_vitals.py --data cfp-dataset.zip --steps 40 --rounds 10

Two figures are printed. `inside` is the time spent in the measuring itself, by the clock around
it. `ratio` is the time of a block of steps with the vital signs over that of the block next to it
without; it has all their side effects in it, and all the noise of the machine. On a GPU only
`ratio` counts: what is inside is queued there, and done later. On a machine that others use, the
wait for a second thread that has no core swamps everything: `--cpu-time` counts the processor
seconds of a single thread instead.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch

from facesiam.config import TrialConfig
from facesiam.config.settings import positive
from facesiam.data.preparation import prepare
from facesiam.errors import DataError
from facesiam.training import loop
from facesiam.training.gradient_health import GradientWatch, LiveUnits


class Clock:
    """Seconds, by `now`; and those spent inside the functions that ``timed`` wraps."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now, self.seconds = now, 0.0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function` with its time added to ``seconds``."""

        def wrapped(*args: Any) -> Any:
            start = self.now()
            result = function(*args)
            self.seconds += self.now() - start
            return result

        return wrapped


@contextmanager
def without_vitals() -> Iterator[None]:
    """Train without them: no look at the gradients, no hooks, no spread."""
    with ExitStack() as stack:
        for owner, name, stand_in in (
            (GradientWatch, "look", lambda watch: None),
            (LiveUnits, "__enter__", lambda live: live),
            (loop, "logit_spread", lambda logits: math.nan),
        ):
            stack.enter_context(patch.object(owner, name, stand_in))
        yield


@contextmanager
def clocked(clock: Clock) -> Iterator[None]:
    """Train with them, and note the time inside."""
    with ExitStack() as stack:
        for owner, name in ((GradientWatch, "look"), (LiveUnits, "_note"), (loop, "logit_spread")):
            timed = clock.timed(getattr(owner, name))
            # A plain function, so that it is bound to the object as the method was.
            stack.enter_context(patch.object(owner, name, lambda *args, timed=timed: timed(*args)))
        yield


def seconds_of(run: Callable[[], Any], clock: Clock) -> float:
    """Time one call, its GPU work included."""
    start = clock.now()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock.now() - start


def in_turn(
    run: Callable[[], Any], now: Callable[[], float], rounds: int
) -> tuple[list[float], list[float], float]:
    """Time `run` with and without, in turn; return both, and the seconds inside per run."""
    times: dict[bool, list[float]] = {True: [], False: []}
    clock = Clock(now)
    for number in range(rounds):
        for on in (True, False) if number % 2 else (False, True):
            mode: AbstractContextManager[None] = clocked(clock) if on else without_vitals()
            with mode:
                times[on].append(seconds_of(run, clock))
    return times[True], times[False], clock.seconds / rounds


def measure(
    training: loop.Training, steps: int, rounds: int, now: Callable[[], float]
) -> dict[str, Any]:
    """Time blocks of `steps` steps, and validations, with and without in turn."""
    batches = training._batches
    whole = math.ceil(len(training.train_pairs.triplets) / training.config.batch_size)
    training._batches = (  # type: ignore[method-assign]
        lambda: itertools.islice(batches(), steps)
    )
    steps = min(steps, whole)
    training._train()  # once unmeasured: memory is got, kernels are chosen
    training._validate()
    on, off, inside = in_turn(training._train, now, rounds)
    val_on, val_off, val_inside = in_turn(training._validate, now, max(2, rounds // 4))
    ratios = [a / b for a, b in zip(on, off, strict=True)]
    step = statistics.median(off) / steps
    validation = statistics.median(val_off)
    epoch = step * whole + validation
    return {
        "seconds_per_step_with": statistics.median(on) / steps,
        "seconds_per_step_without": step,
        "ratio": statistics.mean(ratios),
        "ratio_std": statistics.stdev(ratios) if rounds > 1 else math.nan,
        "rounds": rounds,
        "steps": steps,
        "inside_ms_per_step": 1000 * inside / steps,
        "inside_share_of_step": inside / steps / step,
        "validation_seconds_with": statistics.median(val_on),
        "validation_seconds_without": validation,
        "inside_ms_per_validation": 1000 * val_inside,
        "epoch_steps": whole,
        "epoch_seconds_without": epoch,
        "inside_share_of_epoch": (inside / steps * whole + val_inside) / epoch,
    }


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", default="drawn", help="CFP zip or folder; default: drawn")
    parser.add_argument("--steps", type=positive, default=20, help="steps a block")
    parser.add_argument("--rounds", type=positive, default=10, help="blocks of each kind")
    parser.add_argument("--net", default="alexnet", choices=["alexnet", "vgg16_bn"])
    parser.add_argument("--people", type=int, default=0, help="first N people; 0: everyone")
    parser.add_argument("--cpu-time", action="store_true", help="CPU seconds of one thread")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    args = parser.parse_args()
    config = TrialConfig.from_dict(
        {"net": args.net, "join": "difference", "batch_size": 16, "people": args.people}
    )
    try:
        data = prepare(args.data, [config.packing], progress=not args.json)
    except DataError as error:
        parser.exit(2, f"{error}\n")
    if args.cpu_time:
        torch.set_num_threads(1)
    now = time.process_time if args.cpu_time else time.perf_counter
    training = loop.Training(config, data)
    found = measure(training, args.steps, args.rounds, now) | {
        "clock": "CPU time" if args.cpu_time else "wall clock",
        "net": args.net,
        "device": str(training.device),
        "bf16": training.dtype == torch.bfloat16,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    print(json.dumps(found) if args.json else as_text(found))


def as_text(found: dict[str, Any]) -> str:
    """Say the figures in five lines."""
    return (
        "{net} difference, 224 px, batch 16, {device}, {threads} threads, {clock}, torch {torch}\n"
        "step        {seconds_per_step_with:.4f} s with, {seconds_per_step_without:.4f} s without"
        "; ratio {ratio:.4f} ± {ratio_std:.4f} (std, n = {rounds} × {steps} steps)\n"
        "validation  {validation_seconds_with:.3f} s with, {validation_seconds_without:.3f} s "
        "without\n"
        "inside      {inside_ms_per_step:.2f} ms a step ({inside_share_of_step:.2%}), "
        "{inside_ms_per_validation:.1f} ms a validation\n"
        "epoch       {epoch_seconds_without:.1f} s of {epoch_steps} steps without; of that "
        "{inside_share_of_epoch:.2%} for the vital signs"
    ).format(**found)


if __name__ == "__main__":
    main()
