"""The committed JSON schema is current, takes what load takes, refuses what load refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from builders import ROOT

from facesiam.config import SETTINGS
from facesiam.config.settings import Setting
from search.space import SpaceError, load
from search.space.json_schema import COMMAND, schema, text
from search.space.prune import RULE_OPTIONS


class Editor(yaml.SafeLoader):
    """Reads YAML as editors do, by version 1.2: 1e-5 is a number, on and no are text."""


Editor.yaml_implicit_resolvers = {}
for tag, pattern in (
    ("bool", r"true|false"),
    ("null", r"null|~|"),
    ("int", r"[-+]?\d+"),
    ("float", r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?"),
):
    Editor.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rf"^(?:{pattern})$"), None)
Editor.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(str(node.value)))


def problems(text: str) -> list[str]:
    """Return the paths that the schema complains about."""
    node = as_json(yaml.load(text, Loader=Editor))
    found = jsonschema.Draft7Validator(schema()).iter_errors(node)
    return [jsonschema.exceptions.best_match([error]).json_path for error in found]


def as_json(node: Any) -> Any:
    """Return the node with text for keys, as an editor sees row 1."""
    if isinstance(node, dict):
        return {str(key): as_json(value) for key, value in node.items()}
    return [as_json(item) for item in node] if isinstance(node, list) else node


def test_the_committed_file_is_current() -> None:
    committed = (ROOT / "search" / "space" / "space.schema.json").read_text()
    assert committed == text(), f"search/space/space.schema.json is out of date; run: {COMMAND}"


def test_it_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(schema())


@pytest.mark.parametrize("name", ["quickstart", "code1", "code2"])
def test_it_takes_the_shipped_spaces(name: str) -> None:
    path = ROOT / "spaces" / f"{name}.yaml"
    assert problems(path.read_text()) == []
    line = path.read_text().splitlines()[0]
    named = line.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / named).resolve() == ROOT / "search" / "space" / "space.schema.json"


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ("serach: {}\nfixed: {}", "$"),
        ("name: x", "$"),
        ("fixed: {optimiser: adam}", "$.fixed"),
        ("fixed: {lr: 0}", "$.fixed.lr"),
        ("fixed: {hidden: 1}", "$.fixed.hidden"),
        ("fixed: {epochs: 1.5}", "$.fixed.epochs"),
        ("fixed: {net: vgg}", "$.fixed.net"),
        ("search: {lr: []}", "$.search.lr"),
        ("search: {lr: [1, 1]}", "$.search.lr"),
        ("search: {lr: 1}", "$.search.lr"),
        ("search: {lr: {low: 1}}", "$.search.lr"),
        ("search: {augment: {low: 1, high: 2}}", "$.search.augment"),
        ("search: {lr: {low: 1, high: 2, when: {pretraind: true}}}", "$.search.lr"),
        ("search: {lr: [1]}\nalgorithm: gird", "$.algorithm"),
        ("search: {lr: [1]}\ntrials: 0", "$.trials"),
        ("search: {lr: [1]}\nmetric: val", "$.metric"),
        ("search: {lr: [1]}\nmetric: [latency_ms, val_acc]", "$.metric[0]"),
        ("search: {lr: [1]}\nmetric: [val_acc, macs, macs]", "$.metric"),
        ("search: {lr: [1]}\nprune: {asha: {factor: 1}}", "$.prune.asha.factor"),
        ("search: {lr: [1]}\nresources: {gpus: -1}", "$.resources.gpus"),
        ("search: {lr: [1]}\nresources: {per_net: {vgg: {gpus: 1}}}", "$.resources.per_net"),
        ("rows: {1: {published: {val: 120}}}", "$.rows['1'].published.val"),
        ("rows: {1: {published: {}}}", "$.rows['1'].published"),
        ("fixed: {lr: 1}\nresources: {}", "$.resources"),
        ("search: {lr: {values: [0]}}", "$.search.lr.values[0]"),
        ("search: {net: {min: 1, max: 2}}", "$.search.net"),
        ("search: {lr: {min: 1, max: 2, distribution: log_uniform}}", "$.search.lr"),
        ("fixed: {lr: 1}\nearly_terminate: {type: hyperbnd}", "$.early_terminate.type"),
        ("fixed: {lr: 1}\nmetric: {name: acc}", "$.metric.name"),
        ("search: {lr: [1]}\nenqueue: []", "$.enqueue"),
        ("search: {lr: [1]}\nenqueue: [1]", "$.enqueue[0]"),
        ("search: {lr: [1]}\nenqueue: [{lr: 1}, {lr: 0}]", "$.enqueue[1].lr"),
        ("search: {lr: [1]}\nenqueue: [{lrr: 1}]", "$.enqueue[0]"),
    ],
)
def test_it_refuses(wrong: str, where: str) -> None:
    assert problems(wrong) == [where]


@pytest.mark.parametrize(
    "right",
    [
        "search: {lr: {low: 1e-5, high: 1e-3, log: true, when: {net: [alexnet], pretrained: true}}}",
        "search: {hidden: {low: 8, high: 64, step: 8}, lr: [1e-5, .5]}",
        "method: bayes\nsearch: {lr: {values: [.5, 1], distribution: categorical}, hidden: {value: 8}}",
        "search: {lr: {min: 1e-5, max: 1e-3, distribution: log_uniform_values, when: {net: alexnet}}}",
        "search: {hidden: {min: 8, max: 64, distribution: q_uniform, q: 8}}\nmode: maximize",
        "fixed: {lr: 1}\nmetric: {name: val_loss, goal: minimize}",
        "fixed: {lr: 1}\nmetric: [val_acc, latency_ms, params]",
        "fixed: {lr: 1}\nearly_terminate: {type: hyperband, max_iter: 27, s: 2, eta: 3}",
        "search: {lr: [.5, 1]}\nenqueue: [{lr: 1}]",
        "rows: {1: , A: {published: {overfit: null, val: 80.5}}}",
        "rows: {1: {}, A: {settings: {}, printed: {}}}",
        "fixed: {lr: 1}\nprune: {asha: false}\nresources: {cpus: auto, gpus: 0.5}",
    ],
)
def test_it_takes(right: str) -> None:
    assert problems(right) == []


# What stands after `prune:`, and where the schema finds fault with it, if it does.
PRUNE: list[tuple[str, str]] = [
    ("true", ""),
    ("false", ""),
    ("{dead: true, diverged: false, chance: true, plateau: false, asha: true, control: 1}", ""),
    ("{chance: {care: 0.1, level: 0.5}, plateau: {patience: 1, within: 0}}", ""),
    ("{asha: {grace: 1, factor: 2, compare: share, noise: 10}, control: 0}", ""),
    ("", "$.prune"),
    ("{}", "$.prune"),
    ("3", "$.prune"),
    ("[asha]", "$.prune"),
    ("{chanse: true}", "$.prune"),
    ("{grace: 3}", "$.prune"),
    ("{dead: {}}", "$.prune.dead"),
    ("{diverged: 1}", "$.prune.diverged"),
    ("{chance: 4}", "$.prune.chance"),
    ("{chance: {}}", "$.prune.chance"),
    ("{chance: {car: 4}}", "$.prune.chance"),
    ("{chance: {care: 0}}", "$.prune.chance.care"),
    ("{chance: {level: 0}}", "$.prune.chance.level"),
    ("{chance: {level: 0.6}}", "$.prune.chance.level"),
    ("{plateau: [20]}", "$.prune.plateau"),
    ("{plateau: }", "$.prune.plateau"),
    ("{plateau: {patience: 0}}", "$.prune.plateau.patience"),
    ("{plateau: {patience: 1.5}}", "$.prune.plateau.patience"),
    ("{plateau: {within: -1}}", "$.prune.plateau.within"),
    ("{plateau: {within: 1.1}}", "$.prune.plateau.within"),
    ("{asha: {grace: 0}}", "$.prune.asha.grace"),
    ("{asha: {factor: 1}}", "$.prune.asha.factor"),
    ("{asha: {compare: epochs}}", "$.prune.asha.compare"),
    ("{asha: {noise: -0.1}}", "$.prune.asha.noise"),
    ("{asha: {noise: }}", "$.prune.asha.noise"),
    ("{halving: {grace: 0.5, factor: 1.5}}", ""),
    ("{halving: {grace: 0}}", "$.prune.halving.grace"),
    ("{halving: {grace: 3}}", "$.prune.halving.grace"),
    ("{halving: {factor: 1}}", "$.prune.halving.factor"),
    ("{control: true}", "$.prune.control"),
    ("{control: 1.1}", "$.prune.control"),
]


@pytest.mark.parametrize(("prune", "where"), PRUNE)
def test_prune_is_taken_and_refused_as_by_the_reader(
    tmp_path: Path, prune: str, where: str
) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(f"fixed: {{lr: 1}}\nprune: {prune}\n")
    assert problems(path.read_text()) == ([where] if where else [])
    if where:
        with pytest.raises(SpaceError, match=rf": 1 problem\n  line 2  {where[2:]}"):
            load(path)
    else:
        load(path)


def test_every_rule_has_its_help_and_default() -> None:
    made = schema()
    assert (
        "false: none of them, true: all of them, asha too"
        in made["properties"]["prune"]["description"]
    )
    rules = made["definitions"]["Prune"]["properties"]
    assert {name: each["default"] for name, each in rules.items()} == {
        "dead": True,
        "diverged": True,
        "chance": True,
        "plateau": True,
        "asha": False,
        "halving": False,
        "control": 0,
    }
    assert all(each["description"] for each in rules.values())
    for name, options in RULE_OPTIONS.items():
        if options is None:
            assert rules[name]["type"] == "boolean"
            continue
        kinds = [{"$ref": f"#/definitions/{options.__name__}"}, {"type": "boolean"}]
        assert rules[name]["anyOf"] == kinds
        inside = made["definitions"][options.__name__]["properties"]
        assert all(each["description"] for each in inside.values())
        assert {
            key: each["default"] for key, each in inside.items() if "default" in each
        } == options.model_construct().model_dump(exclude_none=True)


def test_a_setting_has_its_help_bounds_and_default(monkeypatch: pytest.MonkeyPatch) -> None:
    momentum = Setting("momentum", float, 0.9, low=0, high=1)
    monkeypatch.setitem(SETTINGS, "momentum", momentum)
    made = schema()
    assert made["definitions"]["momentum"] == {
        "description": "Momentum of SGD (Nesterov's where above 0).",
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "default": 0.9,
    }
    for part in ("settings", "search", "when"):
        assert "momentum" in made["definitions"][part]["properties"]
    assert "description" in made["properties"]["fixed"]
