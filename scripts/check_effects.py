"""How often the simultaneous intervals hold and the importance is right, on drawn searches.

    python scripts/check_effects.py --searches 1000 --seed 0
    python scripts/check_effects.py --searches 100 --seed 0 --importance

The truth is known: each search draws an lr, on whose logarithm accuracy has a peak in the middle
of the range, a loss that is worth two points, and three settings that are worth nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from facesiam.config import TrialConfig
from search.analysis.differences import Effect
from search.analysis.effects import effects
from search.analysis.importance import importance
from search.analysis.levels import levels
from search.space import load

NAMES = ("loss", "lr", "weight_decay", "erase", "freeze_stages")
SPACE = """
fixed: {join: cosine}
search:
  loss: [logistic, supcon]
  lr: {low: 1e-4, high: 1e-2, log: true}
  weight_decay: [0.0, 0.01, 0.05, 0.2]
  erase: [0.0, 0.5]
  freeze_stages: [1, 2, 3]
"""
TRUE = {"loss": 0.02, "lr": -0.06}
"""What supcon adds, and what the square of the decades to the peak at 1e-3 does."""


def draw(trials: int, rng: np.random.Generator, nothing: bool) -> pd.DataFrame:
    """Return a search of so many trials, with a noise of one point."""
    decades = rng.uniform(-1, 1, trials)
    loss = rng.choice(["logistic", "supcon"], trials)
    frame = pd.DataFrame(
        {
            "loss": loss,
            "lr": 10 ** (decades - 3),
            "weight_decay": rng.choice([0.0, 0.01, 0.05, 0.2], trials),
            "erase": rng.choice([0.0, 0.5], trials),
            "freeze_stages": rng.choice([1, 2, 3], trials),
        }
    )
    frame["lr_true"] = 0.0 if nothing else TRUE["lr"] * decades**2
    frame["loss_true"] = 0.0 if nothing else TRUE["loss"] * (loss == "supcon")
    frame["val_acc"] = 0.85 + frame["lr_true"] + frame["loss_true"]
    frame["val_acc"] += 0.01 * rng.standard_normal(trials)
    return frame


def truth(frame: pd.DataFrame, effect: Effect) -> float:
    """Return the mean difference that the setting makes between two levels of these trials."""
    if f"{effect.setting}_true" not in frame:
        return 0.0
    one = levels(frame[effect.setting], np.ones(len(frame), dtype=np.bool_))
    of, own = one.of, frame[f"{effect.setting}_true"].to_numpy()
    before, after = (one.labels.index(label) for label in (effect.before, effect.after))
    return float(own[of == after].mean() - own[of == before].mean())


def simulate(trials: int, searches: int, seed: int, nothing: bool) -> dict[str, float]:
    """Return shares of so many searches, and the mean half width of an interval in points."""
    rng = np.random.default_rng([seed, trials, nothing])
    held, declared, peak, ends, widths, ways = [], [], [], [], [], []
    for _ in range(searches):
        frame = draw(trials, rng, nothing)
        found = [effect for effect in effects(frame, NAMES) if effect.error == effect.error]
        held.append(all(effect.low <= truth(frame, effect) <= effect.high for effect in found))
        null = [effect for effect in found if nothing or effect.setting not in TRUE]
        declared.append(any(effect.low > 0 or effect.high < 0 for effect in null))
        of_lr = [effect for effect in found if effect.setting == "lr"]
        low, high = map(float, of_lr[0].before.split(" to "))
        peak.append(low < 1.5e-3 and high > 0.67e-3)
        ends.append(any(effect.high < 0 for effect in of_lr))
        widths += [100 * (effect.high - effect.mean) for effect in found]
        ways += [effect.way == "model" for effect in found]
    names = ("all hold", "a null declared", "best at peak", "an end worse", "half width", "model")
    return dict(zip(names, map(np.mean, (held, declared, peak, ends, widths, ways)), strict=True))


def judge_importance(trials: int, searches: int, seed: int, nothing: bool) -> dict[str, float]:
    """Return shares of so many searches: lr first, lr beyond chance, and any null beyond it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "space.yaml"
        file.write_text(SPACE)
        space = load(file)
    rng = np.random.default_rng([seed, trials, nothing])
    first, told, null = [], [], []
    for _ in range(searches):
        frame = draw(trials, rng, nothing)
        chosen = frame[list(NAMES)].to_dict("records")
        settings = [TrialConfig(**{**space.fixed, **one}).to_dict() for one in chosen]
        found = importance(space, settings, frame["val_acc"].to_numpy())
        first.append(found[0].setting == "lr")
        told.append(any(one.p <= 0.05 for one in found if one.setting == "lr"))
        wrong = [one.p <= 0.05 for one in found if nothing or one.setting not in TRUE]
        null.append(any(wrong))
    shares = map(np.mean, (first, told, null))
    return dict(zip(("lr first", "lr beyond chance", "a null beyond it"), shares, strict=True))


def main() -> None:
    """Print a line per number of trials."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--searches", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--importance", action="store_true", help="not of the intervals")
    options = parser.parse_args()
    judged, sizes = (
        (judge_importance, (10, 20, 40)) if options.importance else (simulate, (8, 20, 40, 80))
    )
    for nothing in (False, True):
        for trials in sizes:
            shares = judged(trials, options.searches, options.seed, nothing)
            text = ", ".join(f"{name} {value:.3f}" for name, value in shares.items())
            print(f"{'no effects' if nothing else 'a peak'}, {trials} trials: {text}", flush=True)


if __name__ == "__main__":
    main()
