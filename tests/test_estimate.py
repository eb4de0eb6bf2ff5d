"""The plan's cost: measured where it can be, and arithmetic that a reader can redo."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from facesiam.archive import DataError
from facesiam.config import TrialConfig
from facesiam.files import write_text
from facesiam.weights import WeightsError, imagenet_url
from search.estimate import describe
from search.journal import Journal
from search.space import load

OPTIONS = argparse.Namespace(
    cpus=None, gpus=None, data=None, address=None, concurrent=None, weights=None
)


def test_arithmetic_without_a_measure(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("fixed: {epochs: 10}\nsearch: {lr: [1e-3, 1e-4]}\nalgorithm: grid\n")
    said = describe(load(file), tmp_path, OPTIONS)
    # 3,000 triplets · 3 images · 3 passes · 2 · 0.66e9 over 0.4e12 a second are 89 s an epoch
    # (on a GPU under 1 s).
    expected = "trials × epochs = 2 × 10, 15 min a trial, 30 min in all"
    assert expected in said or "6 s a trial" in said
    assert "arithmetic, good to a factor of 3" in said


def test_earlier_runs_are_the_measure_where_there_are_any(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "before"
    write_text(run / "manifest.json", "{}")
    journal = Journal(run)
    journal.trial("0001", "done", settings=TrialConfig(lr=0.5, epochs=3).to_dict())
    for epoch, seconds in enumerate((70.0, 60.0, 65.0)):
        journal.epoch("0001", {"epoch": epoch, "seconds": seconds})
    file = tmp_path / "space.yaml"
    file.write_text("fixed: {epochs: 10}\nsearch: {lr: [1e-3, 1e-4]}\nalgorithm: grid\n")
    said = describe(load(file), tmp_path / "runs", OPTIONS)
    assert "trials × epochs = 2 × 10, 11 min a trial, 22 min in all" in said
    assert "(from earlier runs here)" in said


def test_the_plan_of_rows_shows_what_runs_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(
        "search: {lr: {low: 1e-5, high: 1e-3, log: true}}\nprune: {asha: {grace: 5, factor: 3}}\n"
        "rows: {A: {settings: {lr: 1e-5}}}\nalgorithm: rows\n"
    )
    said = describe(load(file), tmp_path, OPTIONS)
    assert "search:" not in said and "grace" not in said
    assert "distinct configurations: 1" in said and "algorithm: rows, trials: 1" in said


def test_the_plan_refuses_data_that_a_run_would_refuse(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("search: {lr: [1e-3, 1e-4]}\nalgorithm: grid\n")
    options = argparse.Namespace(**{**vars(OPTIONS), "data": str(tmp_path / "none.zip")})
    with pytest.raises(DataError, match="none.zip: does not exist"):
        describe(load(file), tmp_path, options)


def test_the_plan_says_which_pretrained_weights_are_here_and_downloads_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    file = cache / Path(imagenet_url("vgg16_bn")).name
    file.touch()
    space = tmp_path / "space.yaml"
    space.write_text("search: {net: [alexnet, vgg16_bn], pretrained: [false, true]}\n")
    said = describe(load(space), tmp_path, OPTIONS)
    expected = f"vgg16_bn {file}; not here, so that the start has to download them: alexnet"
    assert f"pretrained weights: {expected}\n" in said
    assert list(cache.iterdir()) == [file]
    options = argparse.Namespace(**{**vars(OPTIONS), "weights": str(tmp_path)})
    with pytest.raises(WeightsError, match="no file named alexnet"):
        describe(load(space), tmp_path, options)
    space.write_text("search: {net: [alexnet, vgg16_bn]}\n")
    assert "weights" not in describe(load(space), tmp_path, options)
