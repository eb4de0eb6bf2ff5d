"""The command export: what it writes, chooses and refuses; its ONNX files: test_onnx_files.py."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from saved_nets import save

from facesiam import Verifier, verify
from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.errors import WeightsError
from facesiam.evaluation.thresholds import Judged, rates_at
from facesiam.export import card, folder, onnx_files
from facesiam.export.__main__ import main
from facesiam.objective import Objective


def written(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()}


def test_thresholds_are_of_validation_and_the_rates_of_test_pairs(
    exported: Path, data: FaceData, embedding: TrialConfig
) -> None:
    assert written(exported) == {
        "README.md",
        "config.json",
        "preprocess.json",
        "thresholds.json",
        "model.safetensors",
    }
    noted = json.loads((exported / "thresholds.json").read_text())
    assert (noted["protocol"], noted["data"]) == (embedding.protocol, data.key)
    assert [row["asked"] for row in noted["rows"]] == [0.1, 0.01, 0.001]
    verifier, pixels = Verifier.load(exported), data.pixels(embedding.packing)
    for part in ("val", "test"):
        pairs = data.pairs_of(embedding, part)
        ends = [verifier.embed(list(pixels[side])) for side in (pairs.left, pairs.right)]
        judged = Judged((ends[0] * ends[1]).sum(1), pairs.label, data.distinct(pairs))
        for row in noted["rows"]:
            # Just beside the threshold, which is itself the score of a pair.
            rates = rates_at(judged, row["threshold"] + 1e-6)
            assert (row[f"{part}_far"], row[f"{part}_tar"]) == rates
    assert noted["rows"][0]["val_far"]["value"] <= 0.1 < noted["rows"][0]["val_tar"]["value"] + 0.1


def test_the_card_has_each_figure_with_n_and_interval(exported: Path, data: FaceData) -> None:
    text = (exported / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    known = yaml.safe_load(front)
    assert (known["library_name"], known["license"]) == ("facesiam", "unknown")
    (result,) = known["model-index"][0]["results"]
    accuracy = 100 * result["metrics"][0]["value"]
    lines = body.splitlines()
    (row,) = [line for line in lines if line.startswith("| accuracy |")]
    assert f"| {accuracy:.1f} % [" in row and row.count(", n ") == 2
    rows = json.loads((exported / "thresholds.json").read_text())["rows"]
    for each in rows:
        (line,) = [line for line in lines if line.startswith(f"| {each['asked']:g} |")]
        rate = each["test_tar"]
        low, high = 100 * rate["low"], 100 * rate["high"]
        assert line.endswith(
            f"| {100 * rate['value']:.1f} % [{low:.1f}, {high:.1f}], n {rate['n']} |"
        )
        far = [100 * each["test_far"][end] for end in ("value", "low", "high")]
        assert "| {:.2f} % [{:.2f}, {:.2f}], n ".format(*far) in line
    assert "Shown are rates of the protocol's pairs, with 95 % Wilson intervals." in body
    own = "where most validation pairs of frontal-triplets are judged right"
    assert f"The accuracy is that at the net's own threshold, {own};" in body
    assert "In bf16" not in body  # the net was trained in fp32
    assert f"Data `{data.key}`" in body and '"embedding": 8' in body
    assert "12 people trained, 4 chose epoch and thresholds, 4 others are tested" in body
    assert "- FAR 0.001 needs 1,000 validation pairs of two people, and there are 24:" in body
    assert 'compare("one.jpg", "other.jpg", far=1e-2))' in body
    assert "There is no face detector" in body and "trained from random weights" in body


@pytest.mark.parametrize(
    ("net", "pretrained", "said"),
    [
        (
            "resnet18",
            True,
            "torchvision's ImageNet weights, BSD-3-Clause; where another file was given",
        ),
        (
            "efficientnet_lite0",
            True,
            "the ImageNet weights of efficientnet_lite_pytorch, Apache-2.0;",
        ),
        ("iresnet18", True, "a file of the user's (`--weights`), whose licence is unknown here."),
        ("resnet18", False, "The net was trained from random weights."),
    ],
)
def test_the_licence_is_that_of_the_first_weights(net: str, pretrained: bool, said: str) -> None:
    config = TrialConfig(net=net, pretrained=pretrained)
    text = card.write("mine", config, {"epoch": 3, "val_acc": 0.5}, None, [folder.MODEL], 0.25)
    assert said in text
    assert "Weights of epoch 3, counted from 0 (validation accuracy then 50.0 %)." in text
    assert "order of the two images matters" in text  # of concat


def test_without_data_the_card_says_what_is_not_there(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(weights), "--out", str(tmp_path / "out"), "--safetensors"]) == 0
    assert written(tmp_path / "out") == {
        "README.md",
        "config.json",
        "preprocess.json",
        "model.safetensors",
    }
    text = (tmp_path / "out" / "README.md").read_text()
    assert text.count("no data was given") == 2 and "model-index" not in text
    assert 'compare("one.jpg", "other.jpg"))' in text and "false-accept" not in text
    assert "wrote " in capsys.readouterr().out


def test_a_failed_export_leaves_nothing(
    weights: Path,
    faces: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def differs(*given: Any) -> None:
        raise WeightsError("verdict.onnx: differs")

    monkeypatch.setattr(onnx_files, "write", lambda *given: None)
    monkeypatch.setattr(onnx_files, "largest_difference", differs)
    assert main([str(weights), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == "verdict.onnx: differs\n" and not list(tmp_path.iterdir())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    assert main([str(weights), "--out", str(tmp_path / "out")]) == 2
    assert "out: is there already; remove it, or give another folder" in capsys.readouterr().err
    assert written(tmp_path / "out") == {"mine"}
    other = shutil.copytree(faces, tmp_path / "other")
    Image.new("RGB", (60, 60), "red").save(next(other.glob("Data/Images/*/frontal/*.jpg")))
    assert main([str(weights), "--out", str(tmp_path / "new"), "--data", str(other)]) == 2
    assert f"{other}: not the data that {weights} was trained on" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--out", "."], "--out .: give the name of a folder\n"),
        (["--out", "new", "--format", "cfp"], "--format goes with --data\n"),
        (["--out", "file/new"], "--out file/new: cannot be written (Not a directory)\n"),
    ],
)
def test_what_cannot_be_the_folder_of_an_export(
    given: list[str],
    said: str,
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if "/" in given[1]:
        (tmp_path / "file").touch()
    there = list(tmp_path.iterdir())
    assert main([str(weights), "--safetensors", *given]) == 2
    assert capsys.readouterr().err == said and list(tmp_path.iterdir()) == there


def test_of_a_run_the_net_that_validated_best(
    tiny: TrialConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def chosen() -> Path:
        return folder.best_weights(tmp_path)

    (tmp_path / "space.yaml").write_text("")
    assert main([str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    said = "holds no weights (retrain/*/seed-*/weights.pt or weights/*.pt) and is not an exported folder, which has a config.json; it holds space.yaml"
    assert said in capsys.readouterr().err
    small = dataclasses.replace(tiny, net="squeezenet1_1", hidden=2)
    for name, val_acc in (("0001", 0.7), ("0002", 0.9), ("0003", 0.8)):
        save(tmp_path / "weights" / f"{name}.pt", small, "", val_acc)
    assert chosen() == tmp_path / "weights" / "0002.pt"
    again = tmp_path / "retrain" / "0003" / "seed-0"
    save(again / "weights.pt", small, "", 0.6)
    assert chosen() == again / "weights.pt" == folder.best_weights(again)
    better = tmp_path / "weights" / "0002.pt"
    said = (
        f"{better}, of the search itself, validated better: val_acc 90.0 % against 60.0 %; give "
        "that file to take it"
    )
    assert main([str(tmp_path), "--out", str(tmp_path / "out"), "--safetensors"]) == 0
    assert said in capsys.readouterr().err
    assert verify.main([str(tmp_path), "none.jpg", "none.jpg"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert said in told and f"net: {again / 'weights.pt'}" in told
    assert verify.main([str(better), "none.jpg", "none.jpg"]) == 2
    assert "net: " not in (told := capsys.readouterr().err) and "better" not in told
    assert folder.better_kept(again, again / "weights.pt") == ""
    (tmp_path / "config.json").touch()  # an exported folder
    assert folder.better_kept(tmp_path, tmp_path) == ""
    (tmp_path / "config.json").unlink()
    torch.save({}, again / "other.pt")  # a net that does not say how it validated
    assert folder.better_kept(tmp_path, again / "other.pt") == ""
    save(again / "weights.pt", small, "", 0.9)
    assert folder.better_kept(tmp_path, again / "weights.pt") == ""
    save(again / "weights.pt", small, "", 0.6)
    by_loss = Objective("val_loss", "min")
    save(better, small, "", 0.9, **by_loss.noted(0.1))  # the kept ones cannot be compared
    assert folder.better_kept(tmp_path, again / "weights.pt") == ""
    for name in ("0001", "0003"):
        save(tmp_path / "weights" / f"{name}.pt", small, "", 0.9, **by_loss.noted(0.2))
    assert folder.better_kept(tmp_path, again / "weights.pt") == ""  # by another metric


def test_of_a_run_that_another_metric_ranked_the_net_that_is_best_by_it(
    tiny: TrialConfig, tmp_path: Path
) -> None:
    small = dataclasses.replace(tiny, net="squeezenet1_1", hidden=2)
    by_loss = Objective("val_loss", "min")
    for name, val_acc, loss in (("0001", 0.9, 0.5), ("0002", 0.7, 0.3), ("0003", 0.8, 0.4)):
        save(tmp_path / "weights" / f"{name}.pt", small, "", val_acc, **by_loss.noted(loss))
    assert folder.best_weights(tmp_path) == tmp_path / "weights" / "0002.pt"
    save(tmp_path / "weights" / "0004.pt", small, "", 0.95)  # of before it was noted
    said = "the nets were chosen by val_acc (max) and by val_loss (min), which cannot be compared"
    with pytest.raises(WeightsError, match=re.escape(said)):
        folder.best_weights(tmp_path)


def test_a_folder_with_onnx_alone_is_not_for_the_verifier(exported: Path, tmp_path: Path) -> None:
    out = shutil.copytree(exported, tmp_path / "out")
    (out / "model.safetensors").unlink()
    with pytest.raises(
        WeightsError,
        match="out: has no model.safetensors, as it was exported with --onnx alone",
    ):
        Verifier.load(out)
    (out / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(WeightsError, match="config.json: not the settings of an exported net"):
        Verifier.load(out)


def test_no_more_people_than_train_are_in_a_cohort() -> None:
    config = TrialConfig(join="cosine", loss="supcon", cohort=100)
    assert "the mean of the 100 highest that" in card.score_of(config)
    for people, count in ((12, 12), (300, 100)):
        text = card.write("mine", config, {}, None, [folder.MODEL], 0.25, people)
        assert f"the mean of the {count} highest that an image has with training people" in text
