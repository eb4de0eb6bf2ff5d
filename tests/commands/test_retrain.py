"""Training a trial again, testing it once, and the demo on what that leaves."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from builders import LETTERBOX, worker_config
from PIL import Image

from facesiam import demo
from facesiam.config import TrialConfig
from facesiam.config.metrics import FIELDS
from facesiam.data.dataset import FaceData, cache_root
from facesiam.device import reproducibility
from facesiam.device.hardware import cpu_multiplies_bf16, precision_of
from facesiam.evaluation import ensemble, ten_fold
from facesiam.evaluation import figures as test_figures
from facesiam.evaluation.metrics import METRICS, wilson
from facesiam.evaluation.predict import predict
from facesiam.export.folder import best_weights
from facesiam.nets.checkpoint import Writer, load_model, save_model
from facesiam.nets.siamese import build
from facesiam.nets.weight_files import read_weights
from facesiam.objective import Objective
from facesiam.trainable import FaceTrial
from facesiam.training import saving
from facesiam.training.loop import Training
from facesiam.training.soup import _Judge
from search import load
from search.analysis import kept_tests
from search.report import evaluation
from search.report.page import report
from search.retrain import seeds, soup
from search.retrain.__main__ import main
from search.runs import layout
from search.runs.journal_writer import Journal
from search.runs.lock import locked
from search.runs.mirror import Mirror


@pytest.fixture(scope="module")
def tiny(tiny: TrialConfig) -> TrialConfig:
    """The same of a third of the people: how many train matters to nothing here."""
    return dataclasses.replace(tiny, people=4)


@pytest.fixture
def run(
    tiny: TrialConfig,
    data: FaceData,
    faces: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A run folder of two trials, the second one better, as the driver leaves it."""
    monkeypatch.setenv("FACESIAM_CACHE", str(data.folder.parent))
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "space.yaml").write_text("search: {lr: [1e-3, 1e-4]}\nalgorithm: grid\n")
    noted = {"name": "run", "data": {"source": str(faces), "key": data.key}}
    (folder / "manifest.json").write_text(json.dumps(noted))
    journal = Journal(folder)
    for name, lr, score in (("0001", 1e-4, 0.5), ("0002", 1e-3, 0.75)):
        settings = dataclasses.replace(tiny, lr=lr).to_dict()
        journal.trial(
            name,
            "running",
            row=None,
            settings=settings,
            stop_rule=None,
            stop_reason=None,
        )
        row = {"epoch": 0, "train_loss": 0.6, "train_acc": 0.5, "val_loss": 0.6, "val_acc": score}
        more = {"val_pairs": 48, "seconds": 1.0, "samples_per_second": 9.0}
        journal.epoch(name, row | more | {"peak_memory_mib": 1.0})
    return folder


def test_the_best_trial_is_trained_again_and_its_best_epoch_tested(
    run: Path, tiny: TrialConfig, data: FaceData, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(run), "--epochs", "2", "--seeds", "2"]) == 0
    expected = list(Training(dataclasses.replace(tiny, epochs=2), data))
    best = max(expected, key=lambda m: m.val_acc)
    folder = run / "retrain" / "0002" / "seed-0"
    figures = json.loads((folder / "test.json").read_text())
    assert (figures["epoch"], figures["val_acc"]) == (best.epoch, best.val_acc)
    net, config, _ = load_model(folder / "weights.pt")
    assert config == dataclasses.replace(tiny, epochs=2)
    assert json.loads((folder / "settings.json").read_text()) == config.to_dict()
    assert len((folder / "epochs.csv").read_text().splitlines()) == 3
    pairs = data.pairs("frontal-triplets", "test")
    same = predict(net, config, data.pixels(LETTERBOX), pairs)
    right = ((same > 0.5) == (pairs.label == 0)).mean()
    assert figures["accuracy"]["value"] == pytest.approx(right)
    assert figures["accuracy"]["n"] == len(np.unique(data.distinct(pairs)))
    for name in ("accuracy", "auc", "eer"):
        part = figures[name]
        assert 0 <= part["low"] <= part["value"] <= part["high"] <= 1
    assert (run / "retrain" / "0002" / "seed-1" / "test.json").exists()
    said = capsys.readouterr().out
    assert figures["threshold"] == "equal logits"
    assert "both accuracies at the threshold where the net's two logits are equal, which" in said
    assert "mean ± std, n = 2" in said and f"{100 * right:.1f} [" in said


