"""Thresholds on every two images of validation people, and the rates of test people at them."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any, cast

import builders
import numpy as np
import pytest
import torch
from scipy.stats import binom
from torch import Tensor

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.errors import DataError
from facesiam.evaluation import ensemble, people_bootstrap, people_rates, protocols, scored_pairs
from facesiam.evaluation.calibration import calibration
from facesiam.evaluation.metrics import wilson
from facesiam.evaluation.people_rates import PeoplePairs, at_far_of_people
from facesiam.evaluation.predict import log_odds
from facesiam.evaluation.rated_pairs import RatedPairs
from facesiam.evaluation.thresholds import threshold_at
from facesiam.export import measured
from facesiam.nets.checkpoint import load_model, save_model
from facesiam.nets.siamese import build

EMBEDS: dict[str, Any] = {"join": "cosine", "loss": "logistic", "embedding": 8}


@pytest.fixture
def embeds(tiny: TrialConfig) -> TrialConfig:
    """Settings of a net of embeddings that is judged on every two images at 5 %."""
    return dataclasses.replace(tiny, **EMBEDS, fpr_pairs="people", fpr=0.05)


def of_vectors(config: TrialConfig, data: FaceData, part: Any, seed: int) -> PeoplePairs:
    """The pairs of a part, scored by the cosines of a vector for each image."""
    pairs = RatedPairs(config, data, part)
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(pairs.people, 8))[pairs.person]
    found = torch.from_numpy(own + rng.normal(size=own.shape))
    found /= found.norm(dim=1, keepdim=True)
    return PeoplePairs(pairs, lambda at: found[at] @ found.T, found.device)


def listed(part: PeoplePairs) -> tuple[np.ndarray, np.ndarray]:
    """The scores of every two images, (P,), and their people, (P, 2), by a double loop."""
    images = len(part.pairs.images)
    every = part.rows(torch.arange(images)).numpy()
    ends = list(itertools.combinations(range(images), 2))
    return np.array([every[a, b] for a, b in ends]), part.pairs.person[np.array(ends)]


@pytest.mark.parametrize("cells", [4_000_000, 97])
def test_thresholds_and_rates_are_those_of_a_double_loop(
    embeds: TrialConfig, data: FaceData, monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    for module in (scored_pairs, people_bootstrap, people_rates):
        monkeypatch.setattr(module, "CELLS", cells)
    parts = {part: of_vectors(embeds, data, part, n) for n, part in enumerate(people_rates.PARTS)}
    scores, people = listed(parts["val"])
    tested, of_test = listed(parts["test"])
    label, test_label = (ends[:, 0] != ends[:, 1] for ends in (people, of_test))
    rows = at_far_of_people(parts, (0.3, 0.05, 1e-3), "people")
    for row, far in zip(rows, (0.3, 0.05, 1e-3), strict=True):
        expected = threshold_at(scores, label.astype(int), far)
        assert (row["asked"], row["different"]) == (far, label.sum())
        assert row["threshold"] == pytest.approx(expected, abs=1e-12)
        assert row["val_far"]["value"] == pytest.approx((scores[label] > expected).mean())
        assert row["val_far"]["value"] <= far
        assert row["val_tar"]["value"] == pytest.approx((scores[~label] > expected).mean())
        for name, kind in (("test_far", test_label), ("test_tar", ~test_label)):
            assert row[name]["value"] == pytest.approx((tested[kind] > expected).mean())
            assert row[name]["n"] == kind.sum()
        assert row["people"] == [4, 4] and row["fpr_pairs"] == "people"


def test_an_interval_is_of_resamples_that_draw_people(
    embeds: TrialConfig, data: FaceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people_rates, "FEW", 0)  # there are 4 people
    part = of_vectors(embeds, data, "test", 1)
    scores, people = listed(part)
    threshold = float(np.quantile(scores, 0.8))
    meter = people_rates._Rates(part.pairs)
    scored = scored_pairs.every_two(*part, kept=part.pairs.different, above=threshold)
    assert len(scored.different) < part.pairs.different
    found = meter.at(scored, threshold)
    for rate, same in zip(found, (False, True), strict=True):
        mine = (people[:, 0] == people[:, 1]) == same
        drawn = []
        for times in meter.people.times[1:]:
            one, other = times[people[mine]].T
            weight = one if same else one * other
            if weight.sum():
                drawn.append((weight * (scores[mine] > threshold)).sum() / weight.sum())
        low, high = np.percentile(drawn, [2.5, 97.5])
        assert (rate["low"], rate["high"]) == (pytest.approx(low), pytest.approx(high))
        assert low < rate["value"] < high


def test_where_no_pair_is_accepted_people_are_counted_and_not_their_pairs(
    embeds: TrialConfig, data: FaceData
) -> None:
    part = of_vectors(embeds, data, "test", 1)
    for threshold, value in ((2.0, 0.0), (-2.0, 1.0)):
        scored = scored_pairs.every_two(*part, kept=part.pairs.different, above=threshold)
        far, tar = people_rates._Rates(part.pairs).at(scored, threshold)
        for rate, units in ((far, 6), (tar, 4)):  # 4 people, who make 6 pairs of two
            assert rate["value"] == value
            assert (rate["low"], rate["high"]) == wilson(round(value * units), units)


def saved(config: TrialConfig, folder: Path) -> Path:
    """Weights of a net of these settings, as a training leaves them."""
    folder.mkdir(exist_ok=True)
    net = build(config, people=5)
    if config.cohort:
        net.cohort.copy_(torch.randn(5, 8, generator=torch.Generator().manual_seed(2)))
    net.calibrate(0.4, 7.0)
    save_model(folder / "weights.pt", net.state_dict(), config, epoch=0, val_acc=0.5)
    return folder / "weights.pt"


@pytest.mark.parametrize("protocol", [None, "cfp-pairs"])
def test_a_test_is_at_the_rate_of_its_search_and_on_its_kind_of_pairs(
    embeds: TrialConfig, data: FaceData, tmp_path: Path, protocol: str | None
) -> None:
    saved(embeds, tmp_path)
    figures = protocols.test("0001", embeds, data, tmp_path, protocol)
    (row,) = figures["at_far"]
    assert row["asked"] == 0.05 and row["people"] == [4, 4] and row["fpr_pairs"] == "people"
    # 4 people of 6 frontal images and 2 of the side
    assert (row["test_tar"]["n"], row["test_far"]["n"]) == (4 * 28, 6 * 64)
    net, _, _ = load_model(tmp_path / "weights.pt")
    if protocol:
        val = protocols.pairs_of(data, embeds, protocol, "val")
        protocols.calibrate(net, embeds, data.pixels(embeds.packing), val)
    odds = people_rates.people_pairs(net, embeds, data, "val", protocol)
    scores, people = listed(odds)
    label = (people[:, 0] != people[:, 1]).astype(int)
    assert row["threshold"] == pytest.approx(threshold_at(scores, label, 0.05))
    name = f"test-{protocol}.json" if protocol else "test.json"
    assert json.loads((tmp_path / name).read_text()) == figures
    asked = protocols.test("0001", embeds, data, tmp_path, protocol, (0.3, 0.1))["at_far"]
    assert [row["asked"] for row in asked] == [0.3, 0.1, 0.05]


@pytest.mark.parametrize("cells", [4_000_000, 97])
@pytest.mark.parametrize(("join", "cohort"), [("cosine", 0), ("distance", 0), ("cosine", 3)])
def test_log_odds_of_every_two_are_those_of_listed_pairs(
    embeds: TrialConfig, data: FaceData, tmp_path: Path, join: str, cohort: int, cells: int
) -> None:
    embeds = dataclasses.replace(embeds, join=cast(Any, join), cohort=cohort)
    net, _, _ = load_model(saved(embeds, tmp_path))
    val = data.pairs_of(embeds, "val")
    expected = log_odds(net, embeds, data.pixels(embeds.packing), val)
    for odds, wanted in ((True, expected), (False, expected / 7 + 0.4)):
        every = people_rates.people_pairs(net, embeds, data, "val", odds=odds)
        at = [np.searchsorted(every.pairs.images, side) for side in (val.left, val.right)]
        some = torch.arange(len(every.pairs.images)).split(
            max(1, cells // len(every.pairs.images))
        )
        found = torch.cat([every.rows(part) for part in some])[at[0], at[1]]
        assert found.numpy() == pytest.approx(wanted, abs=1e-4)


def test_an_ensemble_scores_every_two_by_the_mean_of_its_nets(
    embeds: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    nets = {"0001": embeds, "0002": dataclasses.replace(embeds, seed=1)}
    files = {name: saved(config, tmp_path / name) for name, config in nets.items()}
    found = ensemble.ensemble("both", files, data, tmp_path / "both", None, (0.1, 0.05))["at_far"]
    mine = protocols.test("0001", embeds, data, tmp_path / "0001", far=(0.1,))["at_far"]
    alone = {"0001": files["0001"]}
    assert ensemble.ensemble("one", alone, data, tmp_path / "one", None, (0.1,))["at_far"] == mine
    # What the mean of two scores is, less its own centre and times its slope, orders the pairs.
    means = [
        people_rates.people_pairs(load_model(file)[0], nets[name], data, "val")
        for name, file in files.items()
    ]
    scores, people = listed(people_rates.mean_of(means, 0.0, 1.0))
    label = people[:, 0] != people[:, 1]
    expected = threshold_at(scores, label.astype(int), 0.1)
    tar = (scores[~label] > expected).mean()
    assert found[0]["val_tar"]["value"] == pytest.approx(tar) != mine[0]["val_tar"]["value"]
    val = protocols.pairs_of(data, embeds, None, "val")
    pixels = data.pixels(embeds.packing)
    odds = [log_odds(load_model(file)[0], nets[name], pixels, val) for name, file in files.items()]
    centre, slope = calibration(np.mean(odds, axis=0), val.label)
    assert found[0]["threshold"] == pytest.approx((expected - centre) * slope, rel=1e-4)
    # Nets that were searched on other pairs have those of the protocol in common.
    mixed = dataclasses.replace(embeds, fpr_pairs="images", seed=1)
    files["0002"] = saved(mixed, tmp_path / "0003")
    (row,) = ensemble.ensemble("mixed", files, data, tmp_path / "mixed", None, (0.1,))["at_far"]
    assert "fpr_pairs" not in row and row["different"] == 24


def test_an_export_has_the_rate_of_the_search_and_thresholds_of_scores(
    embeds: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    net, _, _ = load_model(saved(embeds, tmp_path), torch.float32)
    rows = measured.measure(net, embeds, data).thresholds
    assert [row["asked"] for row in rows] == [0.1, 0.05, 0.01, 0.001]
    figures = protocols.test("0001", embeds, data, tmp_path)["at_far"]
    assert rows[1]["threshold"] == pytest.approx(figures[0]["threshold"] / 7 + 0.4, abs=1e-6)
    assert all(row["people"] == [4, 4] for row in rows)


def test_a_copy_of_a_picture_that_trains_is_refused_where_only_these_pairs_have_it(
    embeds: TrialConfig, data: FaceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frontal = dataclasses.replace(embeds, protocol="frontal-triplets")
    file = saved(frontal, tmp_path)
    train, test = (data.pairs_of(frontal, part) for part in ("train", "test"))
    side = np.setdiff1d(data.images_of(test, "all"), data.images_of(test, "protocol"))
    content = data.content.copy()
    content[side[0]] = content[train.left[0]]
    monkeypatch.setattr(data, "content", content)
    said = "1 test images are byte-identical to images of people"
    with pytest.raises(DataError, match=said):
        protocols.test("0001", frontal, data, tmp_path)
    with pytest.raises(DataError, match=said):
        ensemble.ensemble("one", {"0001": file}, data, tmp_path / "one")
    with pytest.raises(DataError, match=said):
        measured.measure(load_model(file, torch.float32)[0], frontal, data)


def test_embeddings_that_are_no_numbers_are_refused(
    embeds: TrialConfig, data: FaceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, _, _ = load_model(saved(embeds, tmp_path))

    def broken(*given: Any) -> Tensor:
        return torch.full((len(cast(Any, given[2])), 8), torch.nan)

    monkeypatch.setattr(people_rates, "described", broken)
    with pytest.raises(DataError, match="the net's embeddings of the test images are not all"):
        people_rates.people_pairs(net, embeds, data, "test")


def drawn_people(images: list[int]) -> RatedPairs:
    """Every two images of people who have so many each."""
    config = TrialConfig(join="cosine", loss="logistic", fpr_pairs="images")
    return RatedPairs(config, builders.drawn_people(images))


def scored_as(
    pairs: RatedPairs, right: np.ndarray, one: list[int], other: list[int]
) -> scored_pairs.ScoredPairs:
    """Same pairs with these scores, and accepted pairs of two of these people."""
    ends = np.array(one, np.int64), np.array(other, np.int64)
    whose = np.repeat(np.arange(pairs.people), pairs.same_of_each)
    return scored_pairs.ScoredPairs(right.astype(float), whose, np.ones(len(one)), *ends)


def test_people_without_a_pair_are_no_evidence_and_few_errors_say_no_less_than_none() -> None:
    pairs = drawn_people([3] * 20 + [1] * 80)
    meter = people_rates._Rates(pairs)
    none, all_right = meter.at(scored_as(pairs, np.ones(60), [], []), 0.5)
    assert all_right["low"] == wilson(20, 20)[0] and none["high"] == wilson(0, 4950)[1]
    highs = [none["high"]]
    for errors in range(1, 9):
        wrong = scored_as(pairs, np.ones(60), list(range(errors)), [99] * errors)
        highs.append(meter.at(wrong, 0.5)[0]["high"])
    assert highs == sorted(highs) and highs[0] < highs[1]
    missed = [all_right["low"]]
    for people in range(1, 9):
        right = np.ones(60)
        right[: 3 * people : 3] = 0
        missed.append(meter.at(scored_as(pairs, right, [], []), 0.5)[1]["low"])
    assert missed == sorted(missed, reverse=True)


def test_intervals_hold_the_truth_where_wilsons_of_the_pairs_does_not() -> None:
    """60 people of 45 pairs each, half of whom are easy to accept, are drawn 100 times."""
    rng, pairs = np.random.default_rng(0), drawn_people([10] * 60)
    meter, held, wilsons = people_rates._Rates(pairs), 0, 0
    for _ in range(100):
        chance = np.where(rng.random(60) < 0.5, 0.9, 0.5)
        right = (rng.random((60, 45)) < chance[:, None]).reshape(-1)
        rate = meter.at(scored_as(pairs, right, [], []), 0.5)[1]
        held += rate["low"] <= 0.7 <= rate["high"]
        low, high = wilson(int(right.sum()), len(right))
        wilsons += low <= 0.7 <= high
    assert wilsons < 70 < binom.ppf(0.001, 100, 0.93) <= held


def test_counts_are_of_the_part_that_they_are_named_after() -> None:
    parts = {}
    for part, images in zip(people_rates.PARTS, ([3] * 5, [2] * 7), strict=True):
        pairs = drawn_people(images)
        vectors = torch.eye(len(pairs.images))
        parts[part] = PeoplePairs(pairs, lambda at, v=vectors: v[at] @ v.T, vectors.device)
    (row,) = at_far_of_people(parts, [0.1], "images")
    assert row["people"] == [5, 7] and row["different"] == row["val_far"]["n"] == 10 * 9
    assert (row["val_tar"]["n"], row["test_far"]["n"], row["test_tar"]["n"]) == (15, 21 * 4, 7)
