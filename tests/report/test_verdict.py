"""The page's first sentences and its table of trials, of written runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
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
