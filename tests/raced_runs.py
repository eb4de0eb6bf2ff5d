"""Run folders of races, as tests of their results need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import builders
import numpy as np
from ranked_runs import epoch, trial, which

FAULT = "ValueError: no loss"
LRS = {"0001": 1e-5, "0002": 1e-4, "0003": 1e-3}


def write_race(
    folder: Path,
    scores: Mapping[str, Sequence[float | None]],
    *,
    seeds: int = 5,
    within: float = 0.005,
    costs: Mapping[str, float] | None = None,
    pairs: int = 0,
) -> Path:
    """Write a race of code2's trials, each with its accuracies by seed from 1; None: it failed.

    Of so many `pairs` the right ones are kept: the first ones, in an order of each finalist's own.
    """
    own = {one: {"score": 0.8, "cost": (costs or {}).get(one, 1e9)} for one in scores}
    rows = {
        f"{one}-s{seed}": {"settings": {"lr": LRS[one], "seed": seed, "epochs": 3}}
        for seed in range(1, seeds + 1)
        for one in scores
    }
    race = {"of": "code2", "top": 5, "seeds": seeds, "level": 0.05, "within": within}
    race |= {"cost": "macs"} if costs else {}
    lines, epochs, count = [], [], 0
    for at in range(seeds):
        for one, got in scores.items():
            if at < len(got):
                score, row = got[at], f"{one}-s{at + 1}"
                best = 0.5 if score is None else score
                told = {"row": row, "lr": LRS[one], "seed": at + 1}
                lines.append(trial(row, "running", **told) | {"n": count + 1})
                epochs += [
                    epoch(row, number, value)
                    | {"n": count + 2 + number}
                    | (which(pairs, judged_right(one, value, pairs)) if pairs else {})
                    for number, value in enumerate((0.5, best, 0.5))
                ]
                status = "failed" if score is None else "done"
                why = {"stop_rule": "error", "stop_reason": FAULT} if score is None else {}
                lines.append(trial(row, status, **told) | {"n": count + 5} | why)
                count += 5
    space = f"rows: {rows}\nalgorithm: rows\nrace: {race | {'trials': own}}\n"
    return builders.write_run(folder, lines, epochs, space)


def judged_right(finalist: str, share: float, pairs: int) -> list[int]:
    """Return which pairs a finalist judges right: the more easily, the earlier in its order."""
    order = np.random.default_rng(int(finalist)).permutation(pairs)
    return [int(pair) for pair in order[: round(share * pairs)]]
