"""What validation pairs can tell, and the metric that follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facesiam.data.dataset import FaceData, Pairs
from facesiam.errors import DataError
from search.resources import validation
from search.space import load
from search.space.file_dump import dump


class Data:
    """Data whose validation pairs have a share of the same person."""

    person = np.arange(1000) // 10

    def __init__(self, same: int, different: int) -> None:
        self.label = np.repeat([0, 1], [same, different])

    def pairs(self, protocol: str, part: str, **asked: Any) -> Pairs:
        assert part == "val"
        left = np.arange(len(self.label)) % 990
        return Pairs(left, left + self.label * 10, self.label, None)

    def distinct(self, pairs: Pairs) -> Any:
        return np.arange(len(pairs.label))


def space(folder: Path, more: str) -> Any:
    file = folder / "s.yaml"
    file.write_text(f"search: {{lr: [1e-4, 1e-3]}}\n{more}\n")
    return load(file)


@pytest.mark.parametrize(
    ("same", "different", "metric"),
    [(39, 61, "val_auc"), (40, 60, "val_acc"), (61, 39, "val_auc")],
)
def test_pairs_out_of_balance_are_ranked_by_auc(
    tmp_path: Path, same: int, different: int, metric: str
) -> None:
    data: Any = Data(same, different)
    found, said = validation.with_metric(space(tmp_path, "fixed: {protocol: dataset-pairs}"), data)
    assert (found.metric, found.mode) == (metric, "max")
    assert said.startswith(f"metric: val_auc, as {same} % of the") == (metric == "val_auc")
    assert f"{dump(found)}".count(f"metric: {metric}") == 1
    reason = f"{same} % of the validation pairs are of one person, and a net that always gives one"
    assert (reason in found.metric_reason) == (reason in said) == (metric == "val_auc")


def test_a_file_that_says_its_metric_and_balanced_protocols_keep_it(tmp_path: Path) -> None:
    data: Any = Data(1, 9)
    asked = space(tmp_path, "fixed: {protocol: dataset-pairs}\nmetric: val_acc")
    assert validation.with_metric(asked, data) == (asked, "")
    study = space(tmp_path, "fixed: {protocol: cfp-pairs}")
    assert validation.with_metric(study, data) == (study, "")


def test_the_precision_is_that_of_a_share_of_so_many_pairs(tmp_path: Path) -> None:
    data: Any = Data(390, 390)
    found = validation.precision(space(tmp_path, "fixed: {protocol: dataset-pairs}"), data)
    assert found == [
        "dataset-pairs: 780 validation pairs of 79 people: an accuracy of 90 % is good to "
        "±2.1 points with 95 %"
    ]


def test_a_protocol_that_no_drawn_example_has_is_told_of_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data: Any = Data(390, 390)
    both = space(tmp_path, "fixed: {protocol: dataset-pairs}")
    monkeypatch.setattr(type(both), "possible", lambda *_: ["dataset-pairs", "cfp-pairs"])
    assert [line.split(":")[0] for line in validation.precision(both, data)] == [
        "dataset-pairs",
        "cfp-pairs",
    ]


EMBEDS = "fixed: {join: cosine, loss: supcon, fpr: %s, fpr_pairs: %s}\n"
TPR = "metric: val_tpr_at_fpr\n"


def test_a_rate_is_at_most_what_the_pairs_of_two_people_can_tell(
    tmp_path: Path, data: FaceData
) -> None:
    few = space(tmp_path, TPR + EMBEDS % (0.04, "protocol"))
    with pytest.raises(DataError) as refused:
        validation.check_rate(few, data)
    assert str(refused.value) == (
        "fpr: 0.04 needs 25 validation pairs of two people, and frontal-triplets has 24; take "
        "0.042 or a higher rate, or every two of the validation images by fpr_pairs: images"
    )
    (said,) = validation.check_rate(space(tmp_path, TPR + EMBEDS % (0.04, "images")), data)
    assert said.startswith("frontal-triplets: val_tpr_at_fpr is the true accepts at 4 % false")
    assert "60 pairs of one person and 216 of two, of 4 people" in said
    assert not validation.check_rate(space(tmp_path, EMBEDS % (0.04, "protocol")), data)


def test_pairs_that_are_taken_are_not_named_as_a_way_out(tmp_path: Path, data: FaceData) -> None:
    for pairs, end in (
        (
            "images",
            " or a higher rate, or every two of all images of the validation people by "
            "fpr_pairs: people",
        ),
        ("people", " or a higher rate"),
    ):
        with pytest.raises(DataError) as refused:
            validation.check_rate(space(tmp_path, TPR + EMBEDS % (1e-6, pairs)), data)
        first, lowest = str(refused.value).removesuffix(end).split("; take ")
        assert str(refused.value).endswith(end)
        assert f"and frontal-triplets with fpr_pairs: {pairs} has" in first
        # The rate that is named can be measured, and is the lowest to two digits.
        (said,) = validation.check_rate(space(tmp_path, TPR + EMBEDS % (lowest, pairs)), data)
        different = int(first.rsplit(maxsplit=1)[1].replace(",", ""))
        assert f" and {different:,} of two" in said
        assert 1 / different <= float(lowest) < 1.1 / different
    # The protocol's images are all that its people have, and a decision net has its pairs alone.
    for more in (
        "fixed: {protocol: cfp-pairs, join: cosine, loss: logistic, fpr: 1e-6, fpr_pairs: images}",
        "fixed: {protocol: cfp-pairs, fpr: 1e-6}",
    ):
        with pytest.raises(DataError) as refused:
            validation.check_rate(space(tmp_path, f"{TPR}{more}\n"), data)
        assert str(refused.value).endswith(" or a higher rate")


def test_a_cohort_of_more_people_than_train_is_told(tmp_path: Path, data: FaceData) -> None:
    asked = "fixed: {join: cosine, loss: supcon, cohort: %s}\n"
    assert validation.check_cohort(space(tmp_path, asked % 13), data) == [
        "cohort: 13 is more than the 12 people who train in frontal-triplets; all of them count, "
        "as with cohort: 12"
    ]
    assert not validation.check_cohort(space(tmp_path, asked % 12), data)
    assert not validation.check_cohort(space(tmp_path, asked % 0), data)
