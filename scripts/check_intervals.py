"""How often intervals over people hold the truth, where the truth is known.

    python scripts/check_intervals.py --draws 300 --seed 0

People are drawn as vectors with a noise of their own, some more like others and some whose
pictures vary more; each picture is the person's vector and noise, and pairs are scored by cosine,
as an embedding net's. Each row draws people again and again, takes all pairs of their pictures and
asks whether the interval holds the truth; beside it Wilson's, which takes pairs as independent.

The first table is of `val_tpr_at_fpr`, whose threshold is of the same pairs; the truth is the mean
rate of ten times 300 people. The second is of a test: validation people choose a threshold, as
many other people are tested at it, and the truth is what this threshold does to 20,000 people.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from types import SimpleNamespace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facesiam.config import TrialConfig
from facesiam.config.metrics import ENDS, TPR
from facesiam.config.trial import Part
from facesiam.data.dataset import FaceData, Pairs
from facesiam.evaluation.metrics import wilson
from facesiam.evaluation.people_rates import PARTS, PeoplePairs, at_far_of_people
from facesiam.evaluation.rated_pairs import RatedPairs
from facesiam.evaluation.true_accepts import TrueAccepts
from facesiam.nets.siamese import SiameseNet

PEOPLE, FEATURES = 3000, 24
BINS = np.linspace(-1.001, 1.001, 20_001)
"""Ends of bins of scores."""
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


def rated(people: int, images: int, fpr: float = 0.01) -> RatedPairs:
    """Return every two images of people who have so many each."""
    numbers = np.arange(people * images)
    pairs = Pairs(numbers[:-1], numbers[1:], np.ones(len(numbers) - 1, np.int64), None)
    data = SimpleNamespace(
        person=numbers // images,
        content=numbers,
        names=[],
        pairs_of=lambda config, part: pairs,
        images_of=lambda pairs, views: numbers,
    )
    config = TrialConfig(join="cosine", loss="logistic", fpr=fpr, fpr_pairs="images")
    return RatedPairs(config, cast(FaceData, data))


def measure(vectors: Tensor, images: int, fpr: float) -> tuple[dict[str, float], int]:
    """Return the rate of all pairs with its interval, and the number of pairs of one person."""
    pairs = rated(len(vectors) // images, images, fpr)
    found = TrueAccepts(pairs).measure(
        COSINES, np.empty(0), pairs.images, vectors, lambda more: vectors[:0]
    )
    return found, pairs.same


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


def curves(noise: float) -> tuple[Floats, Floats]:
    """Return how many of the pairs of 20,000 people score above each of BINS.

    Returns:
        (len(BINS),) shares of the pairs of two people, and of one; each person has two images.
    """
    rng, every = np.random.default_rng(54321), 2000
    different, same = np.zeros((2, len(BINS) - 1))
    for _ in range(10):
        vectors = draw(every, 2, noise, rng)
        own = np.histogram((vectors[::2] * vectors[1::2]).sum(1).numpy(), BINS)[0]
        above = torch.triu(vectors @ vectors.T, 1)  # zeros below: not counted
        rest = 2 * every * (2 * every + 1) // 2
        counts = np.histogram(above.numpy(), BINS)[0]
        counts[np.searchsorted(BINS, 0, side="right") - 1] -= rest
        same += own
        different += counts - own
    shares = (np.append(kind[::-1].cumsum()[::-1], 0) / kind.sum() for kind in (different, same))
    wrong, right = shares
    return wrong, right


def tested(people: int, fpr: float, noise: float, draws: int, seed: int) -> list[str]:
    """Return a line of the table of tests at a threshold of as many validation people."""
    images, rng = 10, np.random.default_rng(seed)
    known, pairs = curves(noise), rated(people, images)
    held, wilsons, widths = np.zeros(2, int), np.zeros(2, int), np.zeros(2)
    far = 0.0
    for _ in range(draws):
        parts: dict[Part, PeoplePairs] = {}
        for part in PARTS:
            vectors = draw(people, images, noise, rng)
            parts[part] = PeoplePairs(pairs, lambda at, v=vectors: v[at] @ v.T, vectors.device)
        (found,) = at_far_of_people(parts, [fpr], "images")
        truths = [float(np.interp(found["threshold"], BINS, shares)) for shares in known]
        far += truths[0] / draws
        for at, rate in enumerate((found["test_far"], found["test_tar"])):
            held[at] += rate["low"] <= truths[at] <= rate["high"]
            widths[at] += (rate["high"] - rate["low"]) / draws
            low, high = wilson(round(rate["value"] * rate["n"]), rate["n"])
            wilsons[at] += low <= truths[at] <= high
    cells = [f"{people}", f"{100 * fpr:g} %", f"{100 * far:.2g} %"]
    for at in range(2):
        low, high = wilson(int(held[at]), draws)
        cells += [
            f"{100 * held[at] / draws:.1f} % [{100 * low:.1f}, {100 * high:.1f}]",
            f"{100 * widths[at]:.2g}",
            f"{100 * wilsons[at] / draws:.1f} %",
        ]
    return cells


def table(head: list[str], rows: Iterable[list[str]]) -> None:
    """Print a table, a row as soon as it is there."""
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for cells in rows:
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draws, seed, cases = options.draws, options.seed, ((30, 0.01), (100, 0.01), (100, 0.001))
    head = ["people", "images each", "false accepts", "truth, %", "held", "width", "Wilson's held"]
    table(head, (row(n, 10, fpr, 1.0, draws, seed) for n, fpr in ((10, 0.01), *cases)))
    head = ["people", "false accepts asked", "in truth, on average"]
    head += ["false accepts held", "width", "Wilson's held"]
    head += ["true accepts held", "width", "Wilson's held"]
    table(head, (tested(n, fpr, 1.0, draws, seed) for n, fpr in cases))


if __name__ == "__main__":
    main()
