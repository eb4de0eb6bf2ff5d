"""What is tried next: every configuration once, the same ones for the same seed, resumable."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import optuna
import pytest

from search.space import SearchSpace, load
from search.suggest import Suggester, Suggestion

FINITE = """
search:
  lr: [1e-5, 1e-4, 1e-3]
  join: [concat, difference]
  augment: [true, false]
trials: 50
seed: 4
"""
CONTINUOUS = """
search:
  lr: {low: 1e-6, high: 1e-1, log: true}
  freeze: [true, false]
trials: 30
seed: 4
"""


def space(tmp_path: Path, text: str, algorithm: str) -> SearchSpace:
    """The space of a text, with an algorithm."""
    file = tmp_path / "space.yaml"
    file.write_text(text + f"algorithm: {algorithm}\n")
    return load(file)


def score(suggestion: Suggestion) -> float:
    """A made-up accuracy that is best at lr 1e-3."""
    return 0.9 - 0.1 * abs(math.log10(float(suggestion.settings["lr"])) + 3)


def drain(suggester: Suggester, most: int = 1000) -> list[Suggestion]:
    """Run a search of made-up trials to its end, or to `most` trials."""
    found = []
    while len(found) < most and (suggestion := suggester.next()):
        found.append(suggestion)
        suggester.tell(suggestion.trial, score(suggestion), 5, "done")
    return found


@pytest.mark.parametrize("algorithm", ["grid", "random", "tpe"])
def test_a_finite_space_is_explored_once_and_whole(tmp_path: Path, algorithm: str) -> None:
    found = drain(Suggester(space(tmp_path, FINITE, algorithm)))
    assert len({json.dumps(s.settings) for s in found}) == len(found) == 12
    assert [s.trial for s in found] == [f"{n:04d}" for n in range(1, 13)]


@pytest.mark.parametrize("algorithm", ["random", "tpe"])
def test_the_seed_decides(tmp_path: Path, algorithm: str) -> None:
    one = space(tmp_path, CONTINUOUS, algorithm)
    first = drain(Suggester(one))
    assert len(first) == 30 and first == drain(Suggester(one))
    assert first != drain(Suggester(dataclasses.replace(one, seed=5)))


@pytest.mark.parametrize("algorithm", ["grid", "random", "tpe"])
@pytest.mark.parametrize("cut", [1, 5, 11])
def test_a_resumed_search_goes_on_as_an_uninterrupted_one(
    tmp_path: Path, algorithm: str, cut: int
) -> None:
    text = FINITE if algorithm == "grid" else CONTINUOUS
    one = space(tmp_path, text, algorithm)
    whole = drain(Suggester(one))
    resumed = Suggester(one)
    for suggestion in whole[:cut]:
        resumed.replay(suggestion.trial, suggestion.settings)
        resumed.tell(suggestion.trial, score(suggestion), 5, "done")
    assert drain(resumed) == whole[cut:]


def test_tpe_closes_in_on_what_scored_well(tmp_path: Path) -> None:
    one = dataclasses.replace(space(tmp_path, CONTINUOUS, "tpe"), trials=60)
    scores = [score(s) for s in drain(Suggester(one))]
    # By chance the mean is 0.77: |log10(lr) + 3| is 1.3 on average over the range.
    assert sum(scores[40:]) / 20 > 0.82


def test_stopped_and_failed_trials_are_not_ranked_with_finished_ones(tmp_path: Path) -> None:
    suggester = Suggester(space(tmp_path, CONTINUOUS, "tpe"))
    for status, value in (("done", 0.8), ("stopped", 0.95), ("failed", None)):
        suggestion = suggester.next()
        assert suggestion
        suggester.tell(suggestion.trial, value, 2, status)
    study = suggester._study
    assert study is not None
    states = optuna.trial.TrialState
    assert [t.state for t in study.trials] == [states.COMPLETE, states.PRUNED, states.FAIL]
    assert study.trials[1].intermediate_values == {2: 0.95} and study.best_value == 0.8


def test_rows_come_by_their_ids_with_their_settings(tmp_path: Path) -> None:
    text = "rows: {A: {settings: {lr: 1e-5}}, B: {settings: {augment: true}}, C: {}}\n"
    one = space(tmp_path, text, "rows")
    found = drain(Suggester(one))
    assert [(s.trial, s.row, s.settings["augment"]) for s in found] == [
        ("A", "A", False), ("B", "B", True), ("C", "C", False),  # C equals A and runs all the same
    ]
    resumed = Suggester(one)
    resumed.replay("A", found[0].settings)
    assert drain(resumed) == found[1:]
