"""Configurations to try first: which ones a space takes, from a file, from Python, resumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builders import space

from search.space import SearchSpace, SpaceError, enqueue, load
from search.space.domains import Choice
from search.space.file_dump import dump

SPACE = """\
fixed: {epochs: 3, hidden: 64}
search:
  lr: {low: 1e-4, high: 1e-2, log: true}
  optimizer: [adam, sgd]
  batch_size: [8, 16]
  people: {low: 100, high: 200, step: 20}
  momentum: {choices: [0.8, 0.9], when: {optimizer: sgd}}
trials: 8
"""


def test_a_file_has_them_and_a_dump_keeps_them(tmp_path: Path) -> None:
    one = space(tmp_path, SPACE + "enqueue: [{lr: 1e-3, optimizer: sgd, momentum: 0.8}]\n")
    assert one.enqueue == ({"lr": 1e-3, "optimizer": "sgd", "momentum": 0.8},)
    assert space(tmp_path, dump(one)) == one


# Each: one of `enqueue:`, the lines of the message below its first.
WRONG: list[tuple[str, str]] = [
    ("lr: 0.1", "line 11  enqueue 2, lr: 0.1 is not in 0.0001 to 0.01; the nearest is 0.01"),
    ("batch_size: 12", "line 11  enqueue 2, batch_size: 12 is not in [8, 16]; the nearest is 16"),
    (
        "people: 155",
        "line 11  enqueue 2, people: 155 is not in 100 to 200 in steps of 20; the nearest is 160",
    ),
    (
        "optimizer: adamw",
        "line 11  enqueue 2, optimizer: adamw is not in [adam, sgd]; did you mean adam?",
    ),
    (
        "optimizer: adm",
        "line 11  enqueue 2, optimizer: 'adm' is not one of adam, adamw, sgd; did you mean adam?",
    ),
    ("optimzer: adam", "line 11  enqueue 2, optimzer: not a setting; did you mean optimizer?"),
    (
        "hidden: 32",
        "line 11  enqueue 2, hidden: is 64 in every trial, as it is not searched; leave it out, or "
        "put it under search:",
    ),
    (
        "momentum: 0.8",
        "line 11  enqueue 2, momentum: is searched only where optimizer is sgd; name optimizer "
        "here, too",
    ),
    (
        "optimizer: adam, momentum: 0.8",
        "line 11  enqueue 2, momentum: is searched only where optimizer is sgd, and here it is "
        "adam; leave it out",
    ),
    ("batch_size: 16", "line 12  enqueue 3: the same as enqueue 2; take one out"),
    ("", "line 11  enqueue 2: has nothing under it"),
    ("lr: [1, 2]", "line 11  enqueue 2, lr: must be a single value, got a list"),
]


@pytest.mark.parametrize(("given", "expected"), WRONG)
def test_what_is_refused(tmp_path: Path, given: str, expected: str) -> None:
    text = f"{SPACE}enqueue:\n- {{lr: 1e-3}}\n- {{{given}}}\n"
    text += "- {batch_size: 16}\n" * (given == "batch_size: 16")
    with pytest.raises(SpaceError) as refused:
        space(tmp_path, text)
    assert str(refused.value).splitlines()[1:] == [f"  {expected}"]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("enqueue: 3\n", "must be a list of mappings, such as [{lr: 1e-3}]"),
        ("enqueue: []\n", "an empty list; name at least one configuration, or leave it out"),
        ("enqueue: [3]\n", "enqueue 1: must be a mapping, with `key: value` lines under it"),
        (
            "rows: {A: {}}\nalgorithm: rows\nenqueue: [{lr: 1e-3}]\n",
            "enqueue: rows are run as they are; leave it out, or take algorithm: random or tpe",
        ),
        (
            "enqueue: [{lr: 1e-3}, {lr: 2e-3}, {lr: 3e-3}]\n",
            "enqueue 3: one more than the 2 trials of the search, so it would not run; raise trials:",
        ),
    ],
)
def test_what_a_whole_file_is_refused_for(tmp_path: Path, more: str, expected: str) -> None:
    file = tmp_path / "space.yaml"
    trials = "" if "rows" in more else "trials: 2\n"
    file.write_text(SPACE.replace("trials: 8\n", trials) + more)
    with pytest.raises(SpaceError) as refused:
        load(file, strict=True)
    assert expected in str(refused.value)


def first(tmp_path: Path) -> SearchSpace:
    return space(tmp_path, SPACE + "enqueue: [{lr: 1e-3}]\n")


def test_python_gives_values_of_its_own_types(tmp_path: Path) -> None:
    given = [{"lr": np.float64(0.01), "people": np.int64(120)}, {"batch_size": "16", "lr": "1e-3"}]
    found = enqueue.added(first(tmp_path), given)
    assert found.enqueue == (
        {"lr": 1e-3},
        {"lr": 0.01, "people": 120},
        {"batch_size": 16, "lr": 1e-3},
    )
    assert type(found.enqueue[1]["people"]) is int


def test_of_python_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    given = [{"lr": True}, {"optimiser": "adam", "people": 1.5}, {}]
    with pytest.raises(SpaceError) as refused:
        enqueue.added(first(tmp_path), given)
    assert str(refused.value).splitlines()[1:] == [
        "  enqueue 2, lr: must be a number, got True",
        "  enqueue 3, optimiser: not a setting; did you mean optimizer?",
        "  enqueue 3, people: must be a whole number, got 1.5",
        "  enqueue 4: has nothing in it; name a setting's value",
    ]
    with pytest.raises(SpaceError, match=r"enqueue 2: the same as enqueue 1; take one out"):
        enqueue.added(first(tmp_path), [{"lr": 0.001}])


def test_a_pinned_setting_wins_over_what_is_enqueued(tmp_path: Path) -> None:
    """With adam there is no momentum to search, and the two that are left are equal."""
    queue = "enqueue: [{lr: 1e-3, optimizer: sgd, momentum: 0.8}, {lr: 1e-3}, {optimizer: sgd}]\n"
    found = space(tmp_path, SPACE + queue).override(["optimizer=adam"])
    assert found.enqueue == ({"lr": 1e-3},)


def test_a_setting_whose_condition_is_not_met_may_be_named_with_its_default(
    tmp_path: Path,
) -> None:
    """Momentum is 0.9 with adam, in whatever values it is searched with sgd."""
    given = "enqueue: [{optimizer: adam, momentum: 0.9}]\n"
    for text in (SPACE, SPACE.replace("[0.8, 0.9]", "[0.7, 0.8]")):
        assert space(tmp_path, text + given).enqueue == ({"optimizer": "adam", "momentum": 0.9},)


def test_a_whole_number_of_python_is_a_setting_s_float(tmp_path: Path) -> None:
    (found,) = enqueue.added(space(tmp_path, SPACE.replace("1e-2", "2")), [{"lr": 1}]).enqueue
    assert found == {"lr": 1.0} and type(found["lr"]) is float


@pytest.mark.parametrize(
    ("old", "new", "given", "said"),
    [
        ("high: 200", "high: 195", "people: 195", "100 to 195 in steps of 20; the nearest is 180"),
        (
            "{optimizer: sgd}",
            "{optimizer: [adam, sgd]}",
            "momentum: 0.8",
            "is searched only where optimizer is [adam, sgd]; name optimizer here, too",
        ),
        ("search:", "search:\n  flip: [true]", "flip: false", "flip: false is not in [true]"),
    ],
)
def test_what_is_refused_of_other_spaces(
    tmp_path: Path, old: str, new: str, given: str, said: str
) -> None:
    with pytest.raises(SpaceError) as refused:
        space(tmp_path, f"{SPACE.replace(old, new)}enqueue: [{{{given}}}]\n")
    assert str(refused.value).endswith(said)


def test_what_a_configuration_names_keeps_its_condition(tmp_path: Path) -> None:
    one = space(tmp_path, SPACE)
    found = enqueue.narrowed(one, {"optimizer": "sgd", "momentum": 0.8}).search
    assert found["momentum"] == Choice((0.8,), one.search["momentum"].when)
    assert found["momentum"].when == {"optimizer": ("sgd",)}
    assert found["optimizer"] == Choice(("sgd",)) and found["lr"] == one.search["lr"]
