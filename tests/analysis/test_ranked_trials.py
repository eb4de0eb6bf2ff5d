"""A run folder written by hand → the ranked frames, and what is said of a damaged one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ranked_runs import DECISION, ended, epoch, three_trials, trial, which, write_run
from scipy.stats import binomtest

from facesiam.config import TrialConfig
from search import results
from search.analysis import ranked_trials
from search.analysis.trial_table import table
from search.results import RunError, load


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return three_trials(tmp_path)


def test_ranks_by_the_best_epoch(run: Path) -> None:
    trials, epochs = load(run)
    assert trials["trial"].tolist() == ["0002", "0001", "0003"]
    assert trials["rank"].tolist() == [1, 2, 3]
    assert trials["best_epoch"].tolist() == [1, 1, 0]  # 0001 has 0.80 twice: the earlier one
    assert trials["train_acc"].tolist() == [0.85, 0.9, 0.9]
    assert trials["epochs_run"].tolist() == [3, 3, 1]
    assert trials["seconds"].tolist() == [30.0, 30.0, 10.0]
    assert len(epochs) == 7 and epochs["epoch"].tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_intervals_are_wilsons_from_the_number_of_pairs(run: Path) -> None:
    best = load(run)[0].iloc[0]
    # 1,640 of 2,000 by Wilson: centre (0.82 + 0.00096) / 1.00192, half width 0.01684
    assert best["val_acc_low"] == pytest.approx(0.8026, abs=5e-5)
    assert best["val_acc_high"] == pytest.approx(0.8362, abs=5e-5)


def test_a_pair_that_comes_twice_is_one_of_n(tmp_path: Path) -> None:
    """0.82 of 2,000 pairs of which 500 differ: centre (0.82 + 0.003841) / 1.007683, half width
    1.945021 · sqrt(0.000295200 + 0.000003841) = 0.033635."""
    epochs = [epoch("0001", 0, 0.82, val_distinct=500)]
    best = load(write_run(tmp_path / "run", [ended("0001")], epochs))[0].iloc[0]
    assert best["val_acc"] == 0.82
    assert best["val_acc_low"] == pytest.approx(0.817560 - 0.033635, abs=2e-6)
    assert best["val_acc_high"] == pytest.approx(0.817560 + 0.033635, abs=2e-6)


def test_without_the_pairs_only_what_the_counts_say_is_said_of_the_best(run: Path) -> None:
    # 1,640 and 1,600 of 2,000: if only 40 pairs differ p is 2e-12, if 760 do 0.16. 1,000: told
    # apart whichever they are.
    trials, _ = load(run)
    assert trials["like_best"].tolist()[::2] == [True, False]
    assert pd.isna(trials["like_best"][1]) and trials["best_p"].isna().all()


def test_trials_are_compared_with_the_best_pair_by_pair(tmp_path: Path) -> None:
    # Of 2,000: 60 pairs only the first has right, 20 only the second (p 8.6e-6 of one comparison);
    # against the third 40 and 36. Intervals of all three overlap.
    first = [*range(1760), *range(1760, 1830)]
    second = [*range(60, 1830), *range(1980, 2000)]
    third = [*range(40, 1830), *range(1830, 1866)]
    run = write_run(
        tmp_path / "run",
        [ended("0001"), ended("0002", lr=1e-3), ended("0003", lr=1e-4)],
        [
            {**epoch("0001", 0, 0.0), **which(2000, first)},
            {**epoch("0002", 0, 0.0), **which(2000, second)},
            {**epoch("0003", 0, 0.0), **which(2000, third)},
        ],
    )
    trials, _ = load(run)
    assert trials["trial"].tolist() == ["0001", "0003", "0002"]
    assert trials["like_best"].tolist() == [True, True, False]
    expected = [2 * binomtest(36, 76).pvalue, 2 * binomtest(20, 80).pvalue]  # two comparisons
    assert trials["best_p"].tolist()[1:] == pytest.approx([min(1, p) for p in expected])
    assert (trials["val_acc_low"][0] <= trials["val_acc_high"]).all()
    text = table(trials)
    assert text.splitlines()[3].count("~") == 1
    assert "~ not told from the best: exact McNemar" in text
    assert "?" not in text


def test_trials_of_other_pairs_are_not_compared(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "run",
        [ended("0001"), ended("0002", pair_seed=1), ended("0003", fold=2)],
        [
            {**epoch(name, 0, 0.0), **which(200, right)}
            for name, right in (("0001", range(190)), ("0002", range(100)), ("0003", range(90)))
        ],
    )
    trials, _ = load(run)
    assert trials["like_best"].isna().tolist() == [False, True, True]
    assert "? not tested against the best" in table(trials)


@pytest.mark.parametrize("kept", ["", "AAAA", "#", 7, None])
def test_the_outcomes_of_other_pairs_are_not_used(tmp_path: Path, kept: Any) -> None:
    right = {"0001": range(180), "0002": range(172)}
    lines = [{**epoch(name, 0, 0.0), **which(200, pairs)} for name, pairs in right.items()]
    lines[1]["val_right"] = kept
    run = write_run(tmp_path / "run", [ended("0001"), ended("0002", lr=1e-3)], lines)
    if kept == 7:  # no journal has that
        with pytest.raises(RunError, match="val_right must be a text, or null"):
            load(run)
        return
    assert pd.isna(load(run)[0]["like_best"][1])


def test_columns_are_the_settings_that_can_differ(run: Path) -> None:
    trials, _ = load(run)
    assert list(trials) == [
        "rank",
        "trial",
        "lr",
        "augment",
        "val_acc",
        "val_acc_low",
        "val_acc_high",
        "threshold",
        "like_best",
        "best_p",
        "best_epoch",
        "train_acc",
        "epochs_run",
        "learned",
        "chosen_by",
        "status",
        "stop_rule",
        "stop_reason",
        "stop_epoch",
        "stop_rung",
        "stop_value",
        "stop_cutoff",
        "stop_peers",
        "control",
        "seconds",
        "ran_with",
        "params",
        "macs",
        "latency_ms",
        "on_front",
    ]
    assert trials["lr"].tolist() == [1e-5, 1e-5, 1e-3]
    assert trials["augment"].tolist() == [True, False, False]


def test_a_decision_to_stop_has_its_numbers_in_columns(tmp_path: Path) -> None:
    judged = {"stop_rule": "asha", "stop_reason": "below", "stop_epoch": 1, "stop_rung": 2}
    judged |= {"stop_value": 0.6, "stop_cutoff": 0.7, "stop_peers": 4}
    unlike = dict.fromkeys(DECISION) | {"control": False}
    run = write_run(
        tmp_path / "r",
        [
            trial("0001", **unlike),
            trial("0002", control=True, **judged),
            trial("0003", "stopped", stop_rule="diverged", stop_value=math.inf),
        ],
        [
            *(
                epoch(name, at, score)
                for name, score in (("0001", 0.9), ("0002", 0.8))
                for at in range(3)
            ),
            epoch("0003", 0, 0.5),
        ],
    )
    trials, _ = load(run)
    known = trials[[*judged, "control"]].iloc[1].to_dict()
    assert known == judged | {"control": True}
    assert trials["control"].tolist() == [False, True, False]
    assert trials["stop_epoch"].tolist() == [pd.NA, 1, pd.NA]
    assert trials["stop_peers"].tolist() == [pd.NA, 4, pd.NA]
    assert trials["stop_value"].isna().tolist() == [True, False, False]
    kinds = [str(trials[name].dtype) for name in DECISION]
    assert kinds == ["Int64", "float64", "float64", "float64", "Int64", "bool"]
    ranked_trials.write(run)
    pd.testing.assert_frame_equal(pd.read_parquet(run / "trials.parquet"), trials)


def test_vital_signs_are_read_where_they_were_measured(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "r",
        [trial("0001", "running")],
        [epoch("0001", 0, 0.6), epoch("0001", 1, 0.7, updates=350, trunk_live=0.25)],
    )
    _, epochs = load(run)
    assert epochs["updates"].tolist() == [pd.NA, 350]
    assert math.isnan(epochs["trunk_live"][0]) and epochs["trunk_live"][1] == 0.25


def test_a_setting_that_did_differ_has_a_column_even_if_the_space_fixes_it(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "r",
        [trial("A", "running", net="alexnet"), trial("D", "running", net="vgg16_bn")],
        [epoch("A", 0, 0.6), epoch("D", 0, 0.7)],
    )
    assert load(run)[0]["net"].tolist() == ["vgg16_bn", "alexnet"]


def test_min_mode_takes_the_lowest_and_nan_never_wins(tmp_path: Path) -> None:
    nan = math.nan
    run = write_run(
        tmp_path / "r",
        [trial("0001"), trial("0002"), trial("0003", "failed", stop_reason="loss not finite")],
        [
            epoch("0001", 0, 0.6, val_loss=0.50),
            epoch("0001", 1, 0.9, val_loss=nan),
            epoch("0002", 0, 0.5, val_loss=0.60),
            epoch("0002", 1, 0.55, val_loss=0.40),
            epoch("0001", 2, 0.9, val_loss=nan),
            epoch("0002", 2, 0.60, val_loss=0.45),
            epoch("0003", 0, 0.5, val_loss=nan),
        ],
        metric="val_loss",
        mode="min",
    )
    trials, _ = load(run)
    assert trials["trial"].tolist() == ["0002", "0001", "0003"]
    assert trials["val_acc"].tolist()[:2] == [0.55, 0.6]  # at the epoch of the lowest loss
    assert trials["rank"].tolist() == [1, 2, 3]
    assert math.isnan(trials["val_acc"].iloc[2]) and pd.isna(trials["best_epoch"].iloc[2])


def test_the_last_line_of_a_trial_and_of_an_epoch_wins(run: Path) -> None:
    with (run / "epochs.jsonl").open("a") as file:  # resumed: epoch 2 of 0001 was run again
        file.write(json.dumps(epoch("0001", 2, 0.90)) + "\n")
    trials, epochs = load(run)
    assert trials["trial"].iloc[0] == "0001" and trials["val_acc"].iloc[0] == 0.90
    assert len(epochs) == 7
    assert trials.set_index("trial")["status"]["0001"] == "done"


def test_a_torn_last_line_is_left_out(run: Path) -> None:
    for name in ("trials", "epochs"):
        with (run / f"{name}.jsonl").open("a") as file:
            file.write('{"trial": "0003", "epo')
    assert len(load(run)[1]) == 7


def test_garbage_in_the_middle_is_reported_with_file_and_line(run: Path) -> None:
    path = run / "epochs.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], "0.7, 0.8\n", *lines[2:]]))
    with pytest.raises(RunError, match=r"epochs\.jsonl: line 3 "):
        load(run)


@pytest.mark.parametrize("line", ['["a", "list"]', '{"epoch": 1}', "17"])
def test_json_that_is_no_record_is_reported(run: Path, line: str) -> None:
    with (run / "epochs.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(RunError, match=r"epochs\.jsonl: .*not a record"):
        load(run)


def test_running_trials_of_a_dead_driver_are_shown_as_recorded(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "r",
        [trial("0001", "running"), trial("0002", "running")],
        [epoch("0001", 0, 0.6)],
    )
    trials, _ = load(run)
    assert trials["status"].tolist() == ["running", "running"]
    assert trials["rank"].tolist() == [1, pd.NA]
    assert "running" in table(trials)


def test_write_leaves_csv_and_parquet_that_read_back_alike(run: Path) -> None:
    ranked_trials.write(run)
    trials, epochs = load(run)
    pd.testing.assert_frame_equal(pd.read_parquet(run / "trials.parquet"), trials)
    pd.testing.assert_frame_equal(pd.read_parquet(run / "epochs.parquet"), epochs)
    text = pd.read_csv(run / "trials.csv", dtype={"trial": str})
    assert text["trial"].tolist() == ["0002", "0001", "0003"]
    assert text["val_acc"].tolist() == trials["val_acc"].tolist()
    assert not list(run.glob(".*"))


def test_other_wrong_folders(run: Path) -> None:
    with pytest.raises(RunError, match=r"no space\.yaml and no trials\.jsonl; .* runs code2$"):
        load(run.parent)
    (run / "trials.jsonl").write_text("")
    with pytest.raises(RunError, match="the lines of trials 0001, 0002, 0003 are missing"):
        load(run)
    (run / "epochs.jsonl").write_text("")
    with pytest.raises(RunError, match="no trial has started yet"):
        load(run)
    (run / "space.yaml").unlink()
    with pytest.raises(RunError, match=r"not a run folder, it has no space\.yaml$"):
        load(run)
    with pytest.raises(RunError, match="not a run folder"):
        load(run / "trials.jsonl")


def test_settings_are_configs_by_trial(run: Path) -> None:
    configs = results.settings(run)
    assert configs["0003"] == TrialConfig(epochs=3, lr=1e-3)
    path = run / "trials.jsonl"
    path.write_text(path.read_text().replace('"augment"', '"augmentation"'))
    with pytest.raises(RunError, match="trial 0001: augmentation: not a setting; did you mean"):
        results.settings(run)


def test_manifest(run: Path) -> None:
    with pytest.raises(RunError, match=r"manifest\.json: missing"):
        results.manifest(run)
    (run / "manifest.json").write_text('{"name": "code2"}')
    assert results.manifest(run) == {"name": "code2"}
    (run / "manifest.json").write_text('{"name": ')
    with pytest.raises(RunError, match=r"manifest\.json: not JSON"):
        results.manifest(run)
