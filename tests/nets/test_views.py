"""Embeddings averaged over the views of an image, and scores normalised by a cohort."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from facesiam.config import TrialConfig
from facesiam.errors import ConfigError
from facesiam.nets.normalisation import normalised
from facesiam.nets.siamese import SiameseNet, build
from facesiam.nets.views import Views, zoomed
from facesiam.training.augment import resample


def net_of(**settings: object) -> SiameseNet:
    """A small embedding net that predicts."""
    base = {"net": "squeezenet1_1", "join": "cosine", "loss": "logistic", "embedding": 8}
    return build(TrialConfig.from_dict({**base, "image_size": 64, **settings}), people=5).eval()


@pytest.mark.parametrize("factor", [1.25, 0.8, 1.0])
@pytest.mark.parametrize("side", [16, 17])
def test_a_zoomed_image_is_that_of_the_augmentation(side: int, factor: float) -> None:
    images = torch.rand(2, 3, side, side)
    still = torch.zeros(2)
    expected = resample(images, still.bool(), still, torch.zeros(2, 2), torch.full((2,), factor))
    torch.testing.assert_close(zoomed(images, factor), expected, atol=1e-5, rtol=0)
    assert zoomed(images.bfloat16(), factor).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("flip", "scale", "count"), [(0, 0, 1), (1, 0, 2), (0, 0.2, 3), (1, 0.2, 6)]
)
def test_the_embedding_is_the_mean_over_every_view(flip: bool, scale: float, count: int) -> None:
    net = net_of(flip_average=bool(flip), scale_average=scale)
    images = torch.rand(2, 3, 64, 64)
    assert net.views.count == len(list(net.views.of(images))) == count
    views = [images]
    if scale:
        views += [zoomed(images, 1 / (1 - scale)), zoomed(images, 1 - scale)]
    if flip:
        views = [each for view in views for each in (view, view.flip(3))]
    with torch.no_grad():
        total = torch.stack([net.embed(view) for view in views]).sum(0)
        torch.testing.assert_close(net.describe(images), F.normalize(total, dim=1))
    assert Views(False, 0.0).count == 1


def test_a_normalised_score_by_hand_for_pairs_and_for_every_two() -> None:
    left = torch.tensor([[0.9, 0.1, 0.5, 0.3], [0.2, 0.2, 0.2, 0.2]])
    right = torch.tensor([[0.0, 0.4, 0.2, 0.1], [0.8, 0.6, 0.1, 0.0]])
    scores = torch.tensor([0.7, 0.3])
    found = normalised(scores, left, right, 2)
    deviation = np.std([0.9, 0.5], ddof=1), np.std([0.4, 0.2], ddof=1)
    first = ((0.7 - 0.7) / deviation[0] + (0.7 - 0.3) / deviation[1]) / 2
    assert found[0].item() == pytest.approx(first, rel=1e-5)
    every = normalised(scores.expand(2, 2), left, right, 2)
    assert every[0, 0].item() == pytest.approx(first, rel=1e-5)
    assert every[1, 1].item() == pytest.approx(found[1].item()) and found[1] > 400  # no deviation
    whole = normalised(scores, left, right, 99)
    torch.testing.assert_close(whole, normalised(scores, left, right, 4))


@pytest.mark.parametrize("join", ["cosine", "distance"])
def test_pairs_and_every_two_have_the_same_normalised_scores(join: str) -> None:
    net = net_of(join=join, cohort=3)
    torch.manual_seed(0)
    net.cohort.copy_(F.normalize(torch.randn(5, 8), dim=1))
    vectors = F.normalize(torch.randn(6, 8), dim=1)
    net.calibrate(0.4, 2.0)
    with torch.no_grad():
        every = net.score_matrix(vectors, vectors)
        pairs = net.scores(net.logits(vectors[:3], vectors[3:]))
    torch.testing.assert_close(pairs, every[[0, 1, 2], [3, 4, 5]].double(), atol=1e-5, rtol=1e-5)
    net.nearest = 0
    plain = net.score_matrix(vectors, vectors)
    assert not torch.allclose(plain, every, atol=0.1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"scale_average": 0.1}, "scale_average: 0.1 needs join: cosine or distance"),
        ({"cohort": 50}, "cohort: 50 needs join: cosine or distance"),
        ({"cohort": 1, "join": "cosine", "loss": "supcon"}, "cohort: 1 has no deviation"),
    ],
)
def test_what_they_need(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        TrialConfig.from_dict(settings)
