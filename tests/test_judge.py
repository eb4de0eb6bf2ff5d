"""Verdicts of pairs: batched as one by one, and who is right."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from facesiam.config import TrialConfig
from facesiam.data import FaceData
from facesiam.judge import judged_right, predict
from facesiam.models import build
from facesiam.pixels import Pixels


def test_predicting_in_one_pass_equals_pair_by_pair(tiny: TrialConfig, data: FaceData) -> None:
    net = build(dataclasses.replace(tiny, join="concat")).eval()
    pairs = data.pairs("cfp-pairs", "val")
    source = data.pixels("letterbox")
    pixels = Pixels(source, tiny.image_size, torch.device("cpu"))
    together = predict(net, tiny, source, pairs)
    for n in range(0, len(pairs.label), 9):
        sides = [
            pixels.batch(torch.tensor([int(side[n])])) for side in (pairs.left, pairs.right)
        ]
        with torch.no_grad():
            logits = net.judge(*(net.embed(side) for side in sides))[0].double()
        expected = logits.softmax(0)[0].item()
        assert together[n] == pytest.approx(expected, abs=1e-5)


def test_the_first_logit_must_be_higher_for_the_same_person() -> None:
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [math.nan, math.nan]])
    assert judged_right(logits, torch.zeros(4)).tolist() == [True, False, False, False]
    assert judged_right(logits, torch.ones(4)).tolist() == [False, True, True, False]
