"""The samplers gp, cmaes, nsga2 and quasi-random: better than chance, and told what we know."""

from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import space
from optuna.trial import TrialState

from search.space import SpaceError
from search.tuning.configuration_pool import ConfigurationPool
from search.tuning.nearest import nearest_untried
from search.tuning.optuna_sampler import OptunaSampler
from search.tuning.sampler import Sampler
from search.tuning.trial_ranking import TrialEnd

BOWL = """
search:
  lr: {low: 1e-6, high: 1e-1, log: true}
  weight_decay: {low: 0.0, high: 0.5}
  label_smoothing: {low: 0.0, high: 0.4}
"""


def worth(settings: Any) -> float:
    """At best 0.9, at lr 1e-3, weight decay 0.1 and label smoothing 0.3."""
    return (
        0.9
        - 0.025 * (math.log10(settings["lr"]) + 3) ** 2
        - 0.4 * (settings["weight_decay"] - 0.1) ** 2
        - 0.5 * (settings["label_smoothing"] - 0.3) ** 2
    )


def scores(folder: Path, algorithm: str, seed: int, trials: int) -> list[float]:
    """Of a search, trial by trial."""
    text = f"{BOWL}algorithm: {algorithm}\nseed: {seed}\ntrials: {trials}\n"
    sampler, found = Sampler(space(folder, text)), list[float]()
    while suggestion := sampler.next():
        found.append(worth(suggestion.settings))
        sampler.tell(suggestion.trial, TrialEnd(found[-1], 5, "done"))
    return found


@pytest.mark.parametrize(
    ("algorithm", "trials", "seeds", "mean"),
    [("gp", 15, 1, 0.87), ("cmaes", 40, 3, 0.87), ("nsga2", 60, 3, 0.84)],
)
def test_it_finds_the_optimum_better_than_chance(
    tmp_path: Path, algorithm: str, trials: int, seeds: int, mean: float
) -> None:
    """The last third of the trials; at random they have 0.79 on average."""
    late = [scores(tmp_path, algorithm, seed, trials)[-(trials // 3) :] for seed in range(seeds)]
    by_chance = [scores(tmp_path, "random", seed, 60) for seed in range(3)]
    assert np.mean(by_chance) == pytest.approx(0.79, abs=0.02)
    assert np.mean(late) > mean


def test_quasi_random_points_are_spread_evenly(tmp_path: Path) -> None:
    """Of 16 points one lies in each 16th of a range, and two in each 8th by choice; at random
    some 6 sixteenths stay empty."""
    text = "search: {lr: {low: 1e-6, high: 1e-2, log: true}, join: [concat, difference]}\n"
    one = space(tmp_path, text + "algorithm: quasi-random\ntrials: 16\nseed: 3\n")
    sampler, found = Sampler(one), list[tuple[int, str]]()
    while suggestion := sampler.next():
        place = (math.log10(float(suggestion.settings["lr"])) + 6) / 4
        found.append((int(16 * place), str(suggestion.settings["join"])))
    assert sorted(place for place, _ in found) == list(range(16))
    halves = {(place // 2, join) for place, join in found}
    assert len(halves) == 16
    other = Sampler(dataclasses.replace(one, seed=4)).next()
    assert other and other != Sampler(one).next()


def told(folder: Path, algorithm: str) -> tuple[Sampler, OptunaSampler]:
    """A search of which one trial is done, one stopped early, one diverged, one failed."""
    sampler = Sampler(space(folder, f"{BOWL}algorithm: {algorithm}\ntrials: 20\n"))
    ends = [
        TrialEnd(0.8, 10, "done"),
        TrialEnd(0.7, 2, "stopped", "asha"),
        TrialEnd(0.9, 1, "stopped", "diverged"),
        TrialEnd(None, 0, "failed", "error"),
    ]
    for end in ends:
        suggestion = sampler.next()
        assert suggestion
        sampler.tell(suggestion.trial, end)
    assert sampler.next() and isinstance(sampler.chooser, OptunaSampler)
    return sampler, sampler.chooser


@pytest.mark.parametrize("algorithm", ["gp", "cmaes", "nsga2"])
def test_what_ended_how_counts_for_what(tmp_path: Path, algorithm: str) -> None:
    """A trial that diverged counts for the worst of the others; one that failed for nothing."""
    _, chooser = told(tmp_path, algorithm)
    chooser.suggest(0)
    trials = chooser._trials()
    complete = {t.number: t.value for t in trials if t.state is TrialState.COMPLETE}
    assert complete == {0: 0.8, 1: 0.7, 2: 0.7}
    assert [t.state for t in trials[3:5]] == [TrialState.FAIL, TrialState.RUNNING]


def test_what_the_study_holds_are_the_settings_that_ran(tmp_path: Path) -> None:
    """Where a suggestion was tried before, another configuration runs in its place."""
    _, chooser = told(tmp_path, "nsga2")
    proposed = chooser.suggest(0)
    chooser.enter("x", proposed | {"lr": 1e-3})
    entered = chooser._trials()[-1]
    assert entered.params["lr"] == 1e-3
    assert entered.params["weight_decay"] == proposed["weight_decay"]
    chooser.tell("x", TrialEnd(0.85, 5, "done"))
    assert chooser._trials()[-1].state is TrialState.COMPLETE


FINE = """
search:
  lr: {low: 0.1, high: 1.0, step: 0.1}
  batch_size: {low: 8, high: 64, log: true}
  pretrained: [true, false]
  freeze: {choices: [false, true], when: {pretrained: true}}
"""


@pytest.mark.parametrize("more", ["", "  seed: {low: 0, high: 100}\n"])
def test_what_was_tried_is_replaced_by_what_is_nearest(tmp_path: Path, more: str) -> None:
    """Of the 1,710 configurations, and of 172,710, which are not listed."""
    one = space(tmp_path, FINE + more)
    pool, rng = ConfigurationPool(one), random.Random(0)
    for seed in range(5):
        settings = one.sample(rng)
        pool.take(settings)
        near = nearest_untried(one, pool, settings, seed)
        assert near and pool.new(near) and not one.excludes(near)
        changed = {name for name in settings if near[name] != settings[name]}
        assert len(changed) == 1 and changed <= {"lr", "batch_size", "seed"}


@pytest.mark.parametrize(
    ("search", "kind"),
    [("join: [concat, difference]", "a range without a condition"), ("lr: [0.1, 0.2]", "a range")],
)
def test_a_sampler_that_could_choose_nothing_is_refused(
    tmp_path: Path, search: str, kind: str
) -> None:
    with pytest.raises(SpaceError, match=f"cmaes could choose nothing, as no .* is {kind}"):
        space(tmp_path, f"search: {{{search}}}\nalgorithm: cmaes\n")
