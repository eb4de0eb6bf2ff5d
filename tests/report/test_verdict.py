"""The page's first sentences and its table of trials, of written runs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from raced_runs import write_race
from ranked_runs import epoch, three_trials, trial, write_run

from facesiam.errors import FileError
from search.report import trial_rows
from search.report.report_data import read, settings_frame
from search.report.verdict import sentences

SHARE = {"value": 0.83, "low": 0.81, "high": 0.85}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Three trials, of which 0002 is the best, with a test of the net that the search kept."""
    run = three_trials(tmp_path)
    (run / "manifest.json").write_text('{"name": "code2", "data": {}}')
    return run


def kept(run: Path, members: object, protocol: str = "frontal-triplets") -> None:
    path = run / "retrain" / "ensemble-1" / "seed-0" / f"test-{protocol}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    test = {"trial": "ensemble-1", "members": members, "protocol": protocol, "seed": 0}
    test |= {"epoch": None, "auc": SHARE, "eer": SHARE, "threshold": "equal logits"}
    path.write_text(json.dumps(test | {"accuracy": SHARE | {"n": 2000}}))


def test_the_net_that_the_search_kept_counts_as_the_winners_test(run: Path) -> None:
    assert "it has not been tested" in sentences(read(run), [])[0]
    kept(run, ["0002"])
    kept(run, ["0002"], "cfp-pairs")  # other pairs than those of its training
    assert (
        "as the search left it it has 83.0 [81.0, 85.0] % of 2,000 test pairs right, at the "
        "threshold where the net's two logits are equal, which no pairs chose."
    ) in sentences(read(run), [])[0]


def test_a_kept_net_of_another_trial_is_not_the_winners(run: Path) -> None:
    kept(run, ["0001"])  # the best one when it was tested
    assert "it has not been tested" in sentences(read(run), [])[0]
    kept(run, 5)
    with pytest.raises(FileError, match="members must be a list of trials"):
        read(run)


def again(run: Path, seed: int, accuracy: float, **other: object) -> None:
    """Leave a test of the winner trained again."""
    config = read(run).configs["0002"].to_dict()
    path = run / "retrain" / "0002" / f"seed-{seed}" / "test.json"
    path.parent.mkdir(parents=True)
    threshold = other.pop("threshold", "equal logits")
    test = {"trial": "0002", "config": config | {"seed": seed} | other, "seed": seed, "epoch": 3}
    test |= {"auc": SHARE, "eer": SHARE, "threshold": threshold}
    share = {"value": accuracy, "low": accuracy - 0.02, "high": accuracy + 0.02}
    path.write_text(json.dumps(test | {"accuracy": share | {"n": 2000}}))


def test_the_mean_of_seeds_is_of_tests_that_differ_in_the_seed_alone(run: Path) -> None:
    again(run, 0, 0.9, epochs=60)
    assert (
        "; trained again with epochs 60 it has 90.0 [88.0, 92.0] %" in sentences(read(run), [])[0]
    )
    again(run, 1, 0.9, epochs=60)
    again(run, 2, 0.9, epochs=60)
    first = sentences(read(run), [])[0]
    assert "; trained again with 3 seeds with epochs 60 it has 90.0 ± 0.0 % of the 2,000" in first
    again(run, 3, 0.80)
    assert "; trained again it has 80.0 [78.0, 82.0] % of 2,000" in sentences(read(run), [])[0]
    again(run, 4, 0.82)
    again(run, 5, 0.95, threshold="validation pairs")
    first = sentences(read(run), [])[0]
    assert (
        "; trained again with 2 seeds it has 81.0 ± 1.4 % of the 2,000 test pairs right" in first
    )


def test_the_precision_that_auto_came_to_is_no_other_setting(run: Path) -> None:
    again(run, 0, 0.9, precision="bf16")
    one = read(run)
    for ran, said in (
        ("1 thread, bf16, cpu", ""),
        ("1 thread, fp32, cpu", " with precision bf16"),
    ):
        trials = one.trials.assign(ran_with=ran)
        first = sentences(replace(one, trials=trials), [])[0]
        assert f"; trained again{said} it has 90.0" in first


