"""What is tried next: every configuration once, the same ones for the same seed, resumable."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import builders
import pytest
from builders import SPACES

from search.resources.allocation import Allocation, Node, Setup
from search.space import SearchSpace, load
from search.space.file_models import SAMPLER
from search.space.run_options import RunOptions
from search.tuning.configuration_pool import ConfigurationPool
from search.tuning.preparation import sampler_note
from search.tuning.sampler import Sampler, Suggestion
from search.tuning.trial_ranking import Progress, TrialEnd

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
    return builders.space(tmp_path, text + f"algorithm: {algorithm}\n")


def score(suggestion: Suggestion) -> float:
    """A made-up accuracy that is best at lr 1e-3."""
    return 0.9 - 0.1 * abs(math.log10(float(suggestion.settings["lr"])) + 3)


def drain(sampler: Sampler, most: int = 1000) -> list[Suggestion]:
    """Run a search of made-up trials to its end, or to `most` trials."""
    found = []
    while len(found) < most and (suggestion := sampler.next()):
        found.append(suggestion)
        sampler.tell(suggestion.trial, TrialEnd(score(suggestion), 5, "done"))
    return found


ALL = ["random", "quasi-random", "tpe", "gp", "cmaes", "nsga2"]


@pytest.mark.parametrize("algorithm", ["grid", *ALL])
def test_a_finite_space_is_explored_once_and_whole(tmp_path: Path, algorithm: str) -> None:
    text = FINITE.replace("[1e-5, 1e-4, 1e-3]", "{low: 0.1, high: 0.3, step: 0.1}")
    found = drain(Sampler(space(tmp_path, text, algorithm)))
    assert len({json.dumps(s.settings) for s in found}) == len(found) == 12
    assert [s.trial for s in found] == [f"{n:04d}" for n in range(1, 13)]


@pytest.mark.parametrize("algorithm", ALL)
def test_the_seed_decides(tmp_path: Path, algorithm: str) -> None:
    one = dataclasses.replace(space(tmp_path, CONTINUOUS, algorithm), trials=12)
    first = drain(Sampler(one))
    assert len(first) == 12 and first == drain(Sampler(one))
    assert first != drain(Sampler(dataclasses.replace(one, seed=5)))


@pytest.mark.parametrize("algorithm", ["grid", *ALL])
def test_a_resumed_search_goes_on_as_an_uninterrupted_one(tmp_path: Path, algorithm: str) -> None:
    """Some generations of CMA-ES and NSGA-II, of 4 and 5 trials, lie before the cuts."""
    text = FINITE if algorithm == "grid" else CONTINUOUS
    one = space(tmp_path, text, algorithm)
    one = dataclasses.replace(one, trials=14 if algorithm == "gp" else 30)
    whole = drain(Sampler(one))
    for cut in (1, 5, 11, 22):
        resumed = Sampler(one)
        for suggestion in whole[:cut]:
            resumed.replay(suggestion.trial, suggestion.settings)
            resumed.tell(suggestion.trial, TrialEnd(score(suggestion), 5, "done"))
        assert drain(resumed) == whole[cut:]


def test_tpe_closes_in_on_what_scored_well(tmp_path: Path) -> None:
    one = dataclasses.replace(space(tmp_path, CONTINUOUS, "tpe"), trials=60)
    scores = [score(s) for s in drain(Sampler(one))]
    # By chance the mean is 0.77: |log10(lr) + 3| is 1.3 on average over the range.
    assert sum(scores[40:]) / 20 > 0.82


def test_tpe_does_not_imitate_what_a_rule_has_stopped(tmp_path: Path) -> None:
    """Above lr 1e-3 trials have 0.95 after 2 epochs and are stopped; below they end at 0.8 around
    1e-4. Those that ASHA stopped have the better score, and could only have got better: they
    draw most of the last 40 trials. Diverged they draw next to none; a uniform draw has two of
    the range's five decades, 16."""

    def above(rule: str | None) -> int:
        one = dataclasses.replace(space(tmp_path, CONTINUOUS, "tpe"), trials=60)
        sampler, high = Sampler(one), list[bool]()
        while suggestion := sampler.next():
            lr = math.log10(float(suggestion.settings["lr"]))
            high.append(lr > -3)
            if high[-1]:
                sampler.tell(suggestion.trial, TrialEnd(0.95, 2, "stopped", rule))
            else:
                sampler.tell(suggestion.trial, TrialEnd(0.8 - 0.1 * abs(lr + 4), 60, "done"))
        return sum(high[20:])

    assert [above(rule) <= 8 for rule in ("diverged", "dead", "chance")] == [True] * 3
    assert above("asha") >= 24


