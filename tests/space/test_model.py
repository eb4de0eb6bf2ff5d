"""Good space files → the object, what it counts, lists, draws and writes; the options' changes."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from builders import SPACES

from facesiam.config import SETTINGS, TrialConfig, Value, trial
from facesiam.config.settings import setting
from search.space import SearchSpace, SpaceError, load
from search.space.__main__ import main
from search.space.constraints import check
from search.space.domains import Choice, Range, Resources, Row
from search.space.file_dump import dump

SHIPPED = sorted(SPACES.glob("*.yaml"))


def space_of(tmp_path: Path, text: str) -> SearchSpace:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    return load(path)


# What the issue says that `prune:` is where a file says nothing of it, and `asha: true`.
DEFAULT = {
    "dead": True,
    "diverged": True,
    "chance": {"care": 16.0, "level": 0.01},
    "plateau": {"patience": 20, "within": 0.02},
    "asha": False,
    "halving": False,
    "control": 0.0,
}
ASHA = {"grace": 3, "factor": 4, "compare": "epoch", "noise": 0.5}

# Each: a file's text, and the fields it leads to.
GOOD: list[tuple[str, dict[str, Any]]] = [
    (
        "fixed: {lr: 1e-5, augment: on, dropout: no, epochs: 1e2, weight_decay: '5E-4'}",
        {
            "fixed": {
                "lr": 1e-5,
                "augment": True,
                "dropout": False,
                "epochs": 100,
                "weight_decay": 5e-4,
            },
            "algorithm": "grid",
            "name": "space",
            "mode": "max",
            "data": None,
            "prune": DEFAULT,
            "resources": Resources("auto", "auto", {}),
        },
    ),
    (
        "search: {lr: [1e-3, 5e-4], net: [vgg16_bn], augment: [yes, off]}",
        {
            "search": {
                "lr": Choice((1e-3, 5e-4)),
                "net": Choice(("vgg16_bn",)),
                "augment": Choice((True, False)),
            },
            "algorithm": "tpe",
            "trials": 20,
        },
    ),
    (
        "search: {lr: {low: 1e-5, high: 1e-3, log: true}, hidden: {low: 8, high: 64, step: 8}}",
        {"search": {"lr": Range(1e-5, 1e-3, log=True), "hidden": Range(8, 64, step=8)}},
    ),
    (
        "search:\n  pretrained: [true, false]\n  lr: {low: 1, high: 2, when: {pretrained: [true]}}\n"
        "  freeze: {choices: [true, false], when: {pretrained: true}}\nfixed: {freeze: false}",
        {
            "search": {
                "pretrained": Choice((True, False)),
                "lr": Range(1.0, 2.0, when={"pretrained": (True,)}),
                "freeze": Choice((True, False), when={"pretrained": (True,)}),
            },
            "fixed": {"freeze": False},
        },
    ),
    (
        "rows:\n  1: {published: {val: 81, test: 79.5, overfit: null, epoch: 0}, note: yes}\n"
        "  A: {settings: {lr: 1e-3}, printed: {lr: 5e-4}}\n  B:",
        {
            "rows": {
                "1": Row(
                    published={"val": 81, "test": 79.5, "overfit": None, "epoch": 0}, note="yes"
                ),
                "A": Row(settings={"lr": 1e-3}, printed={"lr": 5e-4}),
                "B": Row(),
            },
            "algorithm": "rows",
        },
    ),
    ("fixed: {lr: 1}\nmetric: val_loss", {"metric": "val_loss", "mode": "min"}),
    ("fixed: {lr: 1}\nmetric: val_loss\nmode: min", {"metric": "val_loss", "mode": "min"}),
    (
        "fixed: {lr: 1}\nprune: {asha: true, diverged: off}",
        {"prune": {**DEFAULT, "asha": ASHA, "diverged": False}},
    ),
    (
        "fixed: {lr: 1}\nprune: {dead: false, chance: no, plateau: off, asha: false, control: .25}",
        {
            "prune": {
                "dead": False,
                "diverged": True,
                "chance": False,
                "plateau": False,
                "asha": False,
                "halving": False,
                "control": 0.25,
            }
        },
    ),
    (
        "fixed: {lr: 1}\nprune: {dead: on, diverged: yes, chance: true, plateau: true, control: 0}",
        {"prune": DEFAULT},
    ),
    (
        "fixed: {lr: 1}\nprune: {chance: {care: 5e-1, level: 1e-3}, plateau: {within: 0}}",
        {
            "prune": {
                **DEFAULT,
                "chance": {"care": 0.5, "level": 0.001},
                "plateau": {"patience": 20, "within": 0.0},
            }
        },
    ),
    (
        "fixed: {lr: 1}\nprune: {plateau: {patience: 1}, asha: {factor: 2, compare: share}}",
        {
            "prune": {
                **DEFAULT,
                "plateau": {"patience": 1, "within": 0.02},
                "asha": {**ASHA, "factor": 2, "compare": "share"},
            }
        },
    ),
    (
        "fixed: {lr: 1}\nprune: {halving: true}",
        {"prune": {**DEFAULT, "halving": {"grace": 0.14, "factor": 2.0}, "chance": False}},
    ),
    (
        "fixed: {lr: 1}\nprune: {halving: {factor: 3}, chance: on}",
        {"prune": {**DEFAULT, "halving": {"grace": 0.14, "factor": 3.0}}},
    ),
    (
        "fixed: {lr: 1}\nprune: {asha: {grace: 1, noise: 0}}",
        {"prune": {**DEFAULT, "asha": {**ASHA, "grace": 1, "noise": 0.0}}},
    ),
    ("fixed: {lr: 1}\nprune: on", {"prune": {**DEFAULT, "asha": ASHA}}),
    ("fixed: {lr: 1}\nprune: false", {"prune": dict.fromkeys(DEFAULT, False) | {"control": 0.0}}),
    (
        "fixed: {lr: 1}\nname: my-run.2\ndata: drawn\nreport: true\nseed: 7\nalgorithm: random",
        {"name": "my-run.2", "data": "drawn", "report": True, "seed": 7, "algorithm": "random"},
    ),
    (
        "fixed: {lr: 1}\nresources: {cpus: 2, gpus: 0, per_net: {vgg16_bn: {gpus: 0.5}}}",
        {"resources": Resources(2.0, 0.0, {"vgg16_bn": {"gpus": 0.5}})},
    ),
    (
        "fixed: &base {lr: 1e-3}\nrows: {A: {settings: *base}}",
        {"fixed": {"lr": 1e-3}, "rows": {"A": Row(settings={"lr": 1e-3})}},
    ),
]


@pytest.mark.parametrize(("text", "fields"), GOOD)
def test_text_becomes_the_object(tmp_path: Path, text: str, fields: dict[str, Any]) -> None:
    space = space_of(tmp_path, text)
    assert {name: getattr(space, name) for name in fields} == fields
    for name, value in {**space.fixed, **fields.get("fixed", {})}.items():
        assert type(value) is SETTINGS[name].type  # 1 is a float where the setting is one


@pytest.mark.parametrize("text", [text for text, _ in GOOD])
def test_dump_is_read_back_as_an_equal_space(tmp_path: Path, text: str) -> None:
    space = space_of(tmp_path, text)
    assert space_of(tmp_path, dump(space)) == space


@pytest.mark.parametrize("minutes", [0.0, 30.0])
def test_a_dump_names_the_minutes_of_a_search_that_has_a_limit(
    tmp_path: Path, minutes: float
) -> None:
    space = replace(space_of(tmp_path, "fixed: {lr: 1e-3}"), minutes=minutes)
    assert ("minutes: 30.0" in dump(space)) == (minutes == 30) == ("minutes" in dump(space))


def test_a_file_saved_on_windows_is_read(tmp_path: Path) -> None:
    path = tmp_path / "my space.yaml"
    path.write_bytes(b"\xef\xbb\xbffixed:\r\n  lr: 1e-3\r\n")
    space = load(path)
    assert (space.fixed, space.name) == ({"lr": 1e-3}, "my-space")


CONDITIONAL = """\
search:
  net: [alexnet, vgg16_bn]
  pretrained: [false, true]
  freeze: {choices: [false, true], when: {pretrained: true}}
  freeze_batchnorm: {choices: [false, true], when: {net: vgg16_bn, pretrained: true}}
  lr: [1e-3, 1e-4, 1e-5]
