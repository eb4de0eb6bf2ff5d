"""``--set KEY=[…]``: what is searched, made narrower."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import space

from search.space import SpaceError, load
from search.space.constraints import check
from search.space.domains import Choice, Range
from search.space.file_dump import dump
from search.space.model import SearchSpace

SPACE = """
search:
  lr: {low: 1e-5, high: 1e-2, log: true}
  optimizer: [adam, adamw, sgd]
  momentum: {choices: [0.8, 0.9, 0.95], when: {optimizer: sgd}}
  batch_size: [16, 32, 64]
  epochs: {low: 4, high: 40, step: 4}
  dropout: [false, true]
"""


@pytest.fixture
def searched(tmp_path: Path) -> SearchSpace:
    return space(tmp_path, SPACE)


def test_a_range_keeps_its_scale_between_new_ends(searched: SearchSpace) -> None:
    narrower = check(searched.override(["lr=[1e-4, 1e-3]"]))
    assert narrower.search["lr"] == Range(1e-4, 1e-3, log=True)
    assert {**narrower.search, "lr": searched.search["lr"]} == searched.search


def test_choices_are_those_that_are_named_in_their_order(searched: SearchSpace) -> None:
    narrower = searched.override(["batch_size=[64,16]", "dropout=[true]"])
    assert narrower.search["batch_size"] == Choice((64, 16))
    assert "dropout" not in narrower.search and narrower.fixed["dropout"] is True


def test_a_condition_that_can_be_met_no_more_goes_with_its_setting(searched: SearchSpace) -> None:
    narrower = check(searched.override(["optimizer=[adam,adamw]"]))
    assert list(narrower.search) == ["lr", "optimizer", "batch_size", "epochs", "dropout"]
    assert "momentum" in check(searched.override(["optimizer=[adam,sgd]"])).search


def test_steps_stay_on_their_values(searched: SearchSpace) -> None:
    narrower = check(searched.override(["epochs=[8,16]"]))
    assert narrower.search["epochs"] == Range(8, 16, step=4)
    assert [*narrower.search["epochs"].values()] == [8, 12, 16]


def test_what_is_written_of_it_reads_back_as_the_same_space(
    searched: SearchSpace, tmp_path: Path
) -> None:
    narrower = check(searched.override(["lr=[1e-4,1e-3]", "optimizer=[adam,sgd]"])).packed()
    (tmp_path / "narrow.yaml").write_text(dump(narrower))
    assert load(tmp_path / "narrow.yaml").search == narrower.search


def test_the_last_of_two_for_one_setting_counts(searched: SearchSpace) -> None:
    assert searched.override(["lr=[1e-4,1e-3]", "lr=1e-2"]).fixed["lr"] == 1e-2
    assert searched.override(["lr=1e-2", "lr=[1e-4,1e-3]"]).search["lr"] == Range(1e-4, 1e-3, True)


def test_configurations_to_try_first_lose_what_is_outside(tmp_path: Path) -> None:
    queue = "enqueue: [{lr: 1e-5, batch_size: 16}, {lr: 5e-4, batch_size: 64}]\n"
    narrower = space(tmp_path, SPACE + queue).override(["lr=[1e-4,1e-3]"])
    assert narrower.enqueue == ({"batch_size": 16}, {"lr": 5e-4, "batch_size": 64})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("lr=[1e-4", "lr: a list ends with ], got [1e-4"),
        ("lr=[]", "lr: an empty list; name at least one value"),
        ("lr=[1e-4,x]", "lr: must be a number, got 'x'"),
        ("lr=[-1,1e-3]", "lr: must be above 0, got -1"),
        ("lr=[1e-4,5e-4,1e-3]", "lr: a range (1e-05 to 0.01) is narrowed by two ends, such as lr=[LOW,HIGH]"),
        ("lr=[1e-3,1e-4]", "lr: the low end must be below the high one, got [0.001,0.0001]"),
        ("lr=[1e-6,1e-3]", "lr: 1e-06 is outside the range that is searched, 1e-05 to 0.01; did you mean 1e-05?"),
        ("lr=[1e-4,1]", "lr: 1 is outside the range that is searched, 1e-05 to 0.01; did you mean 0.01?"),
        ("epochs=[6,16]", "epochs: 6 is no value of the range 4 to 40 in steps of 4; did you mean 4?"),
        ("batch_size=[16,30]", "batch_size: 30 is not one of the choices that are searched (16, 32, 64); did you mean 32?"),
        ("optimizer=[adam,adm]", "optimizer: 'adm' is not one of adam, adamw, sgd; did you mean adam?"),
        ("warmup=[0,0.1]", "warmup: not searched in this space, so there is nothing to narrow; warmup=0.0 fixes it; to search it, put it under search: in the file"),
    ],
)  # fmt: skip  # a line a case
def test_what_cannot_be_narrowed_is_told(searched: SearchSpace, given: str, said: str) -> None:
    with pytest.raises(SpaceError) as caught:
        searched.override([given])
    assert str(caught.value) == f"--set {said}"


def test_every_wrong_list_has_its_line(searched: SearchSpace) -> None:
    with pytest.raises(SpaceError) as caught:
        searched.override(["lr=[1,2]", "warmup=[0,0.1]"])
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "--set lr",
        "--set warmup",
    ]
