"""What scripts/check_stop_when.py reads as a table of trials, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builders import script
from ranked_runs import epoch, trial, write_run

from search.analysis.ranked_trials import write

check = script("check_stop_when")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of three trials, with the tables that a search leaves in its folder."""
    lines = [
        trial("0001", lr=1e-3),
        trial("0002", lr=1e-4),
        trial("0003", "stopped", stop_rule="asha", stop_reason="below", lr=1e-2),
    ]
    scores = {"0001": [0.7, 0.9, 0.8], "0002": [0.6, 0.8, 0.85], "0003": [0.55]}
    rows = [epoch(name, at, one) for name, all_ in scores.items() for at, one in enumerate(all_)]
    run = write_run(tmp_path / "run", lines, rows)
    write(run)
    return run


def test_a_run_is_read_from_its_journal_and_not_from_the_table_of_its_results(run: Path) -> None:
    """In trials.csv of a run stand rank, val_acc and seconds too, which are no settings."""
    (table,) = check.read(run, "val_acc", "max", 0.5)
    np.testing.assert_allclose(table.ranks, [[2 / 3], [1 / 3], [1.0]])  # of lr alone
    assert table.best.tolist() == [[0.7, 0.9, 0.9], [0.6, 0.8, 0.85], [0.55, 0.55, 0.55]]
    (run / "trials.csv").unlink()
    (again,) = check.read(run, "val_acc", "max", 0.5)
    assert again.ranks.tolist() == table.ranks.tolist()


def test_a_table_of_curves_with_a_setting_that_some_trials_lack(tmp_path: Path) -> None:
    rows = [f"{name},{at},{at + number}" for number, name in enumerate("abc") for at in (1, 2)]
    (tmp_path / "epochs.csv").write_text("\n".join(["trial,epoch,loss", *rows]))
    (tmp_path / "trials.csv").write_text("trial,depth,kind\na,3,x\nb,,y\nc,4,x\n")
    (table,) = check.read(tmp_path, "loss", "min", 9, first=1)
    assert table.best.tolist() == [[-1, -1], [-2, -2], [-3, -3]] and table.learned == -9
    np.testing.assert_allclose(table.ranks, np.array([[2, 1.5], [1, 3], [3, 1.5]]) / 3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--metric", "val_ac"], "run: has no metric val_ac; did you mean val_acc?"),
        (["--learned", "0.95"], "run: no trial has a val_acc better than 0.95; --learned says"),
        (["--curves", "runn"], "runn: no such folder of recorded curves; did you mean run?"),
    ],
)
def test_wrong_input_is_a_sentence(
    words: list[str],
    said: str,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(run.parent)
    monkeypatch.setattr("sys.argv", ["check_stop_when.py", "--curves", "run", *words])
    assert check.main() == 2
    out, err = capsys.readouterr()
    assert said in err and not out and "Traceback" not in err


def test_searches_of_a_run_are_played(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "sys.argv", ["check_stop_when.py", "--curves", str(run), "--searches", "2"]
    )
    assert check.main() == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        "run, random",
        "run, tpe",
    ]
