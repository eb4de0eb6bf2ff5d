"""The moving average of the weights: by hand, in the net and out of it, and in a trial."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import LETTERBOX
from torch import nn

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.evaluation.predict import predict
from facesiam.nets.checkpoint import load_model, save_model, snapshot
from facesiam.training.loop import Halted, Training
from facesiam.training.weight_average import WeightAverage


def averaged(net: nn.Module, decay: float) -> WeightAverage:
    """The average of a net in fp32."""
    return WeightAverage(net, {name: p.detach() for name, p in net.named_parameters()}, decay)


def test_it_moves_by_hand_and_forgets_its_first_weights() -> None:
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1, affine=False))
    nn.init.constant_(net[0].weight, 100.0)
    average = averaged(net, 0.24)
    for value in (11.0, 22.0, 33.0):
        net[0].weight.detach().fill_(value)
        net[1].running_mean.fill_(-value)
        average.update()
    # The decay is 2/11 at first, then 0.24, as that is less than 3/12 and 4/13.
    weight = 0.24 * (0.24 * (2 / 11 * 100 + 9 / 11 * 11) + 0.76 * 22) + 0.76 * 33
    mean = 0.24 * (0.24 * (2 / 11 * 0 - 9 / 11 * 11) - 0.76 * 22) - 0.76 * 33
    found = average.weights()
    assert set(found) == {"0.weight", "1.running_mean", "1.running_var"}
    assert float(found["0.weight"]) == pytest.approx(weight, rel=1e-6)
    assert float(found["1.running_mean"]) == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_within_it_the_net_is_the_average_and_after_it_every_bit_is_back(
    tiny: TrialConfig, data: FaceData, precision: str
) -> None:
    config = dataclasses.replace(tiny, ema=0.9, people=4, precision=precision)
    training = Training(config, data)
    next(training)
    assert training.average is not None
    own = {name: value.clone() for name, value in training.net.state_dict().items()}
    average = {name: value.clone() for name, value in training.average.weights().items()}
    with pytest.raises(ZeroDivisionError), training.average.in_net():
        inside = training.net.state_dict()
        assert all(torch.equal(inside[n], v.to(inside[n].dtype)) for n, v in average.items())
        assert any(not torch.equal(inside[name], own[name]) for name in average)
        raise ZeroDivisionError
    assert all(torch.equal(value, own[n]) for n, value in training.net.state_dict().items())
    again = training.average.weights()
    assert all(torch.equal(value, average[name]) for name, value in again.items())


def test_training_is_the_same_and_the_average_is_validated_and_kept(
    tiny: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    config = dataclasses.replace(tiny, epochs=2, people=8, join="difference")
    plain, training = Training(config, data), Training(dataclasses.replace(config, ema=0.9), data)
    without, found = list(plain), list(training)
    assert [m.train_loss for m in found] == [m.train_loss for m in without]
    assert found[-1].val_loss != without[-1].val_loss
    assert training.average and training.average.updates == 2 * training.batches.per_epoch
    own = training.optimizer.weights()
    assert all(torch.equal(own[name], value) for name, value in plain.weights().items())
    save_model(tmp_path / "w.pt", training.weights(), training.config, epoch=1, val_acc=0.5)
    net, _, _ = load_model(tmp_path / "w.pt")
    pairs = data.pairs_of(config, "val")
    same = predict(net, config, data.pixels(LETTERBOX), pairs)
    loss = -np.log(np.where(pairs.label == 0, same, 1 - same)).mean()
    assert found[-1].val_loss == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("steps", [0, 2])
def test_a_resumed_trial_goes_on_with_the_same_average(
    tiny: TrialConfig, data: FaceData, steps: int
) -> None:
    more = {"net": "mobilenet_v3_small", "join": "cosine", "loss": "logistic", "embedding": 16}
    config = TrialConfig.from_dict({**tiny.to_dict(), **more, "ema": 0.8, "people": 4})
    whole = Training(config, data)
    expected = [(m.train_loss, m.val_loss) for m in whole]
    first = Training(config, data)
    next(first)
    if steps:  # halted within an epoch
        update = first._update

        def halting(*given: torch.Tensor) -> None:
            update(*given)
            if first.steps + 1 == steps:
                first.halt.set()

        first._update = halting  # type: ignore[method-assign, assignment]
        with pytest.raises(Halted):
            next(first)
    second = Training(config, data)
    second.load(snapshot(first.state()))
    assert [(m.train_loss, m.val_loss) for m in second] == expected[1:]
    ends = zip(whole.weights().values(), second.weights().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in ends)
