"""Tables that describe a dataset: separators, encodings, quotes, slips in the header."""

from __future__ import annotations

from pathlib import Path

import pytest

from facesiam.data.archive import open_source
from facesiam.data.formats import tables
from facesiam.data.formats.tables import Columns
from facesiam.errors import DataError

COLUMNS = Columns(("path", "person"), ("split", "view"), {"label": "person"})
PLAIN = "path,person,split\na/1.jpg,Anna,train\nb 2.jpg,Bea,\n"


def table(folder: Path, content: str | bytes, name: str = "faces.csv") -> tables.Table:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    source = open_source(file)
    assert tables.file_in(source, COLUMNS) in (name, None)
    return tables.read(source, name, COLUMNS)


DRESSES = {
    "as it is": PLAIN,
    "semicolons": PLAIN.replace(",", ";"),
    "tabs, with the empty name of pandas' index": "".join(
        f"{at or ''}\t{line}\n" for at, line in enumerate(PLAIN.replace(",", "\t").splitlines())
    ),
    "a mark and Windows' line ends": "\ufeff" + PLAIN.replace("\n", "\r\n"),
    "old Mac's line ends": PLAIN.replace("\n", "\r"),
    "UTF-16": PLAIN.encode("utf-16"),
    "quotes": '"path","person",split\n"a/1.jpg", Anna ,"train"\n"b 2.jpg",Bea,""\n',
    "another order and another name": "Split,Label,PATH\ntrain,Anna,a/1.jpg\n,Bea,b 2.jpg\n",
    "blank rows, and cells left out at the end": PLAIN.replace("Bea,", "Bea") + ",,\n\n",
    "empty cells beyond the header": PLAIN.replace("train\n", "train,,\n"),
}


@pytest.mark.parametrize("dress", DRESSES)
def test_the_same_table_in_another_dress(tmp_path: Path, dress: str) -> None:
    found = table(tmp_path, DRESSES[dress])
    assert found.column("path") == ["a/1.jpg", "b 2.jpg"]
    assert found.column("person") == ["Anna", "Bea"]
    assert found.column("split") == ["train", ""]
    assert found.column("view") == ["", ""]
    assert (found.lines, found.problems) == ([2, 3], [])
    assert found.place(1) == "faces.csv line 3"


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    found = table(tmp_path, '\n\npath,person\n\na,"An\nna"\nb,Bea\n')
    assert found.lines == [5, 7]
    assert found.column("person") == ["An\nna", "Bea"]


def test_columns_that_are_not_used_are_named_and_slips_refused(tmp_path: Path) -> None:
    found = table(tmp_path, "x_1,path,label,person,is_query\n3,a,7,Anna,1\n")
    assert found.column("person") == ["Anna"]
    assert found.notes == ["faces.csv: columns that are not used: x_1, label, is_query"]
    found = table(tmp_path, "path,person,spilt,Path\na,Anna,train,b\na,An,na,b,c\n")
    assert [problem.said for problem in found.problems] == [
        "faces.csv line 1: column 'spilt' is not known; did you mean split? Rename or remove it",
        "faces.csv line 3: has 5 cells, and the header 4; a separator in a cell?",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "pth,person\na,Anna\n",
            r"faces.csv: faces.csv line 1: no column path in the header \(pth, person\); the "
            r"first line has to be path,person\[,split\]\[,view\]; did you mean path\?",
        ),
        ("a/1.jpg,Anna\n", r"no column path or person in the header \(a/1.jpg, Anna\)"),
        ("", "faces.csv is empty; its first line has to be path,person"),
        ("path,person\n", "faces.csv has a header and no rows"),
        ('path,person\na,Anna\n"b,Bea\nc,Cleo\n', "faces.csv line 3: a quote is not closed"),
        ("path,person\n" + "a" * 200_000 + ",Anna\n", "line 2: field larger than field limit"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        table(tmp_path, content)


def test_the_one_table_of_a_folder_is_found(tmp_path: Path) -> None:
    for name in ("notes.csv", ".hidden/a.csv", "__MACOSX/in/._a.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("title,text\n" if name == "notes.csv" else PLAIN)
    assert tables.file_in(open_source(tmp_path), COLUMNS) is None
    (tmp_path / "in").mkdir()
    (tmp_path / "in/Train.CSV").write_text(PLAIN)
    assert tables.file_in(open_source(tmp_path), COLUMNS) == "in/Train.CSV"
    (tmp_path / "val.tsv").write_text(PLAIN.replace(",", "\t"))
    with pytest.raises(
        DataError, match=r"2 tables with the columns path,person \(val.tsv, in/Train.CSV\)"
    ):
        tables.file_in(open_source(tmp_path), COLUMNS)
    assert tables.file_in(open_source(tmp_path / "val.tsv"), COLUMNS) == "val.tsv"
