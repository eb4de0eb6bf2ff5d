"""How often the interval of `val_tpr_at_fpr` holds the truth, where the truth is known.

    python scripts/check_tpr_interval.py --draws 300 --seed 0

People are drawn as vectors with a noise of their own, some more like others and some whose
pictures vary more; each picture is the person's vector and noise, and pairs are scored by cosine,
as an embedding net's. The truth is the mean rate of ten times 300 people. Each row draws
validation people again and again, takes all pairs of their pictures and asks whether the interval
holds the truth; beside it Wilson's, which takes the pairs of one person as independent.
"""

from __future__ import annotations

import argparse
from types import SimpleNamespace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facesiam.config import TrialConfig
from facesiam.config.metrics import ENDS, TPR
from facesiam.data.dataset import FaceData, Pairs
from facesiam.evaluation.metrics import wilson
from facesiam.evaluation.rated_pairs import RatedPairs
from facesiam.evaluation.true_accepts import TrueAccepts
from facesiam.nets.siamese import SiameseNet

PEOPLE, FEATURES = 3000, 24
LIKENESS = np.random.default_rng(1).normal(size=(1, 1, FEATURES))
"""What people are alike in, some more than others."""
COSINES = cast(SiameseNet, SimpleNamespace(score_matrix=lambda left, right: left @ right.T))
Floats = NDArray[np.float64]


def draw(people: int, images: int, noise: float, rng: np.random.Generator) -> Tensor:
    """Return unit vectors of some people's pictures, person by person: (people · images, F)."""
    person = rng.normal(size=(people, 1, FEATURES))
    person += LIKENESS * rng.uniform(0, 1, size=(people, 1, 1))
    spread = noise * np.exp(0.3 * rng.normal(size=(people, 1, 1)))
    found = person + spread * rng.normal(size=(people, images, FEATURES))
    found /= np.linalg.norm(found, axis=2, keepdims=True)
    return torch.from_numpy(found.reshape(-1, FEATURES).astype(np.float32))


def measure(vectors: Tensor, images: int, fpr: float) -> tuple[dict[str, float], int]:
    """Return the rate of all pairs with its interval, and the number of pairs of one person."""
    numbers = np.arange(len(vectors))
    pairs = Pairs(numbers[:-1], numbers[1:], np.ones(len(vectors) - 1, np.int64), None)
    data = SimpleNamespace(
        person=numbers // images,
        content=numbers,
        names=[],
        pairs_of=lambda config, part: pairs,
        images_of=lambda pairs, views: numbers,
    )
    config = TrialConfig(join="cosine", loss="logistic", fpr=fpr, fpr_pairs="images")
    rated = RatedPairs(config, cast(FaceData, data))
    meter = TrueAccepts(rated)
    found = meter.measure(COSINES, np.empty(0), numbers, vectors, lambda more: vectors[:0])
    return found, rated.same


def truth(images: int, fpr: float, noise: float) -> float:
    """Return the rate over many people: of the mean of ten draws of 300 of them."""
    rng = np.random.default_rng(12345)
    each = PEOPLE // 10
    rates = [measure(draw(each, images, noise, rng), images, fpr)[0][TPR] for _ in range(10)]
    return float(np.mean(rates))


def row(people: int, images: int, fpr: float, noise: float, draws: int, seed: int) -> list[str]:
    """Return a line of the table."""
    known, rng = truth(images, fpr, noise), np.random.default_rng(seed)
    held = naive = 0
    width = 0.0
    for _ in range(draws):
        found, same = measure(draw(people, images, noise, rng), images, fpr)
        low, high = (found[end] for end in ENDS[TPR])
        held += low <= known <= high
        width += (high - low) / draws
        low, high = wilson(round(found[TPR] * same), same)
        naive += low <= known <= high
    low, high = wilson(held, draws)
    return [
        *(f"{people}", f"{images}", f"{100 * fpr:g} %", f"{100 * known:.1f}"),
        f"{100 * held / draws:.1f} % [{100 * low:.1f}, {100 * high:.1f}]",
        f"{100 * width:.1f}",
        f"{100 * naive / draws:.1f} %",
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    head = ["people", "images each", "false accepts", "truth, %", "held", "width", "Wilson's held"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for people, fpr in ((10, 0.01), (30, 0.01), (100, 0.01), (100, 0.001)):
        cells = row(people, 10, fpr, 1.0, options.draws, options.seed)
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