"""

# Each: a file's text, and its number of configurations by hand.
COUNTED: list[tuple[str, int | None]] = [
    ("fixed: {lr: 1}", 1),
    ("search: {lr: [1, 2, 3], augment: [true, false]}", 3 * 2),
    # alexnet: 1 untrained, 2 pretrained (freeze); vgg: 1 untrained, 2·2 pretrained; each 3 lr.
    (CONDITIONAL, 3 * (1 + 2 + 1 + 4)),
    ("search: {hidden: {low: 8, high: 64, step: 8}}", 8),
    ("search: {hidden: {low: 8, high: 65, step: 8}, epochs: {low: 1, high: 5}}", 8 * 5),
    ("search: {lr: {low: 0.1, high: 0.5, step: 0.1}}", 5),
    ("search: {lr: {low: 0.1, high: 0.5}}", None),
    ("search: {lr: {low: 0.1, high: 0.5}, augment: [true, false]}", None),
    ("search: {seed: {low: 0, high: 2147483647}, augment: [true, false]}", 2**32),
    # Of 100 batch sizes, 8 and 16 allow two joins more.
    (
        "search: {batch_size: {low: 1, high: 100},"
        " join: {choices: [difference, linear], when: {batch_size: [8, 16]}}}",
        98 + 2 * 2,
    ),
    # lr 3: one; lr 1 and 2: concat, or linear with two values of augment.
    (
        "search: {lr: [1, 2, 3], join: {choices: [concat, linear], when: {lr: [1, 2]}},"
        " augment: {choices: [true, false], when: {join: linear}}}",
        1 + 2 * (1 + 2),
    ),
    # lr 2: join stays concat, its default, which meets the condition on augment.
    (
        "search: {lr: [1, 2], join: {choices: [concat, linear], when: {lr: 1}},"
        " augment: {choices: [true, false], when: {join: concat}}}",
        (2 + 1) + 2,
    ),
]


@pytest.mark.parametrize(("text", "number"), COUNTED)
def test_size_counts_distinct_configurations(
    tmp_path: Path, text: str, number: int | None
) -> None:
    space = space_of(tmp_path, text)
    assert space.size() == number
    if number is not None and number < 1000:
        grid = list(space.grid())
        assert len({tuple(settings.items()) for settings in grid}) == len(grid) == number
        assert all(set(settings) == set(SETTINGS) for settings in grid)


def test_a_stepped_range_has_the_numbers_that_one_writes(tmp_path: Path) -> None:
    space = space_of(tmp_path, "search: {lr: {low: 0.1, high: 0.5, step: 0.1}}")
    assert [s["lr"] for s in space.grid()] == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_a_setting_that_is_not_active_keeps_its_fixed_value_or_the_default(tmp_path: Path) -> None:
    text = CONDITIONAL + "fixed: {freeze: true, epochs: 9}\n"
    untrained = [s for s in space_of(tmp_path, text).grid() if not s["pretrained"]]
    assert {(s["freeze"], s["freeze_batchnorm"]) for s in untrained} == {(True, False)}
    assert {s["epochs"] for s in untrained} == {9}


def test_trials_to_run(tmp_path: Path) -> None:
    small = space_of(tmp_path, "search: {lr: [1, 2, 3]}\nrows: {A: , B: }\n")
    assert small.count() == 3  # 20 are asked for, 3 are there
    assert replace(small, trials=2).count() == 2
    assert replace(small, algorithm="grid", trials=2).count() == 3
    assert replace(small, algorithm="rows").count() == 2
    assert space_of(tmp_path, "search: {lr: {low: 1, high: 2}}").count() == 20


DRAWN = """\
search:
  lr: {low: 1e-5, high: 1e-1, log: true}
  weight_decay: {low: 0, high: 1}
  hidden: {low: 16, high: 48, step: 16}
  batch_size: {low: 1, high: 4, log: true}
  pretrained: [false, true]
  freeze: {choices: [false, true], when: {pretrained: true}}
