"""A rule that is on and cannot act says so, with the reason; one that can act says nothing."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from builders import SPACES

from search.cli import run_command as run
from search.pruning.inactive_rules import cannot_act
from search.pruning.late_start import Odds
from search.runs import manifest
from search.space import load, shipped
from search.tuning.asked_space import resolve

REVIVES = "weight_decay changes a net without a gradient too, so none is certain to stay dead"


def said(tmp_path: Path, text: str) -> list[str]:
    """What is said of the space of a text."""
    file = tmp_path / "space.yaml"
    file.write_text(text)
    return cannot_act(load(file))


def space(**options: str) -> str:
    """A space of 60 epochs, with what is asked for."""
    fixed = options.pop("fixed", "epochs: 60")
    lines = [f"fixed: {{{fixed}}}", f"search: {{{options.pop('search', 'lr: [1e-5, 1e-4]')}}}"]
    return "\n".join([*lines, *(f"{name}: {value}" for name, value in options.items())]) + "\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, []),
        ({"prune": "true"}, []),
        ({"prune": "false"}, []),
        # plateau: never after the last epoch, so that 21 epochs have no 20 after the first one.
        (
            {"fixed": "epochs: 21"},
            ["plateau: cannot act: a trial of 21 epochs ends before a patience of 20 is over"],
        ),
        ({"fixed": "epochs: 22"}, []),
        (
            {"fixed": "lr: 1e-5", "search": "epochs: [21, 60]"},
            [
                "plateau: cannot act in some of the trials: a trial of 21 epochs ends before "
                "a patience of 20 is over"
            ],
        ),
        # 18 epochs of warm-up take 9: 30 epochs, less the last, have no 20 after the first.
        (
            {"fixed": "epochs: 30, warmup: 0.6"},
            [
                "plateau: cannot act: a trial of 30 epochs with a warmup of 0.6 ends before a "
                "patience of 20 is over"
            ],
        ),
        ({"metric": "val_auc"}, []),
        ({"search": "lr: [1e-5]"}, ["plateau: cannot act: there is no other trial"]),
        # chance: 16 times the odds after 5 epochs are less than half of 12 epochs.
        ({"fixed": "epochs: 12", "prune": "{plateau: false}"}, []),
        (
            {"fixed": "epochs: 8", "prune": "{plateau: false}"},
            [
                "chance: cannot act: a net at chance may begin to learn in any of 8 epochs, by the "
                "recorded runs' odds"
            ],
        ),
        (
            {"fixed": "epochs: 60, head_lr: 0.05"},
            [
                "chance: cannot act: a net at chance may begin to learn in any of 60 epochs, by the "
                "recorded runs' odds, at a learning rate below all that are on record"
            ],
        ),
        (
            {"fixed": "protocol: cfp-pairs, people: 50, loss: single"},
            [
                "chance: cannot act: of cfp-pairs with people the pairs of each kind are unequal, and "
                "how far guessing gets is not known; chance: {score: X} says what a guess scores in "
                "val_acc"
            ],
        ),
        (
            {"fixed": "weight_decay: 0.1"},
            [f"dead: cannot act: {REVIVES}"],
        ),
        (
            {"search": "weight_decay: [0, 0.1]"},
            [f"dead: cannot act in some of the trials: {REVIVES}"],
        ),
        (
            {"fixed": "epochs: 30", "prune": "{asha: {grace: 30}}"},
            ["asha: cannot act: a trial of 30 epochs ends before a grace of 30 is over"],
        ),
        ({"fixed": "epochs: 30", "prune": "{asha: {grace: 29}}"}, []),
        # Two epochs of warm-up are one, and the third comes to 1.9999999999999998 with it.
        (
            {
                "fixed": "epochs: 4, warmup: 0.5",
                "prune": "{asha: {grace: 2, factor: 2}, chance: false, plateau: false}",
            },
            [],
        ),
        (
            {"fixed": "epochs: 2", "prune": "{halving: true, chance: false, plateau: false}"},
            ["halving: cannot act: a trial of 2 epochs has too few for a rung"],
        ),
        ({"fixed": "epochs: 30", "prune": "{halving: true}"}, []),
        (
            {
                "prune": "{dead: false, diverged: false, chance: false, plateau: false, control: 0.1}"
            },
            ["control: no rule is on that would stop a trial"],
        ),
    ],
)
def test_what_cannot_act_says_so(
    tmp_path: Path, options: dict[str, str], expected: list[str]
) -> None:
    assert said(tmp_path, space(**options)) == expected


def test_rows_are_asked_about_what_is_certain_only() -> None:
    """code2.yaml has halving, and no rule off but what it excludes."""
    searched = load(SPACES / "code2.yaml")
    assert cannot_act(searched) == []
    changed = resolve(_options(rows="A"))
    silent = [line.partition(":")[0] for line in cannot_act(changed)]
    assert silent == ["plateau", "halving"]


def test_without_recordings_chance_cannot_act(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(space())
    (line,) = cannot_act(load(tmp_path / "space.yaml"), Odds(()))
    assert line.startswith("chance: cannot act: ")


def test_the_dry_run_and_the_manifest_have_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(space(fixed="epochs: 8"))
    expected = cannot_act(load(file))
    assert len(expected) == 2
    assert run.main([str(file), "--dry-run", "--data", "drawn", "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("rule ")] == [f"rule {e}" for e in expected]
    data: Any = SimpleNamespace(source="drawn", key="k", format="cfp")
    manifest.begin(tmp_path, load(file), data, "command", [], cannot_act(load(file)))
    (session,) = json.loads((tmp_path / "manifest.json").read_text())["sessions"]
    assert session["cannot_act"] == expected


def test_a_package_without_its_recordings_is_refused_before_anything_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from search.pruning import recorded_runs

    recorded_runs.shipped.cache_clear()
    monkeypatch.setattr(shipped, "RECORDINGS", tmp_path / "recordings")
    (tmp_path / "space.yaml").write_text(space())
    arguments = [str(tmp_path / "space.yaml"), "--data", "drawn", "--out", str(tmp_path / "out")]
    for more in ([], ["--dry-run"]):
        assert run.main([*arguments, *more]) == 2
        assert capsys.readouterr().err == (
            f"{tmp_path}/recordings: the recorded runs that the package brings along are missing, "
            "so its installation is not whole: install it again\n"
        )
    assert not (tmp_path / "out").exists()
    (tmp_path / "space.yaml").write_text(space(prune="{chance: false}"))
    assert run.main([*arguments, "--dry-run"]) == 0  # nothing rests on them
    recorded_runs.shipped.cache_clear()


def _options(**more: Any) -> Any:
    from search.cli.run_parser import read_options

    arguments = [str(SPACES / "code2.yaml")]
    for name, value in more.items():
        arguments += [f"--{name}", value]
    return read_options(arguments)
