"""The cohort of score normalisation: whom it is of, and that a stored net has the same scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from builders import LETTERBOX

from facesiam import Verifier
from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.errors import WeightsError
from facesiam.evaluation.cohort import IMAGES, cohort_images
from facesiam.evaluation.predict import described, logits_of
from facesiam.nets.checkpoint import load_model, save_model
from facesiam.training import validation
from facesiam.training.loop import Training

SETTINGS = {
    "net": "squeezenet1_1",
    "join": "cosine",
    "loss": "logistic",
    "embedding": 8,
    "image_size": 64,
    "epochs": 1,
    "precision": "fp32",
    "cohort": 4,
    "flip_average": True,
    "scale_average": 0.1,
    "fpr": 0.05,
    "fpr_pairs": "people",
}


@pytest.fixture(scope="module")
def trained(
    data: FaceData, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Training, float, Path]:
    """A training after an epoch, its share of pairs judged right, and its weights."""
    training = Training(TrialConfig.from_dict(SETTINGS), data)
    metrics = next(training)
    assert 0 <= metrics.val_tpr_at_fpr_low <= metrics.val_tpr_at_fpr <= metrics.val_tpr_at_fpr_high
    file = tmp_path_factory.mktemp("cohort") / "w.pt"
    save_model(file, training.weights(), training.config, epoch=0, val_acc=metrics.val_acc)
    return training, metrics.val_acc, file


def test_it_is_the_mean_embedding_of_the_people_who_train_and_of_no_others(
    trained: tuple[Training, float, Path], data: FaceData
) -> None:
    training, _, _ = trained
    chosen = cohort_images(training.config, data)
    people = data.person[chosen]
    assert (people == people[:, :1]).all() and chosen.shape == (12, IMAGES)
    assert set(people[:, 0]) == set(data.person[data.pairs("frontal-triplets", "train").left])
    vectors = described(training.net, training.pixels, chosen[5])
    mean = torch.nn.functional.normalize(vectors.mean(0), dim=0)
    torch.testing.assert_close(training.net.cohort[5], mean, atol=1e-5, rtol=0)


def test_without_it_nobody_is_looked_for(data: FaceData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "cohort_images", None)
    made = validation.Validation(TrialConfig.from_dict({**SETTINGS, "cohort": 0}), data)
    assert made.cohort is None


def test_a_stored_net_and_a_verifier_have_the_scores_of_the_training(
    trained: tuple[Training, float, Path], data: FaceData
) -> None:
    training, accuracy, file = trained
    pairs, pixels = data.pairs("frontal-triplets", "val"), data.pixels(LETTERBOX)
    net, config, _ = load_model(file)
    logits = logits_of(net, config, pixels, pairs)
    assert torch.equal(logits, logits_of(training.net, config, pixels, pairs))
    same = (logits[:, 0] > logits[:, 1]).numpy()
    assert np.mean(same == (pairs.label == 0)) == accuracy
    left, right = (pixels[ends[:6]] for ends in (pairs.left, pairs.right))
    found = Verifier.load(file).compare(left, right)
    np.testing.assert_allclose(found.score, net.scores(logits)[:6], rtol=2e-3)
    np.testing.assert_array_equal(found.same, same[:6])
    cosines = (Verifier.load(file).embed(left) * Verifier.load(file).embed(right)).sum(1)
    assert not np.allclose(found.score, cosines, atol=0.01)


def test_a_resumed_training_has_it_and_a_file_without_it_is_refused(
    trained: tuple[Training, float, Path], data: FaceData, tmp_path: Path
) -> None:
    training, _, _ = trained
    again = Training(training.config, data)
    again.load(training.state())
    assert torch.equal(again.net.cohort, training.net.cohort)
    weights = training.weights()
    for wrong in (torch.zeros(3), torch.zeros(4, 5), torch.zeros(())):
        save_model(tmp_path / "w.pt", {**weights, "cohort": wrong}, training.config)
        with pytest.raises(WeightsError, match="weights and settings disagree"):
            load_model(tmp_path / "w.pt")
    del weights["cohort"]
    save_model(tmp_path / "w.pt", weights, training.config)
    with pytest.raises(WeightsError, match="cohort"):
        load_model(tmp_path / "w.pt")
