"""The ranked trials as a table in the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from builders import ROOT
from ranked_runs import epoch, three_trials, trial, which, write_run

from search.analysis import ranked_by
from search.analysis.trial_story import story
from search.analysis.trial_table import markdown, table
from search.results import load


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return three_trials(tmp_path)


def test_the_table_shows_why_a_trial_was_stopped_and_who_ran_on(tmp_path: Path) -> None:
    judged: dict[str, Any] = {"stop_rule": "asha", "stop_reason": "below", "stop_epoch": 0}
    run = write_run(
        tmp_path / "r",
        [trial("0001", control=True, **judged), trial("0002", "stopped", control=False, **judged)],
        [*(epoch("0001", at, 0.7) for at in range(3)), epoch("0002", 0, 0.6)],
    )
    lines = table(load(run)[0]).splitlines()
    assert lines[2].endswith("30  ran on as control; asha: below")
    assert lines[3].endswith("10  asha: below")
    assert not any("stop_" in line for line in lines)


def test_table_in_the_terminal(run: Path) -> None:
    lines = table(load(run)[0]).splitlines()
    assert "82.0 [80.3, 83.6]" in lines[2] and "~" not in lines[2]
    assert "80.0 [78.2, 81.7] ?" in lines[3]
    assert "no live unit" in lines[4]
    assert lines[-1].startswith("? not tested against the best")
    assert max(map(len, lines)) <= 120
    shorter = table(load(run)[0], top=1)
    assert "\n2 more trials; --top 3 shows all" in shorter and "~" not in shorter
    assert "\n1 more trial; --top 3 shows all" in table(load(run)[0], top=2)


def test_the_table_says_by_what_it_ranks_where_that_is_not_the_accuracy(tmp_path: Path) -> None:
    trials = [trial("0001", "stopped"), trial("0002", "stopped")]
    epochs = [epoch("0001", 0, 0.9, val_auc=0.6), epoch("0002", 0, 0.8, val_auc=0.71234)]
    run = write_run(tmp_path / "r", trials, epochs, metric="val_auc")
    ranked = load(run)[0]
    assert ranked["val_auc"].tolist() == [0.71234, 0.6] and list(ranked["trial"]) == [
        "0002",
        "0001",
    ]
    ranking = ranked_by.ranking(run)
    lines = table(ranked, ranking=ranking).splitlines()
    assert "val_auc" in lines[0] + lines[1] and " 0.7123 " in lines[2]
    said = "ranked by val_auc, the largest first, not by val_acc: "
    assert f"{said}metric of the space file" in lines
    noted = {"sessions": [{}], "metric_reason": "5 % of the pairs are of one person"}
    (run / "manifest.json").write_text(json.dumps(noted))
    page = markdown(ranked, ranked_by.ranking(run))
    assert f"{said}5 % of the pairs are of one person" in page and "| val_auc |" in page
    least = write_run(tmp_path / "s", trials, epochs, metric="val_loss", mode="min")
    assert ranked_by.ranking(least).said.startswith("ranked by val_loss, the smallest first")
    plain = write_run(tmp_path / "t", trials, epochs)
    assert ranked_by.ranking(plain) == ("val_acc", "", ()) and "val_auc" not in load(plain)[0]
    assert "ranked by" not in table(load(plain)[0], ranking=ranked_by.ranking(plain))


def test_true_accepts_at_few_false_ones_have_their_interval_and_say_what_they_rest_on(
    tmp_path: Path,
) -> None:
    ends = {"val_tpr_at_fpr_low": 0.4, "val_tpr_at_fpr_high": 0.61}
    epochs = [
        epoch("0001", 0, 0.9, val_tpr_at_fpr=0.45, **ends),
        epoch("0002", 0, 0.8, val_tpr_at_fpr=0.502, **ends),
    ]
    trials = [trial("0001", "stopped"), trial("0002", "stopped")]
    run = write_run(tmp_path / "r", trials, epochs, metric="val_tpr_at_fpr")
    counts = {"people": 100, "same": 4464, "different": 491046, "sha256": "a"}
    noted = {"sessions": [{}], "rated_pairs": {"frontal-triplets": counts}}
    (run / "manifest.json").write_text(json.dumps(noted))
    ranking = ranked_by.ranking(run)
    page = markdown(load(run)[0], ranking)
    assert page.index("| 50.2 [40.0, 61.0]") < page.index("| 45.0 [40.0, 61.0]")
    assert "tpr_at_fpr, % |" in page
    assert ranking.said.endswith(
        "metric of the space file; frontal-triplets: true accepts at 1 % false accepts of 4,464 "
        "pairs of one person and 491,046 of two, with 95 % intervals over the 100 people"
    )


def test_the_threshold_of_the_accuracies_is_named(tmp_path: Path) -> None:
    epochs = [epoch("0001", 0, 0.9), epoch("0002", 0, 0.8)]
    plain = [trial("0001", "stopped"), trial("0002", "stopped", augment=True)]
    ranked = load(write_run(tmp_path / "plain", plain, epochs))[0]
    assert ranked["threshold"].tolist() == ["equal logits", "equal logits"]
    equal = "where the net's two logits are equal, which no pairs chose"
    best = "where most validation pairs are judged right"
    lines = table(ranked).splitlines()
    assert f"val_acc is of validation pairs, at the threshold {equal}" in lines
    assert "threshold" not in lines[0] + lines[1]
    both = [trial("0001", "stopped"), trial("0002", "stopped", calibrate=True)]
    ranked = load(write_run(tmp_path / "both", both, epochs))[0]
    assert ranked["threshold"].tolist() == ["equal logits", "validation pairs"]
    lines = table(ranked, width=400).splitlines()
    assert "threshold" in lines[1] and " validation pairs " in lines[3]
    said = f"at the threshold equal logits: {equal}; validation pairs: {best}"
    assert f"val_acc is of validation pairs, {said}" in lines
    assert said in markdown(ranked)
    old = load(write_run(tmp_path / "old", [{"trial": "0001", "status": "stopped"}], epochs[:1]))[
        0
    ]
    assert old["threshold"].isna().all() and "threshold" not in table(old)


def test_what_the_trials_were_computed_with_is_told(tmp_path: Path) -> None:
    def ran(threads: int, epoch: int = 0) -> dict[str, Any]:
        kind = {"device": "cpu", "precision": "bf16", "processor": "AVX2"}
        return {"epoch": epoch, "threads": threads, **kind}

    def told(*histories: list[dict[str, Any]] | None) -> tuple[list[Any], str]:
        names = [f"{number:04}" for number in range(1, len(histories) + 1)]
        lines = [
            trial(name, "stopped") | ({"ran": history} if history else {})
            for name, history in zip(names, histories, strict=True)
        ]
        epochs = [epoch(name, 0, 0.9) for name in names]
        run = write_run(tmp_path / str(len(list(tmp_path.iterdir()))), lines, epochs)
        ranked = load(run)[0]
        said = [
            line for line in table(ranked, width=400).splitlines() if line.startswith("computed")
        ]
        assert f"ran with     {ranked['ran_with'].fillna('not recorded')[0]}" in story(run, "0001")
        return ranked["ran_with"].fillna("").tolist(), "".join(said)

    one, two = "1 thread, bf16, cpu (AVX2)", "2 threads, bf16, cpu (AVX2)"
    assert told([ran(2)], [ran(2)]) == ([two, two], f"computed with {two}")
    changed = f"{two}; {one} from epoch 3 on"
    assert told([ran(2), ran(1, epoch=3)])[0] == [changed]
    values, said = told([ran(2)], [ran(2)], [ran(1)], None)
    assert values == [two, two, one, ""]
    assert said == (
        f"computed 2 trials with {two}, 1 trial with {one}, of 1 it is not recorded; each of these "
        "changes a net's numbers"
    )
    assert told(None) == ([""], "")  # an older journal
    lines = [trial("0001", "stopped") | {"ran": [ran(2)]}, trial("0002", "interrupted")]
    ranked = load(write_run(tmp_path / "begun", lines, [epoch("0001", 0, 0.9)]))[0]
    assert f"computed with {two}" in table(ranked, width=400).splitlines()  # 0002 ran nothing yet


def test_the_legend_says_that_the_mark_is_of_accuracies_where_another_metric_ranks(
    tmp_path: Path,
) -> None:
    same = which(40, range(30))
    rows = [epoch(name, 0, **same, val_auc=0.8) for name in ("0001", "0002")]
    for metric, more in (("val_auc", True), ("val_acc", False)):
        trials = [trial("0001", "stopped"), trial("0002", "stopped")]
        run = write_run(tmp_path / metric, trials, rows, metric=metric)
        text = table(load(run)[0], width=400, ranking=ranked_by.ranking(run))
        (line,) = [line for line in text.splitlines() if line.startswith("~")]
        assert (
            line.endswith("of val_acc at each trial's best epoch, not of what ranks them") == more
        )


def test_a_mark_is_explained_where_a_trial_has_it_and_nowhere_else(tmp_path: Path) -> None:
    """Two trials that are told apart have no mark, nor has one that never validated."""
    rows = [epoch("0001", 0, **which(400, range(380))), epoch("0002", 0, **which(400, range(200)))]
    lines = [
        trial("0001", "stopped"),
        trial("0002", "stopped"),
        trial("0003", "failed", stop_reason="no memory"),
    ]
    trials, _ = load(write_run(tmp_path / "apart", lines, rows))
    assert trials["best_p"].notna().sum() == 1
    unranked = trials.assign(like_best=pd.array([True, False, pd.NA], "boolean"))
    for text in (table(trials), markdown(trials), table(unranked)):
        assert "~" not in text and "not told from" not in text
        assert "not tested against the best" not in text
    rows[1] = epoch("0002", 0, **which(400, range(379)))
    trials, _ = load(write_run(tmp_path / "alike", lines, rows))
    for text in (table(trials, width=400), markdown(trials)):
        assert text.count(" ~") == 1 and text.count("~ not told from the best") == 1
        assert "not tested against the best" not in text
    assert "~" not in table(trials, top=1)
    rows[1] = epoch("0002", 0, 0.9)  # which pairs is not known
    trials, _ = load(write_run(tmp_path / "unknown", lines, rows))
    text = table(trials, width=400)
    assert text.count(" ?") == 1 and "? not tested against the best" in text and "~" not in text


def test_the_mark_of_the_front_is_explained_where_a_trial_is_on_it(tmp_path: Path) -> None:
    cost = {"params": 9, "macs": 9, "latency_ms": 9.0}
    lines = [trial(name, "stopped") | {"cost": cost} for name in "12"]
    rows = [epoch("1", 0, 0.9), epoch("2", 0, 0.8)]
    trials, _ = load(write_run(tmp_path / "r", lines, rows))
    ranking = ranked_by.Ranking(costs=("params",))
    assert "* on the front of val_acc" in table(
        trials.assign(on_front=[True, False]), 2, 400, ranking
    )
    for none in (False, pd.NA):
        off = trials.assign(on_front=pd.Series([none, none], index=trials.index, dtype="boolean"))
        assert "on the front" not in table(off, 2, 400, ranking)


def test_a_long_reason_folds_and_keeps_every_word(tmp_path: Path) -> None:
    reason = "the last convolution has no live unit since epoch 2, so nothing can change any more"
    run = write_run(
        tmp_path / "r", [trial("0001", "stopped", stop_reason=reason)], [epoch("0001", 0, 0.5)]
    )
    text = table(load(run)[0])
    assert set(reason.split()) <= set(text.split())
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(("width", "beside"), [(100, False), (120, False), (140, True)])
def test_a_reason_that_would_fold_into_many_lines_has_the_whole_width_below(
    tmp_path: Path, width: int, beside: bool
) -> None:
    """Beside the others it had 27 of 120 columns, and took six lines of them."""
    reason = (
        "best val_acc 61.3 % (mean of its last 2 epochs) at the rung of 7 epochs, from which 10 of "
        "20 trials go on: so many are better, the last of them with 64.1 %"
    )
    lines = [
        trial("0001", lr=1e-3),
        trial("0002", "stopped", stop_rule="asha", stop_reason=reason),
    ]
    run = write_run(
        tmp_path / "r",
        lines,
        [epoch("0001", at, 0.9) for at in range(3)] + [epoch("0002", 0, 0.6)],
    )
    text = table(load(run)[0], width=width).splitlines()
    assert max(map(len, text)) <= width
    assert ("stop reason" in text[1]) is beside
    at = next(number for number, line in enumerate(text) if "asha: best" in line)
    told = text[at : at + (3 if beside else 2)]
    assert set(reason.split()) <= set(" ".join(told).split())
    if not beside:
        assert told[0].startswith("0002 stopped: asha: best val_acc 61.3 %")


def test_a_short_reason_stays_beside_the_others(tmp_path: Path) -> None:
    lines = [trial("0001", "stopped", stop_rule="asha", stop_reason="below the cutoff")]
    run = write_run(tmp_path / "r", lines, [epoch("0001", 0, 0.9)])
    text = table(load(run)[0], width=120).splitlines()
    assert text[2].endswith("asha: below the cutoff")


@pytest.mark.parametrize("width", [80, 200])
def test_the_table_and_its_notes_fit_the_terminal(width: int) -> None:
    run = ROOT / "ray_results" / "reference" / "cpu"
    lines = table(load(run)[0], width=width).splitlines()
    assert max(map(len, lines)) <= width
    if width == 200:
        assert "settings" not in lines[2] and lines[1].split()[-2:] == ["stop", "reason"]
        return
    assert lines[0].split() == ["best", "train", "epochs"]
    assert lines[2].split()[:2] == ["1", "0004"]
    told = lines.index(
        "0002 freeze_stages 3, loss logistic, lr 0.001224, weight_decay 0.01, erase 0.5;"
    )
    assert lines[told + 1].startswith("     stopped: asha: best val_acc ")


def test_an_interruption_is_named_once(tmp_path: Path) -> None:
    noted = {"stop_rule": "interrupted", "stop_reason": "interrupted"}
    run = write_run(
        tmp_path / "r", [trial("0001", "interrupted", **noted)], [epoch("0001", 0, 0.7)]
    )
    assert table(load(run)[0]).count("interrupted") == 1
