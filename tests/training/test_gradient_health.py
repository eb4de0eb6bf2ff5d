"""The vital signs, by hand; and the rule `dead` on them: no false alarm, however one tries."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from builders import LETTERBOX
from torch import Tensor, nn

from facesiam.config import EpochMetrics, TrialConfig
from facesiam.config.metrics import ENDS, FIELDS, TPR
from facesiam.data.dataset import FaceData
from facesiam.evaluation.predict import predict
from facesiam.nets.siamese import build
from facesiam.training import validation
from facesiam.training.gradient_health import GradientWatch, LiveUnits, logit_spread
from facesiam.training.loop import Training
from search.pruning.history import History
from search.pruning.rules import dead

VITALS = (
    "updates",
    "trunk_grad_max",
    "trunk_grad_zero",
    "trunk_live",
    "head_live",
    "logit_spread",
)
CPU = torch.device("cpu")
UNITS = 256 * 3 * 3
"""Channels × positions of AlexNet's last ReLU at 64 pixels."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Steps this small are no faster on two threads, and far slower on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def small(tiny: TrialConfig) -> TrialConfig:
    """Two people, 12 triplets, one an update: 12 updates an epoch."""
    return dataclasses.replace(tiny, people=2, batch_size=1, epochs=60)


# The measuring itself, by hand.


def watch_of(*grads: list[float] | None) -> dict[str, float]:
    """What the watch reports after steps with these gradients of one weight of two entries."""
    trunk = nn.ParameterList([torch.zeros(2), torch.zeros(1)])  # the second never gets one
    watch = GradientWatch(trunk, CPU)
    for grad in grads:
        trunk[0].grad = None if grad is None else torch.tensor(grad)
        watch.look()
    watch.updates = len(grads)
    return watch.report()


def test_a_new_epoch_begins_with_nothing() -> None:
    layer = nn.Linear(2, 2)
    watch = GradientWatch(layer, CPU)
    layer.weight.grad = torch.zeros(2, 2)
    watch.look()
    layer.weight.grad.fill_(7)
    watch.look()
    watch.begin()
    layer.weight.grad.fill_(3)
    watch.look()
    watch.updates = 1
    assert watch.report() == {"updates": 1, "trunk_grad_max": 3.0, "trunk_grad_zero": 0.0}


def test_the_largest_entry_and_the_steps_without_any_are_reported() -> None:
    assert watch_of([0.0, 0.0], [1.0, -3.0], [2.0, 0.0], None) == {
        "updates": 4,
        "trunk_grad_max": 3.0,
        "trunk_grad_zero": 0.5,
    }


def test_a_gradient_of_1e_30_is_not_zero_though_its_square_is() -> None:
    assert torch.tensor(1e-30).square() == 0
    seen = watch_of([0.0, -1e-30])
    assert seen["trunk_grad_zero"] == 0
    assert seen["trunk_grad_max"] == pytest.approx(1e-30, rel=1e-6)


def test_a_gradient_that_is_not_finite_is_passed_on() -> None:
    assert watch_of([1.0, -math.inf], [0.0, 1.0])["trunk_grad_max"] == math.inf
    seen = watch_of([0.0, math.nan], [0.0, 1.0], [math.inf, 0.0])
    assert math.isnan(seen["trunk_grad_max"]) and seen["trunk_grad_zero"] == 0


def test_of_a_frozen_trunk_nothing_is_said_but_the_number_of_updates() -> None:
    watch = GradientWatch(nn.Linear(2, 2).requires_grad_(False), CPU)
    watch.look()
    watch.updates = 1
    seen = watch.report()
    assert seen["updates"] == 1
    assert math.isnan(seen["trunk_grad_max"]) and math.isnan(seen["trunk_grad_zero"])


class Toy(nn.Module):
    """A trunk of two channels, one of them off for good, and whatever head."""

    def __init__(self, *after: nn.Module, head: nn.Module | None = None) -> None:
        super().__init__()
        first = nn.Conv2d(1, 4, 1), nn.ReLU()  # not the deepest: nothing is said of it
        self.trunk = nn.Sequential(*first, nn.Conv2d(4, 2, 1), nn.ReLU(inplace=True), *after)
        self.head = head or nn.Identity()
        with torch.no_grad():
            for conv in (self.trunk[0], self.trunk[2]):
                conv.weight.fill_(0.25)
                conv.bias.zero_()
            self.trunk[0].weight.fill_(1)
            self.trunk[2].bias.copy_(torch.tensor([-0.5, -1e3]))


