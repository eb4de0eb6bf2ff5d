"""Tables as text that fits a terminal."""

from __future__ import annotations

import math

from search.analysis.formatting import interval, stacked, valued

HEADERS, LEFT = ["net", "accuracy,\n%", "pairs", "said"], [True, False, False, True]
CELLS = [["alexnet", "81.4", "2,000", "judge by AUC"], ["vgg16_bn", "9.0", "20", "–"]]


def test_a_table_that_fits_is_one() -> None:
    assert stacked(HEADERS, CELLS, LEFT, width=40).split("\n") == [
        "          accuracy,",
        "net               %  pairs  said",
        "alexnet        81.4  2,000  judge by AUC",
        "vgg16_bn        9.0     20  –",
    ]


def test_a_wide_table_is_several_each_with_its_first_column() -> None:
    assert stacked(HEADERS, CELLS, LEFT, width=39).split("\n") == [
        "          accuracy,",
        "net               %  pairs",
        "alexnet        81.4  2,000",
        "vgg16_bn        9.0     20",
        "",
        "net       said",
        "alexnet   judge by AUC",
        "vgg16_bn  –",
    ]


def test_a_column_that_is_wider_than_a_line_folds() -> None:
    text = stacked(["net", "said"], [["alexnet", "one two three four"]], [True, True], width=19)
    assert text.split("\n") == ["net      said", "alexnet  one two", "         three four"]


def test_a_share_without_ends_is_written_alone() -> None:
    assert interval(0.814, 0.797, 0.831) == "81.4 [79.7, 83.1]"
    assert interval(math.nan, 0.1, 0.2) == "–"
    row = {"val_tpr_at_fpr": 0.6, "val_tpr_at_fpr_low": math.nan, "val_tpr_at_fpr_high": math.nan}
    assert valued(row, "val_tpr_at_fpr") == "60.0"
