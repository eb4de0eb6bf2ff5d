"""A CSV of images, broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tiny_cfp
import tiny_datasets

from .cases import Cases

IMAGES = Cases("images", tiny_datasets.image_table)
"""Ten people of three images and faces.csv, whose line 2 is p00/1.png,p00."""


def rows(table: Path, change: Callable[[list[str]], list[str]], header: str = "") -> None:
    """Change the lines below the header, and where given the header."""
    first, *lines = table.read_text().splitlines()
    tiny_cfp.text(table, [header or first, *change(lines)])


def first_row(table: Path, row: str, header: str = "") -> None:
    """Replace line 2."""
    rows(table, lambda lines: [row, *lines[1:]], header)


def split(table: Path, words: dict[str, range]) -> None:
    """Add a column of parts."""
    of = {f"p{p:02d}": word for word, people in words.items() for p in people}
    rows(
        table,
        lambda lines: [f"{line},{of.get(line.split(',')[1], '')}" for line in lines],
        "path,person,split",
    )


THREE = {"train": range(6), "val": range(6, 8), "test": range(8, 10)}


@IMAGES.none(
    "not a dataset; faces.csv line 1: the first line has to name the columns, left,right,same or "
    "path,person; it is p00/1.png, p00",
)
def no_header(table: Path) -> None:
    first, *lines = table.read_text().splitlines()
    tiny_cfp.text(table, lines)


@IMAGES.none(
    "not a dataset; faces.csv line 1: the first line has to name the columns, left,right,same or "
    "path,person; it is empty",
)
def an_empty_table(table: Path) -> None:
    table.write_bytes(b"")


@IMAGES.none("faces.csv has a header and no rows")
def a_header_alone(table: Path) -> None:
    rows(table, lambda lines: [])


@IMAGES.none(
    "not a dataset; faces.csv line 1: no column person in the header (path, persn); the first "
    "line has to be path,person[,split][,view]; did you mean person?",
)
def a_misspelled_column(table: Path) -> None:
    rows(table, lambda lines: lines, "path,persn")


@IMAGES.none(
    "not a dataset; faces.csv line 1: the first line has to name the columns, left,right,same or "
    "path,person; it is path|person",
)
def columns_between_bars(table: Path) -> None:
    table.write_text(table.read_text().replace(",", "|"))


@IMAGES.none(
    "not a dataset; faces.csv line 1: the first line has to name the columns, left,right,same or "
    "path,person; it is path person",
)
def columns_between_blanks(table: Path) -> None:
    table.write_text(table.read_text().replace(",", " "))


@IMAGES.none("not a dataset; faces.csv is not text; save it as CSV")
def a_spreadsheet_called_csv(table: Path) -> None:
    table.write_bytes(b"PK\3\4\x14\0\6\0" + bytes(range(256)))


@IMAGES.none("faces.csv line 2: a quote is not closed")
def a_quote_that_is_not_closed(table: Path) -> None:
    first_row(table, '"p00/1.png,p00')


@IMAGES.flawed("faces.csv line 2: has 3 cells, and the header 2; a separator in a cell?")
def a_comma_in_a_name(table: Path) -> None:
    first_row(table, "p00/1.png,Lee, Ann")


@IMAGES.flawed(
    "faces.csv line 2: C:/faces/p00/1.png: absolute or with ..; paths have to be relative to the "
    "folder of the table, and the images below it",
)
def a_path_of_windows(table: Path) -> None:
    first_row(table, r"C:\faces\p00\1.png,p00")


@IMAGES.flawed(
    "faces.csv line 2: {root}/p00/1.png: absolute or with ..; paths have to be relative to the "
    "folder of the table, and the images below it",
)
def an_absolute_path(table: Path) -> None:
    first_row(table, f"{table.parent}/p00/1.png,p00")


@IMAGES.none(
    "faces.csv line 2: /data/faces/p00/1.png: absolute or with ..; paths have to be relative to "
    "the folder of the table, and the images below it, and 29 more like it",
)
def absolute_paths_throughout(table: Path) -> None:
    rows(table, lambda lines: [f"/data/faces/{line}" for line in lines])


@IMAGES.flawed(
    "faces.csv line 2: ../p00/1.png: absolute or with ..; paths have to be relative to the "
    "folder of the table, and the images below it",
)
def a_path_that_leaves_the_folder(table: Path) -> None:
    first_row(table, "../p00/1.png,p00")


@IMAGES.none(
    "faces.csv line 2: points at p00/1.png, which does not exist, but does in {root}; move the "
    "table there, and 29 more like it",
)
def the_table_is_one_folder_too_deep(table: Path) -> Path:
    (table.parent / "lists").mkdir()
    return table.rename(table.parent / "lists/faces.csv")


@IMAGES.flawed("faces.csv line 2: points at p00/1.png, which does not exist")
def a_missing_image(table: Path) -> None:
    (table.parent / "p00/1.png").unlink()


@IMAGES.flawed(
    "faces.csv line 2: points at "
    "p00/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, "
    "which does not exist",
)
def a_name_of_300_letters(table: Path) -> None:
    first_row(table, f"p00/{'a' * 300}.png,p00")


@IMAGES.flawed("faces.csv line 2: p00/1.png has no person")
def no_person(table: Path) -> None:
    first_row(table, "p00/1.png,")


@IMAGES.flawed(
    "faces.csv line 2: p00/1.png has no person but NaN, an empty cell of another program",
)
def pandas_writes_nan(table: Path) -> None:
    first_row(table, "p00/1.png,NaN")


@IMAGES.flawed("faces.csv line 3: lists p00/2.png, which line 2 has as well")
def an_image_twice(table: Path) -> None:
    first_row(table, "p00/2.png,p00")


@IMAGES.flawed("faces.csv line 5: lists p01/1.png, which line 2 has as well")
def an_image_of_two_people(table: Path) -> None:
    first_row(table, "p01/1.png,p00")


@IMAGES.flawed(
    "faces.csv line 29: split 'tset' is not one of train, val, test; did you mean test?",
    "faces.csv line 30: split 'tset' is not one of train, val, test; did you mean test?",
    "faces.csv line 31: split 'tset' is not one of train, val, test; did you mean test?",
)
def an_unknown_part(table: Path) -> None:
    split(table, THREE | {"test": range(8, 9), "tset": range(9, 10)})


@IMAGES.flawed("faces.csv line 2: split '0' is not one of train, val, test, and 29 more like it")
def numbers_for_parts(table: Path) -> None:
    split(table, {"0": range(6), "1": range(6, 8), "2": range(8, 10)})


@IMAGES.flawed(
    "p00 is in test part (faces.csv line 2) and in train part (faces.csv line 3); a person may "
    "be in one only",
)
def a_person_in_two_parts(table: Path) -> None:
    split(table, THREE)
    first_row(table, "p00/1.png,p00,test")


@IMAGES.flawed(
    "faces.csv line 29: p09 is in no part, and others are in train, val or test; give everyone a "
    "part, or no one",
)
def a_person_in_no_part(table: Path) -> None:
    split(table, THREE | {"test": range(8, 9)})
    (table.parent / "unused").mkdir()


@IMAGES.flawed(
    "has 10 people (train 6, val 3, test 1); each part needs 2 or more, so that a pair of two "
    "people can be drawn: 8 people in all, or more",
)
def one_person_tests(table: Path) -> None:
    split(table, {"train": range(6), "val": range(6, 9), "test": range(9, 10)})


@IMAGES.flawed(
    "faces.csv line 1: column 'splt' is not known; did you mean split? Rename or remove it",
)
def a_misspelled_column_of_parts(table: Path) -> None:
    split(table, THREE)
    rows(table, lambda lines: lines, "path,person,splt")


@IMAGES.flawed("faces.csv line 2: view 'left' is neither frontal nor profile, and 29 more like it")
def an_unknown_view(table: Path) -> None:
    rows(table, lambda lines: [f"{line},left" for line in lines], "path,person,view")


@IMAGES.none(
    "holds 2 tables with the columns path,person (faces.csv, old.csv); give the path of one of "
    "them",
)
def two_tables(table: Path) -> Path:
    (table.parent / "old.csv").write_bytes(table.read_bytes())
    return table.parent


@IMAGES.none("a spreadsheet; save it as CSV and give that")
def a_table_of_excel(table: Path) -> Path:
    return table.rename(table.with_suffix(".xlsx"))
