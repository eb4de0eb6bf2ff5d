"""The page's section on tests: ROC, scores, thresholds and the worst pairs of written scores."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ranked_runs
import tiny_datasets
from PIL import Image

from facesiam.config import TrialConfig
from facesiam.data.preparation import prepare
from facesiam.evaluation.metrics import auc, roc, true_accepts, verification
from search.analysis import scores
from search.report import report_data
from search.report.chart import Chart, Pictures, Table
from search.report.page import report
from search.report.verification import verification_section
from search.report.verification_charts import POINTS, thinned
from search.runs.layout import RunError

PEOPLE, EACH = 10, 3
FALSE_ACCEPT = ("p00/1.png", "p07/2.png")
FALSE_REJECT = ("p04/1.png", "p04/3.png")
DEFAULT = TrialConfig().packing


def written(run: Path, trial: str, rows: list[tuple[str, str, int, float]], **more: Any) -> Path:
    """Write the scores of test pairs and the figures that they have; return the scores."""
    folder = run / "retrain" / trial / "seed-0"
    folder.mkdir(parents=True, exist_ok=True)
    name = "" if not trial.startswith("ensemble") else "-frontal-triplets"
    text = "".join(f"{a},{b},{same},{odds!r}\n" for a, b, same, odds in rows)
    path = folder / f"scores{name}.csv"
    path.write_text("left,right,same_person,log_odds\n" + text)
    frame = scores.read(path)
    figures = verification(frame["log_odds"], 1 - frame["same_person"])
    noted = {"trial": trial, "seed": 0, "epoch": 1, "protocol": "frontal-triplets"}
    (folder / f"test{name}.json").write_text(json.dumps({**noted, **figures, **more}))
    return path


def pairs(seed: int = 0) -> list[tuple[str, str, int, float]]:
    """All pairs of one person's images and as many of two, among them the two worst errors."""
    rng = np.random.default_rng(seed)
    names = tiny_datasets.names(PEOPLE, EACH)
    ends = [(a, b) for at, a in enumerate(names) for b in names[at + 1 :]]
    rows = [(a, b, int(a[:3] == b[:3])) for a, b in ends]
    odds = {(a, b): round(rng.normal(1.5 if same else -1.5, 1.5), 3) for a, b, same in rows}
    odds[FALSE_ACCEPT], odds[FALSE_REJECT] = 9.5, -8.25
    return [(a, b, same, odds[a, b]) for a, b, same in rows]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of three trials, whose data is a folder of one-colour images."""
    faces = tiny_datasets.folders(tmp_path / "faces", PEOPLE, EACH)
    run = ranked_runs.three_trials(tmp_path)
    noted = {"data": {"source": str(faces), "key": "k3y", "format": "folders"}}
    (run / "manifest.json").write_text(json.dumps(noted))
    return run


def section(run: Path, **options: Any) -> tuple[dict[str, Any], list[str]]:
    parts, said = verification_section(report_data.read(run), **options)
    return {part.id: part for part in parts}, said


def colours(picture: bytes) -> list[tuple[int, ...]]:
    """The colours in the middle of a picture's halves."""
    image = Image.open(io.BytesIO(picture))
    pixels = [image.getpixel((x * image.width // 4, image.height // 2)) for x in (1, 3)]
    return [pixel for pixel in pixels if isinstance(pixel, tuple)]


def colour_of(name: str) -> tuple[int, int, int]:
    return tiny_datasets.names(PEOPLE, EACH).index(name), 0, 100


def test_the_curve_has_the_area_and_the_mark_the_rates_of_the_metrics(run: Path) -> None:
    rows = pairs()
    written(run, "0002", rows)
    label, odds = (np.array([row[at] for row in rows]) for at in (2, 3))
    parts, said = section(run)
    curve, mark = parts["roc"].figure["data"][1:]
    x, y = np.array(curve["x"]) / 100, np.array(curve["y"]) / 100
    area = float(np.trapezoid(y, x))
    assert area == pytest.approx(auc(odds, 1 - label), abs=1e-7) and 0.8 < area < 1
    assert curve["name"] == f"trial 0002: AUC {100 * area:.1f} %" and said == []
    assert mark["x"] == [pytest.approx(100 * (odds[label == 0] > 0).mean())]
    assert mark["y"] == [pytest.approx(100 * (odds[label == 1] > 0).mean())]
    log = parts["roc-log"].figure
    assert log["data"][0]["x"] == curve["x"] and log["layout"]["xaxis"]["type"] == "log"
    assert 10 ** log["layout"]["xaxis"]["range"][0] == pytest.approx(100 / (label == 0).sum())


def test_the_histogram_has_every_pair_and_the_threshold(run: Path) -> None:
    rows = [*pairs(), ("p00/1.png", "p01/1.png", 0, float("-inf"))]
    written(run, "0002", rows)
    figure = section(run)[0]["scores-1"].figure
    same, different, marks = figure["data"]
    assert [sum(same["y"]), sum(different["y"])] == [30, 406]
    assert same["name"] == "same person, 30 pairs"
    low, high = same["x"][0] - same["width"] / 2, same["x"][-1] + same["width"] / 2
    assert (low, high) == (pytest.approx(min(row[3] for row in rows[:-1])), pytest.approx(9.5))
    rejected = sum(n for x, n in zip(same["x"], same["y"], strict=True) if x < -2)
    assert rejected == sum(row[2] and row[3] < -2 for row in rows)
    assert figure["layout"]["shapes"][0]["x0"] == 0 == marks["x"][0]


def test_thresholds_are_those_of_validation_where_far_was_asked(run: Path) -> None:
    rows = pairs()
    rate = {"value": 0.0625, "low": 0.04, "high": 0.09, "n": 400}
    asked = {"asked": 0.05, "threshold": 1.25, "different": 10}
    rates = dict.fromkeys(("val_far", "val_tar", "test_far", "test_tar"), rate)
    written(run, "0002", rows, at_far=[asked | rates])
    rows = [*rows, (FALSE_ACCEPT[1], FALSE_ACCEPT[0], 0, 9.5)]  # listed twice, once in n
    written(run, "ensemble-1", rows)
    table = section(run)[0]["thresholds"]
    assert "people: rates of the protocol's pairs, with 95 % Wilson intervals." in table.note
    assert table.rows[0] == [
        "trial 0002", 5.0, "1.250", "validation pairs", "the protocol's", "6.25 [4.00, 9.00]", 400,
        "6.2 [4.0, 9.0]", 400,
    ]  # fmt: skip  # as one line of the table
    assert "FAR 0.05 needs 20 validation pairs of two people, and there are 10" in table.note
    label, odds = (np.array([row[at] for row in rows]) for at in (2, 3))
    for row, most in zip(table.rows[1:], (0.1, 0.01, 0.001), strict=True):
        assert row[0] == "ensemble-1" and row[1] == 100 * most and row[3] == "test pairs"
        found = true_accepts(odds, 1 - label, most)
        assert row[7].startswith(f"{100 * found:.1f} [") and row[6] == 405 and row[8] == 30
        got = (odds[label == 0] > float(row[2])).mean()
        assert row[5].startswith(f"{100 * got:.2f} [") and got <= most
    charts = section(run)[0]
    texts = [charts[f"scores-{n}"].figure["data"][2]["text"] for n in (1, 2)]
    assert texts[0][1] == "FAR 5 %, chosen on validation pairs: 1.250"
    assert texts[1][1].startswith("FAR 10 %, chosen on test pairs: ")
    assert charts["scores-2"].note.endswith("table of false-accept rates, chosen on test pairs.")
    assert f"search.retrain {run} --ensemble 1 --far 0.1,0.01,0.001`" in table.note
    assert "FAR 0.1 % needs 1,000 test pairs of two people, and there are 406" in table.note


def test_rates_of_every_two_images_say_so_beside_those_of_listed_pairs(run: Path) -> None:
    rate = {"value": 0.0625, "low": 0.04, "high": 0.09, "n": 40_000}
    asked = {"asked": 0.05, "threshold": 1.25, "different": 50_000, "fpr_pairs": "images"}
    rates = dict.fromkeys(("val_far", "val_tar", "test_far", "test_tar"), rate)
    written(run, "0002", pairs(), at_far=[asked | rates | {"people": [12, 1100]}])
    of_people = (
        "rates over every two images of the protocol's pairs (fpr_pairs: images), of 12 "
        "validation and 1,100 test people, with 95 % intervals of a bootstrap over people"
    )
    note = section(run)[0]["thresholds"].note
    assert f"as one, TAR that of the same people: {of_people}. A" in note
    text = report([run]).with_suffix(".md").read_text()
    assert "| 0002 | frontal-triplets | every two (images) | 0 |" in text
    assert f"the space's `fpr` asked for: {of_people}." in text
    written(run, "ensemble-1", pairs(1))  # other scores
    note = section(run)[0]["thresholds"].note
    assert f"{of_people}; rates of the protocol's pairs, with 95 % Wilson intervals." in note


def test_the_worst_pairs_are_those_that_were_planted(run: Path) -> None:
    written(run, "0002", pairs())
    parts, said = section(run)
    for name, (left, right), words in (
        ("false-accepts", FALSE_ACCEPT, "“same person” with 100.0 %, log-odds +9.50"),
        ("false-rejects", FALSE_REJECT, "“same person” with 0.0 %, log-odds -8.25"),
    ):
        worst = parts[name].pictures[0]
        assert worst.caption == f"{words}: {left} and {right}"
        for found, wanted in zip(colours(worst.png), map(colour_of, (left, right)), strict=True):
            assert np.abs(np.subtract(found, wanted)).max() <= 3  # of the JPEG
    wrong = sum(row[2] == 0 and row[3] > 0 for row in pairs())
    assert len(parts["false-accepts"].pictures) == 12 < wrong
    assert f"The 12 furthest from the threshold of {wrong} that are wrong, of 405 pairs" in (
        parts["false-accepts"].note
    )
    assert said == []


def test_pictures_are_as_the_net_saw_them_where_the_data_is_packed(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACESIAM_CACHE", str(tmp_path / "cache"))
    noted = json.loads((run / "manifest.json").read_text())
    packed = prepare(noted["data"]["source"], [DEFAULT], progress=False)
    noted["data"]["key"] = packed.key
    (run / "manifest.json").write_text(json.dumps(noted))
    shutil.rmtree(noted["data"]["source"])
    written(run, "0002", pairs())
    worst = section(run)[0]["false-accepts"]
    assert worst.note.endswith("as the net saw them.")
    found = colours(worst.pictures[0].png)
    assert np.abs(np.subtract(found, [colour_of(name) for name in FALSE_ACCEPT])).max() <= 3


def test_without_the_data_a_sentence_stands_for_the_pictures(run: Path, tmp_path: Path) -> None:
    written(run, "0002", pairs())
    (tmp_path / "faces").rename(tmp_path / "moved")
    parts, said = section(run)
    assert "false-accepts" not in parts and "scores-1" in parts
    assert said == [f"The worst judged pairs are not shown: {tmp_path}/faces: does not exist."]
    assert "false-accepts" in section(run, data=str(tmp_path / "moved"))[0]
    (tmp_path / "moved" / "p07" / "2.png").unlink()
    parts, (why,) = section(run, data=str(tmp_path / "moved"))
    assert why.endswith("has no p07/2.png, so it is not the data of this run.")


def test_without_images_none_is_read(run: Path, tmp_path: Path) -> None:
    written(run, "0002", pairs())
    shutil.rmtree(tmp_path / "faces")
    parts, said = section(run, images=False)
    assert list(parts) == ["roc", "roc-log", "scores-1", "thresholds"] and said == []


def test_the_pictures_stay_below_a_megabyte_even_of_noise(run: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for path in (tmp_path / "faces").rglob("*.png"):
        Image.fromarray(rng.integers(0, 256, (224, 224, 3), dtype=np.uint8)).save(path)
    rows = [(a, b, same, -odds) for a, b, same, odds in pairs()]  # nearly all are wrong
    written(run, "0002", rows)
    parts, _ = section(run)
    shown = [
        one.png for part in parts.values() if isinstance(part, Pictures) for one in part.pictures
    ]
    assert len(shown) == 24 and sum(len(base64.b64encode(png)) for png in shown) < 1_000_000


def test_the_nets_are_named_in_the_order_of_their_rank(run: Path) -> None:
    for trial in ("ensemble-2", "0001", "0002"):
        written(run, trial, pairs())
    shutil.copytree(run / "retrain" / "0001" / "seed-0", run / "retrain" / "0001" / "seed-1")
    parts, said = section(run)
    names = [trace["legendgroup"] for trace in parts["roc"].figure["data"][1::2]]
    assert names == ["trial 0002", "trial 0001", "ensemble-2"] and said == []
    assert [name for name in parts if name.startswith("scores")] == [
        f"scores-{n}" for n in (1, 2, 3)
    ]
    assert parts["false-accepts"].title.endswith("the worst of trial 0002")
    kinds = [type(part) for part in parts.values()]
    assert kinds == [Chart] * 5 + [Table] + [Pictures] * 2


def test_an_ensemble_of_one_is_drawn_where_it_is_another_net_than_its_trials(run: Path) -> None:
    """The trial trained again is the search's net, or, on another machine, one near it."""
    written(run, "0002", pairs())
    for scored, names in ((pairs(), ["trial 0002"]), (pairs(1), ["trial 0002", "ensemble-1"])):
        written(run, "ensemble-1", scored)
        parts, said = section(run, images=False)
        drawn = [trace["legendgroup"] for trace in parts["roc"].figure["data"][1::2]]
        assert drawn == names and said == []
    written(run, "ensemble-2", pairs())  # two nets alike by chance are two nets
    assert "ensemble-2" in [row[0] for row in section(run)[0]["thresholds"].rows]


def test_the_protocol_that_a_trial_was_trained_for_comes_first(run: Path) -> None:
    folder = written(run, "0002", pairs()).parent
    shutil.copy(folder / "scores.csv", folder / "scores-cfp-pairs.csv")
    figures = json.loads((folder / "test.json").read_text()) | {"protocol": "cfp-pairs"}
    (folder / "test-cfp-pairs.json").write_text(json.dumps(figures))
    names = [row[0] for row in section(run)[0]["thresholds"].rows[::3]]
    assert names == ["trial 0002, frontal-triplets", "trial 0002, cfp-pairs"]


def test_what_cannot_be_drawn_is_said(run: Path) -> None:
    parts, (said,) = section(run)
    assert not parts and f"search.retrain {run} --ensemble 1` tests the best one" in said
    path = written(run, "0002", pairs())
    path.write_text(path.read_text().replace(",9.5\n", ",nan\n"))
    assert section(run)[1] == [
        "No ROC curve of trial 0002: a score of its test pairs is not a number."
    ]
    path.write_text("left,right,label,same\n0,1,0,0.5\n")
    assert section(run)[1][0].startswith("No ROC curve of trial 0002: ")
    path.unlink()
    (said,) = section(run)[1]
    assert f"{path} is missing; `python -m search.retrain {run} --trial 0002` writes it" in said
    path.write_text("left,right,same_person,log_odds\na,b,2,0.5\n")
    with pytest.raises(RunError, match="line 2: same_person: must be 0 or 1"):
        section(run)


def test_a_page_says_once_what_cannot_be_drawn(run: Path) -> None:
    written(run, "0002", pairs()).unlink()
    assert report([run]).read_text(encoding="utf-8").count("No ROC curve of trial 0002: ") == 1


def test_a_curve_of_many_corners_keeps_its_area_and_its_ends() -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 60_000)
    odds = rng.normal(0.8 - 1.6 * label, 1)
    false, true = roc(odds, label)
    few = thinned(false, true)
    assert len(few[0]) < 2 * POINTS < len(false) / 10
    assert float(np.trapezoid(few[1], few[0])) == pytest.approx(auc(odds, label), abs=2e-5)
    assert [few[0][0], few[1][0], few[0][-1], few[1][-1]] == [0, 0, 1, 1]
    assert few[0][few[0] > 0][0] == false[false > 0][0]  # where the logarithmic axis begins
