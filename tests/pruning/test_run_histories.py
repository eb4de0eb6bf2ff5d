"""Histories from a run's journal: which trials have learned anything, by a metric without a band."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from builders import SPACES

from search.pruning import run_histories
from search.pruning.history import has_learned
from search.space import load
from search.space.prune import pruning

FALLS, STAYS = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5], [1.0] * 6
SCATTERS = [1.0, 0.8, 1.0, 0.8, 1.0, 0.8]
SHORT = [1.0, 0.98]


def learned(score: float | None, **errors: list[float]) -> list[str]:
    """Return which trials have learned, where less `error` is better and a guess has a score."""
    chance: dict[str, Any] = pruning(True)["chance"]
    if score is not None:
        chance = chance | {"score": score}
    prune = pruning() | {"chance": chance}
    space = replace(load(SPACES / "cpu.yaml"), metric="error", mode="min", prune=prune)
    trials: Any = {name: {"status": "done", "settings": {"epochs": 6}} for name in errors}
    epochs: Any = {name: [{"error": error} for error in each] for name, each in errors.items()}
    found = run_histories.of_run(trials, epochs, space)
    return [name for name, history in found.items() if has_learned(history, None)]


def test_the_score_of_a_guess_is_what_the_space_says() -> None:
    assert learned(1.0, falls=FALLS, stays=STAYS) == ["falls"]
    assert learned(0.4, falls=FALLS, stays=STAYS) == []
    assert learned(None, falls=FALLS, stays=STAYS) == ["falls", "stays"]  # it is not known


def test_the_noise_of_a_short_trial_is_that_of_the_others() -> None:
    """Of two epochs no scatter is known: that of the others decides whether 0.98 is below 1."""
    assert learned(1.0, short=SHORT) == ["short"]
    assert learned(1.0, short=SHORT, falls=FALLS) == ["short", "falls"]  # which do not scatter
    assert learned(1.0, short=SHORT, one=SCATTERS) == []


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ({"status": "stopped", "stop_rule": "chance"}, "chance"),
        ({"status": "done", "stop_rule": "chance"}, None),  # it ran on as a control
        ({"status": "done"}, None),
    ],
)
def test_the_rule_that_stopped_a_trial(line: Any, rule: str | None) -> None:
    assert run_histories.rule_of(line) == rule
