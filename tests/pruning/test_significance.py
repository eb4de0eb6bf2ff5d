"""What guessing and noise do to a measure, against exact counts and closed forms."""

from __future__ import annotations

import math
import random

import pytest

from facesiam.evaluation.metrics import wilson
from search.pruning import significance


def exact_tail(each: int, area: float) -> float:
    """P(area under the curve >= area) of scores in random order: Mann and Whitney's own count.

    The number of orders with U = u is that of partitions of u into at most `each` parts of at most
    `each`.
    """
    ways = [[0] * (each * each + 1) for _ in range(each + 1)]  # by parts used, by sum
    ways[0][0] = 1
    for part in range(1, each + 1):
        for used in range(1, each + 1):
            for total in range(part, each * each + 1):
                ways[used][total] += ways[used - 1][total - part]
    counts = [sum(row[total] for row in ways) for total in range(each * each + 1)]
    least = math.ceil(area * each * each - 1e-9)
    return sum(counts[least:]) / math.comb(2 * each, each)


@pytest.mark.parametrize("each", [10, 20, 30])
@pytest.mark.parametrize("level", [0.01, 1e-4])
def test_guessing_does_not_get_beyond_the_edge_of_the_area(each: int, level: float) -> None:
    edge = significance.critical_auc_deviation(2 * each, 60, level)
    assert exact_tail(each, 0.5 + edge) <= level / 120
    if edge < 0.5:  # so few pairs that no order of them is as unlikely
        assert exact_tail(each, 0.5 + 0.8 * edge) > level / 120


def test_the_edge_of_2000_pairs_is_worked_out_by_hand() -> None:
    """sqrt(2001 / (12 x 1000²)) = 0.012913; 4.79 of them for 0.0001 / 120 a tail."""
    assert significance.critical_auc_deviation(2000, 60, 1e-4) == pytest.approx(
        4.7907 * 0.0129132, rel=2e-3
    )


def test_guessing_does_not_gain_more_than_the_edge_of_the_loss() -> None:
    """(ln(60 / 0.0001) + ln(sqrt(1000 pi))) / 2000 = (13.3047 + 4.0262) / 2000."""
    assert significance.critical_loss_gain(2000, 60, 1e-4) == pytest.approx(0.0086655, abs=1e-6)
    rng = random.Random(0)
    pairs, level, over = 100, 0.2, 0
    for _ in range(2000):  # answers of any certainty, the best of them for luck among the tried
        labels = [1, -1] * (pairs // 2)
        rng.shuffle(labels)
        sure = rng.choice([0.05, 0.1, 0.2, 0.4])
        gain = (
            sum(
                math.log(2 / (1 + math.exp(-sure * label * rng.choice((1, -1)))))
                for label in labels
            )
            / pairs
        )
        over += gain >= significance.critical_loss_gain(pairs, 1, level)
    assert over / 2000 <= level


def test_standard_errors() -> None:
    """Hanley and McNeil (1982), table II: an area of 0.893 of 51 and 58 images has 0.032; of 54.5
    each by their formula sqrt((0.0956 + 53.5 (0.0093 + 0.0450)) / 2970) = 0.0317."""
    assert significance.standard_error("val_acc", 0.8, 2000) == pytest.approx(0.0089443, abs=1e-6)
    assert significance.standard_error("val_auc", 0.893, 109) == pytest.approx(0.0317, abs=5e-4)
    assert significance.standard_error("val_auc", 1.0, 2000) == 0
    for metric in ("val_loss", "train_acc", "train_loss"):
        assert significance.standard_error(metric, 0.8, 2000) == 0
    assert significance.standard_error("val_acc", 0.8, 0) == 0


def test_intervals() -> None:
    assert significance.interval("val_acc", 0.8, 2000) == wilson(1600, 2000)
    low, high = significance.interval("val_auc", 0.893, 109)
    assert (low, high) == (pytest.approx(0.831, abs=1e-3), pytest.approx(0.955, abs=1e-3))
    assert significance.interval("val_auc", 0.999, 20)[1] == 1
