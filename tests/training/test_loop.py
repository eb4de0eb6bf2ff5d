"""The trainer: repeatable bit for bit, resumable at any epoch, and learning at all."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import LETTERBOX

from facesiam.config import EpochMetrics, TrialConfig
from facesiam.config.trial import Protocol
from facesiam.data.dataset import FaceData
from facesiam.device.image_store import ImageStore
from facesiam.errors import WeightsError
from facesiam.evaluation.predict import predict
from facesiam.nets.checkpoint import load_model, save_atomically, save_model, snapshot
from facesiam.nets.losses import LOSSES
from facesiam.training.loop import Halted, Training

TIMES = ("seconds", "samples_per_second", "peak_memory_mib")


def numbers(run: list[EpochMetrics]) -> list[dict[str, float]]:
    """What must repeat: everything but the clock's and the system's figures."""
    return [{k: v for k, v in m.to_dict().items() if k not in TIMES} for m in run]


VARIANTS: list[dict[str, Any]] = [
    {"augment": True, "dropout": True},
    {"protocol": "cfp-pairs", "loss": "two", "join": "difference", "augment": True},
    {"protocol": "cfp-pairs", "loss": "single", "join": "linear", "precision": "bf16"},
]


@pytest.mark.parametrize("variant", VARIANTS)
def test_same_seed_same_numbers_bit_for_bit_and_another_seed_others(
    tiny: TrialConfig, data: FaceData, variant: dict[str, Any]
) -> None:
    config = dataclasses.replace(tiny, epochs=2, people=4, **variant)
    first = list(Training(config, data))
    torch.rand(7)  # whatever else draws in this process changes nothing
    assert numbers(list(Training(config, data))) == numbers(first)
    other = next(Training(dataclasses.replace(config, seed=1), data))
    assert numbers([other]) != numbers(first[:1])


@pytest.fixture(scope="module")
def whole(tiny: TrialConfig, data: FaceData) -> tuple[TrialConfig, list[EpochMetrics], Training]:
    """A trial of three epochs that nothing interrupts.

    With dropout and augmentation, so the generators matter too.
    """
    config = dataclasses.replace(tiny, augment=True, dropout=True, people=8)
    training = Training(config, data)
    return config, list(training), training


@pytest.mark.parametrize("stop", [1, 2])
def test_resumed_equals_uninterrupted(
    whole: tuple[TrialConfig, list[EpochMetrics], Training],
    data: FaceData,
    tmp_path: Path,
    stop: int,
) -> None:
    config, expected, uninterrupted = whole
    part = Training(config, data)
    seen = [next(part) for _ in range(stop)]
    save_atomically(part.state(), tmp_path / "state.pt")
    del part
    rest = Training(config, data)
    rest.load(torch.load(tmp_path / "state.pt", weights_only=True))
    seen += list(rest)
    assert numbers(seen) == numbers(expected)
    for name, value in rest.net.state_dict().items():
        assert torch.equal(value, uninterrupted.net.state_dict()[name]), name


def test_a_state_of_other_settings_is_refused(tiny: TrialConfig, data: FaceData) -> None:
    state = Training(tiny, data).state()
    with pytest.raises(ValueError, match="other settings: lr"):
        Training(dataclasses.replace(tiny, lr=0.5), data).load(state)


def test_it_learns_to_tell_its_training_people_apart(tiny: TrialConfig, data: FaceData) -> None:
    few = {"people": 6, "batch_size": 4, "epochs": 14}
    config = dataclasses.replace(tiny, join="difference", hidden=32, seed=2, **few)
    run = list(Training(config, data))
    assert run[0].train_acc < 0.65 and run[-1].train_acc > 0.75
    assert run[-1].train_loss < 0.75 * run[0].train_loss
    assert [m.epoch for m in run] == list(range(14))


def test_a_loss_that_is_not_finite_ends_the_epoch_and_is_reported(
    tiny: TrialConfig, data: FaceData
) -> None:
    training = Training(tiny, data)
    with torch.no_grad():
        training.net.head[0].weight[0, 0] = math.nan
    metrics = next(training)
    assert math.isnan(metrics.train_loss) and metrics.val_acc == 0
    assert metrics.updates == 1  # of 9
    assert math.isnan(metrics.trunk_grad_max) and metrics.trunk_grad_zero == 0
    for unknown in (metrics.trunk_live, metrics.head_live, metrics.logit_spread):
        assert math.isnan(unknown)  # the update has made every weight NaN


def test_frozen_layers_do_not_move_and_the_rest_does(tiny: TrialConfig, data: FaceData) -> None:
    training = Training(dataclasses.replace(tiny, freeze=True), data)
    before = {k: v.clone() for k, v in training.net.state_dict().items()}
    next(training)
    moved = {k for k, v in training.net.state_dict().items() if not torch.equal(v, before[k])}
    convs = [0, 3, 6, 8, 10]
    assert {f"trunk.{n}.weight" for n in convs[:3]}.isdisjoint(moved)
    assert {f"trunk.{n}.weight" for n in convs[3:]} | {"head.0.weight"} <= moved


def test_validation_counts_the_right_answers(tiny: TrialConfig, data: FaceData) -> None:
    training = Training(dataclasses.replace(tiny, join="difference"), data)
    metrics = next(training)
    pairs = data.pairs("frontal-triplets", "val")
    same = predict(training.net, tiny, data.pixels(LETTERBOX), pairs)
    right = loss = 0.0
    for probability, label in zip(same, pairs.label, strict=True):  # one pair at a time
        right += (probability > 0.5) == (label == 0)
        loss -= math.log(probability if label == 0 else 1 - probability)
    assert metrics.val_pairs == len(pairs.label)
    assert metrics.val_acc == pytest.approx(right / len(pairs.label), abs=1e-12)
    assert metrics.val_loss == pytest.approx(loss / len(pairs.label), rel=1e-4)


def test_images_are_scaled_to_the_unit_interval_and_averaged_down(data: FaceData) -> None:
    source = data.pixels(LETTERBOX)
    raw = source[3].astype(np.float64) / 255
    full = ImageStore(source, 224, torch.device("cpu")).batch(torch.tensor([3]))
    assert np.allclose(full[0].permute(1, 2, 0).numpy(), raw, atol=1e-6)
    half = ImageStore(source, 112, torch.device("cpu")).batch(torch.tensor([3]))
    averaged = raw.reshape(112, 2, 112, 2, 3).mean((1, 3))
    assert np.allclose(half[0].permute(1, 2, 0).numpy(), averaged, atol=1e-5)


@pytest.mark.parametrize("protocol", ["frontal-triplets", "cfp-pairs"])
def test_a_step_sees_each_image_once_and_judges_the_right_pairs(
    tiny: TrialConfig, data: FaceData, monkeypatch: pytest.MonkeyPatch, protocol: Protocol
) -> None:
    training = Training(dataclasses.replace(tiny, protocol=protocol), data)
    seen: dict[str, Any] = {}
    logits_of, loss_of = training.net.logits, LOSSES["two"]

    def embed(images: torch.Tensor) -> torch.Tensor:
        """As features the images' own first pixels, which tell them apart."""
        seen["images"] = len(images)
        return images.flatten(1)[:, :9216].requires_grad_()

    def pairs_of(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        seen["left"], seen["right"] = left, right
        return logits_of(left, right)

    def label_of(logits: torch.Tensor, label: torch.Tensor, smoothing: float) -> torch.Tensor:
        seen["label"] = label
        return loss_of(logits, label, smoothing)

    monkeypatch.setattr(training.net, "vectors", embed)
    monkeypatch.setattr(training.net, "logits", pairs_of)
    monkeypatch.setitem(LOSSES, "two", label_of)
    chosen = torch.tensor([4, 7])
    training._update(chosen, torch.zeros(0, 3))
    pairs = training.train_pairs
    count = len(pairs.label) // 2 if pairs.triplets is not None else 0
    where = np.array([4, 7, 4 + count, 7 + count] if count else [4, 7])
    expected = [
        training.pixels.batch(torch.from_numpy(side[where])).flatten(1)[:, :9216]
        for side in (pairs.left, pairs.right)
    ]
    assert torch.equal(seen["left"], expected[0]) and torch.equal(seen["right"], expected[1])
    assert seen["label"].tolist() == pairs.label[where].tolist()
    assert seen["images"] == (6 if count else 4)


def test_a_model_file_gives_back_the_same_judgements(
    tiny: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    training = Training(tiny, data)
    next(training)
    save_model(tmp_path / "w.pt", training.weights(), tiny, epoch=0, val_acc=0.25)
    net, config, info = load_model(tmp_path / "w.pt")
    pairs = data.pairs("frontal-triplets", "test")
    assert config == tiny and info == {"epoch": 0, "val_acc": 0.25}
    source = data.pixels(LETTERBOX)
    ours, theirs = (predict(n, tiny, source, pairs) for n in (training.net, net))
    assert np.array_equal(ours, theirs)
    assert [p.name for p in tmp_path.iterdir()] == ["w.pt"]  # no half-written neighbour


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(2)}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="not a model file of facesiam"):
        load_model(tmp_path / "w.pt")