"""


def test_sample_is_distributed_as_the_space_says(tmp_path: Path) -> None:
    """4,000 draws: a share of p is within ±4 standard deviations, 4·√(p(1−p)/4000) ≤ 0.032."""
    space, rng = space_of(tmp_path, DRAWN), random.Random(0)
    drawn = [space.sample(rng) for _ in range(4000)]
    for decade in range(-5, -1):
        share = sum(10**decade <= float(s["lr"]) < 10 ** (decade + 1) for s in drawn) / 4000
        assert share == pytest.approx(1 / 4, abs=0.032)
    share = sum(float(s["weight_decay"]) < 0.25 for s in drawn) / 4000
    assert share == pytest.approx(1 / 4, abs=0.032)
    hidden = Counter(s["hidden"] for s in drawn)
    for size in (16, 32, 48):
        assert hidden[size] / 4000 == pytest.approx(1 / 3, abs=0.032)
    # log-uniform over [0.5, 4.5]: n has ln((n + ½)/(n − ½)) / ln 9
    batches = Counter(s["batch_size"] for s in drawn)
    for size in (1, 2, 3, 4):
        expected = math.log((size + 0.5) / (size - 0.5)) / math.log(9)
        assert batches[size] / 4000 == pytest.approx(expected, abs=0.032)
    assert sum(bool(s["freeze"]) for s in drawn) / 4000 == pytest.approx(1 / 4, abs=0.032)
    assert not any(s["freeze"] and not s["pretrained"] for s in drawn)


def test_the_same_seed_draws_the_same(tmp_path: Path) -> None:
    space = space_of(tmp_path, DRAWN)
    assert space.sample(random.Random(5)) == space.sample(random.Random(5))


class Scripted:
    """Answers from a script, and notes the questions."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[Any, ...]] = []

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        self.asked.append((name, low, high, step, log))
        return float(self.answers[name])

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        self.asked.append((name, low, high, step, log))
        return int(self.answers[name])

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.asked.append((name, tuple(choices)))
        return self.answers[name]


