"""A race beside its run: which folder it has, and which race goes on there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import builders
import pytest
from raced_runs import write_race
from ranked_runs import three_trials

from search import results
from search.analysis import raced_run
from search.runs.journal import read_events
from search.runs.line_format import EPOCHS, TRIALS
from search.runs.mirror import Mirror
from search.runs.reuse import RunRefused
from search.space.finalists import Finalists
from search.space.run_options import RunOptions
from search.tuning import racing

CLEAR = {"0001": [0.80, 0.81], "0002": [0.90, 0.909]}


def begun(race: Path) -> Path:
    """Have the race of a run begun, as its manifest says; return the folder."""
    (race / "manifest.json").write_text('{"command": "python -m search.race code2"}')
    return race


def number(run: Path) -> None:
    """Number the lines of a run's journal, as it has to be behind a URL."""
    lines: dict[str, list[Mapping[str, object]]] = {TRIALS: [], EPOCHS: []}
    for n, (file, row) in enumerate(list(read_events(run)), 1):
        lines[file].append({**row, "n": n})
    for file, rows in lines.items():
        builders.write_lines(run / file, rows)


def test_a_race_goes_on_only_while_the_search_has_the_same_best_trials(tmp_path: Path) -> None:
    run, terms = three_trials(tmp_path), Finalists()
    fresh = racing.options(run, None, terms, RunOptions(""))
    assert (fresh.name, fresh.resume, [*fresh.race.race.trials]) == (
        "code2-race",
        False,
        ["0002", "0001"],  # 0003 is dead
    )
    scores = {"0002": CLEAR["0002"], "0001": CLEAR["0001"]}
    begun(write_race(tmp_path / "code2-race", scores))
    assert racing.options(run, None, terms, RunOptions("")).resume
    begun(write_race(tmp_path / "code2-race", CLEAR))
    with pytest.raises(RunRefused, match=r"0001, 0002 with .* this is one of code2's 0002, 0001"):
        racing.options(run, None, terms, RunOptions(""))


def test_the_race_of_a_run_behind_a_url_is_found_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FACESIAM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "there").mkdir()
    url = f"file://{tmp_path}/there/code2"
    for place, write in ((url, three_trials), (f"{url}-race", None)):
        there = Mirror(place, lambda text: None)
        there.fetch()
        if write:
            number(write(there.run.parent))
        else:
            write_race(there.run, CLEAR)
        begun(there.run)
        there.bring()
    monkeypatch.setenv("FACESIAM_CACHE", str(tmp_path / "another"))  # machine
    assert results.main([url]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "raced with further seeds: 0002 wins" in said and f"search.race {url}`" in said
    found = raced_run.of_run(Path("code2"), url, "0002")
    assert found and found.trials == ["0001", "0002"]
