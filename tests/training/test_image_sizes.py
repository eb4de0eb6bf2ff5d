"""Progressive image sizes: which epoch has which, what the net meets, and resuming."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from facesiam.config import TrialConfig
from facesiam.config.image_sizes import mean_share, side_of
from facesiam.data.dataset import FaceData
from facesiam.device.cuda_graph import GraphedStep
from facesiam.nets.checkpoint import snapshot
from facesiam.training.loop import Training

GROWING = {"first_image_size": 64, "image_size": 112, "epochs": 4, "growing": 0.75, "people": 4}


@pytest.mark.parametrize(
    ("first", "growing", "sides"),
    [
        (112, 0.5, [112, 112, 128, 128, 144, 144, *[160] * 6]),
        (100, 0.5, [100, 100, 112, 128, 128, 144, *[160] * 6]),  # 100, 110, 120, 130, 140, 150
        (0, 0.5, [160] * 12),
    ],
)
def test_images_grow_in_steps_and_stay(first: int, growing: float, sides: list[int]) -> None:
    settings = TrialConfig(
        first_image_size=first, image_size=160, epochs=12, growing=growing
    ).to_dict()
    assert [side_of(settings, epoch) for epoch in range(14)] == [*sides, 160, 160]
    share = sum(side**2 for side in sides) / 12 / 160**2
    assert mean_share(settings) == pytest.approx(share)


def test_the_net_trains_on_images_that_grow_and_is_validated_on_whole_ones(
    tiny: TrialConfig, data: FaceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training(dataclasses.replace(tiny, **GROWING, augment=True), data)
    training.graphed_step = kept = GraphedStep()
    monkeypatch.setattr(training, "_graphed_step", GraphedStep)
    monkeypatch.setattr(GraphedStep, "run", lambda self, step, *inputs: step(*inputs))
    vectors, sides = training.net.vectors, list[set[int]]()

    def seen(images: torch.Tensor) -> torch.Tensor:
        sides[-1].add(images.shape[-1] * (1 if training.net.training else -1))
        return vectors(images)

    monkeypatch.setattr(training.net, "vectors", seen)
    recorders = [kept]
    for _ in range(4):
        sides.append(set())
        next(training)
        assert training.graphed_step is not None
        recorders.append(training.graphed_step)
    assert sides == [{64, -112}, {80, -112}, {96, -112}, {112, -112}]
    assert len({id(each) for each in recorders}) == 4  # none is of another size


def test_a_resumed_trial_goes_on_at_the_size_of_its_epoch(
    tiny: TrialConfig, data: FaceData
) -> None:
    config = dataclasses.replace(tiny, **GROWING)
    whole = [m.val_loss for m in Training(config, data)]
    first = Training(config, data)
    next(first), next(first)
    second = Training(config, data)
    second.load(snapshot(first.state()))
    assert [m.val_loss for m in second] == whole[2:]