def in_the_dead_region(one: SearchSpace, seed: int) -> float:
    """The share of trials 13 to 24 with lr >= 2e-4, where nets guess until a rule stops them."""
    sampler, later = Sampler(dataclasses.replace(one, seed=seed)), list[bool]()
    for number in range(24):
        suggestion = sampler.next()
        assert suggestion
        lr = float(suggestion.settings["lr"])
        if number >= 12:
            later.append(lr >= 2e-4)
        if lr >= 2e-4:
            sampler.tell(suggestion.trial, TrialEnd(0.50, 7, "stopped"))
        else:
            value = 0.78 + 0.01 * (math.log10(2e-4) - math.log10(lr))
            sampler.tell(suggestion.trial, TrialEnd(value, 3, "stopped"))
    return sum(later) / len(later)


def test_what_guessed_for_longer_is_not_better_than_what_learned_and_was_stopped() -> None:
    """0.50 after 7 epochs, 0.78 after 3, told without a rule: at random 0.35 lie where nothing
    learns, and 0.73 did when those that came further were taken for the better ones."""
    code2 = load(SPACES / "code2.yaml")
    assert sum(in_the_dead_region(code2, seed) for seed in range(4)) / 4 <= 0.1


@pytest.mark.parametrize("trials", [8, 30])
def test_the_start_up_leaves_tpe_most_of_the_trials(tmp_path: Path, trials: int) -> None:
    """What is told changes what is suggested, from the trial after the start-up on."""
    one = dataclasses.replace(space(tmp_path, CONTINUOUS, "tpe"), trials=trials)
    found = []
    for sign in (1, -1):
        sampler, settings = Sampler(one), list[Any]()
        while suggestion := sampler.next():
            settings.append(suggestion.settings)
            sampler.tell(
                suggestion.trial, TrialEnd(sign * float(suggestion.settings["lr"]), 5, "done")
            )
        found.append(settings)
    same = [a == b for a, b in zip(*found, strict=True)]
    assert all(same[: one.startup()]) and not any(same[one.startup() + 1 :])
    assert one.startup() == {8: 2, 30: 4}[trials]  # a third; two for each of two settings


@pytest.mark.parametrize(
    ("trials", "settings", "startup"),
    [(1, 5, 1), (2, 5, 1), (8, 5, 2), (20, 5, 6), (500, 5, 10), (500, 1, 2), (30, 0, 1)],
)
def test_how_many_are_drawn_at_random(
    tmp_path: Path, trials: int, settings: int, startup: int
) -> None:
    names = ["lr", "weight_decay", "erase", "rotate", "crop"][:settings]
    ranges = "".join(f"  {name}: {{low: 0.1, high: 0.2}}\n" for name in names)
    file = tmp_path / "space.yaml"
    file.write_text(f"search:\n{ranges}  augment: [true]\ntrials: {trials}\n")
    assert load(file).startup() == startup


def test_trials_that_run_count_for_what_they_have_reached(tmp_path: Path) -> None:
    """Nothing has ended. Of twenty that run five around 1e-5 have learned, the others guess."""
    one = dataclasses.replace(space(tmp_path, CONTINUOUS, "tpe"), trials=60)
    rates, blind = list[float](), list[float]()
    for seed in range(10):
        sampler, running = Sampler(dataclasses.replace(one, seed=seed)), dict[str, Progress]()
        for number in range(20):
            learns, name = number < 5, f"{number:04d}"
            sampler.replay(name, {"lr": 1e-5 if learns else 1e-4 * 1.6**number})
            scores = (0.5, 0.7) if learns else (0.5, 0.51)
            running[name] = Progress(scores, 60, learned=learns)
        for seen, found in ((running, rates), ({}, blind)):
            suggestion = sampler.next(seen)
            assert suggestion
            found.append(math.log10(float(suggestion.settings["lr"])))
    assert sum(rates) / 10 < -4.5 < -4 < sum(blind) / 10


FINE = """
search:
  lr: [1e-3, 5e-4, 1e-4, 5e-5, 1e-5]
  batch_size: [8, 16, 32, 64]
  dropout: [false, true]
  augment: [false, true]
  pretrained: [false, true]
  freeze: {choices: [false, true], when: {pretrained: true}}
trials: 60
"""


def worth(settings: Any) -> float:
    """A sum over settings, best at 1e-5, 32, augmented, pretrained and frozen."""
    return (
        0.8
        - 0.02 * abs(math.log10(settings["lr"]) + 5)
        + 0.03 * settings["augment"]
        - 0.005 * abs(math.log2(settings["batch_size"]) - 5)
        - 0.01 * settings["dropout"]
        + 0.02 * settings["pretrained"]
        + 0.01 * settings["freeze"]
    )


