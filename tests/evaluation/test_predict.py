"""Verdicts of pairs: batched as one by one, and who is right."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from builders import LETTERBOX

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.device.image_store import ImageStore
from facesiam.evaluation import predict as predict_module
from facesiam.evaluation.predict import is_correct, log_odds, log_odds_of, predict
from facesiam.nets.precision import compute_in
from facesiam.nets.siamese import build


def test_predicting_in_one_pass_equals_pair_by_pair(tiny: TrialConfig, data: FaceData) -> None:
    net = build(dataclasses.replace(tiny, join="concat")).eval()
    pairs = data.pairs("cfp-pairs", "val")
    source = data.pixels(LETTERBOX)
    pixels = ImageStore(source, tiny.image_size, torch.device("cpu"))
    together = predict(net, tiny, source, pairs)
    for n in range(0, len(pairs.label), 9):
        sides = [pixels.batch(torch.tensor([int(side[n])])) for side in (pairs.left, pairs.right)]
        with torch.no_grad():
            logits = net.logits(*(net.embed(side) for side in sides))[0].double()
        expected = logits.softmax(0)[0].item()
        assert together[n] == pytest.approx(expected, abs=1e-5)


def test_the_first_logit_must_be_higher_for_the_same_person() -> None:
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [math.nan, math.nan]])
    assert is_correct(logits, torch.zeros(4)).tolist() == [True, False, False, False]
    assert is_correct(logits, torch.ones(4)).tolist() == [False, True, True, False]


def test_log_odds_are_the_exact_difference_of_the_logits() -> None:
    # In float32 30000 + 0.001 is 30000.0: the second pair would be as sure as the first.
    logits = torch.tensor([[30000.0, 0.0], [30000.0, -0.001], [400.0, -400.0], [0.25, 0.5]])
    expected = [30000.0, 30000.0 + float(np.float32(0.001)), 800.0, -0.25]
    assert log_odds_of(logits).tolist() == expected


@pytest.mark.parametrize("join", ["concat", "difference", "linear"])
def test_a_bf16_nets_verdict_is_computed_in_fp32(
    tiny: TrialConfig, data: FaceData, join: str
) -> None:
    config = dataclasses.replace(tiny, join=join)
    net = build(config).eval()
    compute_in(net, torch.bfloat16)
    net.head[-1].bias.data += 8  # where bf16 has steps of 1 / 16
    pairs, source = data.pairs("cfp-pairs", "val"), data.pixels(LETTERBOX)
    seen: list[torch.Tensor] = []
    net.head[-2].register_forward_hook(lambda *call: seen.append(call[-1]))
    odds = log_odds(net, config, source, pairs)
    last = net.head[-1]
    hidden, weight, bias = (part.detach().double() for part in (seen[0], last.weight, last.bias))
    expected = (hidden @ weight.T + bias) @ torch.tensor([1.0, -1.0], dtype=torch.float64)
    assert odds == pytest.approx(expected.numpy(), abs=1e-5)
    assert predict(net, config, source, pairs) == pytest.approx(1 / (1 + np.exp(-odds)))
    rounded = net.head(torch.zeros(1, net.head[0].in_features, dtype=torch.bfloat16))
    assert rounded.dtype == torch.bfloat16  # so that is what it would have been


def test_memory_is_kept_by_whoever_predicts(
    tiny: TrialConfig, data: FaceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test of a net that was trained before takes three times as long without it."""
    asked: list[bool] = []
    monkeypatch.setattr(predict_module, "keep_freed_memory", lambda: asked.append(True))
    pairs = data.pairs("cfp-pairs", "val")
    predict(build(tiny).eval(), tiny, data.pixels(LETTERBOX), pairs)
    assert asked
