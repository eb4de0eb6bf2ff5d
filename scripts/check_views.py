"""What flips, scales and score normalisation bring one net on its validation people.

    python scripts/check_views.py ray_results/cpu/weights/0004.pt
    python scripts/check_views.py --train 4 --image-size 112 net.pt

Embeds all images of the validation people, and two of each training person, in ten views each
(five scales, mirrored or not), and prints the true accepts at 1 % and 0.1 % false accepts of every
two images: for each choice of views, with scores as they are and normalised by 20 to 300 training
people. Each row has its difference to the flip alone, with an interval over the same resamples of
people. Test people are not touched. --train first trains the best trial of spaces/cpu.yaml, with
so many epochs, into the file.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.data.preparation import prepare
from facesiam.device.image_store import ImageStore
from facesiam.evaluation.cohort import cohort_images
from facesiam.evaluation.rated_pairs import RatedPairs
from facesiam.evaluation.true_accepts import TrueAccepts
from facesiam.nets.checkpoint import load_model, save_model
from facesiam.nets.normalisation import normalised
from facesiam.nets.pretrained import find_weights
from facesiam.nets.siamese import SiameseNet
from facesiam.nets.views import zoomed
from facesiam.training.loop import Training

BEST = TrialConfig(
    net="efficientnet_lite0",
    pretrained=True,
    image_size=160,
    join="cosine",
    loss="supcon",
    dropout=True,
    stochastic_depth=0.2,
    optimizer="adamw",
    schedule="onecycle",
    lr=0.001789905829111153,
    weight_decay=0.01,
    head_lr=5,
    freeze_stages=2,
    batch_size=64,
    images_per_person=4,
    views="all",
    flip=True,
    rotate=10,
    crop=0.1,
    shift=0.05,
    colour=0.3,
    epochs=12,
)
"""Trial 0004 of ray_results/reference/cpu, but for the flip in validation."""
SCALES = {"1": 1.0, "in 0.1": 1 / 0.9, "out 0.1": 0.9, "in 0.2": 1.25, "out 0.2": 0.8}
VIEWS = {
    "the image": [("1", False)],
    "flip": [("1", False), ("1", True)],
    "3 scales, 0.1": [(name, False) for name in ("1", "in 0.1", "out 0.1")],
    "flip × zoom in 0.1": [(name, flip) for name in ("1", "in 0.1") for flip in (False, True)],
    "flip × 3 scales, 0.1": [
        (name, flip) for name in ("1", "in 0.1", "out 0.1") for flip in (False, True)
    ],
    "flip × 3 scales, 0.2": [
        (name, flip) for name in ("1", "in 0.2", "out 0.2") for flip in (False, True)
    ],
    "flip × 5 scales": [(name, flip) for name in SCALES for flip in (False, True)],
}
COHORTS = (0, 20, 50, 100, 300)
View = tuple[str, bool]


def train(config: TrialConfig, data: FaceData, file: Path) -> None:
    """Train a net into a file, an epoch's line each."""
    weights = {config.net: str(find_weights(config.net, None))}
    training = Training(config, data, weights)
    for metrics in training:
        known = {"epoch": metrics.epoch, "val_acc": metrics.val_acc}
        print(known, round(metrics.seconds), flush=True)
        save_model(file, training.weights(), config, data=data.key, **known)


@torch.inference_mode()
def embedded(net: SiameseNet, pixels: ImageStore, images: NDArray[np.int64]) -> dict[View, Tensor]:
    """Return the embeddings of images by view, (N, F) each."""
    found: dict[View, list[Tensor]] = {}
    for part in torch.split(torch.from_numpy(images), 64):
        raw = pixels.batch(part.to(pixels.device), net.dtype)
        for name, factor in SCALES.items():
            view = raw if factor == 1 else zoomed(raw, factor)
            for flip in (False, True):
                of_view = net.embed(view.flip(3) if flip else view)
                found.setdefault((name, flip), []).append(of_view)
    return {view: torch.cat(parts) for view, parts in found.items()}


def mean(known: dict[View, Tensor], views: list[View]) -> Tensor:
    """Return the normalised mean of some views, (N, F)."""
    return F.normalize(torch.stack([known[view] for view in views]).sum(0), dim=1)


def scorer(cohort: Tensor, nearest: int) -> SiameseNet:
    """Return what scores every two of some embeddings, as a net does."""

    def score(left: Tensor, right: Tensor) -> Tensor:
        cosines = left @ right.T
        if not nearest:
            return cosines
        return normalised(cosines, left @ cohort.T, right @ cohort.T, nearest)

    return cast(SiameseNet, SimpleNamespace(score_matrix=score))


def rows(
    rated: RatedPairs,
    images: NDArray[np.int64],
    known: dict[View, Tensor],
    others: dict[View, Tensor],
) -> Iterator[list[str]]:
    """Yield a line for each choice of views and cohort.

    Args:
        rated: the pairs.
        images: that were embedded, (N,) sorted.
        known: their embeddings by view.
        others: those of the training people, two images after each other.
    """
    meter, at = TrueAccepts(rated), torch.from_numpy(np.isin(images, rated.images))
    flip = np.empty(0)
    for name, views in {"flip": VIEWS["flip"], **VIEWS}.items():
        vectors, people = mean(known, views)[at], mean(others, views)
        cohort = F.normalize(people.view(len(people) // 2, 2, -1).mean(1), dim=1)
        for nearest in COHORTS:
            scored = meter._of_images(scorer(cohort, nearest), vectors)
            rates = 100 * meter._rates(scored, slice(None))
            if not len(flip):
                flip = rates
            low, high = np.percentile(rates[1:], [2.5, 97.5])
            less, more = np.percentile((rates - flip)[1:], [2.5, 97.5])
            yield [
                f"{100 * rated.fpr:g} %",
                *(name, str(len(views)), str(nearest or "–")),
                f"{rates[0]:.1f} [{low:.1f}, {high:.1f}]",
                f"{rates[0] - flip[0]:+.1f} [{less:+.1f}, {more:+.1f}]",
            ]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--data")
    parser.add_argument("--train", type=int, metavar="EPOCHS")
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.train:
        asked = {"epochs": options.train, "image_size": options.image_size, "seed": options.seed}
        config = dataclasses.replace(BEST, **asked)
        train(config, prepare(options.data, [config.packing]), options.weights)
    net, config, _ = load_model(options.weights)
    data = prepare(options.data, [config.packing])
    device = next(net.parameters()).device
    pixels = ImageStore(data.pixels(config.packing), config.image_size, device)
    config = dataclasses.replace(config, fpr_pairs="people")
    images = RatedPairs(config, data).images
    known = embedded(net, pixels, images)
    others = embedded(net, pixels, cohort_images(config, data).reshape(-1))
    head = ["false accepts", "views", "passes", "cohort", "true accepts, %", "less the flip's"]
    for which in ("images", "people"):
        for number, fpr in enumerate((0.01, 0.001)):
            rated = RatedPairs(dataclasses.replace(config, fpr=fpr, fpr_pairs=which), data)
            if not number:
                print(f"\n{which}: people, pairs of one and of two {rated.counts}\n")
                print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
            for cells in rows(rated, images, known, others):
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