def test_in_a_finite_space_tpe_goes_on_by_scores_where_its_draws_were_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 240 configurations, of which 0.80 is the middle: in the file's order the fallbacks were
    from the worst corner, 0.72 and less."""
    called: list[str] = []
    untried = Sampler._untried
    monkeypatch.setattr(
        Sampler, "_untried", lambda self, name: (called.append(name), untried(self, name))[1]
    )
    whole = space(tmp_path, FINE, "tpe")
    middle = sorted(worth(settings) for settings in whole.grid())[120]
    for seed in range(3):
        called.clear()
        sampler, scores = Sampler(dataclasses.replace(whole, seed=seed)), dict[str, float]()
        while suggestion := sampler.next():
            scores[suggestion.trial] = worth(suggestion.settings)
            sampler.tell(suggestion.trial, TrialEnd(scores[suggestion.trial], 5, "done"))
        fallbacks = [scores[name] for name in called]
        assert len(fallbacks) >= 5 and sum(fallbacks) / len(fallbacks) > middle + 0.015
        assert max(scores.values()) == max(map(worth, whole.grid()))


def test_near_exhaustion_random_draws_any_of_what_is_left(tmp_path: Path) -> None:
    """Not the first of the file: over 60 seeds each of the last three is drawn some 20 times."""
    one = space(tmp_path, FINITE, "random")
    left = list(one.grid())[-3:]
    counts = [0, 0, 0]
    for seed in range(60):
        sampler = Sampler(dataclasses.replace(one, seed=seed))
        for number, settings in enumerate(list(one.grid())[:-3]):
            sampler.replay(f"{number}", settings)
        suggestion = sampler._untried("x")
        assert suggestion
        counts[left.index(suggestion.settings)] += 1
    # Binomial (60, 1/3) lies within 8 and 33 in all but 4 of 10,000 cases.
    assert sum(counts) == 60 and all(8 <= count <= 33 for count in counts)


@pytest.mark.parametrize("algorithm", ["tpe", "random", "quasi-random", "nsga2"])
def test_a_space_with_one_branch_of_one_configuration_goes_on_in_the_other(
    tmp_path: Path, algorithm: str
) -> None:
    """All that TPE likes is alexnet, of which there is one: the other 29 are of VGG."""
    text = """
search:
  net: [alexnet, vgg16_bn]
  lr: {low: 1e-6, high: 1e-1, log: true, when: {net: vgg16_bn}}
trials: 30
"""
    sampler, found = Sampler(space(tmp_path, text, algorithm)), list[Suggestion]()
    while suggestion := sampler.next():
        found.append(suggestion)
        good = suggestion.settings["net"] == "alexnet"
        sampler.tell(suggestion.trial, TrialEnd(0.9 if good else 0.6, 5, "done"))
    assert len({json.dumps(s.settings) for s in found}) == len(found) == 30
    assert sum(s.settings["net"] == "alexnet" for s in found) == 1


def test_what_is_left_of_an_infinite_space_is_drawn_where_it_is_infinite(tmp_path: Path) -> None:
    """One in 64 draws would be there by chance; a search must not hang on finding it."""
    one = space(
        tmp_path,
        """
search:
  batch_size: {low: 1, high: 64}
  lr: {low: 1e-6, high: 1e-1, log: true, when: {batch_size: 7}}
