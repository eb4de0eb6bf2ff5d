"""The folds of people."""

from __future__ import annotations

import numpy as np

from facesiam.data.split import FOLDS, deal, folds_of


def test_a_fold_is_the_name_s_own_and_further_people_do_not_move_it() -> None:
    names = [f"person {n}" for n in range(4000)]
    fold = deal(names)
    assert (deal(names[::2]) == fold[::2]).all()
    assert (deal(names[:60]) == fold[:60]).all()
    assert fold[:8].tolist() == [2, 5, 6, 4, 10, 4, 2, 1]  # frozen: other values break old runs
    share = np.bincount(fold, minlength=11)[1:] / 4000
    assert abs(share - 0.1).max() < 0.02


def test_few_people_are_dealt_out_so_that_no_part_is_empty() -> None:
    for count in range(3, 50):
        fold = deal([f"person {n}" for n in range(count)])
        sizes = [np.isin(fold, FOLDS[part]).sum() for part in ("train", "val", "test")]
        assert min(sizes) >= 1 and abs(sizes[0] - 0.6 * count) < 1


def test_a_part_of_its_own_stays_in_its_folds() -> None:
    assert set(deal([f"{n}" for n in range(99)], "val").tolist()) == {7, 8}
    assert folds_of("test", 10) == (10,) and folds_of("val", 10) == (1,)
    assert folds_of("train", 3) == (1, 2, 5, 6, 7, 8, 9, 10)
