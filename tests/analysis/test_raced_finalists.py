"""Which trials of a run are raced, at which cost, and with which seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ranked_runs import epoch, trial, write_run

from search.analysis import raced_finalists
from search.pruning.stop_decision import PAUSE
from search.space.finalists import Finalists, NothingToRace, Race

SCORES = {"0001": 0.80, "0002": 0.84, "0003": 0.82, "0004": 0.83}


def write(
    folder: Path,
    told: Mapping[str, dict[str, Any]],
    costs: Mapping[str, dict[str, float]] | None = None,
    broken: str = "",
    scores: Mapping[str, float] = SCORES,
    **objective: str,
) -> Path:
    """Write a run of trials with these scores; their status, rule and settings as told.

    The validation loss of a broken one is infinite.
    """
    lines = [
        trial(name, **{"lr": n * 1e-4, **told.get(name, {})})
        | ({"cost": costs[name]} if costs and name in costs else {})
        for n, name in enumerate(scores, 1)
    ]
    epochs = [
        epoch(name, at, score, val_loss=math.inf if name == broken else 1 - score)
        for name, score in scores.items()
        for at in range(3)
    ]
    return write_run(folder / "code2", lines, epochs, **objective)


def chosen(run: Path, top: int = 3) -> Race:
    return raced_finalists.choose(run, Finalists(top=top))


def test_the_best_that_differ_in_more_than_their_seed_are_raced(tmp_path: Path) -> None:
    run = write(tmp_path, {"0002": {"lr": 4e-4, "seed": 5}})
    race = chosen(run)
    assert (race.of, race.cost, race.worst) == ("code2", "", 0.80)
    assert {name: one.score for name, one in race.trials.items()} == {
        "0002": 0.84,
        "0003": 0.82,
        "0001": 0.80,
    }
    # The seeds of the search, 0 and 5, chose the finalists and are no evidence for them.
    rows = raced_finalists.rows(run, race)
    assert [*rows][:4] == ["0002-s1", "0003-s1", "0001-s1", "0002-s2"]
    assert {int(row.settings["seed"]) for row in rows.values()} == {1, 2, 3, 4, 6}


def test_the_lowest_loss_is_the_best(tmp_path: Path) -> None:
    race = chosen(write(tmp_path, {}, metric="val_loss", mode="min"), top=2)
    assert [*race.trials] == ["0002", "0004"]
    assert (race.trials["0002"].score, race.worst) == pytest.approx((0.16, 0.20))


def test_a_trial_whose_loss_was_never_finite_is_none_of_them_nor_the_worst(tmp_path: Path) -> None:
    race = chosen(write(tmp_path, {}, {}, metric="val_loss", mode="min", broken="0001"), top=9)
    assert [*race.trials] == ["0002", "0004", "0003"]
    assert race.worst == pytest.approx(0.18)


def test_a_trial_that_was_judged_on_other_pairs_or_has_learned_nothing_is_left_out(
    tmp_path: Path,
) -> None:
    other = {"0004": {"fold": 2}, "0003": {"status": "stopped", "stop_rule": "chance"}}
    race = chosen(write(tmp_path, other))
    assert [*race.trials] == ["0002", "0001"]
    assert race.worst == 0.80
    with pytest.raises(NothingToRace, match="0002 is the only trial that could be raced"):
        chosen(write(tmp_path, other | {"0001": {"status": "failed"}}))
    dead = dict.fromkeys(SCORES, {"status": "stopped", "stop_rule": "dead"})
    with pytest.raises(NothingToRace, match="no trial has learned anything"):
        chosen(write(tmp_path, dead))


def test_nets_that_guess_are_left_out_whatever_stopped_them_and_paused_ones_are_raced(
    tmp_path: Path,
) -> None:
    told: dict[str, dict[str, Any]] = {
        "0001": {"status": "stopped", "stop_rule": "halving"},
        "0002": {"status": "pending", "stop_reason": PAUSE.reason},
        "0003": {"status": "done"},
        "0004": {"status": "pending", "stop_reason": PAUSE.reason},
    }
    scores = {"0001": 0.502, "0002": 0.725, "0003": 0.50, "0004": 0.70}
    run = write(tmp_path, told, scores=scores)
    assert [*chosen(run, top=4).trials] == ["0002", "0004"]
    assert raced_finalists.unfinished(run) == ""  # not known of a run without a manifest
    (run / "manifest.json").write_text('{"finished": null}')
    assert raced_finalists.unfinished(run) == (
        "code2 is unfinished (trials: 1 done, 2 paused, 1 stopped): raced are the best that it "
        "has so far, and what is still to come is not among them"
    )
    (run / "manifest.json").write_text('{"finished": "2026-11-27T22:00:00"}')
    assert raced_finalists.unfinished(run) == ""


def test_equals_are_told_by_their_products_or_by_the_cost_that_the_search_minded(
    tmp_path: Path,
) -> None:
    costs = {
        name: {"params": 1.0, "macs": 100.0 * n, "latency_ms": 10.0 - n}
        for n, name in enumerate(SCORES, 1)
    }
    race = chosen(write(tmp_path, {}, costs))
    assert (race.cost, race.trials["0003"].cost) == ("macs", 300.0)
    race = chosen(write(tmp_path, {}, costs, metric="[val_acc, latency_ms]"))
    assert (race.cost, race.trials["0003"].cost) == ("latency_ms", 7.0)
    del costs["0003"]  # one that lacks it makes the comparison void
    race = chosen(write(tmp_path, {}, costs))
    assert (race.cost, {one.cost for one in race.trials.values()}) == ("", {0.0})
