"""Tables as text that fits a terminal."""

from __future__ import annotations

from search.analysis.formatting import stacked

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