def test_suggest_asks_for_active_settings_only(tmp_path: Path) -> None:
    text = """\
search:
  freeze: {choices: [false, true], when: {pretrained: true}}
  pretrained: [false, true]
  lr: {low: 1e-5, high: 1e-3, log: true}
  hidden: {low: 8, high: 65, step: 8}
  join: [linear]
"""
    space = space_of(tmp_path, text)
    ranges = [("lr", 1e-5, 1e-3, None, True), ("hidden", 8, 64, 8, False)]
    no = Scripted(pretrained=False, lr=1e-4, hidden=16)
    settings = space.suggest(no)
    assert no.asked == [("pretrained", (False, True)), *ranges]
    assert settings == TrialConfig(lr=1e-4, hidden=16, join="linear").to_dict()
    yes = Scripted(pretrained=True, freeze=True, lr=1e-4, hidden=16)
    assert space.suggest(yes)["freeze"] is True
    # After what it depends on, though it stands before it in the file.
    assert [question[0] for question in yes.asked] == ["pretrained", "freeze", "lr", "hidden"]


def test_optuna_suggests_what_the_grid_lists(tmp_path: Path) -> None:
    """Optuna computes 0.30000000000000004 where one writes 0.3."""
    text = "search: {lr: {low: 0.1, high: 0.75, step: 0.1}, augment: [true, false]}"
    space, study = space_of(tmp_path, text), optuna.create_study()
    listed = list(space.grid())
    assert len(listed) == 7 * 2
    assert all(space.suggest(study.ask()) in listed for _ in range(50))


