"""The plan's cost: measured where it can be, and arithmetic that a reader can redo."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from builders import SPACES

from facesiam.config import TrialConfig
from facesiam.errors import DataError, WeightsError
from facesiam.files import write_text
from facesiam.nets.pretrained import imagenet_url
from search.resources.choosing import drawn_apart, first_tried, who_chooses
from search.resources.plan import describe
from search.runs.journal_writer import Journal
from search.space import SearchSpace, load
from search.space.file_dump import dump
from search.space.run_options import RunOptions
from search.tuning.sampler import Sampler
from search.tuning.trial_ranking import TrialEnd

OPTIONS = RunOptions("space.yaml")


def test_arithmetic_without_a_measure(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("fixed: {epochs: 10}\nsearch: {lr: [1e-3, 1e-4]}\nalgorithm: grid\n")
    said = describe(load(file), tmp_path, OPTIONS)
    # 3,000 triplets · 3 images · 3 passes · 2 · 0.66e9 over 0.4e12 a second are 89 s an epoch
    # (on a GPU under 1 s).
    expected = "trials × epochs = 2 × 10, 15 min a trial, 30 min in all"
    assert expected in said or "6 s a trial" in said
    assert "arithmetic, good to a factor of 3" in said


def test_earlier_runs_are_the_measure_where_there_are_any(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "before"
    write_text(run / "manifest.json", "{}")
    journal = Journal(run)
    journal.trial("0001", "done", settings=TrialConfig(lr=0.5, epochs=3).to_dict())
    for epoch, seconds in enumerate((70.0, 60.0, 65.0)):
        journal.epoch("0001", {"epoch": epoch, "seconds": seconds})
    file = tmp_path / "space.yaml"
    file.write_text("fixed: {epochs: 10}\nsearch: {lr: [1e-3, 1e-4]}\nalgorithm: grid\n")
    said = describe(load(file), tmp_path / "runs", OPTIONS)
    assert "trials × epochs = 2 × 10, 11 min a trial, 22 min in all" in said
    assert "(from earlier runs here)" in said


def test_the_race_at_the_end_is_a_cost_besides_and_the_rungs_of_halving_are_named(
    tmp_path: Path,
) -> None:
    run = tmp_path / "runs" / "before"
    write_text(run / "manifest.json", "{}")
    journal = Journal(run)
    journal.trial("0001", "done", settings=TrialConfig(lr=0.5, epochs=1).to_dict())
    journal.epoch("0001", {"epoch": 0, "seconds": 60.0})
    file = tmp_path / "space.yaml"
    text = "fixed: {epochs: 6}\nsearch: {lr: {low: 1e-4, high: 1e-2}}\ntrials: 6\n"
    file.write_text(text + "prune: {halving: true}\nfinalists: {top: 5, seeds: 3}\n")
    said = describe(load(file), tmp_path / "runs", OPTIONS).splitlines()
    assert said[-2].startswith("estimated cost: trials × epochs = 6 × 6, 6 min a trial, 36 min")
    assert said[-1] == (
        "estimated cost of the race besides: trainings × epochs = 15 × 6 at most, "
        "1.5 h one after the other"
    )
    rungs = "halving compares trials after 2 and 4 of 6 epochs"
    assert f"{rungs}: of 6 trials 3 and 2 go on" in said
    file.write_text(text.replace("epochs: 6", "epochs: 6, net: alexnet"))
    assert "halving compares" not in describe(load(file), tmp_path / "runs", OPTIONS)
    schedules = text.replace("search: {", "search: {schedule: [constant, cosine], ")
    file.write_text(schedules + "prune: {halving: {factor: 3}}\n")
    said = describe(load(file), tmp_path / "runs", OPTIONS).splitlines()
    assert f"{rungs}: one in 3 goes on from each, each schedule apart" in said


def test_epochs_of_smaller_images_are_measured_and_count_as_such(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "before"
    write_text(run / "manifest.json", "{}")
    journal = Journal(run)
    before = TrialConfig(image_size=128, first_image_size=64, epochs=4).to_dict()
    journal.trial("0001", "done", settings=before)
    for epoch, seconds in enumerate((15.0, 33.75, 60.0, 60.0)):  # at 64, 96 and 128 pixels
        journal.epoch("0001", {"epoch": epoch, "seconds": seconds})
    file = tmp_path / "space.yaml"
    whole = "fixed: {epochs: 10, image_size: 128}\nsearch: {lr: [1e-3, 1e-4]}\nalgorithm: grid\n"
    file.write_text(whole)
    assert "10 min a trial" in describe(load(file), tmp_path / "runs", OPTIONS)
    file.write_text(whole.replace("128}", "128, first_image_size: 64}"))
    # 64, 64, 80, 96 and 112 pixels cost 2.2 epochs of 128.
    assert "7 min a trial, 14 min in all" in describe(load(file), tmp_path / "runs", OPTIONS)


def test_the_plan_of_rows_shows_what_runs_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(
        "search: {lr: {low: 1e-5, high: 1e-3, log: true}}\nprune: {asha: {grace: 5, factor: 3}}\n"
        "rows: {A: {settings: {lr: 1e-5}}}\nalgorithm: rows\n"
    )
    said = describe(load(file), tmp_path, OPTIONS)
    assert "search:" not in said and "grace" not in said
    assert "distinct configurations: 1" in said and "algorithm: rows, trials: 1" in said


def test_the_plan_refuses_data_that_a_run_would_refuse(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("search: {lr: [1e-3, 1e-4]}\nalgorithm: grid\n")
    options = dataclasses.replace(OPTIONS, data=str(tmp_path / "none.zip"))
    with pytest.raises(DataError, match="none.zip: does not exist"):
        describe(load(file), tmp_path, options)


def test_the_plan_says_which_pretrained_weights_are_here_and_downloads_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    file = cache / Path(imagenet_url("vgg16_bn")).name
    file.touch()
    space = tmp_path / "space.yaml"
    space.write_text("search: {net: [alexnet, vgg16_bn], pretrained: [false, true]}\n")
    said = describe(load(space), tmp_path, OPTIONS)
    expected = f"vgg16_bn {file}; not here, so the start has to download them: alexnet"
    assert f"pretrained weights: {expected}\n" in said
    assert list(cache.iterdir()) == [file]
    options = dataclasses.replace(OPTIONS, weights=str(tmp_path))
    with pytest.raises(WeightsError, match="no file named alexnet"):
        describe(load(space), tmp_path, options)
    space.write_text("search: {net: [alexnet, vgg16_bn]}\n")
    assert "weights" not in describe(load(space), tmp_path, options)


def searched(tmp_path: Path, text: str) -> SearchSpace:
    """A space of five settings."""
    file = tmp_path / "space.yaml"
    file.write_text(
        "search:\n  lr: {low: 1e-5, high: 1e-3}\n  weight_decay: {low: 0.01, high: 0.2}\n"
        "  erase: [0, 0.5]\n  augment: [false, true]\n  join: [concat, difference]\n" + text
    )
    return load(file)


@pytest.mark.parametrize(
    ("trials", "at_once", "known", "expected"),
    [
        (30, 2, 0, "the first 10 of 30 trials are drawn at random; TPE chooses the other 20"),
        (8, 2, 0, "the first 2 of 8 trials are drawn at random; TPE chooses the other 6"),
        (
            30,
            12,
            0,
            "the first 12 of 30 trials are drawn at random, as 12 start before any has a "
            "score; TPE chooses the other 18",
        ),
        (
            8,
            8,
            0,
            "TPE chooses no trial: all 8 are drawn at random, as 8 start before any has a "
            "score; with more trials, or fewer at once, it would",
        ),
        (
            1,
            1,
            0,
            "TPE chooses no trial: its one trial is drawn at random; with more trials, or fewer at "
            "once, it would",
        ),
        (8, 8, 13, "TPE chooses every trial"),
        (30, 2, 4, "the first 6 of 30 trials are drawn at random; TPE chooses the other 24"),
        (
            8,
            None,
            0,
            "the first 2 of 8 trials are drawn at random, and all that start before any "
            "has a score; TPE chooses the other 6",
        ),
    ],
)
def test_who_chooses_the_trials(
    tmp_path: Path, trials: int, at_once: int | None, known: int, expected: str
) -> None:
    text, chosen = who_chooses(searched(tmp_path, f"trials: {trials}"), at_once, known)
    assert text == expected
    assert (chosen == 0) == ("chooses no trial" in text)


@pytest.mark.parametrize(
    ("trials", "at_once"), [(8, 2), (8, 8), (8, 4), (1, 1), (30, 2), (30, 12)]
)
def test_as_many_trials_as_it_says_do_not_depend_on_any_score(
    tmp_path: Path, trials: int, at_once: int
) -> None:
    """With so many at once, each told when the next is asked for; the worse is better in one."""
    space = searched(tmp_path, f"trials: {trials}")
    found = []
    for sign in (1, -1):
        sampler, settings, running = Sampler(space), list[Any](), list[Any]()
        while suggestion := sampler.next():
            settings.append(suggestion.settings)
            running.append(suggestion)
            if len(running) == at_once:
                ended = running.pop(0)
                sampler.tell(ended.trial, TrialEnd(sign * float(ended.settings["lr"]), 5, "done"))
        found.append(settings)
    same = [a == b for a, b in zip(*found, strict=True)]
    chosen = who_chooses(space, at_once)[1]
    assert all(same[: trials - chosen])
    # Where one trial is known, it is the best one either way.
    assert not chosen or not all(same[trials - chosen + 1 :])


def test_the_lines_of_a_plan_fit_a_width_and_the_space_stays_yaml(tmp_path: Path) -> None:
    space = searched(tmp_path, "trials: 30")
    whole, folded = (describe(space, tmp_path, OPTIONS, width) for width in (None, 60))
    assert folded.startswith(f"{dump(space).rstrip()}\n\n")
    below = folded.removeprefix(dump(space).rstrip())
    assert max(len(line) for line in below.split("\n")) <= 60
    assert " ".join(folded.split()) == " ".join(whole.split())


def test_the_plan_says_how_many_trials_are_drawn_at_random(tmp_path: Path) -> None:
    options = dataclasses.replace(OPTIONS, concurrent=2)
    said = describe(searched(tmp_path, "trials: 30"), tmp_path, options)
    assert "\nthe first 10 of 30 trials are drawn at random; TPE chooses the other 20\n" in said
    random = describe(searched(tmp_path, "trials: 30\nalgorithm: random"), tmp_path, options)
    assert "TPE" not in random and "drawn at random" not in random


def test_of_a_small_space_tpe_chooses_the_order_only(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("search: {lr: [1e-3, 1e-4, 1e-5], join: [concat, difference]}\ntrials: 20\n")
    assert who_chooses(load(file), 1) == (
        "the first 2 of 6 trials are drawn at random; TPE chooses the other 4, in which order: "
        "every configuration is run",
        4,
    )


def test_a_sampler_says_what_it_leaves_to_chance(tmp_path: Path) -> None:
    text = """
