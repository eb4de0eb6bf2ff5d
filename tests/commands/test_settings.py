"""The command that lists the settings, and says all there is to say of one."""

from __future__ import annotations

import re

import pytest
import yaml

from facesiam.config import SETTINGS, TrialConfig
from facesiam.config.constraints import CONSTRAINTS
from search.settings import _values, described, listed, main
from search.space.constraints import JUDGED_BY
from search.space.domain_format import domain

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("name", SETTINGS)
def test_the_examples_of_a_setting_can_be_put_into_a_space_file(name: str) -> None:
    lines = dict(
        line.split(maxsplit=1)
        for line in described(SETTINGS[name], 2000).splitlines()
        if line.split()[0] in ("fixed", "searched", "command")
    )
    pinned = yaml.load(lines["fixed"], yaml.BaseLoader)["fixed"][name]
    assert lines["command"] == f"--set {name}={pinned}"
    value = SETTINGS[name].parse(pinned)
    assert SETTINGS[name].problem(value) is None and value != SETTINGS[name].default
    if name in JUDGED_BY:
        assert lines["searched"].startswith("never: trials are judged by it")
        return
    searched = yaml.load(lines["searched"], yaml.BaseLoader)["search"][name]
    assert domain(SETTINGS[name], searched).count() != 1


def test_one_setting_has_its_meaning_bounds_and_default(capsys: Capture) -> None:
    assert main(["lr", "optimizer"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "lr           Learning rate, the highest of its schedule.",
        "values       a number, above 0 to 10",
        "default      1e-05",
        "fixed        fixed: {lr: 1e-2}",
        "searched     search: {lr: {low: 1e-5, high: 1e-2, log: true}}",
        "command      --set lr=1e-2",
        "",
        "optimizer    Adam with betas 0.9 and 0.999, the same with decoupled weight decay, or SGD with",
        "             `momentum`.",
        "values       adam, adamw, sgd",
        "default      adam",
        "fixed        fixed: {optimizer: sgd}",
        "searched     search: {optimizer: [adam, adamw, sgd]}",
        "command      --set optimizer=sgd",
    ]


def test_a_value_that_a_constraint_refuses_is_not_among_the_values(capsys: Capture) -> None:
    gaps = {
        name for name in SETTINGS if _values(SETTINGS[name]).startswith("a whole number, 0, or")
    }
    assert gaps == {"embedding", "images_per_person", "cohort"}
    assert main(["embedding"]) == 0
    assert "values       a whole number, 0, or 2 to 65536\n" in capsys.readouterr().out
    assert re.search(r"^embedding +256 +0, or 2 to 65536 ", listed(400), re.MULTILINE)
    assert _values(SETTINGS["people"]) == "a whole number, from 0 to 1000000"
    for name in gaps:
        for value in (0, 1, 2):
            broken = [c for c in CONSTRAINTS if c.fields == (name,) and c.broken({name: value})]
            assert bool(broken) == (value == 1)


@pytest.mark.parametrize("width", [80, 200])
def test_the_list_fits_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert width - 20 < max(map(len, lines)) <= width
    assert {line.split()[0] for line in lines if line and line[0] != " "} >= set(SETTINGS)
    assert f"{len(SETTINGS)} settings; " in lines[-1]


def test_the_list_names_few_of_many_choices() -> None:
    (line,) = [text for text in listed(400).splitlines() if text.startswith("net ")]
    assert "alexnet, vgg16_bn, convnext_base, … (87)" in line


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("learning_rate", "learning_rate: not a setting; did you mean lr?"),
        ("optimiser", "optimiser: not a setting; did you mean optimizer?"),
        ("trials", "trials: not a setting of a trial; it goes into --trials"),
        ("trails", "trails: not a setting; did you mean trials, which goes into --trials?"),
        (
            "halving",
            "halving: not a setting of a trial; it goes into the space file, under prune:",
        ),
        (
            "halfing",
            "halfing: not a setting; did you mean halving, which goes into the space file, "
            "under prune:?",
        ),
        ("keeep", "keeep: not a setting; did you mean keep, which goes into the space file?"),
    ],
)
def test_what_is_no_setting_is_told_with_the_nearest_name(
    name: str, said: str, capsys: Capture
) -> None:
    assert main([name]) == 2
    assert capsys.readouterr() == ("", f"{said}\n")


def test_every_setting_is_a_field_with_a_meaning() -> None:
    assert list(SETTINGS) == list(TrialConfig().to_dict())
