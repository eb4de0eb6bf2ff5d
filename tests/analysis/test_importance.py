"""Importance of searched settings on drawn searches whose truth is known."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from search.analysis import importance as importance_module
from search.analysis.importance import Importance, importance
from search.space import SearchSpace, load

SPACE = """
fixed: {epochs: 2}
search:
  lr: {low: 1e-4, high: 1e-2, log: true}
  erase: {low: 0.0, high: 0.5}
  optimizer: [adam, sgd]
  momentum: {choices: [0.8, 0.9, 0.95], when: {optimizer: sgd}}
  batch_size: [16, 32, 64]
"""
Trials = tuple[list[dict[str, Any]], np.ndarray]


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SearchSpace:
    monkeypatch.setattr(importance_module, "SHUFFLES", 39)
    (tmp_path / "space.yaml").write_text(SPACE)
    return load(tmp_path / "space.yaml")


def draw(space: SearchSpace, n: int, seed: int, worth: float) -> Trials:
    """A search in which accuracy has a peak over lr in the middle, and a noise of one point."""
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    settings = [space.sample(rng) for _ in range(n)]
    peak = np.array([-worth * (np.log10(one["lr"]) + 3) ** 2 for one in settings])
    return settings, 0.85 + peak + 0.01 * noise.standard_normal(n)


def test_a_peak_in_the_middle_is_most_important_and_beyond_chance(space: SearchSpace) -> None:
    found = importance(space, *draw(space, 60, 0, 0.1))
    assert {one.setting for one in found} == set(space.search)
    assert found[0].setting == "lr" and found[0].share > 0.5 and found[0].p <= 0.05
    assert sum(one.share for one in found) == pytest.approx(1)
    assert all(one.p > 0.05 for one in found[1:])


def test_where_nothing_matters_little_is_declared(space: SearchSpace) -> None:
    # 12 searches of 20 trials, seeds 0 to 11, 39 shuffles: at a level of 5 % four or more of them
    # would be declared with a chance of 0.2 %.
    least = [min(one.p for one in importance(space, *draw(space, 20, s, 0.0))) for s in range(12)]
    assert sum(p <= 0.05 for p in least) <= 3


def test_it_is_optunas_own_and_has_conditional_settings(space: SearchSpace) -> None:
    settings, values = draw(space, 60, 1, 0.1)
    study = optuna.create_study(direction="maximize")

    def objective(trial: optuna.Trial) -> float:
        chosen = settings[trial.number]
        for name in ("lr", "erase", "optimizer", "batch_size"):
            space.search[name].suggest(name, trial)
        if chosen["optimizer"] == "sgd":
            space.search["momentum"].suggest("momentum", trial)
        return float(values[trial.number])

    for one in settings:
        study.enqueue_trial({k: one[k] for k in space.search})
    study.optimize(objective, n_trials=60)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=1 / 3)
    own = optuna.importance.get_param_importances(study, evaluator=evaluator)
    found = importance(space, settings, values)
    assert {one.setting: one.share for one in found} == pytest.approx(own)


def test_few_trials_and_trials_of_another_space_say_nothing(space: SearchSpace) -> None:
    settings, values = draw(space, 9, 0, 0.1)
    assert importance(space, settings, values) == []
    settings, values = draw(space, 12, 0, 0.1)
    values[:3] = np.nan
    assert importance(space, settings, values) == []
    other = [{**one, "epochs": 3} for one in settings]
    values = draw(space, 12, 0, 0.1)[1]
    assert importance(space, settings, values) and importance(space, other, values) == []


def test_the_same_trials_give_the_same(space: SearchSpace) -> None:
    drawn = draw(space, 20, 3, 0.05)
    first = importance(space, *drawn)
    assert first == importance(space, *drawn) and isinstance(first[0], Importance)
