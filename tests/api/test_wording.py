"""Options given from Python: as a command line, as text, and in the words of messages."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from builders import ROOT

from facesiam.errors import UserError
from search import Run, run
from search.api import wording
from search.api.resuming import _above
from search.api.retraining import _flat
from search.cli.run_parser import parser
from search.retrain.__main__ import parser as retrain_parser
from search.runs.layout import RunError
from search.space import SpaceError, from_mapping, load
from search.space.run_options import RunOptions


def test_run_has_every_option_of_the_command_by_its_name() -> None:
    made_of = {"content", "command", "arguments", "resume_call", "race"}
    of_command = {field.name for field in dataclasses.fields(RunOptions)} - made_of
    assert set(inspect.signature(run).parameters) - {"progress", "callbacks"} == of_command


def test_retrain_has_every_option_of_the_command_by_its_name() -> None:
    flags = {flag for action in retrain_parser()._actions for flag in action.option_strings}
    of_command = {flag[2:] for flag in flags if flag.startswith("--")} - {"help"}
    assert set(inspect.signature(Run.retrain).parameters) - {"self"} == of_command


@pytest.mark.parametrize("path", sorted((ROOT / "spaces").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_mapping_means_what_the_file_means(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    assert from_mapping(content, path.stem) == load(path)


@pytest.mark.parametrize("path", sorted((ROOT / "spaces").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_space_of_a_run_can_be_searched_again(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plans = []
    for space in (path, load(path, strict=True).packed()):
        run(space, "drawn", out=tmp_path, dry_run=True)
        plans.append(capsys.readouterr().out)
    assert plans[0] == plans[1] and plans[0].startswith(f"name: {path.stem}\n")


def test_a_mapping_may_hold_what_python_and_numpy_have() -> None:
    content = {
        "data": Path("faces"),
        "fixed": {"pretrained": np.True_, "hidden": np.int64(8)},
        "search": {"lr": np.array([1e-5, 1e-3]).tolist(), "batch_size": range(2, 7, 2)},
    }
    space = from_mapping(content)
    assert (space.name, space.data, space.fixed["pretrained"]) == ("space", "faces", True)
    assert space.possible("lr") == [1e-5, 1e-3] and space.possible("batch_size") == [2, 4, 6]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            {"fixed": {"net": "alexnett", "lr": 1}, "search": {"lr": {"low": -1, "high": 2}}},
            "space: 2 problems\n  lr.low: must be above 0, got -1\n  net: 'alexnett' is not one of",
        ),
        (
            {"fixed": {"lr": 1e-3}, "search": {"lr": [1e-3, 1e-4]}},
            "space: 1 problem\n  lr: searched, and fixed; take one out, or give it a `when:`",
        ),
        ({"search": {"lr": object()}}, "space, search, lr: a object is no value of a space"),
        ({}, "space: 1 problem\n  nothing to run"),
    ],
)
def test_problems_of_a_mapping_have_no_lines(content: dict[str, object], said: str) -> None:
    with pytest.raises(SpaceError) as error:
        from_mapping(content)
    assert str(error.value).startswith(said) and "line " not in str(error.value)


def test_options_become_the_words_of_a_command_line() -> None:
    given = {
        "data": Path("a b"),
        "trials": np.int64(3),
        "set": {"lr": 1e-4, "augment": np.True_, "net": ["alexnet", "vgg16"]},
        "reuse": ["one", Run("two")],
        "resume": True,
        "report": False,
        "seed": None,
        "name": "-x",
    }
    words = wording.arguments(given)
    assert words == [
        *("--data", "a b", "--trials", "3"),
        *("--set", "lr=0.0001", "--set", "augment=true", "--set", "net=[alexnet, vgg16]"),
        *("--reuse", "one", "--reuse", "two", "--resume", "--name=-x"),
    ]
    assert wording.read(parser(wording.Reader), [*words, "--", "code2"])["name"] == "-x"


def test_a_set_repeats_an_option_and_an_array_is_no_value() -> None:
    assert wording.arguments({"log": {"mlflow"}, "plugin": frozenset({"a.py"})}) == [
        *("--log", "mlflow", "--plugin", "a.py")
    ]
    with pytest.raises(wording.OptionError, match="trials: a ndarray is no value of an option"):
        wording.arguments({"trials": np.array([1, 2])})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"trial": "0001", "rank": 2}, "rank: not allowed with trial"),
        ({"ensemble": 3, "rank": 2}, "ensemble: not allowed with rank"),
        ({"far": "often"}, "far: "),
    ],
)
def test_options_of_a_retraining_are_refused_before_the_run_is_opened(
    given: dict[str, Any], said: str
) -> None:
    with pytest.raises(wording.OptionError) as error:
        Run("no such run").retrain(**given)
    assert str(error.value).startswith(said)


def test_no_rates_are_as_none_given() -> None:
    with pytest.raises(RunError, match="no such run"):
        Run("no such run").retrain(far=[], folds=())


def test_the_pairs_of_a_whole_test_are_its_n() -> None:
    figure = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 50}
    assert _flat({"n": 2000, "acc": figure})["n"] == 2000
    assert _flat({"trial": "0001", "acc": figure, "far": 0.1}) == {
        "trial": "0001",
        "protocol": None,
        "seed": None,
        "epoch": None,
        "n": 50,
        "acc": 0.9,
        "acc_low": 0.8,
        "acc_high": 0.95,
    }


def test_the_call_as_text_can_be_typed_and_has_no_secret() -> None:
    space = {"search": {"lr": (1e-3, np.float32(0.5))}}
    options = {"data": Path("faces"), "out": "s3://KEY:SECRET@bucket/runs", "seed": None}
    said = wording.call("run", [space], {**options, "callbacks": [object()], "report": False})
    assert said == (
        "run({'search': {'lr': [0.001, 0.5]}}, data='faces', out='s3://***@bucket/runs', "
        "callbacks=[<object>])"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "x exists; go on with --resume, or give another --name",
            "x exists; go on with resume=True, or give another name",
        ),
        ("argument --trials: must be above 0", "trials: must be above 0"),
        ("--warm-start: it began\n  run --name x", "warm_start: it began\n  run --name x"),
        ("a -- b, c--d", "a -- b, c--d"),
        ("a line is damaged; --repair mends it", "a line is damaged; repair=True mends it"),
    ],
)
def test_messages_speak_of_options_as_python_has_them(text: str, said: str) -> None:
    with pytest.raises(UserError) as error, wording.python_words():
        raise UserError(text)
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("url", "above"),
    [
        ("s3://bucket/runs/mine", "s3://bucket/runs"),
        ("s3://bucket/runs/mine/", "s3://bucket/runs"),
        ("s3://b/mine?endpoint_override=http://h:9", "s3://b?endpoint_override=http://h:9"),
    ],
)
def test_a_resume_finds_the_folder_above_a_runs_url(url: str, above: str) -> None:
    assert _above(url) == above