@pytest.mark.parametrize(
    ("like_best", "said"),
    [
        ([True, True], "first place: none of the other 2 is told from it on"),
        ([True, False], "first place: 1 of the other 2 is not told from it on"),
        ([True], "first place: the other one is not told from it on"),
    ],
)
def test_how_many_are_not_told_from_the_best_is_said(
    run: Path, like_best: list[bool], said: str
) -> None:
    one = read(run)
    trials = one.trials.head(1 + len(like_best)).copy()
    trials["like_best"] = pd.array([pd.NA, *like_best], dtype="boolean")
    assert said in sentences(replace(one, trials=trials), [])[1]


def test_a_search_for_few_false_accepts_says_at_how_many_and_its_interval(tmp_path: Path) -> None:
    trials = [trial("0001", fpr=0.001), trial("0002", fpr=0.001)]
    ends = {"val_tpr_at_fpr_low": 0.3311, "val_tpr_at_fpr_high": 0.4435}
    epochs = [
        epoch(name, at, 0.9, **{"val_tpr_at_fpr": score, **ends})
        for name, score in (("0001", 0.3), ("0002", 0.3882))
        for at in range(3)
    ]
    folder = write_run(tmp_path / "run", trials, epochs, metric="val_tpr_at_fpr")
    (folder / "manifest.json").write_text('{"name": "run", "data": {}}')
    one = read(folder)
    alike = one.trials.assign(like_best=pd.array([pd.NA, True], dtype="boolean"))
    first, second = sentences(replace(one, trials=alike), [])
    assert (
        ", the best by validation true accepts at 0.1 % false accepts (38.8 [33.1, 44.4] %); "
    ) in first
    # McNemar's test is of the accuracy, which is not what ranks them.
    assert "(McNemar's exact test of their accuracy, corrected for" in second
    apart = pd.array([pd.NA, False], dtype="boolean")
    for scores, said in (
        (
            [0.9, 0.93],
            "By accuracy it is not the best: the other one judges more of the same pairs",
        ),
        ([0.9, 0.87], "That is as sure as one seed makes it: the other one is worse on the same"),
    ):
        scored = one.trials.assign(like_best=apart, val_acc=scores)
        assert sentences(replace(one, trials=scored), [])[1].startswith(said)


def test_the_table_names_the_threshold_once_where_trials_differ_in_it(tmp_path: Path) -> None:
    trials = [trial("0001", calibrate=False), trial("0002", calibrate=True)]
    scores = {"0001": 0.7, "0002": 0.8}
    epochs = [epoch(name, at, score) for name, score in scores.items() for at in range(3)]
    folder = write_run(tmp_path / "run", trials, epochs)
    (folder / "manifest.json").write_text('{"name": "run", "data": {}}')
    run = read(folder)
    names = re.findall(r'data-name="(\w+)"', trial_rows.html(run, settings_frame(run)))
    assert names.count("threshold") == 1 and len(set(names)) == len(names)
    cells = re.findall(
        r'<td class="word">(\w+ \w+)</td>', trial_rows.html(run, settings_frame(run))
    )
    assert cells == ["validation pairs", "equal logits"]


def test_a_race_decides_who_is_taken_whatever_the_search_ranked_first(run: Path) -> None:
    scores = {"0002": [0.80, 0.81], "0001": [0.90, 0.909], "0003": [0.70, 0.711]}
    write_race(run.with_name("code2-race"), scores)
    first, second = sentences(read(run), ["lr"])
    assert first == (
        "Of 3 trials the best 3 were trained again with further seeds, and 0001 with lr 1e-05 is "
        "taken: its val_acc is 90.5 ± 0.6 % (mean ± standard deviation of 2 seeds); it has not "
        "been tested."
    )
    assert second.startswith("0001 wins: each of the others is shown to be worse (95 % sure,")
    assert "The search alone would have named 0002, a chance of 0.0 % to be the best." in second


def test_of_a_race_whose_trainings_all_failed_no_score_is_told(run: Path) -> None:
    failed: dict[str, list[float | None]] = {n: [None, None] for n in ("0002", "0001", "0003")}
    write_race(run.with_name("code2-race"), failed, seeds=2)
    first, _ = sentences(read(run), ["lr"])
    assert "taken: its val_acc is not known, as all its trainings failed; it has not" in first
    assert "nan" not in first