lr: {low: 1e-5, high: 1e-1, log: true}
  join: [concat, difference]
  freeze: {choices: [false, true], when: {join: concat}}
trials: 24
"""
    said = {}
    for name in ("tpe", "gp", "cmaes", "nsga2", "random"):
        file = tmp_path / "space.yaml"
        file.write_text(f"search:\n  {text.strip()}\nalgorithm: {name}\n")
        said[name] = drawn_apart(load(file))
    why = "it chooses all others together, and these have a condition"
    assert said == {
        "tpe": None,
        "gp": f"The Gaussian process draws freeze at random: {why}",
        "cmaes": "CMA-ES draws join and freeze at random: it chooses numbers from ranges without a condition",
        "nsga2": f"NSGA-II draws freeze at random: {why}",
        "random": None,
    }
    plan = describe(load(file), tmp_path, OPTIONS)
    assert "chooses" not in plan


def test_what_is_enqueued_is_counted(tmp_path: Path) -> None:
    text = "enqueue: [{lr: 1e-3}, {lr: 1e-4}, {lr: 1e-3, join: concat}]\n"
    file = tmp_path / "space.yaml"
    search = "search: {lr: [1e-3, 1e-4, 1e-5], join: [concat, difference]}\n"
    file.write_text(f"{search}trials: 20\n{text}")
    assert first_tried(load(file)) == (
        "enqueued: 3 configurations tried first; what 2 of them leave open is drawn"
    )
    assert who_chooses(load(file), 1) == (
        "TPE chooses every trial after 3 enqueued, in which order: every configuration is run",
        3,
    )
    few = dataclasses.replace(load(file), trials=2)
    assert first_tried(few) == (
        "enqueued: 2 of 3 configurations tried first; what 2 of them leave open is drawn"
    )
    assert who_chooses(few, 1)[1] == 0
    assert first_tried(dataclasses.replace(few, enqueue=())) is None
    many = dataclasses.replace(load(file), trials=6, enqueue=load(file).enqueue[:1])
    assert who_chooses(many, 3) == (
        "the first 2 of 5 trials after 1 enqueued are drawn at random, as 3 start before any has "
        "a score; TPE chooses the other 3, in which order: every configuration is run",
        3,
    )


def test_the_spaces_that_are_shipped_leave_tpe_most_of_their_trials() -> None:
    folder = SPACES
    chosen = {
        file.stem: who_chooses(load(file), 1)[1]
        for file in folder.glob("*.yaml")
        if load(file).algorithm == "tpe"
    }
    assert chosen == {"beyond": 50, "code1": 20, "code2": 20, "cpu": 6, "low-far": 14}
