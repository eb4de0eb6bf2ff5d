"""A CSV of pairs, broken."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import tiny_cfp
import tiny_datasets

from facesiam.data.formats import open_dataset
from facesiam.data.split import PART_OF

from .cases import Cases

Row = dict[str, str]


def _table(root: Path) -> Path:
    cfp = open_dataset(tiny_cfp.write(root.parent / "cfp"))
    return tiny_datasets.pair_csv(cfp, root)


PAIRS = Cases("pairs", _table)
"""CFP's 20 people and 60 pairs, all columns but split; line 2 is of person 001, in fold 1."""


def change(table: Path, how: Callable[[list[Row]], object]) -> None:
    """Change the rows of a table; their columns are those of the first."""
    with open(table, newline="") as stream:
        rows = list(csv.DictReader(stream))
    how(rows)
    with open(table, "w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def cell(table: Path, line: int, **cells: str) -> None:
    """Change cells of a line, the header's being 1."""
    change(table, lambda rows: rows[line - 2].update(cells))


def without(table: Path, *columns: str) -> None:
    """Remove columns."""
    change(table, lambda rows: [row.pop(name) for row in rows for name in columns])


def nameless(table: Path) -> None:
    """Remove the people's names."""
    without(table, "person_left", "person_right")


def parts_for_folds(table: Path) -> None:
    """Put the part of each fold in place of the fold."""
    change(table, lambda rows: [row.update(split=PART_OF[int(row.pop("fold"))]) for row in rows])


@PAIRS.none(
    "not a dataset; pairs.csv line 1: the first line has to name the columns, left,right,same or "
    "path,person; it is Data/Images/001/frontal/01.jpg, Data/Images/001/frontal/02.jpg, 1, 1, "
    "001, 001",
)
def no_header(table: Path) -> None:
    tiny_cfp.text(table, table.read_text().splitlines()[1:])


@PAIRS.none(
    "not a dataset; pairs.csv line 1: no column right in the header (left, rigth, same, fold, "
    "person_left, person_right); the first line has to be "
    "left,right,same[,fold][,split][,person_left][,person_right]; did you mean right?",
)
def a_misspelled_column(table: Path) -> None:
    table.write_text(table.read_text().replace("right", "rigth", 1))


@PAIRS.none(
    "not a dataset; pairs.csv line 1: no column same in the header (left, right, fold, "
    "person_left, person_right); the first line has to be "
    "left,right,same[,fold][,split][,person_left][,person_right]",
)
def no_column_of_answers(table: Path) -> None:
    without(table, "same")


@PAIRS.none(
    "pairs.csv line 2: points at Data/Images/001/frontal/01.jpg, which does not exist, and 59 "
    "more like it",
)
def every_image_is_missing(table: Path) -> None:
    (table.parent / "Data").rename(table.parent / "data2")


@PAIRS.flawed(
    "pairs.csv line 2: points at Data/Images/001/frontal/01.jpg, which does not exist, and 3 "
    "more like it",
)
def images_of_a_person_are_missing(table: Path) -> None:
    (table.parent / "Data/Images/001").rename(table.parent / "Data/Images/1")


@PAIRS.flawed("pairs.csv line 2: same 'maybe' is neither 1 (true, same) nor 0 (false)")
def an_unknown_answer(table: Path) -> None:
    cell(table, 2, same="maybe")


@PAIRS.flawed("pairs.csv line 2: same '' is neither 1 (true, same) nor 0 (false)")
def an_empty_answer(table: Path) -> None:
    cell(table, 2, same="")


@PAIRS.none(
    "pairs.csv line 2: same '0.10' is neither 1 (true, same) nor 0 (false), and 59 more like it",
)
def distances_for_answers(table: Path) -> None:
    change(table, lambda rows: [row.update(same=f"0.{n}") for n, row in enumerate(rows, 10)])


@PAIRS.flawed("pairs.csv line 2: pairs Data/Images/001/frontal/01.jpg with itself")
def an_image_and_itself(table: Path) -> None:
    change(table, lambda rows: rows[0].update(right=rows[0]["left"]))


@PAIRS.flawed(
    "pairs.csv line 3: Data/Images/001/frontal/01.jpg and Data/Images/001/frontal/02.jpg are of "
    "one person by pairs.csv line 2",
)
def a_pair_with_both_answers(table: Path) -> None:
    nameless(table)
    change(table, lambda rows: rows.insert(1, rows[0] | {"same": "0"}))


@PAIRS.flawed(
    "pairs.csv line 62: Data/Images/001/frontal/02.jpg and Data/Images/001/frontal/01.jpg are of "
    "one person by pairs.csv line 2",
)
def a_mirrored_pair_with_the_other_answer(table: Path) -> None:
    nameless(table)
    change(
        table,
        lambda rows: rows.append(
            rows[0] | {"same": "0", "left": rows[0]["right"], "right": rows[0]["left"]}
        ),
    )


@PAIRS.flawed(
    "pairs.csv line 62: Data/Images/001/frontal/01.jpg and Data/Images/002/frontal/01.jpg are of "
    "two people by pairs.csv line 4",
)
def answers_that_contradict_each_other(table: Path) -> None:
    nameless(table)
    change(
        table,
        lambda rows: rows.append(
            {"left": rows[0]["left"], "right": rows[1]["left"], "same": "1", "fold": "1"}
        ),
    )


@PAIRS.flawed("pairs.csv line 2: says different people, and the names are 001 and 001")
def an_answer_that_contradicts_the_names(table: Path) -> None:
    cell(table, 2, same="0")


@PAIRS.flawed(
    "pairs.csv line 2: says different people, and the names are 001 and 001, and 59 more like it",
)
def answers_the_wrong_way_round(table: Path) -> None:
    change(table, lambda rows: [row.update(same=str(1 - int(row["same"]))) for row in rows])


@PAIRS.flawed("pairs.csv line 2: has no name of a person")
def no_name(table: Path) -> None:
    cell(table, 2, person_left="")


@PAIRS.flawed(
    "pairs.csv line 4: Data/Images/001/frontal/01.jpg is of 001, and of Ann by pairs.csv line 2",
    "pairs.csv line 32: Data/Images/001/frontal/01.jpg is of 001, and of Ann by pairs.csv line 2",
    "pairs.csv line 34: Data/Images/001/frontal/01.jpg is of 001, and of Ann by pairs.csv line 2",
)
def an_image_of_two_people(table: Path) -> None:
    cell(table, 2, person_left="Ann", person_right="Ann")


@PAIRS.flawed(
    "pairs.csv line 1: has a column person_left and none person_right; give both or neither",
)
def names_on_one_side_only(table: Path) -> None:
    without(table, "person_right")


@PAIRS.flawed(
    "pairs.csv line 12: fold '11'; expected 1 to 10 or 0 to 9, or 1 to 5 or 0 to 4, and 9 more "
    "like it",
)
def twelve_folds(table: Path) -> None:
    change(table, lambda rows: [row.update(fold=str(n % 12 + 1)) for n, row in enumerate(rows)])


@PAIRS.flawed(
    "pairs.csv: has the folds 0, 1, 2; expected each of 1 to 10 or 0 to 9, or of 1 to 5 or 0 to 4",
)
def three_folds(table: Path) -> None:
    change(table, lambda rows: [row.update(fold=str(int(row["fold"]) % 3)) for row in rows])


@PAIRS.flawed(
    "pairs.csv: has the folds 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10; expected each of 1 to 10 or 0 to "
    "9, or of 1 to 5 or 0 to 4",
)
def folds_from_0_and_from_1(table: Path) -> None:
    cell(table, 2, fold="0")


@PAIRS.flawed(
    "pairs.csv line 4: 001 is in fold 1, and in fold 9 by pairs.csv line 2; no one may be in two",
)
def a_person_in_two_folds(table: Path) -> None:
    cell(table, 2, fold="9")


@PAIRS.flawed(
    "pairs.csv line 2: split 'trian' is not one of train, val, test; did you mean train?",
)
def an_unknown_part(table: Path) -> None:
    parts_for_folds(table)
    cell(table, 2, split="trian")


@PAIRS.flawed("pairs.csv line 2: split '' is not one of train, val, test")
def no_part(table: Path) -> None:
    parts_for_folds(table)
    cell(table, 2, split="")


@PAIRS.flawed(
    "pairs.csv line 4: 001 is in the train part, and in the test part by pairs.csv line 2; no "
    "one may be in two",
)
def a_person_in_two_parts(table: Path) -> None:
    parts_for_folds(table)
    cell(table, 2, split="test")


@PAIRS.flawed(
    "pairs.csv line 20: is in the train part and in fold 7 of ten, which is in val; leave out "
    "one of the two columns, and 23 more like it",
)
def a_fold_of_another_part(table: Path) -> None:
    change(table, lambda rows: [row.update(split="train") for row in rows])


@PAIRS.flawed("all 40 pairs are of the same person; pairs of both kinds are needed")
def only_pairs_of_one_person(table: Path) -> None:
    change(table, lambda rows: [rows.remove(row) for row in list(rows) if row["same"] == "0"])


@PAIRS.flawed(
    "pairs.csv line 4: a pair of different people, but Data/Images/001/frontal/01.jpg and "
    "Data/Images/002/frontal/01.jpg are byte-identical",
)
def one_photograph_under_two_names(table: Path) -> None:
    images = table.parent / "Data/Images"
    (images / "002/frontal/01.jpg").write_bytes((images / "001/frontal/01.jpg").read_bytes())


@PAIRS.flawed(
    "Data/Images/001/frontal/01.jpg is not a readable image (neither JPEG nor PNG nor WebP nor "
    "BMP, but a page of HTML or XML)",
    packing=True,
)
def an_image_that_is_none(table: Path) -> None:
    tiny_cfp.text(table.parent / "Data/Images/001/frontal/01.jpg", ["<html>"])
