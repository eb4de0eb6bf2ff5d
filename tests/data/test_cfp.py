"""Lists of images and pairs: what is a problem, what is only another dress."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_cfp

from facesiam.data.__main__ import main
from facesiam.data.dataset import FaceData
from facesiam.data.duplicates import twins
from facesiam.data.formats import open_dataset
from facesiam.data.listing import Listing, distinct
from facesiam.data.preparation import prepare
from facesiam.data.problems import Problem, told
from facesiam.data.text_files import text_of
from facesiam.errors import DataError


def load(path: Path) -> FaceData:
    return prepare(str(path), [], cache=path.parent / "cache", progress=False)


def change(folder: Path, pattern: str, how: Callable[[str], str], code: str = "utf-8") -> None:
    for file in folder.glob(pattern):
        file.write_bytes(how(file.read_text()).encode(code))


DRESSES: dict[str, Callable[[Path], None]] = {
    "UTF-16 with its mark": lambda f: change(f, "Protocol/**/*.txt", str, "utf-16"),
    "UTF-16, little end first": lambda f: change(f, "Protocol/**/*.txt", str, "utf-16-le"),
    "UTF-16, big end first": lambda f: change(f, "Protocol/**/*.txt", str, "utf-16-be"),
    "UTF-32": lambda f: change(f, "Protocol/**/*.txt", str, "utf-32"),
    "tabs": lambda f: change(
        f, "Protocol/**/*.txt", lambda t: t.replace(" ", "\t").replace(",", "\t")
    ),
    "no-break spaces": lambda f: change(
        f, "Protocol/**/*.txt", lambda t: t.replace(" ", "\xa0").replace("\n", "\xa0\n")
    ),
    "no-break spaces of Windows' code": lambda f: change(
        f, "Protocol/**/*.txt", lambda t: t.replace(" ", "\xa0"), "cp1252"
    ),
    "Windows' line ends, a mark, backslashes, blank lines, a last Ctrl-Z": lambda f: change(
        f,
        "Protocol/**/*.txt",
        lambda t: "\ufeff" + t.replace("/", "\\").replace("\n", "\r\n\r\n") + "\x1a",
    ),
    "old Mac's line ends": lambda f: change(
        f, "Protocol/**/*.txt", lambda t: t.replace("\n", "\r")
    ),
    "upper-case file names": lambda f: upper(f, "Data/**/*.jpg"),
    "upper-case lists": lambda f: upper(f, "Protocol/**/*.txt"),
    "other case in the lists": lambda f: change(
        f, "Protocol/*.txt", lambda t: t.replace("jpg", "JPG")
    ),
    "lower-case Data and Protocol": lambda f: (
        [(f / part).rename(f / part.lower()) for part in ("Data", "Protocol")] and None
    ),
    "quotes": lambda f: change(
        f, "Protocol/*.txt", lambda t: t.replace(" ", ' "').replace("g\n", 'g"\n')
    ),
    "zeros before the numbers": lambda f: change(
        f,
        "Protocol/Split/**/*.txt",
        lambda t: "".join(
            ",".join(f"{int(n):05d}" for n in line.split(",")) + "\n" for line in t.split()
        ),
    ),
}


def upper(folder: Path, pattern: str) -> None:
    for file in sorted(folder.glob(pattern)):
        file.rename(file.with_name(file.name.upper()))


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("zipped", [False, True])
def test_the_same_lists_in_another_dress(
    tiny_folder: Path, copy: Path, dress: str, zipped: bool, tmp_path: Path
) -> None:
    DRESSES[dress](copy)
    path = tiny_cfp.zipped(copy, tmp_path / "x.zip") if zipped else copy
    found, expected = (open_dataset(each).read() for each in (path, tiny_folder))
    assert found.problems == []
    assert found.person.tolist() == expected.person.tolist()
    assert found.pairs.tolist() == expected.pairs.tolist()
    assert [n.lower() for n in found.names] == [n.lower() for n in expected.names]
    assert load(path).person.tolist() == expected.person.tolist()


def lines(folder: Path, file: str, *text: str) -> None:
    tiny_cfp.text(folder / file, list(text))


def relist(folder: Path, letter: str, number: int, path: str) -> None:
    file = folder / f"Protocol/Pair_list_{letter}.txt"
    text = file.read_text().splitlines()
    text[number - 1] = f"{number} {path}"
    tiny_cfp.text(file, text)


def copied(folder: Path, one: str, other: str, more: bytes = b"") -> None:
    content = (folder / f"Data/Images/{one}.jpg").read_bytes()
    (folder / f"Data/Images/{other}.jpg").write_bytes(content + more)


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "an image with itself": (
        lambda f: lines(f, "Protocol/Split/FF/01/same.txt", "1,2", "3,3"),
        "dataset: Protocol/Split/FF/01/same.txt line 2: pairs image 3 with itself$",
    ),
    "an image with itself, of different people": (
        lambda f: lines(f, "Protocol/Split/FF/01/diff.txt", "3,3"),
        "Protocol/Split/FF/01/diff.txt line 1: pairs image 3 with itself$",
    ),
    "one file under two numbers": (
        lambda f: relist(f, "F", 2, "../Data/Images/001/frontal/01.jpg"),
        r"Pair_list_F.txt line 2: lists Data/Images/001/frontal/01.jpg, which line 1 has as well$",
    ),
    "one file under two numbers, in another case": (
        lambda f: relist(f, "F", 2, "../Data/Images/001/FRONTAL/01.JPG"),
        r"Pair_list_F.txt line 2: lists Data/Images/001/FRONTAL/01.JPG, which line 1 has as well$",
    ),
    "byte-identical files of one person": (
        lambda f: copied(f, "001/frontal/01", "001/frontal/02"),
        r"FF/01/same.txt line 1: a pair of one person, but Data/Images/001/frontal/01.jpg and "
        r"Data/Images/001/frontal/02.jpg are byte-identical$",
    ),
    "byte-identical files of one person, frontal and profile": (
        lambda f: copied(f, "001/frontal/01", "001/profile/01"),
        r"FP/01/same.txt line 1: a pair of one person, but .* are byte-identical$",
    ),
    "byte-identical files of two people": (
        lambda f: copied(f, "001/frontal/01", "002/frontal/01"),
        r"FF/01/diff.txt line 1: a pair of different people, but .* are byte-identical$",
    ),
    "a same pair among the different ones": (
        lambda f: lines(f, "Protocol/Split/FF/01/diff.txt", "1,3", "1,2"),
        "FF/01/diff.txt line 2: 1,2 are of person 1 and person 1 in diff.txt$",
    ),
    "people of one part in two of its splits": (
        lambda f: lines(f, "Protocol/Split/FF/02/diff.txt", "1,3"),
        r"2 problems\n  person 1 is in split 01 and in split 02; in the ten folds one would tr",
    ),
    "an empty file": (
        lambda f: lines(f, "Protocol/Split/FP/02/diff.txt", ""),
        "dataset: Protocol/Split/FP/02/diff.txt: holds no pair$",
    ),
    "a profile among the frontal ones": (
        lambda f: relist(f, "F", 1, "../Data/Images/001/profile/01.jpg"),
        "Pair_list_F.txt line 1: lists Data/Images/001/profile/01.jpg among the frontal images$",
    ),
    "the lists changed round": (
        lambda f: swap(f / "Protocol/Pair_list_F.txt", f / "Protocol/Pair_list_P.txt"),
        r"Pair_list_F.txt line 1: lists .*profile/01.jpg among the frontal images, and 59 more l",
    ),
    "splits that count from 0": (
        lambda f: change(f, "Protocol/Split/FF/**/*.txt", less_one),
        r"dataset: Protocol/Split/FF/01/same.txt line 1: counts images from 0, as do all 30 pairs "
        "of FF; CFP counts from 1, so each number is one too low$",
    ),
    "a list that counts from 0": (
        lambda f: change(
            f,
            "Protocol/Pair_list_P.txt",
            lambda t: "".join(
                f"{at} {line.split()[1]}\n" for at, line in enumerate(t.splitlines())
            ),
        ),
        "dataset: Protocol/Pair_list_P.txt line 1: counts its images from 0; CFP's lists begin",
    ),
    "a line too few": (
        lambda f: change(f, "Protocol/Pair_list_F.txt", lambda t: t.split("\n", 5)[5]),
        r"Pair_list_F.txt line 1: expected image 1, got '6 .*', and 34 more like it",
    ),
    "a person of 30 digits": (
        lambda f: relist(f, "F", 1, f"../Data/Images/{'9' * 30}/frontal/01.jpg"),
        "Pair_list_F.txt line 1: a person's number of 30 digits, 999999999999…; at most 9 are r",
    ),
    "a person of 5,000 digits": (
        lambda f: relist(f, "P", 1, f"../Data/Images/{'0' * 4999}1/profile/01.jpg"),
        "Pair_list_P.txt line 1: a person's number of 5,000 digits, 0000",
    ),
    "digits of another script": (
        lambda f: lines(f, "Protocol/Split/FF/01/diff.txt", "١,٣"),
        "FF/01/diff.txt line 1: expected two numbers as in 5,1, got '١,٣'$",
    ),
    "numbers of 20 digits": (
        lambda f: lines(f, "Protocol/Split/FF/01/diff.txt", "1,99999999999999999999"),
        "FF/01/diff.txt line 1: expected two numbers as in 5,1, got '1,99999999999999999999'$",
    ),
    "a name of 300 letters": (
        lambda f: relist(f, "F", 1, f"../Data/Images/001/frontal/{'x' * 300}.jpg"),
        "Pair_list_F.txt line 1: points at Data/Images/001/frontal/x*, which does not exist",
    ),
    "a name with an escape sequence": (
        lambda f: relist(f, "F", 1, "../Data/Images/001/frontal/\x1b]0;pwned\x07.jpg"),
        r"points at Data/Images/001/frontal/\\x1b\]0;pwned\\x07.jpg, which does not exist",
    ),
}


def swap(one: Path, other: Path) -> None:
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def less_one(text: str) -> str:
    pairs = (line.split(",") for line in text.split())
    return "".join(f"{int(left) - 1},{int(right) - 1}\n" for left, right in pairs)


@pytest.mark.parametrize("fault", WRONG)
@pytest.mark.parametrize("zipped", [False, True])
def test_what_is_wrong_is_named(
    copy: Path, fault: str, zipped: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, said = WRONG[fault]
    damage(copy)
    (tmp_path / "zip").mkdir()
    path = copy
    if zipped:  # under the same name
        path = tiny_cfp.zipped(copy, tmp_path / "zip" / "cfp-dataset")
    with pytest.raises(DataError, match=said):
        load(path)
    assert main(["check", str(path)]) == 1
    out = capsys.readouterr().out
    assert "problems    none" not in out and "\x1b" not in out


def test_pairs_of_one_picture_in_two_files_are_counted(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They pass: the files differ. But whoever looks at his data is told."""
    copied(copy, "001/frontal/01", "001/frontal/02", more=b"trailing")  # FF of split 01, same
    copied(copy, "001/frontal/01", "002/profile/01", more=b"more")  # FP of split 01, different
    assert main(["check", str(copy)]) == 0
    out = capsys.readouterr().out
    said = "1 pair of {} is one picture in two files, which differ otherwise"
    assert said.format("FF") in out and said.format("FP") in out
    copied(copy, "003/frontal/01", "003/frontal/02")  # of one content: another matter
    assert main(["check", str(copy)]) == 1
    assert said.format("FF") in capsys.readouterr().out