""",
        "tpe",
    )
    rng, pool = random.Random(0), ConfigurationPool(one)
    drawn = [pool.draw(rng) for _ in range(10)]
    assert [settings and settings["batch_size"] for settings in drawn] == [7] * 10


def test_what_was_tried_elsewhere_does_not_end_a_finite_space_early(tmp_path: Path) -> None:
    """A resumed run has trials of before its space was narrowed."""
    one = space(tmp_path, FINITE, "tpe")
    sampler = Sampler(one)
    for number in range(5):
        sampler.replay(f"{number}", {"lr": 0.5 + number})
    assert len({json.dumps(s.settings) for s in drain(sampler)}) == 12


def test_rows_come_by_their_ids_with_their_settings(tmp_path: Path) -> None:
    text = "rows: {A: {settings: {lr: 1e-5}}, B: {settings: {augment: true}}, C: {}}\n"
    one = space(tmp_path, text, "rows")
    found = drain(Sampler(one))
    assert [(s.trial, s.row, s.settings["augment"]) for s in found] == [
        ("A", "A", False),
        ("B", "B", True),
        ("C", "C", False),  # C equals A and runs all the same
    ]
    resumed = Sampler(one)
    resumed.replay("A", found[0].settings)
    assert drain(resumed) == found[1:]


@pytest.mark.parametrize(
    ("at_once", "sessions", "expected"),
    [
        (2, [{"sampler": SAMPLER}], ""),
        (8, [{"sampler": SAMPLER}], "TPE chooses no trial: all 8 are drawn at random, as 8 start"),
        (2, [{}, {"sampler": SAMPLER}], "TPE has changed since the last session of this run"),
        (8, [{"sampler": SAMPLER}] * 2, ""),  # what a resumed session will choose is told nowhere
    ],
)
def test_a_start_says_where_tpe_chooses_nothing_or_otherwise_than_before(
    tmp_path: Path,
    at_once: int,
    sessions: list[dict[str, int]],
    expected: str,
) -> None:
    """A session of before the sampler was noted had the first one."""
    one = dataclasses.replace(space(tmp_path, CONTINUOUS, "tpe"), trials=8)
    (tmp_path / "manifest.json").write_text(json.dumps({"sessions": sessions}))
    setup = Setup(run=tmp_path, data="", concurrent=at_once, cpus=1)
    options = RunOptions("", resume=len(sessions) > 1)
    search: Any = SimpleNamespace(space=one, setup=setup, options=options)
    said = sampler_note(search, Allocation(one, setup, [Node(8, 0)]).concurrent) or ""
    assert said.startswith(expected) and bool(said) == bool(expected)


ENQUEUED = CONTINUOUS + "enqueue: [{lr: 1e-4, freeze: true}, {lr: 1e-3}, {freeze: false}]\n"


@pytest.mark.parametrize("algorithm", ["tpe", "random", "cmaes", "nsga2", "quasi-random"])
@pytest.mark.parametrize("cut", [0, 1, 2, 3, 8])
def test_what_is_enqueued_is_tried_first_also_after_a_resume(
    tmp_path: Path, algorithm: str, cut: int
) -> None:
    one = space(tmp_path, ENQUEUED, algorithm)
    whole = drain(Sampler(one))
    assert len(whole) == 30
    first = [(s.settings["lr"], s.settings["freeze"]) for s in whole[:3]]
    assert first[0] == (1e-4, True) and first[1][0] == 1e-3 and first[2][1] is False
    assert [s.chosen_by for s in whole[:3]] == ["enqueued"] * 3
    assert algorithm != "tpe" or whole[3].chosen_by == "random"  # it has no scores yet
    assert whole[-1].chosen_by == algorithm
    resumed = Sampler(one)
    for suggestion in whole[:cut]:
        resumed.replay(suggestion.trial, suggestion.settings, suggestion.chosen_by == "enqueued")
        resumed.tell(suggestion.trial, TrialEnd(score(suggestion), 5, "done"))
    assert drain(resumed) == whole[cut:]


@pytest.mark.parametrize("algorithm", ["grid", "tpe", "random", "quasi-random", "nsga2"])
def test_in_a_finite_space_what_is_enqueued_is_not_tried_again(
    tmp_path: Path, algorithm: str
) -> None:
    """The first leaves `augment` open, and is not completed to what comes second."""
    queue = "[{lr: 1e-4, join: concat}, {lr: 1e-4, join: concat, augment: true}, {lr: 1e-3}]"
    for seed in range(5):
        one = space(
            tmp_path, FINITE.replace("4\n", f"{seed}\n") + f"enqueue: {queue}\n", algorithm
        )
        found = drain(Sampler(one))
        assert len({json.dumps(s.settings) for s in found}) == len(found) == 12
        assert [s.settings["augment"] for s in found[:2]] == [False, True]
        assert [s.chosen_by == "enqueued" for s in found[:4]] == [True] * 3 + [False]
        assert [s.trial for s in found] == [f"{n:04d}" for n in range(1, 13)]


def test_what_is_enqueued_and_was_tried_in_all_its_forms_is_passed_over(tmp_path: Path) -> None:
    """Of a resumed run whose file has been given them since; `trials` counts them, too."""
    one = space(tmp_path, FINITE + "enqueue: [{lr: 1e-4}, {lr: 1e-3}]\n", "random")
    sampler = Sampler(dataclasses.replace(one, trials=6))
    for number, settings in enumerate(s for s in one.grid() if s["lr"] == 1e-4):
        sampler.replay(f"{number}", settings)
    found = drain(sampler)
    assert [s.settings["lr"] for s in found][0] == 1e-3
    assert [s.chosen_by == "enqueued" for s in found] == [True, False]