def images_with_one_bright_pixel() -> Tensor:
    """Four images (4, 1, 2, 2), black but for one pixel of the third."""
    images = torch.zeros(4, 1, 2, 2)
    images[2, 0, 1, 0] = 1
    return images


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("batch", [1, 3, 4])
def test_one_unit_that_fires_for_one_image_is_one_of_eight(
    layout: torch.memory_format, batch: int
) -> None:
    # 2 channels × 4 positions; the bright pixel gives 4 · 0.25 · 1 - 0.5 > 0 in the first channel.
    net = Toy(nn.MaxPool2d(2))
    with torch.inference_mode(), LiveUnits(net) as live:
        for part in images_with_one_bright_pixel().contiguous(memory_format=layout).split(batch):
            net.trunk(part)
    assert live.report()["trunk_live"] == 1 / 8


def test_an_in_place_layer_that_follows_does_not_hide_a_unit() -> None:
    net = Toy(nn.Threshold(100, 0, inplace=True))  # sets to 0 all that is not above 100
    with torch.inference_mode(), LiveUnits(net) as live:
        assert net.trunk(images_with_one_bright_pixel()).amax() == 0
    assert live.report()["trunk_live"] == 1 / 8


def test_of_the_head_the_layer_with_the_least_live_units_is_told() -> None:
    head = nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        head[0].weight.copy_(torch.tensor([[1.0], [-1.0], [0.0], [0.0]]))
        head[0].bias.copy_(torch.tensor([0.0, 0.0, 1.0, -1.0]))
        head[2].weight.fill_(1.0)
        head[2].bias.copy_(torch.tensor([-1e3, -2.5, 0.0, -5.0]))
    net = Toy(head=head)
    pairs = torch.tensor([[1.0], [-2.0]])
    # First ReLU: unit 0 fires for the first pair, 1 for the second, 2 for both, 3 never: 3/4.
    # Their sums are 2 and 3, so of the second ReLU unit 2 fires for both and 1 for the second.
    with torch.inference_mode(), LiveUnits(net) as live:
        net.head(pairs[:1])
    assert live.report()["head_live"] == 1 / 4
    with torch.inference_mode(), LiveUnits(net) as live:
        for pair in pairs:
            net.head(pair[None])
    assert live.report()["head_live"] == 2 / 4


def test_an_output_that_is_nan_is_neither_live_nor_dead() -> None:
    images = images_with_one_bright_pixel()
    images[0, 0, 0, 0] = math.nan
    net = Toy()
    with torch.inference_mode(), LiveUnits(net) as live:
        for image in images:
            net.trunk(image[None])
    assert math.isnan(live.report()["trunk_live"])


def test_without_a_relu_the_share_is_nan_and_the_hooks_go_with_the_with() -> None:
    net = Toy()
    with pytest.raises(ZeroDivisionError), LiveUnits(net) as live:
        assert len(net.trunk[3]._forward_hooks) == 1 and not net.trunk[1]._forward_hooks
        net.trunk(images_with_one_bright_pixel())
        raise ZeroDivisionError
    assert not any(layer._forward_hooks for layer in net.modules())
    assert math.isnan(live.report()["head_live"])


def test_the_spread_is_the_range_of_the_differences() -> None:
    assert logit_spread(torch.tensor([[1.0, 0.0], [0.0, 3.0], [0.5, 0.5]])) == 1 - -3
    assert logit_spread(torch.tensor([[1.0, 0.0], [101.0, 100.0]])) == 0
    assert logit_spread(torch.tensor([[0.1, 1 / 3]]).repeat(7, 1)) == 0
    assert logit_spread(torch.tensor([[1.0, 0.0], [1.0, 2.0**-40]])) == 2.0**-40
    assert math.isnan(logit_spread(torch.tensor([[1.0, 0.0], [math.nan, 0.0]])))


# In the trainer.


def show(metrics: EpochMetrics) -> dict[str, float]:
    """The vital signs alone."""
    return {name: value for name, value in metrics.to_dict().items() if name in VITALS}


def last_conv(training: Training) -> Any:
    """AlexNet's last convolution, which its last ReLU follows."""
    return training.net.trunk[10]


@torch.no_grad()
def take(training: Training) -> Training:
    """Have the optimizer train on from the weights that the test has just set."""
    for name, parameter in training.net.named_parameters():
        training.optimizer.masters[name].copy_(parameter)
    return training


@torch.no_grad()
def kill_trunk(training: Training) -> None:
    last_conv(training).bias.fill_(-1e3)
    take(training)


@torch.no_grad()
def kill_head(training: Training) -> None:
    training.net.head[0].bias.fill_(-1e3)


