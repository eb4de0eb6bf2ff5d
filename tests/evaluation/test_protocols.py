"""Testing: whose pairs, which threshold, and that nobody is tested who was trained on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import SQUEEZE

from facesiam import fingerprint
from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData, Pairs
from facesiam.data.formats.cfp_lists import KINDS
from facesiam.data.split import ALL_FOLDS, FOLDS, folds_of
from facesiam.errors import DataError, WeightsError
from facesiam.evaluation import ensemble, leaks, protocols, ten_fold
from facesiam.evaluation import figures as test_figures
from facesiam.evaluation.calibration import calibration
from facesiam.evaluation.metrics import METRICS
from facesiam.evaluation.predict import log_odds, predict
from facesiam.nets.checkpoint import load_model, save_model
from facesiam.nets.siamese import build
from facesiam.training.loop import Training
from search.report import ten_folds

PEOPLE = {
    "net": "squeezenet1_1",
    "join": "cosine",
    "loss": "logistic",
    "embedding": 8,
    "views": "all",
    "images_per_person": 4,
    "batch_size": 16,
    "epochs": 1,
    "protocol": "cfp-pairs",
}


@pytest.fixture
def config(tiny: TrialConfig) -> TrialConfig:
    """An embedding net on the official pairs."""
    return TrialConfig.from_dict({**tiny.to_dict(), **PEOPLE})


def trained(config: TrialConfig, data: FaceData, folder: Path) -> None:
    """Leave the weights of one epoch."""
    training = Training(config, data)
    metrics = next(training)
    save_model(
        folder / "weights.pt",
        training.weights(),
        config,
        epoch=0,
        val_acc=metrics.val_acc,
        data=data.key,
    )


def test_folds_are_train_validation_and_test_without_overlap() -> None:
    assert [folds_of(part, 0) for part in FOLDS] == list(FOLDS.values())
    assert folds_of("test", 10) == (10,) and folds_of("val", 10) == (1,)
    for fold in ALL_FOLDS:
        parts = [set(folds_of(part, fold)) for part in FOLDS]
        assert [len(part) for part in parts] == [8, 1, 1] and len(set.union(*parts)) == 10


@pytest.mark.parametrize("protocol", ["cfp-pairs", "frontal-triplets"])
@pytest.mark.parametrize("fold", [0, 1, 10])
def test_no_person_is_in_two_parts(data: FaceData, protocol: str, fold: int) -> None:
    parts = [data.pairs(protocol, part, fold=fold) for part in ("train", "val", "test")]
    people = [
        set(data.person[np.concatenate([pairs.left, pairs.right])].tolist()) for pairs in parts
    ]
    assert not people[0] & people[1] and not people[1] & people[2] and not people[0] & people[2]
    if fold:
        official = data.official(0, fold)
        assert people[2] == set(data.person[np.r_[official.left, official.right]].tolist())


def test_official_pairs_are_those_of_one_kind_and_split(data: FaceData) -> None:
    ff, fp = data.official(0, 3), data.official(1, 3)
    assert data.frontal[ff.right].all() and not data.frontal[fp.right].any()
    both = data.pairs("cfp-pairs", "test", fold=3)
    assert len(both.label) == len(ff.label) + len(fp.label)


def test_a_net_is_tested_on_another_protocol_with_a_threshold_of_its_own(
    config: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    trained(config, data, tmp_path)
    own = protocols.test("0001", config, data, tmp_path)
    other = protocols.test("0001", config, data, tmp_path, "frontal-triplets")
    assert own == json.loads((tmp_path / "test.json").read_text())
    assert other == json.loads((tmp_path / "test-frontal-triplets.json").read_text())
    assert (own["protocol"], other["protocol"]) == ("cfp-pairs", "frontal-triplets")
    net, _, info = load_model(tmp_path / "weights.pt")
    # The pairs are that protocol's, the images as they were in training.
    pixels, val = data.pixels(SQUEEZE), data.pairs("frontal-triplets", "val")
    protocols.calibrate(net, config, pixels, val)
    pairs = data.pairs("frontal-triplets", "test")
    same = predict(net, config, pixels, pairs)
    right = (predict(net, config, pixels, val) > 0.5) == (val.label == 0)
    assert (own["val_acc"], other["val_acc"]) == (info["val_acc"], right.mean())
    assert other["accuracy"]["value"] == np.mean((same > 0.5) == (pairs.label == 0))
    lines = (tmp_path / "scores-frontal-triplets.csv").read_text().splitlines()
    assert lines[0] == "left,right,same_person,log_odds" and len(lines) == 1 + len(pairs.label)
    odds = log_odds(net, config, pixels, pairs)
    for line, left, right, label, expected in zip(
        lines[1:], pairs.left, pairs.right, pairs.label, odds, strict=True
    ):
        paths = [data.names[left], data.names[right]]
        assert line.split(",") == [*paths, str(1 - label), repr(float(expected))]


def test_thresholds_for_false_accepts_come_from_that_protocols_validation_pairs(
    config: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    trained(config, data, tmp_path)
    rates, pixels = (0.1, 1e-3), data.pixels(config.packing)
    assert "at_far" not in protocols.test("0001", config, data, tmp_path)
    for protocol in (None, "frontal-triplets"):
        figures = protocols.test("0001", config, data, tmp_path, protocol, rates)
        net, _, _ = load_model(tmp_path / "weights.pt")
        val, test = (data.pairs(protocol or "cfp-pairs", part) for part in ("val", "test"))
        if protocol:
            protocols.calibrate(net, config, pixels, val)
        scores = [log_odds(net, config, pixels, pairs) for pairs in (val, test)]
        for row, rate in zip(figures["at_far"], rates, strict=True):
            different = np.sort(scores[0][val.label == 1])
            expected = different[-1 - int(rate * len(different))]
            assert (row["asked"], row["threshold"]) == (rate, expected)
            for label, name in ((1, "test_far"), (0, "test_tar")):
                assert row[name]["value"] == (scores[1][test.label == label] > expected).mean()
                pairs = data.distinct(test)[test.label == label]
                assert row[name]["n"] == len(np.unique(pairs))
            assert row["val_far"]["value"] <= rate
        suffix = f"-{protocol}" if protocol else ""
        assert json.loads((tmp_path / f"test{suffix}.json").read_text()) == figures


def test_weights_that_are_not_of_this_training_are_not_tested(
    config: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    file, weights = tmp_path / "weights.pt", build(config).state_dict()
    noted: dict[str, Any] = {"epoch": 0, "val_acc": 0.5}
    of_others = dataclasses.replace(config, lr=0.5, flip=True)
    for settings, info, said in (
        (config, {}, "does not say of which epoch its weights are"),
        (config, noted | {"epoch": "0"}, "does not say of which epoch its weights are"),
        (config, noted | {"val_acc": "high"}, "how these validated; remove it to have it trained"),
        (of_others, noted, r"weights.pt: its weights are of other settings \(lr, flip\); remove"),
    ):
        save_model(file, weights, settings, **info)
        with pytest.raises(WeightsError, match=said):
            protocols.test("0001", config, data, tmp_path)
        with pytest.raises(WeightsError, match=said):
            ten_fold._test_fold([(config, tmp_path)], data, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["weights.pt"]
    save_model(file, weights, dataclasses.replace(config, precision="auto"), **noted)
    assert protocols.test("0001", config, data, tmp_path)["epoch"] == 0


def test_an_ensemble_is_the_mean_of_its_nets_log_odds(
    config: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    nets = {"0001": config, "0002": dataclasses.replace(config, seed=1, image_size=96)}
    for name, one in nets.items():
        trained(one, data, tmp_path / name)
    files = {name: tmp_path / name / "weights.pt" for name in nets}
    for protocol in ("cfp-pairs", "frontal-triplets"):
        figures = ensemble.ensemble("both", files, data, tmp_path / "both", protocol, (0.25,))
        val, test = (data.pairs(protocol, part) for part in ("val", "test"))
        odds = {}
        for name, one in nets.items():
            net, _, _ = load_model(files[name])
            protocols.calibrate(net, one, data.pixels(SQUEEZE), val)
            for part in (val, test):
                odds[name, part is test] = log_odds(net, one, data.pixels(SQUEEZE), part)
        mean = {part: (odds["0001", part] + odds["0002", part]) / 2 for part in (False, True)}
        threshold, slope = calibration(mean[False], val.label)
        right = (mean[True] > threshold) == (test.label == 0)
        assert figures["accuracy"]["value"] == right.mean()
        assert figures["threshold"] == "validation pairs"
        assert figures["val_acc"] == ((mean[False] > threshold) == (val.label == 0)).mean()
        assert figures == json.loads((tmp_path / "both" / f"test-{protocol}.json").read_text())
        lines = (tmp_path / "both" / f"scores-{protocol}.csv").read_text().splitlines()[1:]
        (row,) = figures["at_far"]
        strangers = np.sort(slope * (mean[False] - threshold)[val.label == 1])
        assert row["threshold"] == pytest.approx(strangers[-1 - len(strangers) // 4], abs=5e-6)
        assert row["test_tar"]["n"] == len(np.unique(data.distinct(test)[test.label == 0]))
        expected = slope * (mean[True] - threshold)
        assert [float(line.split(",")[3]) for line in lines] == pytest.approx(expected, abs=5e-6)
    # Of other pairs each net has another threshold: one net's verdict is then that of a test.
    for protocol in ("cfp-pairs", "frontal-triplets"):
        alone = ensemble.ensemble("one", {"0001": files["0001"]}, data, tmp_path / "one", protocol)
        tested = protocols.test("0001", config, data, tmp_path / "0001", protocol)
        for name in ("accuracy", "auc"):
            assert alone[name]["value"] == pytest.approx(tested[name]["value"], abs=1e-9)
    both = {"0001": files["0001"], "0002": files["0002"]}
    kept = tmp_path / "one" / "test-frontal-triplets.json"
    ensemble.ensemble("one", both, data, tmp_path / "one", "cfp-pairs")
    assert not kept.exists()  # of other members


@pytest.mark.parametrize("calibrated", [False, True])
def test_one_net_has_one_figure_whichever_command_tests_it(
    tiny: TrialConfig, data: FaceData, tmp_path: Path, calibrated: bool
) -> None:
    """Of a decision net on its own pairs, at the threshold that ranked it."""
    one = dataclasses.replace(tiny, calibrate=calibrated, lr=3e-4, people=8)
    trained(one, data, tmp_path / "alone")
    files = {"0001": tmp_path / "alone" / "weights.pt"}
    tested = protocols.test("0001", one, data, tmp_path / "alone")
    alone = ensemble.ensemble("ensemble-1", files, data, tmp_path / "ensemble")
    origin = "validation pairs" if calibrated else "equal logits"
    assert (tested["threshold"], alone["threshold"]) == (origin, origin)
    _, _, info = load_model(files["0001"])
    assert alone["val_acc"] == tested["val_acc"] == info["val_acc"]
    assert all(alone[name] == tested[name] for name in METRICS)
    scores = [tmp_path / "alone" / "scores.csv", tmp_path / "ensemble"]
    scores[1] /= f"scores-{one.protocol}.csv"
    assert scores[0].read_bytes() == scores[1].read_bytes()
    net, _, _ = load_model(files["0001"])
    odds = log_odds(net, one, data.pixels(one.packing), data.pairs_of(one, "val"))
    centre, _ = calibration(odds, data.pairs_of(one, "val").label)
    best = ((odds > centre) == (data.pairs_of(one, "val").label == 0)).mean()
    assert (best > info["val_acc"]) != calibrated  # another threshold gives another figure


def test_an_ensemble_of_nets_that_mean_other_pairs_is_refused(
    config: TrialConfig, data: FaceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seed in (("0001", 0), ("0002", 1)):
        one = dataclasses.replace(config, protocol="frontal-triplets", pair_seed=seed)
        trained(one, data, tmp_path / name)
    files = {name: tmp_path / name / "weights.pt" for name in ("0001", "0002")}
    with pytest.raises(DataError, match="0002 and 0001 are not tested on the same pairs"):
        ensemble.ensemble("both", files, data, tmp_path / "both")
    # None of its nets may know who is tested.
    monkeypatch.setattr(data, "pairs_of", lambda config, part: data.pairs(config.protocol, "test"))
    with pytest.raises(DataError, match="tests .* people that this trial was trained on"):
        ensemble.ensemble("one", {"0001": files["0001"]}, data, tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_a_threshold_is_where_the_given_pairs_are_judged_best(
    config: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    trained(config, data, tmp_path)
    net, _, _ = load_model(tmp_path / "weights.pt")
    pixels, val = data.pixels(SQUEEZE), data.pairs_of(config, "val")
    protocols.calibrate(net, config, pixels, val)
    same = predict(net, config, pixels, val)
    right = np.mean((same > 0.5) == (val.label == 0))
    assert right >= max(np.mean((same > cut) == (val.label == 0)) for cut in np.unique(same))


def test_somebody_who_was_trained_on_is_not_tested(data: FaceData) -> None:
    train, test = data.pairs("cfp-pairs", "train"), data.pairs("cfp-pairs", "test")
    leaks.refuse_leak(data, train, test, "x")
    mixed = Pairs(
        np.append(test.left, train.left[:1]),
        np.append(test.right, train.left[1:2]),
        np.append(test.label, 1),
        None,
    )
    with pytest.raises(DataError, match=r"x: tests \d people that this trial was trained on: \d"):
        leaks.refuse_leak(data, train, mixed, "x")


def test_a_copy_of_a_training_image_is_not_tested(
    data: FaceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = data.pairs("cfp-pairs", "train"), data.pairs("cfp-pairs", "test")
    content = data.content.copy()
    content[test.left[0]] = content[train.left[0]]
    monkeypatch.setattr(data, "content", content)
    with pytest.raises(DataError, match="1 test images are byte-identical to images of people"):
        leaks.refuse_leak(data, train, test, "x")


def test_ten_folds_train_ten_nets_and_are_not_trained_twice(
    config: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    asked: list[int] = []

    def train(one: TrialConfig, folder: Path) -> None:
        asked.append(one.fold)
        trained(one, data, folder)

    part = ten_fold.ten_folds("0001", config, data, tmp_path, train, (2, 9))
    assert asked == [2, 9] and part["folds"] == [2, 9]
    again = ten_fold.ten_folds("0001", config, data, tmp_path, train, (10,))
    assert asked == [2, 9, 10] and again["folds"] == [2, 9, 10]  # of both commands
    each = [json.loads((tmp_path / f"fold-{n:02d}/fold.json").read_text()) for n in (2, 9, 10)]
    for kind in KINDS:
        values = [100 * one[kind]["accuracy"]["value"] for one in each]
        assert 100 * again[kind]["accuracy"]["mean"] == pytest.approx(np.mean(values))
        assert 100 * again[kind]["accuracy"]["std"] == pytest.approx(np.std(values, ddof=1))
        assert set(again[kind]) == set(METRICS)
    assert json.loads((tmp_path / "folds.json").read_text()) == again
    text = ten_folds.folds(again)
    mean, std = (100 * again["FP"]["accuracy"][part] for part in ("mean", "std"))
    assert "trial 0001, n = 3 of 10 folds" in text and f"{mean:.1f} ± {std:.1f}" in text
    assert "84.9 ± 1.8" in text and "94.6 ± 1.1" in text


def test_figures_of_other_settings_weights_code_or_data_do_not_stand_for_a_fold(
    config: TrialConfig, data: FaceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def train(one: TrialConfig, folder: Path) -> None:
        asked.append(one.fold)
        trained(one, data, folder)

    said: list[str] = []
    ten_fold.ten_folds("0001", config, data, tmp_path, train, (2, 9, 10))
    other = dataclasses.replace(config, lr=2e-3)
    ten_fold.ten_folds("0001", other, data, tmp_path, train, (2,))
    assert asked == [2, 9, 10, 2]  # other settings: the old figures do not stand for it
    ten_fold.ten_folds(
        "0001", other, data, tmp_path, train, (2,), said.append, lambda settings: "other weights"
    )
    assert asked == [2, 9, 10, 2, 2] and "fold 2: once more, as settings, data" in said[0]
    for place, name, value in (
        (fingerprint, "trainer_version", lambda: "other"),
        (ten_fold, "tester_version", lambda: "other"),
        (data, "key", "x"),
    ):
        ten_fold.ten_folds("0001", config, data, tmp_path, train, (9,))
        before = asked.copy()
        with monkeypatch.context() as patch:
            patch.setattr(place, name, value)
            if name == "tester_version":
                patch.setattr(test_figures, name, value)  # which it notes
            ten_fold.ten_folds("0001", config, data, tmp_path, train, (9,))
        assert asked == [*before, 9]  # nor do those of other code or other data
    # where only the tests are others now, the net is there, and `train` has nothing to do


def test_the_mean_of_two_seeds_is_tested_on_each_fold_that_both_have_done(
    config: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    both = [dataclasses.replace(config, seed=seed) for seed in (0, 1)]
    for one, folds in zip(both, ((9, 10), (10,)), strict=True):
        ten_fold.ten_folds(
            "0001",
            one,
            data,
            tmp_path / f"seed-{one.seed}",
            lambda of_fold, folder: trained(of_fold, data, folder),
            folds,
        )
    found = ten_fold.folds_of_seeds("0001", both, data, tmp_path, fingerprint.keys(data.key, {}))
    assert (found["folds"], found["seeds"]) == ([10], [0, 1])
    assert json.loads((tmp_path / "seeds-0-1/folds.json").read_text())["folds"] == [10]
    pixels = data.pixels(SQUEEZE)
    for number, kind in enumerate(KINDS):
        odds = []
        for seed in (0, 1):
            net, one, _ = load_model(tmp_path / f"seed-{seed}/fold-10/weights.pt")
            of_val = protocols.calibrate(net, one, pixels, data.official(number, 1))
            odds.append([of_val, log_odds(net, one, pixels, data.official(number, 10))])
        of_val, of_test = ((a + b) / 2 for a, b in zip(*odds, strict=True))
        centre, _ = calibration(of_val, data.official(number, 1).label)
        right = np.mean((of_test > centre) == (data.official(number, 10).label == 0))
        assert found[kind]["accuracy"]["mean"] == pytest.approx(right)
        assert (tmp_path / f"seeds-0-1/fold-10/scores-{kind}.csv").exists()
    text = ten_folds.folds(found)
    assert "trial 0001, mean score of 2 seeds, n = 1 of 10 folds" in text
    assert "where most pairs of the split that validates" in text


def test_folds_that_are_being_trained_anew_leave_no_old_table(
    config: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    (tmp_path / "folds.json").write_text("{}")

    def train(one: TrialConfig, folder: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ten_fold.ten_folds("0001", config, data, tmp_path, train, (2,))
    assert not (tmp_path / "folds.json").exists()


def test_each_kind_of_a_fold_has_the_threshold_of_the_split_that_validates(
    config: TrialConfig, data: FaceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = dataclasses.replace(config, fold=10)
    trained(one, data, tmp_path)
    figures = ten_fold._test_fold([(one, tmp_path)], data, tmp_path)
    for number, kind in enumerate(KINDS):
        net, _, _ = load_model(tmp_path / "weights.pt")
        protocols.calibrate(net, one, data.pixels(SQUEEZE), data.official(number, 1))
        pairs = data.official(number, 10)
        same = predict(net, one, data.pixels(SQUEEZE), pairs)
        expected = np.mean((same > 0.5) == (pairs.label == 0))
        assert figures[kind]["accuracy"]["value"] == expected
    with monkeypatch.context() as patch:  # as if it had trained on split 10
        patch.setattr(data, "pairs_of", lambda config, part: data.pairs("cfp-pairs", part, fold=1))
        with pytest.raises(DataError, match="cfp-10fold, fold 10: tests .* people"):
            ten_fold._test_fold([(one, tmp_path)], data, tmp_path)
