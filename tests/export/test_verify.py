"""The command verify: two files, a table of pairs, ten folds of a net as it is."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tiny_datasets

from facesiam import Verifier
from facesiam.data.dataset import FaceData
from facesiam.data.formats import open_dataset
from facesiam.data.preparation import prepare
from facesiam.evaluation.fixed_folds import fixed_folds
from facesiam.evaluation.metrics import wilson
from facesiam.nets.checkpoint import load_model
from facesiam.verify import main


@pytest.fixture
def table(data: FaceData, tmp_path: Path) -> Path:
    """Six pairs of the first three people, each with whether it is of one."""
    rows = [("left", "right", "same"), *((data.names[a], data.names[b], s) for a, b, s in PAIRS)]
    file = tmp_path / "pairs.csv"
    file.write_text("".join(",".join(row) + "\n" for row in rows))
    return file


PAIRS = [
    (0, 1, "1"),
    (1, 0, "same"),
    (0, 6, "0"),
    (7, 1, "different"),
    (6, 7, "True"),
    (2, 3, "1"),
]
"""The first two are the same two pictures. Each person has six frontal images."""


def test_two_files(
    exported: Path,
    faces: Path,
    data: FaceData,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    one, other = (str(faces / data.names[at]) for at in (0, 1))
    assert main([str(exported), one, other]) == 0
    known = Verifier.load(exported).compare(one, other)
    answer = "the same person" if known.same else "NOT the same person"
    said = f"{answer}: score {known.score:.4f}, probability of the same {known.probability:.4f}"
    own = "the net's own: where most validation pairs of frontal-triplets are judged right"
    assert capsys.readouterr().out == f"{said}, threshold 0.9900 ({own})\n"
    assert main([str(exported), one, one, "--far", "0.1"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("the same person: score 1.0000")
    assert said.endswith(" (of a false-accept rate of 0.1 on validation pairs)\n")
    assert main([str(exported), one, one, "--far", "0.001"]) == 0
    assert capsys.readouterr().err == (
        "FAR 0.001 needs 1,000 validation pairs of two people, and there are 24: the threshold is "
        "the largest score of these, which says little of that rate\n"
    )
    monkeypatch.setenv("COLUMNS", "80")
    assert main([str(exported), one, other]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80 and " ".join(line.strip() for line in lines) == (
        f"{answer}: score {known.score:.4f}, probability of the same {known.probability:.4f}, "
        f"threshold 0.9900 ({own})"
    )


def test_a_table_gets_scores_and_rates(
    exported: Path, faces: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scores.csv"
    given = [str(exported), "--csv", str(table), "--folder", str(faces), "--out", str(out)]
    assert main([*given, "--far", "0.1"]) == 0
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["left", "right", "same_person", "score", "probability", "same"]
    assert [row["same_person"] for row in rows] == ["1", "1", "0", "0", "1", "1"]
    verifier = Verifier.load(exported)
    for row in rows:
        known = verifier.compare(faces / row["left"], faces / row["right"], far=0.1)
        assert float(row["score"]) == pytest.approx(known.score, abs=1e-6)
        assert row["same"] == str(int(known.same))
    right = np.mean([row["same"] == row["same_person"] for row in rows])
    low, high = wilson(round(right * 5), 5)  # one pair comes twice
    said = capsys.readouterr().out.splitlines()
    threshold = f"{verifier.threshold(0.1):.4f}"
    assert said.pop(0) == (
        f"pairs of the table, judged at the threshold {threshold} (of a false-accept rate of 0.1 "
        "on validation pairs)"
    )
    assert said[0] == f"accuracy {100 * right:.1f} % [{100 * low:.1f}, {100 * high:.1f}], n 5"
    assert said[1].startswith("false accepts ") and said[1].endswith(", n 2")
    assert said[2].startswith("true accepts ") and said[2].endswith(", n 3")
    assert said[3] == "pairs that come again: 1; each counts in the shares, not in n"
    # Without the truth there are scores alone.
    table.write_text(f"left,right\n{rows[0]['left']},{rows[0]['right']}\n")
    assert main(given) == 0
    assert capsys.readouterr().out == f"wrote {out}\n"
    assert out.read_text().splitlines()[1].split(",")[2] == ""


WRONG = {
    "no column": ("left,same\n", "no column right in the header"),
    "a word": (
        "left,right,same\n{0},{1},perhaps\n",
        "pairs.csv line 2: same 'perhaps' is neither 1",
    ),
    "a gap": ("left,right\n{0},\n", "pairs.csv line 2: no image in right"),
    "missing": (
        "left,right\n{0},{1}\n{0},no2.jpg\nno.jpg,no3.jpg\n",
        "pairs.csv line 3: {faces}/no2.jpg: no such file, and 2 more of 5\n",
    ),
    "another folder": (
        "left,right\nno.jpg,no2.jpg\n",
        "pairs.csv line 2: {faces}/no.jpg: no such file, and 1 more of 2; --folder DIR is where the table's paths begin",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_table_is_refused_before_anything_is_written(
    case: str,
    exported: Path,
    faces: Path,
    data: FaceData,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text, said = WRONG[case]
    file, out = tmp_path / "pairs.csv", tmp_path / "scores.csv"
    file.write_text(text.format(*data.names))
    given = ["--csv", str(file), "--folder", str(faces), "--out", str(out)]
    assert main([str(exported), *given]) == 2
    assert said.replace("{faces}", str(faces)) in capsys.readouterr().err and not out.exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "give two images, or --csv FILE, or --pairs DATA"),
        (["a.jpg"], "give two images, or --csv FILE, or --pairs DATA"),
        (["faces", "--csv", "x"], "; the folder of the images of --csv is --folder DIR"),
        (["a.jpg", "b.jpg", "--folder", "x"], "--folder goes with --csv"),
        (["a.jpg", "b.jpg", "--format", "lfw"], "--format goes with --pairs"),
        (["a.jpg", "--out", "x.csv", "b.jpg"], "--out goes with --csv"),
        (["--pairs", "x", "--far", "0.1"], "--far: not with --pairs"),
        (
            ["a.jpg", "b.jpg", "--far", "1e-5"],
            "no threshold is stored for a false-accept rate of 1e-05; there are those for 0.1, 0.01, 0.001, and search.retrain --far 1e-05 stores one",
        ),
    ],
)
def test_options_that_do_not_go_together(
    given: list[str], said: str, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(exported), *given]) == 2
    assert said in capsys.readouterr().err


def test_the_table_that_is_judged_is_not_written_over(
    exported: Path, table: Path, faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = table.read_bytes()
    given = ["--csv", str(table), "--folder", str(faces), "--out", str(table)]
    assert main([str(exported), *given]) == 2
    assert capsys.readouterr().err.endswith("is the table that is judged; give another file\n")
    assert table.read_bytes() == before


def test_a_table_that_is_not_there_is_not_looked_for_elsewhere(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "circle").symlink_to(tmp_path)  # listing the folder would tell of this instead
    assert main([str(exported), "--csv", str(tmp_path / "no.csv")]) == 2
    assert capsys.readouterr().err == f"{tmp_path / 'no.csv'}: no such file\n"


def test_ten_folds_of_a_dataset_that_lists_pairs(
    weights: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfp = open_dataset(faces)
    pairs = cfp.read().pairs
    order = np.argsort(pairs[:, 1], kind="stable")
    file = tiny_datasets.bin_file(cfp, tmp_path / "x.bin", pairs[order])
    assert main([str(weights), "--pairs", str(file)]) == 0
    said = capsys.readouterr().out.splitlines()
    net, config, _ = load_model(weights)
    found = fixed_folds(net, config, prepare(str(file), [config.packing], progress=False))
    mean, std = (100 * found["accuracy"][name] for name in ("mean", "std"))
    assert said[:4] == [
        "data: it names no people: it can be evaluated on, and not be trained on",
        f"{len(pairs)} pairs, mean ± standard deviation over the ten folds",
        "each fold is judged at the threshold where most pairs of the nine others are judged "
        "right, or that keeps their false accepts",
        f"accuracy {mean:.2f} ± {std:.2f} %",
    ]
    assert said[-1].startswith("whether people of these pairs were in the net's training data")
    # The net was trained on those of the drawn faces themselves.
    assert main([str(weights), "--pairs", str(faces)]) == 2
    assert "the net was trained on people of this data" in capsys.readouterr().err