def test_a_field_added_to_the_config_is_searchable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Wider(TrialConfig):
        momentum: float = setting(0.9, low=0, high=1)

    monkeypatch.setattr(trial, "TrialConfig", Wider)
    monkeypatch.setitem(SETTINGS, "momentum", trial._settings()["momentum"])
    text = "search: {momentum: {low: 0, high: 0.9, step: 0.1}, lr: [1, 2]}"
    space = space_of(tmp_path, text)
    assert space.size() == 20
    assert space.varied() == ["lr", "momentum"]
    assert Wider.from_dict(next(space.grid())).to_dict()["momentum"] == 0.0
    assert space.override(["momentum=.5"]).fixed == {"momentum": 0.5}
    with pytest.raises(SpaceError, match=r"line 1  momentum: must be 1 or less, got 2$"):
        space_of(tmp_path, "fixed: {momentum: 2}")


def test_varied(tmp_path: Path) -> None:
    text = """\
fixed: {freeze: true, epochs: 6}
search:
  lr: {low: 1, high: 2}
  net: [vgg16_bn]
  pretrained: [false, true]
  freeze: {choices: [false], when: {pretrained: true}}
rows:
  A: {settings: {lr: 2}}
  B: {settings: {lr: 2, augment: true}}
"""
    space = space_of(tmp_path, text)
    assert space.varied() == ["pretrained", "freeze", "lr"]
    assert replace(space, algorithm="rows").varied() == ["augment"]


def test_what_trials_can_have(tmp_path: Path) -> None:
    text = CONDITIONAL + "  epochs: {low: 3, high: 9}\nrows: {A: {settings: {epochs: 20}}}\n"
    space = space_of(tmp_path, text)
    assert (space.nets(), space.max_epochs()) == (["alexnet", "vgg16_bn"], 9)
    rows = replace(space, algorithm="rows")
    assert (rows.nets(), rows.max_epochs()) == (["alexnet"], 20)
    assert [example["epochs"] for example in rows.examples()] == [20]


def test_examples_hold_every_combination_and_both_ends(tmp_path: Path) -> None:
    space = space_of(tmp_path, CONDITIONAL + "  epochs: {low: 3, high: 9}\n")
    examples = list(space.examples())
    assert len(examples) == 24 * 2  # of test_size_counts…, each with 3 and 9 epochs
    assert {(e["net"], e["pretrained"], e["epochs"]) for e in examples} == {
        (net, pretrained, epochs)
        for net in ("alexnet", "vgg16_bn")
        for pretrained in (False, True)
        for epochs in (3, 9)
    }


def test_examples_of_a_vast_space_are_drawn(tmp_path: Path) -> None:
    seeds = ", ".join(map(str, range(500)))
    space = space_of(tmp_path, CONDITIONAL + f"  seed: [{seeds}]\n")
    examples = list(space.examples())
    assert len(examples) == 2000
    assert examples == list(space.examples())
    assert len({(e["net"], e["pretrained"]) for e in examples}) == 4


# --set, --rows and what they may break


def test_a_pinned_setting_wins_everywhere(tmp_path: Path) -> None:
    text = CONDITIONAL + "fixed: {epochs: 60}\nrows: {A: {settings: {epochs: 240, lr: 1e-3}}}\n"
    space = space_of(tmp_path, text).override(["epochs=1e1", "lr = 1e-4", "net=vgg16_bn"])
    assert space.fixed == {"epochs": 10, "lr": 1e-4, "net": "vgg16_bn"}
    assert list(space.search) == ["pretrained", "freeze", "freeze_batchnorm"]
    assert space.search["freeze_batchnorm"].when == {"pretrained": (True,)}
    assert space.size() == 1 + 2 * 2
    assert {s["epochs"] for s in space.grid()} == {10}
    row = space.row_settings("A")
    assert (row["epochs"], row["lr"], row["net"]) == (10, 1e-4, "vgg16_bn")
    assert space_of(tmp_path, dump(space)) == space


