"""A greedy soup: the mean by hand, batch-norm measured anew, and who is added."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.device.image_store import ImageStore
from facesiam.errors import DataError
from facesiam.nets.checkpoint import load_model, save_model
from facesiam.nets.siamese import build
from facesiam.objective import Objective
from facesiam.training import soup
from facesiam.training.loop import Training


def test_the_mean_is_of_weights_and_not_of_counters() -> None:
    states = [
        {"w": torch.tensor([1.0, 8.0]), "n": torch.tensor(7)},
        {"w": torch.tensor([2.0, 4.0]), "n": torch.tensor(9)},
        {"w": torch.tensor([6.0, 0.0]), "n": torch.tensor(9)},
    ]
    mean = soup.mean_of(states)
    assert mean["w"].tolist() == [3.0, 4.0] and mean["n"].item() == 7


def test_what_validation_sets_is_no_part_of_the_mean() -> None:
    """A net of another `calibrate` or `cohort` lacks it, or has it of another size."""
    ours = {"w": torch.tensor([1.0]), "threshold": torch.tensor(0.2), "cohort": torch.ones(3, 2)}
    for theirs in ({}, {"threshold": torch.tensor(0.8), "cohort": torch.zeros(5, 2)}):
        mean = soup.mean_of([ours, {"w": torch.tensor([3.0]), **theirs}])
        assert mean["w"].item() == 2 and mean["threshold"] == ours["threshold"]
        assert torch.equal(mean["cohort"], ours["cohort"])


@pytest.fixture
def embedding(tiny: TrialConfig) -> TrialConfig:
    """An embedding net with batch-norm, whose first stages stand still."""
    more = {"net": "mobilenet_v3_small", "join": "cosine", "loss": "logistic", "embedding": 16}
    return TrialConfig.from_dict({**tiny.to_dict(), **more, "people": 4, "freeze_stages": 2})


def test_batch_norm_is_measured_on_the_training_images(
    embedding: TrialConfig, data: FaceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = build(embedding)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = soup.renew_statistics(net, embedding, data)
    again = soup.renew_statistics(net, embedding, data)
    assert all(torch.equal(value, again[name]) for name, value in found.items())
    still = next(name for name in before if name.endswith("running_mean"))
    assert still not in found and torch.equal(net.state_dict()[still], before[still])
    assert not net.training and net.head[2].momentum == 0.1
    # All images are one batch here, so the last batch-norm has the mean and the variance of what
    # comes before it, as the other layers are in training.
    images = data.images_of(data.pairs_of(embedding, "train"), "protocol")
    order = np.random.default_rng(embedding.seed).permutation(images)
    assert len(images) <= soup.LEAST_IMAGES
    pixels = ImageStore(data.pixels(embedding.packing), 64, torch.device("cpu"))
    seen: list[torch.Tensor] = []
    net.head[1].register_forward_hook(lambda layer, given, out: seen.append(out))
    with torch.no_grad():
        net.train().embed(pixels.batch(torch.from_numpy(order)))
    (values,) = seen
    assert torch.allclose(found["head.2.running_mean"], values.mean(0), atol=1e-5)
    assert torch.allclose(found["head.2.running_var"], values.var(0), atol=1e-5)


def saved(folder: Path, config: TrialConfig, *, seed: int, data: FaceData) -> Path:
    """A model file of fresh weights."""
    net = build(dataclasses.replace(config, seed=seed))
    save_model(folder / f"{seed}.pt", net.state_dict(), config, epoch=0, val_acc=0.5)
    return folder / f"{seed}.pt"


@pytest.mark.parametrize(
    ("metric", "scores", "members"),
    [
        ("val_acc", [0.8, 0.7, 0.8, 0.9], ["0000", "0002", "0003"]),
        ("val_tpr_at_fpr", [0.8, 0.6, 0.7, 0.79], ["0000"]),
        ("val_tpr_at_fpr", [0.8, math.nan, 0.8, 0.7], ["0000", "0002"]),
        ("val_loss", [0.8, 0.9, 0.8, 0.7], ["0000", "0002", "0003"]),
    ],
)
def test_a_net_is_added_where_validation_is_not_worse(
    embedding: TrialConfig,
    data: FaceData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    metric: str,
    scores: list[float],
    members: list[str],
) -> None:
    files = {f"000{n}": saved(tmp_path, embedding, seed=n, data=data) for n in range(4)}
    left = iter(scores)
    real = soup._Judge.__call__

    def judged(*given: Any) -> dict[str, float]:
        """Validate, and give it another score."""
        return {**real(*given), metric: next(left)}

    monkeypatch.setattr(soup._Judge, "__call__", judged)
    shown: list[tuple[str, dict[str, float], bool]] = []
    objective = Objective(metric, "min" if metric == "val_loss" else "max")
    made = soup.greedy_soup(files, data, objective, lambda *given: shown.append(given))
    assert [(trial, added) for trial, _, added in shown] == [
        (trial, trial in members) for trial in ("0001", "0002", "0003")
    ]
    np.testing.assert_equal([known[metric] for _, known, _ in shown], scores[1:])
    assert made.members == members
    assert made.scores[metric] == scores[int(members[-1])]
    parts = [load_model(files[trial])[0].state_dict()["head.1.weight"] for trial in members]
    assert torch.allclose(made.weights["head.1.weight"], torch.stack(parts).mean(0))
    measured = bool(made.weights["head.2.running_mean"].any())  # 0 in each of the fresh nets
    assert measured == (len(members) > 1)


@pytest.mark.parametrize("metric", ["val_tpr_at_fpr", "val_loss"])
def test_a_net_is_judged_as_in_its_training(
    embedding: TrialConfig, data: FaceData, tmp_path: Path, metric: str
) -> None:
    config = dataclasses.replace(embedding, fpr=0.2, fpr_pairs="people", cohort=3, epochs=1)
    training = Training(config, data)
    measured = next(training).to_dict()
    save_model(tmp_path / "w.pt", training.weights(), config, epoch=0, val_acc=0.5)
    made = soup.greedy_soup({"0000": tmp_path / "w.pt"}, data, Objective(metric, "max"))
    ends = ["val_tpr_at_fpr_low", "val_tpr_at_fpr_high"] * (metric == "val_tpr_at_fpr")
    assert list(made.scores) == [metric, *ends, "val_acc", "val_auc"]
    assert made.scores == {name: measured[name] for name in made.scores}


def test_a_net_without_a_score_makes_no_soup(
    embedding: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    """Of four people there are too few pairs of two for one false accept in a thousand."""
    config = dataclasses.replace(embedding, fpr=0.001)
    file = saved(tmp_path, config, seed=0, data=data)
    with pytest.raises(DataError, match="its val_tpr_at_fpr on the validation pairs is no number"):
        soup.greedy_soup({"0000": file}, data, Objective("val_tpr_at_fpr"))


def test_a_soup_of_one_net_is_that_net(
    embedding: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    file = saved(tmp_path, embedding, seed=0, data=data)
    made = soup.greedy_soup({"0000": file}, data, Objective("val_auc"))
    net, _, _ = load_model(file)
    same = [name for name in net.state_dict() if name not in ("threshold", "slope")]
    assert all(torch.equal(made.weights[name], net.state_dict()[name]) for name in same)
    assert made.weights["threshold"] != net.threshold  # by the validation pairs
