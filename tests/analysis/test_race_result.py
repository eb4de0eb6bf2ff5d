"""What a race has come to, read from its run: the table, and the sentences under it."""

from __future__ import annotations

from pathlib import Path

import pytest
from raced_runs import write_race

from search.analysis import race_result, raced_run
from search.runs.layout import RunError

CLEAR = {"0001": [0.80, 0.81], "0002": [0.90, 0.909], "0003": [0.70, 0.711]}
CLOSE = {"0001": [0.80, 0.84, 0.79], "0002": [0.81, 0.80, 0.80], "0003": [0.79, 0.82, 0.83]}


def test_a_winner_is_named_with_what_the_search_would_have_named(tmp_path: Path) -> None:
    result = raced_run.read(write_race(tmp_path / "code2-race", CLEAR))
    assert race_result.sentences(result)[:3] == [
        "0002 wins: each of the others is shown to be worse (95 % sure, all at once)",
        "the search alone would have named 0001, a chance of 0.0 % to be the best",
        "the race took 18 of the 45 epochs of 3 finalists with 5 seeds each",
    ]
    head, first = race_result.text(result).splitlines()[1:3]
    assert head.split()[:3] == ["finalist", "lr", "searched,"]
    assert first.split() == "0002 0.0001 80.0 2 90.5 ± 0.6 – 100.0 % taken".split()  # noqa: SIM905


def test_finalists_that_are_not_told_apart_are_named_with_the_bound(tmp_path: Path) -> None:
    folder = write_race(
        tmp_path / "code2-race", CLOSE, seeds=3, within=0.02, costs={"0001": 1e9, "0002": 5e8}
    )
    result = raced_run.read(folder)
    # The means are 81.0, 80.3 and 81.3: all within 2 points, and 0002 costs half.
    bound = result.standing.bound(1)
    assert (result.winner, result.standing.out) == ("0002", {})
    assert bound > 0.02
    assert race_result.verdict(result) == (
        "0001, 0002, 0003 are not told apart by 3 seeds: 0002 is taken, the cheapest (macs) of "
        f"those within 2.0 points of the best; another one may be better by {100 * bound:.1f} points "
        "(95 % sure)"
    )
    assert race_result.text(result).splitlines()[2].split()[:4] == ["0002", "0.0001", "500", "M"]


def test_a_race_that_goes_on_says_who_is_still_in(tmp_path: Path) -> None:
    scores = CLOSE | {"0003": [0.50, 0.51]}
    folder = write_race(tmp_path / "code2-race", {k: v[:2] for k, v in scores.items()})
    result = raced_run.read(folder)
    assert result.winner is None
    assert race_result.verdict(result) == "after 2 whole rounds 0001, 0002 are still in"
    assert [row["out_after"] for row in result.frame().to_dict("records")][2] == 2


def test_the_chances_reckon_with_other_pairs_where_it_is_kept_which_were_right(
    tmp_path: Path,
) -> None:
    near = {"0001": [0.80, 0.81, 0.80], "0002": [0.82, 0.83, 0.82]}
    over_seeds = raced_run.read(write_race(tmp_path / "a", near, seeds=3))
    over_both = raced_run.read(write_race(tmp_path / "b", near, seeds=3, pairs=200))
    assert race_result.sentences(over_seeds)[-1] == race_result.OF_SEEDS
    assert race_result.sentences(over_both)[-1] == race_result.OF_PAIRS
    assert over_seeds.chances is not None and over_both.chances is not None
    # Which pairs they have right has nothing in common: 2 points of 200 pairs are next to nothing.
    assert over_both.chances[1] < 0.7 < 0.95 < over_seeds.chances[1]


def test_a_training_that_failed_does_not_count(tmp_path: Path) -> None:
    scores = {"0001": [0.9, None, 0.91, 0.905], "0002": [0.8, 0.81, 0.805, 0.8]}
    result = raced_run.read(write_race(tmp_path / "code2-race", scores, seeds=4))
    assert result.winner == "0001"
    assert list(result.frame()["seeds"]) == [3, 4]
    assert (
        "0001 failed with seed 2 (ValueError: no loss): without it the race compares 0001 by its 3 "
        "other seeds"
    ) in race_result.sentences(result)


def test_several_seeds_that_failed_are_named_together(tmp_path: Path) -> None:
    scores = {"0001": [0.9, None, None, 0.9], "0002": [0.8, 0.81, 0.805, 0.8]}
    result = raced_run.read(write_race(tmp_path / "code2-race", scores, seeds=4))
    assert (
        "0001 failed with seeds 2 and 3 (ValueError: no loss): without them the race compares 0001 "
        "by its 2 other seeds"
    ) in race_result.sentences(result)


def test_a_finalist_that_always_failed_is_told_and_not_taken(tmp_path: Path) -> None:
    scores = {"0001": [None, None], "0002": [0.8, 0.81]}
    result = raced_run.read(write_race(tmp_path / "code2-race", scores, seeds=2))
    assert result.winner == "0002"
    assert (
        "0001 failed with seeds 1 and 2 (ValueError: no loss): no training of 0001 has a score, so "
        "another finalist is taken"
    ) in race_result.sentences(result)


def test_where_all_failed_or_the_race_goes_on_no_other_finalist_is_said_to_be_taken(
    tmp_path: Path,
) -> None:
    nothing: dict[str, list[float | None]] = {"0001": [None, None], "0002": [None, None]}
    costs = {"0001": 1e9, "0002": 5e8}
    folder = write_race(tmp_path / "code2-race", nothing, seeds=2, costs=costs)
    over = raced_run.read(folder)
    said = " ".join(race_result.sentences(over))
    assert said.count("no finalist has a score, so the one that the search named stays") == 2
    assert "another finalist is taken" not in said and over.winner == "0001"
    begun: dict[str, list[float | None]] = {"0001": [None], "0002": [0.8]}
    goes_on = raced_run.read(write_race(tmp_path / "other-race", begun, seeds=5))
    assert goes_on.winner is None
    assert "no training of 0001 has a score yet" in " ".join(race_result.sentences(goes_on))


def test_a_race_without_a_failure_says_nothing_of_one(tmp_path: Path) -> None:
    result = raced_run.read(write_race(tmp_path / "code2-race", CLEAR))
    assert "failed" not in race_result.text(result)


def test_the_race_of_a_run_is_found_beside_it(tmp_path: Path) -> None:
    run = tmp_path / "code2"
    assert raced_run.of_run(run, run, "0001") is None
    folder = write_race(tmp_path / "code2-race", CLEAR)
    found = raced_run.of_run(run, run, "0001")
    assert found and found.winner == "0002"
    assert raced_run.of_run(run, run, "0009") is None  # the search has gone on since
    folder.rename(tmp_path / "other-race")
    other = tmp_path / "other"
    assert raced_run.of_run(other, other, "0001") is None  # it is a race of code2
    write_race(tmp_path / "code2-race", CLOSE)
    assert raced_run.of_run(run, run, "0001") is None  # it goes on


def test_a_run_that_is_no_race_is_refused(tmp_path: Path) -> None:
    folder = write_race(tmp_path / "run", CLEAR)
    space = folder / "space.yaml"
    space.write_text(space.read_text().split("race:")[0])
    with pytest.raises(RunError, match="not the run of a race"):
        raced_run.read(folder)