def test_a_pinned_setting_decides_conditions(tmp_path: Path) -> None:
    text = "fixed: {freeze: true}\n" + CONDITIONAL + "rows: {A: }\n"
    space = space_of(tmp_path, text)
    never = space.override(["pretrained=false"])
    assert list(never.search) == ["net", "lr"]
    assert {s["freeze"] for s in never.grid()} == {True}
    always = space.override(["pretrained=true"])
    assert always.search["freeze"] == Choice((False, True))
    assert always.size() == 3 * (2 + 4)
    assert always.fixed == {"pretrained": True}  # freeze is searched in every trial now
    assert always.row_settings("A")["freeze"] is True  # and the row runs as before
    for changed in (never, always):
        assert space_of(tmp_path, dump(changed)) == changed


def test_a_condition_on_a_condition_falls_with_it(tmp_path: Path) -> None:
    text = """\
search:
  pretrained: [false, true]
  freeze: {choices: [false, true], when: {pretrained: true}}
  augment: {choices: [false, true], when: {freeze: true}}
"""
    space = space_of(tmp_path, text).override(["pretrained=false"])
    assert (space.search, space.size()) == ({}, 1)


def test_asha_grace_follows_pinned_epochs(tmp_path: Path) -> None:
    text = "search: {lr: [1, 2]}\nprune: {asha: {grace: 5, compare: share}}"
    space = space_of(tmp_path, text)
    asha = {**ASHA, "compare": "share"}
    assert check(space.override(["epochs=4"])).prune["asha"] == {**asha, "grace": 4}
    assert check(space.override(["epochs=40"])).prune["asha"] == {**asha, "grace": 5}
    off = space_of(tmp_path, "search: {lr: [1, 2]}").override(["epochs=1"])
    assert check(off).prune == DEFAULT


def test_a_space_made_in_code_prunes_as_a_file_that_says_nothing() -> None:
    assert SearchSpace(path=Path(), name="x").prune == DEFAULT


def test_every_wrong_set_has_its_line(tmp_path: Path) -> None:
    space = space_of(tmp_path, "fixed: {lr: 1}")
    with pytest.raises(SpaceError) as caught:
        space.override(["optimiser=adam", "lr=-1", "epochs", "epochs=ten", "net=vgg", "lr=0.1"])
    assert str(caught.value).splitlines() == [
        "--set optimiser: not a setting; did you mean optimizer?",
        "--set lr: must be above 0, got -1",
        "--set epochs: must be KEY=VALUE, such as epochs=10",
        "--set epochs: must be a whole number, got 'ten'",
        "--set net: 'vgg' is not one of the 87 that there are (alexnet, vgg16_bn, convnext_base, "
        "…); did you mean vgg19?",
    ]


def test_rows_are_picked_by_name(tmp_path: Path) -> None:
    text = "rows: {A: {note: a}, B: , alex1: }"
    space = space_of(tmp_path, text)
    assert list(space.rows_named(["B", "A", "B"]).items()) == [("B", Row()), ("A", Row(note="a"))]
    with pytest.raises(SpaceError) as caught:
        space.rows_named(["A", "ZZ", "b", "alex2"])
    has = f"no such row; {space.path} has A, B, alex1"
    assert str(caught.value).splitlines() == [
        f"--rows ZZ: {has}",
        f"--rows b: {has}; did you mean B?",
        f"--rows alex2: {has}; did you mean alex1?",
    ]
    with pytest.raises(SpaceError, match=r"^--rows: name at least one; .* has A, B, alex1$"):
        space.rows_named([])


