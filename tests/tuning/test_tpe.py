"""TPE: Optuna's where nothing of ours applies; its own ratio where configurations are ranked."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from builders import space

from search.space import SearchSpace
from search.tuning.sampler import Sampler
from search.tuning.tpe import Tpe
from search.tuning.trial_ranking import TrialEnd

CONDITIONAL = """
search:
  lr: {low: 1e-6, high: 1e-1, log: true}
  pretrained: [true, false]
  freeze: {choices: [false, true], when: {pretrained: true}}
  hidden: {low: 16, high: 256}
  batch_size: {low: 2, high: 64, log: true}
  crop: {low: 0, high: 0.3, step: 0.1}
  weight_decay: {low: 0.01, high: 0.2, when: {pretrained: false}}
trials: 60
seed: 4
"""
FINITE = """
search:
  lr: [1e-5, 1e-4, 1e-3]
  pretrained: [true, false]
  freeze: {choices: [false, true], when: {pretrained: true}}
  batch_size: {low: 2, high: 12, log: true}
  crop: {low: 0, high: 0.3, step: 0.1}
"""


def score(settings: dict[str, Any]) -> float:
    """Any score, by the settings."""
    return random.Random(f"{settings['lr']}").random()


def test_suggestions_are_those_of_optunas_own_sampler(tmp_path: Path) -> None:
    """Where every trial ends or fails, three at a time: to the last digit."""
    one = space(tmp_path, CONDITIONAL)
    sampler, study = Sampler(one), optuna.create_study(direction="maximize")
    asked: list[optuna.Trial] = []
    chosen = 0
    while suggestion := sampler.next():
        number = len(asked)
        if number > 15:
            seed = random.Random(f"4/{number}/0").getrandbits(31)
            study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=1)
            chosen += 1
        else:
            study.enqueue_trial(suggestion.settings)
        asked.append(study.ask())
        assert one.suggest(asked[-1]) == suggestion.settings
        if number >= 3:
            ended = f"{number - 2:04d}"
            settings = one.suggest(asked[number - 3])
            if number % 7:
                sampler.tell(ended, TrialEnd(score(settings), 5, "done"))
                study.tell(asked[number - 3], score(settings))
            else:
                sampler.tell(ended, TrialEnd(None, 0, "failed", "error"))
                study.tell(asked[number - 3], state=optuna.trial.TrialState.FAIL)
    assert chosen == 44


def tried(one: SearchSpace, count: int) -> Tpe:
    """What TPE knows of so many trials of a finite space."""
    tpe, rng = Tpe(one), random.Random(0)
    for number, settings in enumerate(rng.sample(list(one.grid()), count)):
        tpe.enter(str(number), settings)
        tpe.tell(str(number), TrialEnd(score(settings) + rng.random(), 5, "done", None, None))
    return tpe


@pytest.mark.parametrize("count", [1, 5, 80])
def test_configurations_are_ranked_by_the_ratio_of_optunas_densities(
    tmp_path: Path, count: int
) -> None:
    """Part by part: the settings without a condition together, `freeze` where it is active."""
    one = space(tmp_path, FINITE)
    tpe = tried(one, count)
    joint = ["batch_size", "crop", "lr", "pretrained"]
    assert tpe.parts == [joint, ["freeze"]]
    (good, bad), (frozen, other) = tpe._models()
    found = []
    for settings in one.grid():
        point = {
            name: np.array([tpe.shapes[name].to_internal_repr(settings[name])])
            for name in (*joint, "freeze")
        }
        ratio = float((good.log_pdf(point) - bad.log_pdf(point))[0])
        if settings["pretrained"]:
            ratio += float((frozen.log_pdf(point) - other.log_pdf(point))[0])
        found.append(ratio)
    names = [name for name, _ in one.ordered()]
    listed = [tuple(settings[name] for name in names) for settings in one.grid()]
    assert tpe.rank(tpe.points(names, listed)) == pytest.approx(found, rel=1e-9, abs=1e-9)
    assert len(set(np.round(found, 9))) > 20


def test_the_best_ranked_is_what_a_finite_space_goes_on_with(tmp_path: Path) -> None:
    one = space(tmp_path, FINITE + "trials: 90")
    sampler = Sampler(one)
    for number, settings in enumerate(random.Random(0).sample(list(one.grid()), 80)):
        sampler.replay(f"{number}", settings)
        sampler.tell(f"{number}", TrialEnd(score(settings), 5, "done"))
    suggestion, tpe = sampler._untried("x"), sampler.tpe
    assert suggestion and tpe
    left = [settings for settings in one.grid() if sampler.pool.new(settings)]
    names = [name for name, _ in one.ordered()]
    ratios = tpe.rank(tpe.points(names, [tuple(s[n] for n in names) for s in left]))
    assert suggestion.settings == left[int(np.argmax(ratios))]
    assert len(left) == len(list(one.grid())) - 80


def test_where_nothing_has_learned_what_was_tried_is_avoided(tmp_path: Path) -> None:
    """There is no good trial to imitate: Optuna's would be the dead one that came furthest."""
    text = "search: {lr: {low: 1e-6, high: 1e-1, log: true}}\nalgorithm: tpe\ntrials: 90\n"
    near = 0
    for seed in range(20):
        sampler = Sampler(space(tmp_path, text + f"seed: {seed}"))
        for number in range(10):
            sampler.replay(f"{number}", {"lr": 1e-2 * 1.1**number})
            sampler.tell(f"{number}", TrialEnd(0.5, 7 + number, "stopped", "chance"))
        assert sampler.tpe
        for good, bad in sampler.tpe._models():
            assert len(good._mixture_distribution.weights) == 1  # the prior alone
            assert len(bad._mixture_distribution.weights) == 11
        suggestion = sampler.next()
        near += bool(suggestion) and 5e-3 < float(suggestion.settings["lr"]) < 5e-2
    assert near <= 4  # a fifth of the range, in which a draw at random has 4