def test_one_same_pair_in_500_may_be_byte_identical_files() -> None:
    """As in the official FF, where it is 3 of 3,500 and moves no figure by a tenth of a point."""

    def found(identical: int, label: int) -> int:
        pairs = np.zeros((1000, 5), np.int64)
        pairs[:, 1], pairs[:, 4], pairs[:, 3] = 1, label, 1 + np.arange(1000)
        content = np.arange(1001)
        content[1 : 1 + identical] = 0
        names = [str(n) for n in range(1001)]
        nobody = np.zeros(1001, np.int64)
        dataset = Listing(
            format="cfp",
            names=names,
            person=nobody,
            frontal=nobody == 0,
            fold=nobody,
            pairs=pairs,
            places=[""] * 1000,
            files=[],
            problems=[],
        )
        return len(twins(dataset, content))

    assert (found(2, 0), found(3, 0), found(1, 1), found(0, 1)) == (0, 3, 1, 0)


def test_repeated_pairs_are_counted(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines(copy, "Protocol/Split/FF/01/same.txt", "1,2", "3,4", "2,1", "1,2")
    lines(copy, "Protocol/Split/FP/02/diff.txt", "5,4", "5,4")
    assert main(["check", str(copy)]) == 0
    out = capsys.readouterr().out
    assert "2 pairs of FF come again, as they are or the other way round: n counts" in out
    assert "1 pair of FP comes again, as it is or the other way round: n counts each once" in out
    assert len(load(copy).pairs("cfp-pairs", "train").label) == 36 + 3


def test_pairs_of_the_same_two_pictures_have_one_number() -> None:
    content = np.array([0, 1, 2, 0])  # images 0 and 3 are byte-identical
    left, right = np.array([0, 1, 3, 0, 2]), np.array([1, 0, 1, 2, 1])
    number = distinct(left, right, content)
    assert len(set(number.tolist())) == 3
    assert number[0] == number[1] == number[2] and number[3] != number[4]


def test_what_is_told_of_many_alike() -> None:
    one = [Problem("a", f"a{n}") for n in range(4)]
    assert told([*one, Problem("b", "b0")]) == ["a0, and 3 more like it", "b0"]
    assert told(one[:3]) == ["a0", "a1", "a2"]
    assert told(one, every=True) == ["a0", "a1", "a2", "a3"]
    many = [Problem("a", "x")] * 1235
    assert told(many) == ["x, and 1,234 more like it"]


def test_text_in_every_code_that_editors_save() -> None:
    for code in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        assert text_of("1,2\n".encode(code)) == "1,2\n", code
    assert text_of("é".encode("cp1252")) == "é"
    assert text_of(b"") == ""


def test_lines_are_numbered_as_editors_number_them(copy: Path) -> None:
    lines(copy, "Protocol/Split/FF/01/diff.txt", "1,3", "", "1,\x0c3", "y")
    with pytest.raises(DataError, match=r"diff.txt line 4: expected two numbers .* got 'y'"):
        load(copy)