@pytest.mark.parametrize("at", [1, 4, "validation"])
def test_an_epoch_that_is_halted_and_taken_up_gives_the_same_numbers(
    whole: tuple[TrialConfig, list[EpochMetrics], Training], data: FaceData, at: int | str
) -> None:
    config, expected, _ = whole
    first = Training(config, data)
    next(first)
    update, validate, count = first._update, first._validate, iter(range(1, 99))

    def counted(*given: torch.Tensor) -> None:
        update(*given)
        if next(count) == at:
            first.halt.set()

    def halted() -> dict[str, Any]:
        first.halt.set()
        return validate()

    first._update = counted  # type: ignore[method-assign, assignment]
    if at == "validation":
        first._validate = halted  # type: ignore[method-assign]
    with pytest.raises(Halted):
        next(first)
    state = snapshot(first.state())
    assert state["epoch"] == 1 and state["within"]["spent"] > 0
    assert at == "validation" or state["within"]["steps"] == at
    second = Training(config, data)
    next(second)  # a net of its own, elsewhere
    second.load(state)
    again = next(second)
    assert again.seconds > state["within"]["spent"]
    assert numbers([again, next(second)]) == numbers(expected[1:])


def people_of(tiny: TrialConfig, **settings: object) -> TrialConfig:
    """An embedding net that trains on people, of seconds."""
    more = {
        "net": "mobilenet_v3_small",
        "join": "cosine",
        "loss": "arcface",
        "embedding": 16,
        "views": "all",
        "images_per_person": 4,
        "batch_size": 16,
        "optimizer": "adamw",
        "schedule": "onecycle",
        "head_lr": 5.0,
        "flip": True,
        "colour": 0.2,
        "erase": 0.3,
        "dropout": True,
    }
    return TrialConfig.from_dict({**tiny.to_dict(), **more, **settings})


