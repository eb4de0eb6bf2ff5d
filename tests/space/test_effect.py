"""Which settings have an effect with which others, and that tables leave out those without."""

from __future__ import annotations

import json
from pathlib import Path

import builders
import pytest
from ranked_runs import epoch, trial

from facesiam.config import SETTINGS, TrialConfig
from facesiam.objective import Objective
from search import results
from search.report.page import report
from search.space import file_format
from search.space.effect import READ_BY_LOSSES, has_effect, without_effect
from search.tuning.progress import SearchProgress

SPACE = """
fixed: {epochs: 3}
search: {optimizer: [adam, sgd], momentum: [0.8, 0.95], lr: [1e-5, 1e-3]}
"""


@pytest.mark.parametrize(
    ("settings", "without"),
    [
        ({}, {"momentum", "embedding", "growing", *READ_BY_LOSSES}),
        ({"optimizer": "sgd"}, {"embedding", "growing", *READ_BY_LOSSES}),
        ({"first_image_size": 112}, {"momentum", "embedding", *READ_BY_LOSSES}),
        (
            {"join": "cosine", "loss": "triplet", "optimizer": "sgd", "images_per_person": 4},
            {"hidden", "calibrate", "growing", "loss_scale", "sub_centres", "hard_negatives"},
        ),
        (
            {"join": "cosine", "loss": "logistic", "optimizer": "adamw", "images_per_person": 4},
            {"hidden", "calibrate", "growing", "momentum", "margin", "mining", "sub_centres"},
        ),
    ],
)
def test_a_setting_that_the_trainer_does_not_read_has_no_effect(
    settings: dict[str, object], without: set[str]
) -> None:
    known = TrialConfig(**settings).to_dict()
    assert {name for name in SETTINGS if not has_effect(name, known)} == without
    # What is not recorded has its default; of a loss of one's own nothing is known.
    assert {name for name in SETTINGS if not has_effect(name, settings)} == without
    assert has_effect("margin", {"loss": "my_own"})


def test_tables_show_no_momentum_of_adam(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    lines = [
        trial("0001", optimizer="adam", momentum=0.95, lr=1e-3),
        trial("0002", optimizer="sgd", momentum=0.8, lr=1e-3),
        trial("0003", optimizer="sgd", momentum=0.95, lr=1e-3),
    ]
    scores = {"0001": 0.9, "0002": 0.8, "0003": 0.7}
    rows = [epoch(name, at, score) for name, score in scores.items() for at in range(3)]
    run = builders.write_run(tmp_path / "run", lines, rows, SPACE)
    (run / "manifest.json").write_text(json.dumps({"name": "run"}))
    trials, _ = results.load(run)
    assert trials["momentum"].isna().tolist() == [True, False, False]
    assert trials["momentum"].tolist()[1:] == [0.8, 0.95]
    assert results.main([str(run)]) == 0
    ranked = capsys.readouterr().out
    shown = [line.split()[1:4] for line in ranked.split("\n")[2:5]]
    assert shown == [["0001", "adam", "–"], ["0002", "sgd", "0.8"], ["0003", "sgd", "0.95"]]
    assert results.main([str(run), "--why", "0001"]) == 0
    assert "momentum" not in capsys.readouterr().out
    assert results.main([str(run), "--why", "0002"]) == 0
    assert "momentum 0.8" in capsys.readouterr().out
    page = report([run]).read_text()
    assert "0001 with optimizer adam" in page and "momentum 0.95" not in page


def test_the_live_table_shows_no_momentum_of_adam() -> None:
    shown = SearchProgress(2, Objective(), ["optimizer", "momentum"])
    for name, optimizer in (("0001", "adam"), ("0002", "sgd")):
        shown.settings[name] = {"optimizer": optimizer, "momentum": 0.8}
    assert shown.told("0001") == "optimizer adam"
    assert shown.told("0002") == "optimizer sgd, momentum 0.8"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "fixed: {join: cosine, hard_negatives: 0.25}\nsearch: {loss: [supcon, arcface]}",
            ["hard_negatives: has no effect in any trial with loss supcon, arcface; with "
             "contrastive, cosine_embedding, logistic it has one"],
        ),
        ("fixed: {join: cosine, hard_negatives: 0.25}\nsearch: {loss: [supcon, logistic]}", []),
        ("fixed: {optimizer: adam}\nsearch: {momentum: [0.8, 0.9]}",
         ["momentum: has no effect in any trial"]),
        ("fixed: {optimizer: adam, momentum: 0.9}\nsearch: {lr: [1e-3, 1e-4]}", []),  # the default
        ("fixed: {growing: 0.25}\nsearch: {first_image_size: [0, 112]}", []),
        (
            "rows: {a: {settings: {embedding: 64}}, b: {settings: {lr: 0.1}}}\nalgorithm: rows\n"
            "search: {embedding: [64, 256], lr: [0.1, 1e-3]}",
            ["embedding: has no effect in any trial"],
        ),
    ],
)  # fmt: skip
def test_a_setting_that_acts_in_no_trial_is_told_of(
    text: str, told: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(text)
    assert without_effect(file_format.load(file)) == told