@torch.no_grad()
def leave_one_unit(training: Training, images: np.ndarray) -> None:
    """Shift the last convolution's biases: one unit fires, for one of `images`, and no other."""
    seen: list[Tensor] = []
    hook = last_conv(training).register_forward_hook(lambda m, i, out: seen.append(out.clone()))
    training.net.eval().embed(training.pixels.batch(torch.from_numpy(np.unique(images))))
    hook.remove()
    highest = seen[0].movedim(1, 0).flatten(1).sort(1, descending=True).values  # (256, B · 9)
    lone = int((highest[:, 0] - highest[:, 1]).argmax())
    shift = highest[:, 0] + 0.002  # 0.15 standard deviations below the threshold
    shift[lone] = highest[lone, :2].mean()
    last_conv(training).bias -= shift


def test_measuring_changes_nothing(
    tiny: TrialConfig, data: FaceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant = {"dropout": True, "augment": True, "precision": "bf16"}
    config = dataclasses.replace(tiny, epochs=2, people=4, **variant)
    measured = Training(config, data)
    with_vitals = list(measured)
    monkeypatch.setattr(GradientWatch, "look", lambda self: None)
    monkeypatch.setattr(LiveUnits, "__enter__", lambda self: self)
    monkeypatch.setattr(validation, "logit_spread", lambda logits: math.nan)
    plain = Training(config, data)
    for ours, theirs in zip(with_vitals, plain, strict=True):
        assert ours.trunk_grad_max > 0 and ours.trunk_live > 0  # measured, and here not
        assert theirs.trunk_grad_max == 0 and math.isnan(theirs.trunk_live)
        for name in ("train_loss", "train_acc", "val_loss", "val_acc", "val_pairs"):
            assert getattr(ours, name) == getattr(theirs, name), name
    for name, value in plain.net.state_dict().items():
        assert torch.equal(value, measured.net.state_dict()[name]), name


def test_who_predicts_does_not_pay(
    small: TrialConfig, data: FaceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training(small, data)
    next(training)
    monkeypatch.setattr(LiveUnits, "_note", lambda *_: pytest.fail("measured outside validation"))
    pairs = data.pairs("frontal-triplets", "val", people=2)
    predict(training.net, small, data.pixels(LETTERBOX), pairs)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_dead_trunk_has_exact_zeros(small: TrialConfig, data: FaceData, precision: Any) -> None:
    training = Training(dataclasses.replace(small, precision=precision), data)
    kill_trunk(training)
    seen = show(next(training))
    assert 0 < seen.pop("head_live") < 1  # its biases keep some units on
    assert seen == {
        "updates": 12,
        "trunk_grad_max": 0.0,
        "trunk_grad_zero": 1.0,
        "trunk_live": 0.0,
        "logit_spread": 0.0,
    }


def test_a_dead_head_is_seen_behind_a_live_trunk(small: TrialConfig, data: FaceData) -> None:
    training = Training(small, data)
    kill_head(training)
    seen = show(next(training))
    assert 0 < seen.pop("trunk_live") < 1
    assert seen == {
        "updates": 12,
        "trunk_grad_max": 0.0,
        "trunk_grad_zero": 1.0,
        "head_live": 0.0,
        "logit_spread": 0.0,
    }


def test_one_unit_of_the_real_net_for_one_validation_image(
    small: TrialConfig, data: FaceData
) -> None:
    training = Training(dataclasses.replace(small, lr=1e-12), data)  # stays as it is
    pairs = training.val_pairs
    leave_one_unit(training, np.concatenate([pairs.left, pairs.right]))
    assert next(training).trunk_live == 1 / UNITS


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_tiny_gradients_are_not_zero_in_training(
    small: TrialConfig, data: FaceData, precision: Any
) -> None:
    config = dataclasses.replace(small, precision=precision, lr=1e-38)
    training = Training(config, data)
    with torch.no_grad():
        training.net.head[-1].weight.mul_(1e-28)
    take(training)
    seen = show(next(training))
    assert seen["trunk_grad_zero"] == 0 and 1e-36 < seen["trunk_grad_max"] < 1e-26


def test_the_relus_of_vgg_are_found() -> None:
    config = TrialConfig(net="vgg16_bn", hidden=4, join="linear")
    net = build(config).eval()
    with torch.no_grad():
        net.trunk[-3].bias.fill_(-1e3)  # the last batch-norm
        net.head[0].bias.fill_(1e3)
    with torch.inference_mode(), LiveUnits(net) as live:
        net.logits(*net.embed(torch.rand(2, 3, 64, 64)).split(1))
    assert live.report() == {"trunk_live": 0.0, "head_live": 1.0}


# The certificate: what `dead` says of live trials.


def rows_of(training: Training, count: int) -> list[dict[str, float]]:
    return [next(training).to_dict() for _ in range(count)]


def alarm(rows: list[dict[str, float]], config: TrialConfig) -> int | None:
    """The first epoch at which the rule would have stopped the trial."""
    for n in range(1, len(rows) + 1):
        if dead(History(rows=list(rows[:n]), settings=config.to_dict())):
            return n - 1
    return None


def snapshot(net: nn.Module) -> Tensor:
    """All weights as one vector."""
    return torch.cat([p.detach().flatten().clone() for p in net.parameters()])


@pytest.mark.parametrize(
    ("kill", "precision"), [(kill_trunk, "fp32"), (kill_head, "fp32"), (kill_trunk, "bf16")]
)
def test_a_net_that_is_born_dead_is_certified_after_100_updates_and_stays_so(
    small: TrialConfig, data: FaceData, kill: Callable[[Training], None], precision: Any
) -> None:
    config = dataclasses.replace(small, precision=precision)
    training = Training(config, data)
    kill(training)
    born = snapshot(training.net.trunk)
    rows = rows_of(training, 10)
    assert alarm(rows, config) == 8  # 9 · 12 = 108 updates, and 96 are too few
    assert torch.equal(snapshot(training.net.trunk), born)  # no momentum: not a bit moves
    assert {row["val_acc"] for row in rows} == {0.5}
    assert {row["logit_spread"] for row in rows} == {0.0}


def test_a_net_that_dies_is_certified_within_two_epochs_and_stays_dead(
    tiny: TrialConfig, data: FaceData
) -> None:
    config = dataclasses.replace(tiny, people=9, batch_size=1, epochs=60)  # 54 updates an epoch
    training = Training(config, data)
    rows = rows_of(training, 1)
    assert rows[0]["trunk_grad_max"] > 0 and rows[0]["trunk_live"] > 0
    kill_trunk(training)
    killed = snapshot(training.net.trunk)
    rows += rows_of(training, 2)
    assert alarm(rows, config) == 2
    certified = snapshot(training.net.trunk)
    assert not torch.equal(certified, killed)  # Adam's momentum went on
    rows += rows_of(training, 2)
    after = snapshot(training.net.trunk)
    # Of the way that momentum can go, 0.9004 ** 108 = 1e-5 is left, and float32 rounds that off
    # by half a bit of each weight.
    drift, left = ((a - b).abs() for a, b in ((certified, killed), (after, certified)))
    assert left.amax() <= 2e-5 * drift.amax() + 1e-9
    assert all(row["trunk_live"] == 0 and row["trunk_grad_max"] == 0 for row in rows[1:])
    assert len({row["val_acc"] for row in rows[2:]}) == 1
    assert {row["logit_spread"] for row in rows[2:]} == {0.0}


def test_no_alarm_for_a_frozen_trunk_whose_head_learns(small: TrialConfig, data: FaceData) -> None:
    training = Training(dataclasses.replace(small, join="difference", hidden=64), data)
    training.net.trunk.requires_grad_(False)
    rows = rows_of(training, 10)
    assert all(math.isnan(row["trunk_grad_max"] + row["trunk_grad_zero"]) for row in rows)
    assert rows[-1]["train_loss"] < 0.9 * rows[0]["train_loss"]
    assert alarm(rows, training.config) is None


def test_no_alarm_for_dropout_that_hides_all_of_a_tiny_head(
    small: TrialConfig, data: FaceData
) -> None:
    config = dataclasses.replace(small, dropout=True, hidden=2, lr=1e-6)
    training = Training(config, data)
    with torch.no_grad():  # all four units on
        training.net.head[0].bias.fill_(1)
        training.net.head[3].bias.fill_(2)
    rows = rows_of(training, 10)
    # A pair has a way to the trunk where each layer keeps one of its two units: (3/4)². Both
    # pairs of a triplet have none in (7/16)² = 0.19 of the steps; 120 steps: 0.036 of deviation.
    hidden = sum(row["trunk_grad_zero"] for row in rows) / len(rows)
    assert 0.19 - 0.11 < hidden < 0.19 + 0.11
    assert alarm(rows, config) is None


def test_no_alarm_for_a_learning_rate_that_moves_nothing(
    small: TrialConfig, data: FaceData
) -> None:
    config = dataclasses.replace(small, lr=1e-12)
    training = Training(config, data)
    rows = rows_of(training, 9)
    assert len({row["val_loss"] for row in rows}) == 1
    assert alarm(rows, config) is None


def test_no_alarm_for_a_perfect_net_whose_every_gradient_is_zero(
    small: TrialConfig, data: FaceData
) -> None:
    fast = dataclasses.replace(small, join="difference", hidden=64, lr=3e-4, batch_size=4)
    fitted = Training(fast, data)
    source, pairs = data.pixels(LETTERBOX), fitted.train_pairs
    for _ in fitted:
        if ((predict(fitted.net, fast, source, pairs) > 0.5) == (pairs.label == 0)).all():
            break
    config = dataclasses.replace(fast, batch_size=1)
    training = Training(config, data)
    training.net.load_state_dict(fitted.net.state_dict())
    with torch.no_grad():  # all differences beyond 104, below which exp does not underflow
        for parameter in training.net.head[-1].parameters():
            parameter.mul_(1e6)
    rows = rows_of(training, 9)
    assert all(row["trunk_grad_zero"] == 1 and row["trunk_grad_max"] == 0 for row in rows)
    assert {row["train_acc"] for row in rows} == {1.0} and rows[-1]["train_loss"] == 0
    assert rows[-1]["logit_spread"] > 1e3 and sum(row["updates"] for row in rows) > 100
    assert alarm(rows, config) is None


def test_no_alarm_for_a_net_that_one_rare_image_brings_back(
    small: TrialConfig, data: FaceData
) -> None:
    config = dataclasses.replace(small, join="difference", hidden=64, lr=1e-3)
    training = Training(config, data)
    assert training.train_pairs.triplets is not None
    leave_one_unit(training, training.train_pairs.triplets)
    rows = rows_of(training, 1)
    assert rows[0]["trunk_grad_zero"] > 0  # the first steps did not meet it
    while rows[-1]["train_acc"] < 0.9 and len(rows) < 40:
        rows += rows_of(training, 1)
    assert rows[-1]["train_acc"] >= 0.9 and rows[-1]["trunk_live"] > 10 / UNITS
    assert alarm(rows, config) is None


def test_no_alarm_for_a_dead_net_that_weight_decay_revives(
    small: TrialConfig, data: FaceData
) -> None:
    config = dataclasses.replace(small, weight_decay=0.01, lr=2.2e-3)
    training = Training(config, data)
    with torch.no_grad():
        training.net.trunk[8].weight.zero_()
        training.net.trunk[8].bias.fill_(1)  # the last convolution sees ones, and zeros outside
        conv = last_conv(training)
        conv.weight.zero_()
        conv.bias.zero_()
        conv.weight[:, :4, 1, 1] = torch.tensor([0.5, -0.3, -0.3, -0.3])  # gives -0.4
    rows = rows_of(training, 12)
    # The weights shrink without any gradient of the loss, which does not see the decay.
    assert all(row["trunk_live"] == 0 and row["trunk_grad_max"] == 0 for row in rows[:9])
    assert rows[-1]["trunk_live"] > 0 and rows[-1]["trunk_grad_max"] > 0
    assert alarm(rows, config) is None
    # Taken for a trial without decay it would have been certified, and wrongly.
    assert alarm(rows, dataclasses.replace(config, weight_decay=0.0)) == 8


def test_no_alarm_for_a_dead_net_that_momentum_revives(small: TrialConfig, data: FaceData) -> None:
    config = dataclasses.replace(small, lr=0.01)
    training = Training(config, data)
    bias = last_conv(training).bias
    with torch.no_grad():
        last_conv(training).weight.zero_()
        # Momentum carries it lr · (0.9 + 0.9² / 0.9995^½ …) = 0.0904 in all, of which 1 % is left
        # after 44 updates: to above 0 in the fourth epoch.
        bias.fill_(-0.0895)
    training.optimizer.next_step.fill_(1e5)
    training.optimizer.param_states[bias].moments[0].fill_(-1)
    for slot in training.optimizer.param_states.values():  # nothing else moves much
        slot.moments[1].fill_(1)
    rows = rows_of(training, 4)
    assert all(row["trunk_grad_zero"] == 1 and row["trunk_live"] == 0 for row in rows[:3])
    assert 8 / 12 <= rows[3]["trunk_grad_zero"] < 1  # after 44 to 47 updates
    assert alarm(rows, config) is None


def test_the_fields_stand_at_the_end_so_that_older_columns_keep_their_place() -> None:
    later = ["val_auc", TPR, *ENDS[TPR]]  # comes after
    assert list(FIELDS[-len(VITALS) - 4 :]) == [*VITALS, *later]