def values(metrics: EpochMetrics) -> str:
    """What must be equal between two runs of the same trial; a text, as NaN is not itself."""
    timed = ("seconds", "samples_per_second", "peak_memory_mib")
    return repr({name: v for name, v in metrics.to_dict().items() if name not in timed})


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd", "loss": "subcenter_arcface"},
        {"loss": "adaface"},  # with statistics of its own
        {"loss": "logistic", "hard_negatives": 0.3},
    ],
)
def test_a_resumed_embedding_net_goes_on_as_if_it_had_never_stopped(
    tiny: TrialConfig, data: FaceData, settings: dict[str, object]
) -> None:
    config = people_of(tiny, **settings, epochs=3)
    whole = [values(metrics) for metrics in Training(config, data)]
    first = Training(config, data)
    next(first)
    state = snapshot(first.state())
    second = Training(config, data)
    second.load(state)
    assert [values(metrics) for metrics in second] == whole[1:]


def test_an_embedding_net_learns_the_people_that_it_trains_on(
    tiny: TrialConfig, data: FaceData
) -> None:
    config = people_of(
        tiny, net="alexnet", loss="logistic", people=8, epochs=14, erase=0.0, dropout=False
    )
    curve = list(Training(config, data))
    assert curve[-1].train_loss < 0.7 * curve[0].train_loss
    assert curve[-1].train_acc > 0.62  # of chance, 0.5


def test_the_threshold_is_the_validation_pairs_and_goes_into_the_file(
    tiny: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    config = people_of(tiny, epochs=1, flip_average=True)
    training = Training(config, data)
    metrics = next(training)
    pairs = data.pairs("frontal-triplets", "val")
    source = data.pixels(LETTERBOX)
    same = predict(training.net, config, source, pairs)
    assert np.mean((same > 0.5) == (pairs.label == 0)) == metrics.val_acc
    tried = [np.mean((same > cut) == (pairs.label == 0)) for cut in np.unique(same)]
    assert metrics.val_acc >= max(tried)  # no other threshold is better
    save_model(tmp_path / "w.pt", training.weights(), config, epoch=0, val_acc=0.5)
    net, _, _ = load_model(tmp_path / "w.pt")
    assert net.threshold.item() == training.net.threshold.item() != 0.5
    assert np.array_equal(predict(net, config, source, pairs), same)


def test_the_rate_follows_its_schedule_from_update_to_update(
    tiny: TrialConfig, data: FaceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = people_of(tiny, epochs=2, schedule="cosine", lr=1.0, warmup=0.0)
    training, rates = Training(config, data), []
    monkeypatch.setattr(training.optimizer, "step", lambda: rates.append(training.optimizer.lr))
    list(training)
    count = training.batches.per_epoch
    expected = [(1 + math.cos(math.pi * n / (2 * count))) / 2 for n in range(2 * count)]
    assert rates == pytest.approx(expected)


def test_the_pairs_protocols_feed_embedding_losses_too(
    tiny: TrialConfig, data: FaceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = people_of(
        tiny, loss="contrastive", images_per_person=0, views="protocol", batch_size=4, epochs=1
    )
    training, seen = Training(config, data), []
    criterion = training.net.criterion
    assert criterion is not None
    monkeypatch.setattr(
        criterion, "forward", lambda z, who: seen.append(who.tolist()) or z.square().sum()
    )
    training._update(torch.tensor([0, 5]), torch.zeros(0, 3))
    assert training.train_pairs.triplets is not None
    images = training.train_pairs.triplets[[0, 5]].T.flatten()
    assert seen == [training.batches.person[images].tolist()]
    assert seen[0][0] == seen[0][2] and seen[0][0] != seen[0][4]  # anchor, positive; negative