def test_options_that_do_not_fit_the_rest(tmp_path: Path) -> None:
    text = """\
search:
  lr: {low: 1, high: 2}
  net: [vgg16_bn]
  pretrained: [true]
  freeze_batchnorm: [true]
rows:
  D: {settings: {pretrained: true, freeze_batchnorm: true, net: vgg16_bn}}
"""
    space = space_of(tmp_path, text)
    assert check(space) is space
    rule = (
        "true needs pretrained: true (the statistics of untrained batch-norm layers mean nothing)"
    )
    path = f"{tmp_path / 'space.yaml'}, with the options given: "
    untrained = space.override(["pretrained=false"])
    cases = [
        (untrained, f"1 problem\n  freeze_batchnorm: {rule}"),
        (replace(untrained, algorithm="rows"), f"1 problem\n  row D, freeze_batchnorm: {rule}"),
        (
            replace(space, rows={}, algorithm="rows", seed=-1),
            "2 problems\n  algorithm: rows, but the space has no rows\n  seed: must be 0 or more, "
            "got -1",
        ),
        (
            replace(space, algorithm="grid"),
            "1 problem\n  lr: a grid cannot list a continuous range; give it a step, or choices",
        ),
    ]
    for wrong, text in cases:
        with pytest.raises(SpaceError) as caught:
            check(wrong)
        assert str(caught.value) == path + text


# The files that are shipped


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_shipped_space_is_sound_with_every_algorithm(path: Path, tmp_path: Path) -> None:
    space = load(path)
    assert space.name == path.stem
    assert space_of(tmp_path, dump(space)) == space
    for algorithm in ("tpe", "random", *(["rows"] if space.rows else [])):
        check(replace(space, algorithm=algorithm))
    for settings in configurations(space):
        assert TrialConfig.from_dict(settings).to_dict() == settings


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_shipped_space_says_why_how_how_long_and_how_well(path: Path) -> None:
    comments = [line for line in path.read_text().splitlines() if line.startswith("#")]
    for word in ("yaml-language-server", "Why", "Command", "Time", "Score"):
        assert any(line.startswith(f"# {word}") for line in comments), word
    assert f"python -m search.run spaces/{path.name}" in "\n".join(comments)


def configurations(space: SearchSpace) -> Iterator[dict[str, Value]]:
    yield from (space.sample(random.Random(seed)) for seed in range(100))
    yield from (space.row_settings(id) for id in space.rows)
    yield from space.examples()


def test_the_quickstart_is_five_trials_of_which_one_cannot_learn() -> None:
    space = load(SPACES / "quickstart.yaml")
    assert (space.data, space.count()) == ("drawn", 5)
    assert sum(settings["lr"] == 0.1 for settings in space.grid()) == 1


# net join loss lr dropout pretrained freeze augment epochs | val test overfit epoch
DOCUMENTS = """\
1 vgg16_bn concat single 1e-3 T T F F 60 | 77 76 T 54
2 vgg16_bn concat single 1e-3 T T F T 60 | 79 80 F 58
3 vgg16_bn concat single 5e-4 T T F T 60 | 80 78 F 47
4 vgg16_bn concat single 1e-3 T T T T 60 | 50 50 … 0
5 vgg16_bn concat single 5e-4 T T T T 60 | 81 79 T 56
6 vgg16_bn concat single 1e-5 T T T T 60 | 83 83 T 55
A alexnet difference two 1e-5 F F F F 60 | 81 80 T 15
B alexnet difference two 1e-5 F F F T 60 | 84 82 F 59
C vgg16_bn concat two 1e-5 F F F F 60 | 80 78 F 31
D vgg16_bn concat two 1e-5 F T F F 60 | 84 83 T 5
E vgg16_bn concat two 1e-5 F T F T 60 | 86 84 T 15
F vgg16_bn concat two 1e-3 F T F T 60 | 50 50 … 0
G vgg16_bn concat two 5e-4 F T F T 60 | 50 50 … 0
H vgg16_bn concat two 1e-5 F T T T 60 | 84 84 T 16
I alexnet difference two 5e-4 F F F T 240 | 83 81 F 239
J alexnet concat two 5e-4 F F F T 240 | 50 50 … 0
K alexnet concat two 1e-3 F F F T 240 | 50 50 … 0
L alexnet concat two 1e-5 F F F T 240 | 83 82 T 137
M alexnet concat two 1e-5 F F T T 240 | 78 78 T 179
"""
NAMES = (
    "net",
    "join",
    "loss",
    "lr",
    "dropout",
    "pretrained",
    "freeze",
    "augment",
    "epochs",
)
PRINTED = {"6": {"lr": 5e-4}, "I": {"lr": 1e-5}} | dict.fromkeys("JKLM", {"pretrained": True})