def test_a_seed_that_is_done_is_not_trained_again_unless_something_has_changed(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that seeds can be trained side by side, or one evening after another."""
    place = run / "retrain" / "0002"
    assert main([str(run), "--epochs", "1", "--seed", "1"]) == 0
    assert [folder.name for folder in place.iterdir()] == ["seed-1"]
    other = "1 epoch in place of the search's 3, which gives another net"
    assert other in capsys.readouterr().err
    when = (place / "seed-1" / "weights.pt").stat().st_mtime_ns
    capsys.readouterr()
    assert main([str(run), "--epochs", "1", "--seeds", "2"]) == 0
    said = capsys.readouterr()
    assert "mean ± std, n = 2" in said.out and "seed 1: trained before" in said.err
    assert "seed 0: trained before" not in said.err
    assert (place / "seed-1" / "weights.pt").stat().st_mtime_ns == when
    assert main([str(run), "--epochs", "2", "--seed", "1"]) == 0  # another schedule
    assert (place / "seed-1" / "weights.pt").stat().st_mtime_ns > when
    when = (place / "seed-1" / "weights.pt").stat().st_mtime_ns
    (place / "seed-1" / "trained.json").write_text('{"key": "of other code"}')
    assert main([str(run), "--epochs", "2", "--seed", "1"]) == 0
    assert (place / "seed-1" / "weights.pt").stat().st_mtime_ns > when
    capsys.readouterr()
    with locked(place / "seed-3"):
        assert main([str(run), "--epochs", "1", "--seed", "3"]) == 2
    assert "seed-3: another command is running in it" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):  # the parser refuses it
        main([str(run), "--seed", "-1"])
    assert main([str(run), "--seed", str(2**31 - 1), "--seeds", "2"]) == 2
    assert capsys.readouterr().err.count("seed: must be") == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_that_a_signal_cuts_off_goes_on_within_its_epoch(
    run: Path,
    number: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv = [str(run), "--epochs", "2"]
    folder = run / "retrain" / "0002" / "seed-0"
    steps, per_epoch, wanted = [0], [0], trained(run, argv)

    class Cut(Training):
        def _update(self, *given: Any) -> None:
            super()._update(*given)
            steps[0] += 1
            per_epoch[0] = self.batches.per_epoch
            if steps[0] == per_epoch[0] + 1:
                signal.raise_signal(number)

    monkeypatch.setattr("facesiam.training.train.Training", Cut)
    codes = {signal.SIGINT: 130, signal.SIGTERM: 143}
    assert main(argv) == codes[number]
    word = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[number]
    assert f"{word}; the same command goes on with it" in capsys.readouterr().err
    assert read_weights(folder / "state.pt")["within"]["steps"] == 1
    unfinished = sorted(file.name for file in folder.glob("[!.]*"))
    assert unfinished == ["best.pt", "state.pt"]  # no command takes it for a trained net
    assert main(argv) == 0
    assert "seed 0 goes on in epoch 1; the last is 1" in capsys.readouterr().err
    assert steps[0] == 2 * per_epoch[0]
    assert left(folder) == wanted and not (folder / "state.pt").exists()


def test_a_training_that_was_killed_goes_on_from_its_last_epoch(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [str(run), "--epochs", "2"]
    folder = run / "retrain" / "0002" / "seed-0"
    wanted = trained(run, argv)
    monkeypatch.setattr(saving, "SAVING_SHARE", math.inf)  # save after every epoch
    epochs: list[int] = []

    class Killed(Exception):
        pass

    class Counted(Training):
        def _validate(self) -> dict[str, Any]:
            if len(epochs) == 1:
                epochs.append(-1)
                Writer.flush(writers[-1])
                raise Killed
            epochs.append(self.epoch)
            return super()._validate()

    writers: list[Writer] = []

    class Watched(Writer):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            writers.append(self)

    monkeypatch.setattr("facesiam.training.train.Training", Counted)
    monkeypatch.setattr("facesiam.training.train.Writer", Watched)
    assert main(argv) == 70
    capsys.readouterr()
    assert main(argv) == 0
    assert "seed 0 goes on in epoch 1; the last is 1" in capsys.readouterr().err
    assert epochs == [0, -1, 1]
    assert left(folder) == wanted and not (folder / "state.pt").exists()


def trained(run: Path, argv: list[str]) -> dict[str, Any]:
    """What a training that nothing cuts off leaves, in a copy of the run."""
    whole = run.with_name("whole")
    shutil.copytree(run, whole)
    assert main([str(whole), *argv[1:]]) == 0
    return left(whole / "retrain" / "0002" / "seed-0")


def left(folder: Path) -> dict[str, Any]:
    """What a training left but for the clock: the files, the curve, the test and the weights."""
    curve = pd.read_csv(folder / "epochs.csv")
    clock = ["seconds", "samples_per_second", "peak_memory_mib"]
    net, _, info = load_model(folder / "weights.pt")
    return {
        "files": sorted(file.name for file in folder.iterdir()),
        "curve": curve.drop(columns=clock).to_csv(),
        "test": (folder / "test.json").read_text(),
        "weights": {name: value.tolist() for name, value in net.state_dict().items()},
        "info": info,
    }


def test_a_seed_that_another_command_trained_while_this_one_waited_is_not_trained_again(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = [str(run), "--epochs", "1", "--seed", "1"]
    weights = run / "retrain" / "0002" / "seed-1" / "weights.pt"
    seen: list[int] = []

    @contextmanager
    def late(folder: Path) -> Iterator[None]:
        monkeypatch.setattr(seeds, "locked", locked)
        assert main(argv) == 0
        seen.append(weights.stat().st_mtime_ns)
        with locked(folder):
            yield

    monkeypatch.setattr(seeds, "locked", late)
    assert main(argv) == 0
    assert seen == [weights.stat().st_mtime_ns]


def test_the_test_people_decide_nothing(
    run: Path, tiny: TrialConfig, data: FaceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, bool]] = []
    pairs_of = FaceData.pairs

    def watched(self: FaceData, protocol: str, part: str, **limits: int) -> object:
        written = (run / "retrain" / "0002" / "seed-0" / "epochs.csv").exists()
        asked.append((part, written))
        return pairs_of(self, protocol, part, **limits)

    monkeypatch.setattr(FaceData, "pairs", watched)
    assert main([str(run), "--epochs", "1"]) == 0
    # The last one asks who trained, to refuse to test them.
    learned = [("train", False), ("val", False), ("val", False)]
    assert asked == [*learned, ("test", True), ("train", True)]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--trial", "0009"], "no trial 0009; its 2 trials are 0001 to 0002"),
        (["--rank", "3"], "no trial of rank 3; 2 trials have a rank"),
        (["--data", "nowhere"], "nowhere: does not exist"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    run: Path, options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(run), *options]) == 2
    assert sentence in capsys.readouterr().err and not (run / "retrain").exists()


def test_protocols_of_cfp_are_refused_for_other_data_before_anything_is_trained(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noted = json.loads((run / "manifest.json").read_text())
    noted["data"] |= {"format": "folders", "source": "faces"}
    (run / "manifest.json").write_text(json.dumps(noted))
    for protocol, advice in (
        (
            "cfp-10fold",
            "`python -m facesiam.verify WEIGHTS --pairs PATH` tests ten folds of a net as it is, "
            "and a search with `fold: k` in its space, k from 1 to 10, trains a net for fold k",
        ),
        ("cfp-pairs", "use protocol: dataset-pairs, or frontal-triplets"),
    ):
        assert main([str(run), "--protocol", "dataset-pairs", "--protocol", protocol]) == 2
        assert capsys.readouterr().err == (
            f"faces: protocol {protocol} takes CFP's own pairs, and this is folders; {advice}\n"
        )
    assert not (run / "retrain").exists()


def test_other_data_than_the_runs_is_refused(
    run: Path, tmp_path: Path, faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    packed = set(cache_root().iterdir())
    other = tmp_path / "other"
    shutil.copytree(faces, other)
    picture = next(other.glob("Data/Images/*/frontal/*.jpg"))
    Image.new("RGB", (60, 60), "red").save(picture)
    assert main([str(run), "--data", str(other)]) == 2
    said = capsys.readouterr().err
    assert f"{other}: not the data that {run} was made with" in said and "packing" not in said
    index = next(file for file in cache_root().glob("*/index-4.npz") if file.parent not in packed)
    assert not list(index.parent.glob("*.npy"))


def test_the_demo_judges_test_pairs_and_two_files(
    run: Path,
    faces: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of the run's data where none are given; kept and retrained weights lie in its folder."""
    assert main([str(run), "--epochs", "1"]) == 0
    folder = run / "retrain" / "0002" / "seed-0"
    figures = json.loads((folder / "test.json").read_text())
    capsys.readouterr()
    weights, out = str(folder / "weights.pt"), tmp_path / "pairs.png"
    monkeypatch.delenv("FACESIAM_DATA", raising=False)
    assert demo.main([weights, "--out", str(out), "--pairs", "3"]) == 0
    said = capsys.readouterr().out
    # The same figure that retrain wrote.
    assert f"Test accuracy {100 * figures['accuracy']['value']:.1f} %" in said
    assert "\nthreshold: where the net's two logits are equal, which no pairs chose\n" in said
    with Image.open(out) as sheet:
        assert sheet.size == (12 + 3 * (2 * 224 + 24), 44 + 2 * (224 + 30 + 12))
    assert demo.data_of_run(run / "weights" / "0001.pt") == (str(faces), "cfp")
    assert demo.data_of_run(tmp_path / "w.pt") == (None, None)
    same = sorted(faces.glob("Data/Images/*/frontal/01.jpg"))[0]
    assert demo.main([weights, str(same), str(same), "--out", str(out)]) == 0
    assert "same person (" in capsys.readouterr().out


def test_the_demo_refuses_other_data_before_it_packs_them(
    tiny: TrialConfig,
    faces: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FACESIAM_CACHE", str(tmp_path / "cache"))
    save_model(tmp_path / "w.pt", build(tiny).state_dict(), tiny, data="0" * 64)
    assert demo.main([str(tmp_path / "w.pt"), "--data", str(faces)]) == 2
    said = capsys.readouterr().err
    assert f"{faces}: not the data that {tmp_path / 'w.pt'} was trained on" in said
    assert "packing" not in said and not list((tmp_path / "cache").rglob("*.npy"))


@pytest.mark.parametrize("images", [["only-one.jpg"], ["no.jpg", "no.jpg"]])
def test_the_demo_refuses_what_it_cannot_judge(
    tiny: TrialConfig, tmp_path: Path, images: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(tmp_path / "w.pt", build(tiny).state_dict(), tiny)
    assert demo.main([str(tmp_path / "w.pt"), *images]) == 2
    said = capsys.readouterr().err
    assert "two images or none, got 1" in said or "no.jpg: no such file" in said


@pytest.mark.parametrize("out", ["x.xyz", "folder"])
def test_the_demo_refuses_what_is_no_picture_before_it_predicts(
    out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main([str(tmp_path / "no.pt"), "a.jpg", "--out", out, "b.jpg"]) == 2
    assert capsys.readouterr() == (
        "",
        f"--out {out}: must end as a picture does, in .png or .jpg\n",
    )


def test_the_demos_caption_says_verdict_and_probability() -> None:
    image = Image.fromarray(np.zeros((224, 224, 3), np.uint8))
    wrong = demo.Prediction(image, image, 0.8, False)
    assert wrong.caption == "The same person (80%)" and wrong.colour == demo.RED
    right = demo.Prediction(image, image, 0.3, False)
    assert right.caption == "NOT the same person (70%)" and right.colour == demo.GREEN
    sure = demo.Prediction(image, image, 1.0, None)
    assert sure.caption == "The same person (100%)" and sure.colour == demo.INK


@pytest.mark.parametrize("truth", [True, False])
def test_the_demos_caption_of_a_score_that_is_no_number_is_no_verdict(truth: bool) -> None:
    image = Image.new("RGB", (224, 224))
    judged = demo.Prediction(image, image, math.nan, truth)
    assert judged.caption == "no prediction: its score is not a number"
    assert judged.colour == demo.RED


def test_retrain_leaves_torch_as_it_was(run: Path) -> None:
    before = torch.random.get_rng_state()
    assert main([str(run), "--epochs", "1"]) == 0
    assert torch.equal(before, torch.random.get_rng_state())


def test_other_protocols_and_the_report_on_them(
    run: Path, data: FaceData, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--protocol", "frontal-triplets", "--protocol", "cfp-pairs"]
    assert main([str(run), "--epochs", "1", *asked]) == 0
    said = capsys.readouterr().out
    assert "test split of frontal-triplets" in said and "test split of cfp-pairs" in said
    folder = run / "retrain" / "0002" / "seed-0"
    figures = json.loads((folder / "test-cfp-pairs.json").read_text())
    assert figures["accuracy"]["n"] == len(data.pairs("cfp-pairs", "test").label)  # none twice
    assert re.search(
        r"true accepts at +true accepts at *\n.* 1 % false accepts, % +0.1 % false", said
    )
    page = report([run]).with_suffix(".md").read_text()
    head = "| True accepts at 1 % false accepts, % | True accepts at 0.1 % false accepts, % |"
    assert head in page
    assert "| 0002 | cfp-pairs | 0 |" in page and "| 0002 | frontal-triplets | 0 |" in page
    assert "(roc-0002.png)" in page and (run / "report" / "roc-0002.png").stat().st_size > 10_000


def test_unbalanced_test_pairs_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    figures = {name: {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9} for name in METRICS}
    row = figures | {"protocol": "dataset-pairs", "trial": "0001", "seed": 0, "epoch": 1}
    row |= {"val_acc": 0.9, "ties": 0}
    said = "20 % of the test pairs are of one person, and a net that always gives one answer would"
    for same, told in ((0.2, True), (0.4, False), (0.6, False), (0.8, True)):
        evaluation.print_table([row | {"same": same}])
        out = capsys.readouterr().out
        assert (said.replace("20", f"{100 * same:.0f}") in out) == told
        assert ("have an accuracy of 80 %: judge by AUC and EER" in out) == told


@pytest.mark.parametrize("width", [80, 200])
def test_the_printed_tables_fit_the_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    rate = {"value": 0.01, "low": 0.0052, "high": 0.0193, "n": 3000}
    figures = {name: {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9} for name in METRICS}
    row = figures | {"protocol": "cfp-pairs", "trial": "0001", "epoch": 1, "same": 0.5}
    row |= {"val_acc": 0.9, "ties": 3}
    row["at_far"] = [
        {"asked": 1e-3, "threshold": 1.5, "different": 100}
        | {name: rate for name in ("val_far", "test_far", "test_tar")}
        | {"fpr_pairs": "people", "people": [100, 1000]}
    ]
    tested = [row | {"seed": seed} for seed in (0, 1)]
    evaluation.print_table(tested)
    evaluation.print_rates(tested)
    out = capsys.readouterr().out
    assert max(len(line) for line in out.split("\n")) <= width
    assert out.count("50.0 [40.0, 60.0]") == 2 * len(METRICS) and "mean ± std, n = 2" in out
    words = " ".join(out.split())
    assert "every two images of any view (fpr_pairs: people), of 100 validation and 1,000" in words
    evaluation.print_rates([{"seed": 0}])  # of a test without any
    assert not capsys.readouterr().out
    heads = [line for line in out.split("\n") if line.lstrip().startswith("seed  ")]
    assert len(heads) == (3 + 2 if width == 80 else 1 + 1)


def test_rates_at_the_thresholds_for_false_accepts_are_printed(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(run), "--epochs", "1", "--far", "0.25,0.5", "--far", "1e-3"]) == 0
    said = capsys.readouterr().out
    figures = json.loads((run / "retrain" / "0002" / "seed-0" / "test.json").read_text())
    rows = figures["at_far"]
    assert [row["asked"] for row in rows] == [0.25, 0.5, 1e-3]
    lines = [line.split() for line in said.splitlines()]
    for row in rows:
        (line,) = [line for line in lines if line[:2] == ["0", f"{row['asked']:g}"]]
        rate, n = row["test_far"], row["test_far"]["n"]
        place = line.index(f"[{100 * rate['low']:.2f},", 6)  # after that of validation
        assert line[2] == f"{row['threshold']:.3f}"
        assert line[place - 1] == f"{100 * rate['value']:.2f}" and line[place + 2] == str(n)
    assert (
        said.count("FAR 0.001 needs 1,000 validation pairs of two people, and there are 24") == 1
    )
    assert "FAR 0.5 needs" not in said
    assert (
        "| 0002 | frontal-triplets | the protocol's | 0 |"
        in report([run]).with_suffix(".md").read_text()
    )
    assert main([str(run), "--far", "0.1", "--protocol", "cfp-10fold"]) == 2
    assert "--far: not with --protocol cfp-10fold" in capsys.readouterr().err
    for wrong, why in (("0.1,1", "got 1"), ("x", "must be a number, got 'x'"), ("0", "above 0")):
        with pytest.raises(SystemExit, match="2"):
            main([str(run), "--far", wrong])
        assert why in capsys.readouterr().err


def save_trained(file: Path, config: TrialConfig, data: FaceData) -> None:
    """Train a net for an epoch, and save it as a search does."""
    training = Training(config, data)
    metrics = next(training)
    save_model(
        file,
        training.weights(),
        training.config,
        epoch=0,
        val_acc=metrics.val_acc,
        data=data.key,
    )


def keep_both(run: Path, tiny: TrialConfig, data: FaceData) -> None:
    """Keep weights of both trials of the run, each of its learning rate, after an epoch."""
    for name, lr in (("0001", 1e-4), ("0002", 1e-3)):
        trained = dataclasses.replace(tiny, lr=lr, epochs=1)
        save_trained(run / "weights" / f"{name}.pt", trained, data)


def note_ran_with(run: Path, ran: list[tuple[int, int, str]]) -> None:
    """Note what trial 0002 ran with on this CPU: from an epoch on so many threads, a precision."""
    same = {"device": "cpu", "processor": torch.backends.cpu.get_cpu_capability()}
    lines = [
        {**same, "epoch": epoch, "threads": threads, "precision": precision}
        for epoch, threads, precision in ran
    ]
    Journal(run).trial("0002", "running", ran=lines)


def test_the_best_trials_judge_together_with_the_weights_that_the_run_kept(
    run: Path,
    tiny: TrialConfig,
    data: FaceData,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([str(run), "--ensemble", "2"]) == 2
    assert "--ensemble 2 needs the weights of as many" in capsys.readouterr().err
    keep_both(run, tiny, data)
    asked = ["--protocol", "frontal-triplets", "--protocol", "cfp-pairs"]
    note_ran_with(run, [(0, 2, "fp32")])
    monkeypatch.setattr(reproducibility, "cores", lambda: 4)
    threads: list[int] = []

    def watched(*given: Any, known: Any = ensemble.ensemble) -> Any:
        threads.append(torch.get_num_threads())
        return known(*given)

    monkeypatch.setattr(ensemble, "ensemble", watched)
    with reproducibility.torch_threads(1):
        assert main([str(run), "--ensemble", "2", "--far", "0.1", *asked]) == 0
        assert torch.get_num_threads() == 1
    assert threads == [2, 2]  # as the best one ran
    said = capsys.readouterr().out
    figures = json.loads((run / "retrain/ensemble-2/seed-0/test-cfp-pairs.json").read_text())
    n = figures["accuracy"]["n"]
    assert f"test split of cfp-pairs, trial ensemble-2, n = {n} pairs, 95 % intervals" in said
    assert "at the threshold where most validation pairs of cfp-pairs are judged right" in said
    assert said.count("at thresholds of log-odds that were chosen on validation pairs") == 2
    folder = run / "retrain" / "ensemble-2" / "seed-0"
    figures = json.loads((folder / "test-frontal-triplets.json").read_text())
    assert figures["members"] == ["0002", "0001"]  # the best first
    assert not (run / "retrain" / "0002").exists()  # nothing was trained
    page = report([run]).with_suffix(".md").read_text()
    assert "| ensemble-2 | cfp-pairs | 0 | – |" in page and "(roc-ensemble-2.png)" in page
    for wrong in (["3"], ["2", "--protocol", "cfp-10fold", "--seeds", "2"]):
        assert main([str(run), "--ensemble", *wrong]) == 2
    said = capsys.readouterr().err
    assert "and 2 are there" in said
    assert "--ensemble trains nothing: no --seeds, --protocol cfp-10fold with it; --pro" in said


def test_a_soup_is_of_nets_of_one_architecture_and_the_same_images(
    run: Path,
    tiny: TrialConfig,
    data: FaceData,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    keep_both(run, tiny, data)
    people: dict[str, Any] = {"join": "cosine", "loss": "supcon", "images_per_person": 2}
    for common, change, why in (
        (dict[str, Any](), {"hidden": 8}, "hidden is 8, of 0002 it is 16"),
        (people, {"views": "all"}, "views is all, of 0002 it is protocol"),
    ):
        own = {n: dataclasses.replace(one, **common) for n, one in layout.settings(run).items()}
        other = {**own, "0001": dataclasses.replace(own["0001"], **change)}
        monkeypatch.setattr(soup, "settings", lambda run, other=other: other)
        assert main([str(run), "--soup"]) == 2
        assert f"(0001: {why})" in capsys.readouterr().err


def test_the_soup_of_the_kept_nets_is_one_net_that_is_tested(
    run: Path,
    tiny: TrialConfig,
    data: FaceData,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([str(run), "--soup"]) == 2
    assert "--soup needs the weights of two of its best trials or more, and 0 are there" in (
        capsys.readouterr().err
    )
    keep_both(run, tiny, data)
    assert main([str(run), "--soup", "--seeds", "2"]) == 2
    assert "--soup trains nothing: no --seeds with it" in capsys.readouterr().err
    with monkeypatch.context() as patch:  # whatever the mean of two nets of one epoch is worth
        patch.setattr(_Judge, "__call__", lambda self, net: {"val_acc": 0.5, "val_loss": 0.6})
        space = (run / "space.yaml").read_text()
        for metric in ("train_loss", "val_loss"):
            (run / "space.yaml").write_text(f"{space}metric: {metric}\n")
            assert main([str(run), "--soup"]) == 0
        said = capsys.readouterr()
        assert "validated by val_acc: train_loss is measured in training only" in said.err
        assert "val_loss 0.6000: added" in said.err
        made = json.loads((run / "retrain" / "soup" / "seed-0" / "soup.json").read_text())
        assert (made["metric"], made["mode"], made["val_loss"]) == ("val_loss", "min", 0.6)
        (run / "space.yaml").write_text(space)
        assert main([str(run), "--soup", "--protocol", "frontal-triplets"]) == 0
    said = capsys.readouterr()
    pairs = data.pairs_of(tiny, "val")
    n = len(np.unique(data.distinct(pairs)))
    low, high = (f"{100 * end:.2f}" for end in wilson(round(0.5 * n), n))
    scored = f"val_acc 50.00 [{low}, {high}] %"
    assert f"with 0001 {scored}: added" in said.err
    assert f"a soup of 0002 and 0001: {scored}; wrote" in said.err
    assert "trial soup" in said.out
    folder = run / "retrain" / "soup" / "seed-0"
    assert f"{folder / 'weights.pt'} --out DIR" in said.err
    made = json.loads((folder / "soup.json").read_text())
    assert made["members"] == ["0002", "0001"] and made["tried"][0]["added"]
    parts = [load_model(run / "weights" / f"{n}.pt")[0].state_dict() for n in made["members"]]
    mean = (parts[0]["head.0.weight"] + parts[1]["head.0.weight"]) / 2
    assert torch.allclose(load_model(folder / "weights.pt")[0].head[0].weight, mean)
    assert "| soup | frontal-triplets | 0 | 0 |" in report([run]).with_suffix(".md").read_text()
    (kept,) = kept_tests.find(str(run), "soup", 1, "--trial-a")
    assert kept.command() == f"python -m search.retrain {run} --soup"
    assert best_weights(run) == folder / "weights.pt"  # what facesiam.export takes


@pytest.mark.parametrize(
    ("metric", "scores", "said"),
    [
        ("val_acc", {"val_acc": 0.5}, "val_acc 50.00 [40.38, 59.62] %"),
        ("val_auc", {"val_auc": 0.9}, "val_auc 0.9000 [0.8370, 0.9630]"),
        (
            "val_tpr_at_fpr",
            {"val_tpr_at_fpr": 0.6, "val_tpr_at_fpr_low": 0.5, "val_tpr_at_fpr_high": 0.7},
            "val_tpr_at_fpr 60.00 [50.00, 70.00] %",
        ),
        ("val_loss", {"val_loss": 0.6}, "val_loss 0.6000"),
    ],
)
def test_the_score_of_a_soup_has_its_interval(
    metric: str, scores: dict[str, float], said: str
) -> None:
    assert soup._said(Objective(metric), scores, 100) == said


def test_weights_behind_a_url_are_fetched_to_judge_together(
    run: Path, tiny: TrialConfig, data: FaceData, capsys: pytest.CaptureFixture[str]
) -> None:
    there = run.with_name("there")
    there.mkdir()
    here = Mirror(f"file://{there}/run", lambda text: None)
    here.fetch()
    shutil.copytree(run, here.run, dirs_exist_ok=True)
    here.bring()
    assert main([here.url, "--ensemble", "1"]) == 2
    assert "and 0 are there" in capsys.readouterr().err
    trained = dataclasses.replace(tiny, lr=1e-3, epochs=1)
    save_trained(there / "run" / "weights" / "0002.pt", trained, data)
    assert main([here.url, "--ensemble", "1"]) == 0
    assert "trial ensemble-1" in capsys.readouterr().out
    figures = here.run / "retrain" / "ensemble-1" / "seed-0" / "test-frontal-triplets.json"
    assert json.loads(figures.read_text())["members"] == ["0002"]


@pytest.fixture
def of_everyone(run: Path) -> Path:
    """The same run, of all people, as the ten folds are."""
    trials = run / "trials.jsonl"
    trials.write_text(trials.read_text().replace('"people": 4', '"people": 0'))
    return run


def test_the_ten_folds_by_the_command_and_from_python(
    of_everyone: Path,
    data: FaceData,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = of_everyone
    asked = ["--protocol", "cfp-10fold", "--folds", "3,4", "--epochs", "1"]
    assert main([str(run), *asked]) == 0
    said = capsys.readouterr().out
    assert "trial 0002, n = 2 of 10 folds" in said and "Sengupta" in said
    place = run / "retrain" / "0002" / "cfp-10fold" / "seed-0"
    summary = json.loads((place / "folds.json").read_text())
    found = load(run).retrain("0002", protocol="cfp-10fold", folds=[3], epochs=1)
    capsys.readouterr()
    assert [*zip(found["fold"], found["pairs"], strict=True)] == [
        (fold, kind) for fold in (3, 4) for kind in ("FF", "FP")
    ]
    of_ff = found[found["pairs"] == "FF"]
    assert of_ff["accuracy"].mean() == pytest.approx(summary["FF"]["accuracy"]["mean"])
    assert set(found["n"]) == {len(data.official(0, 3).label)}
    assert summary["FF"]["accuracy"]["n"] == 2 and not (place.parent.parent / "seed-0").exists()
    assert main([str(run), *asked[:3], "3", *asked[4:], "--seeds", "2"]) == 0
    of_both = "trial 0002, mean score of 2 seeds, n = 1 of 10 folds"
    above, below = of_both.split(" n")  # two lines of the table's first column
    assert re.search(rf"^{above} .*\n *n{below}$", capsys.readouterr().out, re.MULTILINE)
    page = report([run]).with_suffix(".md").read_text()
    assert "trial 0002, n = 2 of 10 folds" in page and of_both in page
    with pytest.raises(SystemExit):
        main([str(run), "--protocol", "cfp-10fold", "--folds", "0,11"])
    assert "must be numbers from 1 to 10 as in 1,2, got 0,11" in capsys.readouterr().err
    mean = place.parent / "seeds-0-1" / "folds.json"

    def killed(*given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(seeds, "_train", killed)
    for fold, there in (("5", True), ("3", False)):  # a further net; one of the mean's anew
        assert main([str(run), *asked[:3], fold, "--epochs", "2"]) == 130
        assert mean.exists() == there
    # Where only the tests are others now, each net that is asked for is tested again.
    mean.write_text("{}")
    for module in (ten_fold, test_figures):
        monkeypatch.setattr(module, "tester_version", lambda: "other")
    assert main([str(run), *asked[:3], "4", "--epochs", "1"]) == 0
    told = capsys.readouterr()
    assert "n = 1 of 10 folds" in told.out and not mean.exists()
    assert "fold 3: left out, as other code tested it" in told.err
    assert json.loads((place / "fold-04/fold.json").read_text())["tester"] == "other"


def test_a_trial_of_some_people_has_no_ten_folds(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(run), "--protocol", "cfp-10fold"]) == 2
    assert capsys.readouterr().err.endswith(
        "--protocol cfp-10fold: its folds have all people, and the trial is of a search with "
        "people: 4; retrain one of a search without `people`\n"
    )


def test_folds_are_not_compared_with_an_earlier_training(
    of_everyone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = of_everyone
    curve = run / "retrain" / "0002" / "seed-0" / "epochs.csv"
    curve.parent.mkdir(parents=True)
    curve.write_text("epoch,train_loss,val_loss,val_acc\n0,0.1,0.3,0.6\n")
    monkeypatch.setattr("search.retrain.seeds._train_and_test", lambda *given: ([], []))
    assert main([str(run), "--protocol", "cfp-10fold"]) == 0
    said = capsys.readouterr().err
    assert "trains with" in said and "another net" not in said


@pytest.mark.parametrize(
    ("ran", "options", "threads", "said"),
    [
        ([(0, 2, "fp32")], [], 2, "trains with 2 threads, fp32, cpu (THIS), as it ran"),
        ([(0, 1, "bf16")], [], 1, "trains with 1 thread, bf16, cpu (THIS), as it ran"),
        ([(0, 64, "fp32")], [], 1, "it ran with 64 threads, fp32, cpu (THIS), and here with 1"),
        ([(0, 2, "fp32")], ["--threads", "1"], 1, "it ran with 2 threads, fp32, cpu (THIS), and"),
        ([(0, 2, "fp32"), (1, 1, "fp32")], [], 2, "changed at its epoch 1, so this gives another"),
        (None, [], 1, "what it ran with was not recorded"),
    ],
)
def test_a_trial_is_trained_again_with_what_it_ran_with(
    run: Path,
    ran: list[tuple[int, int, str]] | None,
    options: list[str],
    threads: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On a machine of four cores, in a process that would take one thread."""
    monkeypatch.setattr(reproducibility, "cores", lambda: 4)
    processor = torch.backends.cpu.get_cpu_capability()
    if ran is not None:
        note_ran_with(run, ran)
    settings = {"precision": "auto"}
    seen: list[tuple[int, str]] = []

    def watched(config: TrialConfig, *given: Any) -> Any:
        seen.append((torch.get_num_threads(), config.precision))
        return Training(config, *given)

    monkeypatch.setattr("facesiam.training.train.Training", watched)
    monkeypatch.setattr(
        seeds,
        "settings",
        lambda run, known=layout.settings: {
            name: TrialConfig.from_dict({**one.to_dict(), **settings})
            for name, one in known(run).items()
        },
    )
    with reproducibility.torch_threads(1):
        assert main([str(run), "--epochs", "1", "--trial", "0002", *options]) == 0
        assert torch.get_num_threads() == 1
    made = json.loads((run / "retrain" / "0002" / "seed-0" / "trained.json").read_text())
    assert made["ran"][0]["threads"] == threads
    precision = ran[0][2] if ran else precision_of("auto", "alexnet", "cpu")
    assert seen == [(threads, precision)]
    told = " ".join(capsys.readouterr().err.split())
    assert said.replace("THIS", processor) in told
    slow = precision == "bf16" and not cpu_multiplies_bf16()
    assert (f"trial 0002: bf16 is emulated by this processor ({processor})" in told) == slow


def test_a_retrained_trial_is_the_ranked_one_to_the_digit(
    run: Path,
    tiny: TrialConfig,
    data: FaceData,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As a worker trains it with two threads, and search.retrain in a process of one."""
    given = worker_config(tmp_path / "worker", data, dataclasses.replace(tiny, lr=1e-3), "0002")
    with reproducibility.torch_threads(1):
        worker = FaceTrial(given)
        ranked = [worker.step() for _ in range(3)]
    journal = Journal(run)
    journal.trial("0002", "running", ran=ranked[0]["ran"], key="of older code")
    for metrics in ranked:
        journal.epoch("0002", {name: metrics[name] for name in metrics if name in FIELDS})
    with reproducibility.torch_threads(1):
        assert main([str(run), "--trial", "0002"]) == 0
    with (run / "retrain" / "0002" / "seed-0" / "epochs.csv").open() as file:
        trained = list(csv.DictReader(file))
    clock = ("seconds", "samples_per_second", "peak_memory_mib")
    for mine, theirs in zip(trained, ranked, strict=True):
        for name, value in mine.items():
            assert name in clock or repr(float(value)) == repr(float(theirs[name])), name
    said = " ".join(capsys.readouterr().err.split())
    best = max(ranked, key=lambda metrics: metrics["val_acc"])
    share, at = f"{100 * best['val_acc']:.1f} %", f"at epoch {best['epoch']}"
    here = f"{share} of validation pairs {at}"
    assert f"seed 0: the numbers of the search in 3 epochs: {here}" in said
    assert "trial 0002: the trainer's code, its libraries, a plugin or the pretrained" in said
    assert main([str(run), "--trial", "0002", "--threads", "1"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    with (run / "retrain" / "0002" / "seed-0" / "epochs.csv").open() as file:
        once_more = list(csv.DictReader(file))
    losses = [[row["train_loss"] for row in rows] for rows in (trained, once_more)]
    if losses[0] == losses[1]:  # another number of threads changes nothing on some processors
        assert f"seed 0: the numbers of the search in 3 epochs: {here}" in said
    else:
        assert "seed 0: another net than the search's, from epoch " in said
        assert f", and {share} {at} in the search" in said


def test_folds_without_their_protocol_are_refused(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ([], ["--protocol", "cfp-pairs"], ["--ensemble", "1"]):
        assert main([str(run), "--folds", "1,2", *more]) == 2
        assert capsys.readouterr().err == "--folds is of --protocol cfp-10fold\n"
    assert not (run / "retrain").exists()
