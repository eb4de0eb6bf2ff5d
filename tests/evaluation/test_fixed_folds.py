"""Ten folds of a net that is not trained again: nine choose the threshold of the tenth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_datasets
import torch
from builders import SQUEEZE

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.data.formats import open_dataset
from facesiam.data.preparation import prepare
from facesiam.errors import DataError
from facesiam.evaluation import fixed_folds as module
from facesiam.evaluation.fixed_folds import fixed_folds
from facesiam.nets.siamese import build


@pytest.fixture
def config(tiny: TrialConfig) -> TrialConfig:
    """A net on the listed pairs."""
    return TrialConfig.from_dict({**tiny.to_dict(), "protocol": "dataset-pairs"})


@pytest.fixture(scope="module")
def listed(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> list[FaceData]:
    """The pairs of the drawn faces, fold by fold: as a table, and as a .bin."""
    folder = tmp_path_factory.mktemp("listed")
    cfp = open_dataset(faces)
    pairs = cfp.read().pairs
    pairs = pairs[np.argsort(pairs[:, 1], kind="stable")]
    files = [
        tiny_datasets.pair_csv(cfp, folder / "csv", pairs=pairs),
        tiny_datasets.bin_file(cfp, folder / "x.bin", pairs),
    ]
    cache = folder / "cache"
    return [prepare(str(file), [SQUEEZE], cache=cache, progress=False) for file in files]


def test_a_bin_and_a_table_of_the_same_pairs_have_the_same_figures(
    listed: list[FaceData], config: TrialConfig
) -> None:
    net = build(config).eval()
    table, pickled = (fixed_folds(net, config, data) for data in listed)
    differ = {"data", "notes"}
    assert {k: v for k, v in table.items() if k not in differ} == {
        k: v for k, v in pickled.items() if k not in differ
    }
    assert 0.3 < table["accuracy"]["mean"] < 1 and table["accuracy"]["std"] > 0
    assert table["data"] != pickled["data"] and "is not known" in pickled["notes"][0]


def test_nine_folds_choose_what_the_tenth_is_judged_by(
    listed: list[FaceData], config: TrialConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = listed[0]
    every = [data.official(0, number) for number in range(1, 11)]
    label = np.concatenate([pairs.label for pairs in every])
    fold = np.repeat(np.arange(1, 11), [len(pairs.label) for pairs in every])
    score = np.random.default_rng(0).normal(size=len(label)) + (label == 0) + (fold == 3)
    logits = torch.from_numpy(np.stack([score, np.zeros_like(score)], axis=1))
    monkeypatch.setattr(module, "logits_of", lambda *_: logits)
    figures = fixed_folds(build(config), config, data)
    shares = []
    for number in range(1, 11):
        mine = fold == number
        best = max(
            np.mean((score[~mine] > at) == (label[~mine] == 0)) for at in score[~mine] - 1e-9
        )
        found: dict[str, Any] = figures["folds"][number - 1]
        assert np.mean((score[~mine] > found["threshold"]) == (label[~mine] == 0)) == best
        right = (score[mine] > found["threshold"]) == (label[mine] == 0)
        assert found["accuracy"] == right.mean() and found["pairs"] == mine.sum()
        bar = np.sort(score[~mine & (label == 1)])[-1]  # there are fewer than 1,000
        assert found["fpr_1e-3"] == np.mean(score[mine & (label == 1)] > bar)
        assert found["tpr_at_fpr_1e-3"] == np.mean(score[mine & (label == 0)] > bar)
        shares.append(right.mean())
    assert figures["accuracy"]["mean"] == pytest.approx(np.mean(shares), abs=1e-12)
    assert figures["accuracy"]["std"] == pytest.approx(np.std(shares, ddof=1), abs=1e-12)
    assert figures["accuracy"]["n"] == 10 and figures["pairs"] == len(label)


def test_what_has_no_ten_folds_is_refused(
    listed: list[FaceData], config: TrialConfig, tmp_path: Path
) -> None:
    net = build(config)
    with pytest.raises(DataError, match="the net was trained on people of this data"):
        fixed_folds(net, config, listed[0], trained_on=listed[0].key)
    drawn = tiny_datasets.folders(tmp_path / "people")
    data = prepare(str(drawn), [], cache=tmp_path / "cache", progress=False)
    with pytest.raises(DataError, match="people: lists no pairs; ten folds need LFW's pairs.txt"):
        fixed_folds(net, config, data)
    rows = (Path(listed[0].source)).read_text().splitlines()
    kept = [row for row in rows if row.split(",")[2:4] != ["0", "4"]]
    (Path(listed[0].source).parent / "pairs.csv").write_text("\n".join(kept) + "\n")
    data = prepare(listed[0].source, [], cache=tmp_path / "cache", progress=False)
    with pytest.raises(DataError, match="pairs.csv: fold 4 has no pair of two people"):
        fixed_folds(net, config, data)