def test_the_rows_are_those_of_the_documents() -> None:
    both = [load(SPACES / f"{name}.yaml") for name in ("code1", "code2")]
    assert [id for space in both for id in space.rows] == [
        line.split()[0] for line in DOCUMENTS.splitlines()
    ]
    truth = {"T": True, "F": False, "…": None}
    for line in DOCUMENTS.splitlines():
        ran, published = (half.split() for half in line.split("|"))
        space = both[0] if ran[0].isdigit() else both[1]
        row, settings = space.rows[ran[0]], space.row_settings(ran[0])
        for name, text in zip(NAMES, ran[1:], strict=True):
            value = truth[text] if text in truth else SETTINGS[name].parse(text)
            assert settings[name] == value, (ran[0], name)
        val, test, overfit, epoch = published
        assert row.published == {
            "val": int(val),
            "test": int(test),
            "overfit": truth[overfit],
            "epoch": int(epoch),
        }
        assert row.printed == PRINTED.get(ran[0], {})
        # Code 2 fixed batch-norm wherever there were statistics to keep; code 1 never did.
        kept = space is both[1] and settings["net"] == "vgg16_bn" and settings["pretrained"]
        assert settings["freeze_batchnorm"] is bool(kept)
        assert settings["protocol"] == ("cfp-pairs" if space is both[0] else "frontal-triplets")
        assert (settings["batch_size"], settings["weight_decay"]) == (16, 0)


def test_resources_of_a_net() -> None:
    resources = Resources("auto", 0.5, {"vgg16_bn": {"gpus": 1.0}})
    assert resources.for_net("vgg16_bn") == ("auto", 1.0)
    assert resources.for_net("alexnet") == ("auto", 0.5)


def test_checking_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("search: {lr: [1, 2]}\n")
    bad.write_text("serach: 1\nfixed: {lr: 1}\n")
    assert main([str(good), str(bad)]) == 2
    out, err = capsys.readouterr()
    assert out == f"{good}: fine; 2 configurations\n"
    assert err.startswith(f"{bad}: 1 problem\n  line 1  serach:")
    assert main([str(good)]) == 0
    with pytest.raises(SystemExit) as nothing:
        main([])
    assert nothing.value.code == 2
    assert "give a FILE to check, --schema, or --from-wandb SWEEP" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("fixed: {image_size: 112}\nsearch: {lr: [1e-4, 1e-3]}\n", 112),
        ("search: {image_size: [64, 160, 96]}\n", 160),
        ("search: {image_size: {low: 64, high: 128}}\n", 128),
        ("search: {lr: [1e-4, 1e-3]}\n", 224),
        ("fixed: {image_size: 64, packed_size: 128}\nsearch: {lr: [1e-4, 1e-3]}\n", 128),
        (
            "fixed: {image_size: 96}\nrows: {a: {settings: {}}, b: {settings: {image_size: 64}}}\n",
            96,
        ),
    ],
)
def test_a_space_is_packed_at_its_largest_image_size(tmp_path: Path, text: str, size: int) -> None:
    packed = space_of(tmp_path, text).packed()
    assert packed.fixed["packed_size"] == size
    assert {example["packed_size"] for example in packed.examples()} == {size}
    assert space_of(tmp_path, dump(packed)).packed() == packed


def test_a_searched_packed_size_stays_searched(tmp_path: Path) -> None:
    searched = space_of(tmp_path, "fixed: {image_size: 64}\nsearch: {packed_size: [64, 224]}\n")
    assert searched.packed() == searched
