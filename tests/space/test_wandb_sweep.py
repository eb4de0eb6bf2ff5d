"""W&B's sweep files → space files: what is taken, what is changed, all that is left out is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.space import SpaceError, load
from search.space.__main__ import main
from search.space.domains import Choice, Range
from search.space.wandb_file import leaves
from search.space.wandb_names import metric_of, setting_of, value_of
from search.space.wandb_sweep import Sweep

SWEEPS = sorted((Path(__file__).parent / "sweeps").glob("*.yaml"))


def made(folder: Path, text: str) -> tuple[Any, list[str]]:
    """The space of a sweep's text, and what was said of it."""
    file = folder / "sweep.yaml"
    file.write_text(text)
    sweep = Sweep(file)
    out = folder / "space.yaml"
    out.write_text(sweep.text())
    return load(out, strict=True), [str(each) for each in sweep.said]


@pytest.mark.parametrize("file", SWEEPS, ids=lambda file: file.stem)
def test_each_key_of_a_sweep_is_taken_or_named(tmp_path: Path, file: Path) -> None:
    """What is written passes the strict reader; a key that neither became something of the space
    nor is named with its line would be missing without a word."""
    sweep = Sweep(file)
    out = tmp_path / "space.yaml"
    out.write_text(sweep.text())
    space = load(out, strict=True)
    said = {problem.key for problem in sweep.said}
    assert all(problem.key in sweep.text() for problem in sweep.said)
    data = yaml.safe_load(file.read_text())
    for _, name, _ in leaves(data["parameters"], ("parameters",)):
        ours = sweep.taken.get(name)
        assert ours in {*space.fixed, *space.search} or name in said, name
    silent = {"parameters", "name", "method", "run_cap", "metric", "early_terminate"}
    assert {*data} - silent <= said


def test_a_sweep_as_people_write_them(tmp_path: Path) -> None:
    space, said = made(tmp_path, (SWEEPS[0].parent / "bayes.yaml").read_text())
    assert space.search == {
        "lr": Range(1e-5, 1e-2, log=True),
        "batch_size": Choice((32, 64, 128, 256)),
        "optimizer": Choice(("adam", "sgd")),
        "hidden": Choice((128, 256, 512)),
    }
    assert space.fixed == {"epochs": 30, "dropout": True, "image_size": 112}
    assert (space.name, space.algorithm, space.trials) == ("face-sweep-3", "tpe", 40)
    assert (space.metric, space.mode) == ("val_acc", "max")
    asha = space.prune["asha"]
    assert (asha["grace"], asha["factor"]) == (3, 2)
    assert (
        "line 22  optimizer: value rmsprop left out: 'rmsprop' is not one of adam, adamw, sgd"
        in said
    )
    assert "line 1  program: left out: the trainer is this package's own" in said
    assert "line 34  early_terminate.strict: left out: asha has none" in said


def test_nested_parameters_are_found_by_what_they_are_in(tmp_path: Path) -> None:
    space, said = made(tmp_path, (SWEEPS[0].parent / "nested.yaml").read_text())
    assert space.search["loss"] == Choice(("triplet", "contrastive"))
    assert space.fixed["join"] == "distance"
    assert space.search["schedule"] == Choice(("cosine", "onecycle"))
    assert space.search["net"] == Choice(("resnet50", "efficientnet_b0"))
    assert space.prune["asha"]["grace"] == 9  # 81 / 3 ** 2
    assert "line 14  loss: values single left out: of another kind of net than triplet" in said
    assert "line 13  triplet_loss.distance_matrix: left out: no setting has this meaning" in said


# Each: what a sweep says of a parameter, what becomes of it, what is said.
PARAMETERS: list[tuple[str, str, object, str]] = [
    ("lr", "min: 0.001, max: 0.1", Range(0.001, 0.1), ""),
    ("lr", "min: 0, max: 0.1", Range(1e-4, 0.1), "from 0.0001 instead of 0"),
    (
        "lr",
        "distribution: log_uniform, min: -9.21, max: -4.605",
        Range(1e-4, 0.01, True),
        "min and max are exponents, 0.0001 to 0.01; log_uniform_values takes values",
    ),
    (
        "lr",
        "distribution: log_uniform, min: 1e-4, max: 1e-2",
        Range(1.0, 1.01, True),
        "min and max are exponents, 1 to 1.01; log_uniform_values takes values",
    ),
    (
        "lr",
        "distribution: log_uniform_values, min: 1e-4, max: 20",
        Range(1e-4, 10.0, True),
        "to 10",
    ),
    (
        "lr",
        "distribution: inv_log_uniform, min: 4.605, max: 9.21",
        Range(1e-4, 0.01, True),
        "0.0001 to 0.01; inv_log_uniform_values takes values",
    ),
    (
        "lr",
        "distribution: inv_log_uniform_values, min: 1e-4, max: 1e-2",
        Range(1e-4, 0.01, True),
        "",
    ),
    (
        "lr",
        "distribution: log_normal, mu: -6.9, sigma: 1",
        Range(0.000136, 0.00745, True),
        "two standard deviations",
    ),
    ("crop", "distribution: normal, mu: 0.2, sigma: 0.1", Range(0.0, 0.4), "standard deviations"),
    ("crop", "distribution: beta, a: 2, b: 5", Range(0.0, 0.9), "to 0.9 instead of 1"),
    ("crop", "distribution: q_beta, q: 0.25", Range(0.0, 0.75, step=0.25), "beta"),
    (
        "crop",
        "distribution: q_uniform, q: 0.1, min: 0.06, max: 0.5",
        Range(0.1, 0.5, step=0.1),
        "",
    ),
    ("rotate", "min: 0, max: 30", Range(0.0, 30.0, step=1.0), ""),
    ("people", "min: 100, max: 300", Range(100, 300), ""),
    ("people", "distribution: uniform, min: 99.5, max: 300.2", Range(100, 300), ""),
    (
        "people",
        "distribution: q_normal, mu: 200, sigma: 40, q: 50",
        Range(100, 300, step=50),
        "two",
    ),
    (
        "hidden",
        "distribution: q_log_uniform_values, min: 60, max: 500, q: 8",
        Choice((64, 128, 256)),
        "a list",
    ),
    (
        "hidden",
        "distribution: q_log_uniform, min: 4.16, max: 6.3, q: 8",
        Choice((64, 128, 256, 512)),
        "a list",
    ),
    ("batch_size", "min: 7, max: 65", Range(8, 64, step=2), "even numbers only"),
    ("optimizer", "values: [AdamW, SGD]", Choice(("adamw", "sgd")), ""),
    ("optimizer", "value: momentum", "sgd", ""),
    ("flip", "values: [0, 0.5]", Choice((False, True)), ""),
    (
        "people",
        "values: [100, 200], probabilities: [0.3, 0.7]",
        Choice((100, 200)),
        "probabilities left out",
    ),
    ("epochs", "values: [10]", 10, ""),
    (
        "embedding",
        "distribution: q_log_normal, mu: 3, sigma: 3, q: 64",
        Choice((64, 128, 256, 512, 1024, 2048, 4096)),
        "a list",
    ),
    ("lr", "min: 11, max: 12", None, "left out: none of 11 to 12 is possible here"),
    (
        "lr",
        "distribution: log_uniform, min: 3, max: 4",
        None,
        "left out: none of 20.1 to 54.6 is possible here (min and max are exponents, 20.1 to 54.6;",
    ),
    ("lr", "distribution: uniform, min: 1", None, "left out: has no max:"),
    ("lr", "min: low, max: 2", None, "left out: min must be a number, got 'low'"),
    ("lr", "distribution: gaussian", None, "left out: 'gaussian' is no distribution of a sweep"),
    ("lr", "distribution: [uniform], min: 1, max: 2", None, "is no distribution of a sweep"),
    ("hidden", "min: 2, max: 64, q: 1e400, distribution: q_uniform", None, "beyond what a number"),
    ("net", "min: 1, max: 2", None, "left out: net takes words, not a range"),
    ("dropout", "min: 0.1, max: 0.5", None, "left out: dropout takes true or false, not a range"),
    ("lr", "value: [1e-4, 1e-3]", None, "must be a single value, got a list; give it values:"),
    ("dropout", "values: [0.1, 0.2]", None, "must be true or false, got '0.1'"),
    ("lr", "values: []", None, "left out: has no list of values:"),
    ("lr", "distribution: q_uniform, q: 5, min: 1, max: 2", None, "left out: no value of it"),
    ("lr", "foo: 3, value: 1e-3", 1e-3, "lr.foo: left out: no key of a parameter"),
]


@pytest.mark.parametrize(("name", "spec", "expected", "told"), PARAMETERS)
def test_each_distribution(
    tmp_path: Path, name: str, spec: str, expected: object, told: str
) -> None:
    text = f"method: random\nrun_cap: 5\nparameters:\n  {name}: {{{spec}}}\n  seed: {{value: 3}}\n"
    space, said = made(tmp_path, text)
    found = space.search.get(name, space.fixed.get(name))
    assert found == expected and type(found) is type(expected)
    mine = [each for each in said if f"  {name}" in each]
    assert (told in " ".join(mine)) if told else not mine


def test_every_word_in_the_tables_is_of_a_setting() -> None:
    assert setting_of("trainer.optimizer.learningRate") == "lr"
    assert setting_of("train.batch-size") == "batch_size"
    assert setting_of("eval.batch_size") is None is setting_of("model.num_layers")
    assert setting_of("model.name") == "net" and setting_of("dataset.name") is None
    assert value_of("schedule", "CosineAnnealingLR") == "cosine"
    assert value_of("net", "vgg16") == "vgg16" and value_of("net", "ResNet-18") == "resnet18"
    assert [metric_of(name) for name in ("val/acc", "valid.loss", "eval/roc_auc", "f1")] == [
        "val_acc",
        "val_loss",
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("metric", "expected", "told"),
    [
        ("{name: val_loss}", ("val_loss", "min"), ""),
        (
            "{name: val_acc}",
            ("val_acc", "max"),
            "metric: minimize left out: more is better of val_acc",
        ),
        (
            "{name: val_loss, goal: maximize}",
            ("val_loss", "min"),
            "metric.goal: maximize left out",
        ),
        ("{name: f1, goal: maximize}", ("val_acc", "max"), "metric.name: left out: no metric"),
        ("{name: test/acc, goal: maximize}", ("val_acc", "max"), "test pairs choose nothing here"),
        (
            "{name: auc, goal: maximize, impute: worst}",
            ("val_auc", "max"),
            "metric.impute: left out",
        ),
        ("{name: tar_at_far, goal: maximize}", ("val_tpr_at_fpr", "max"), ""),
        ("val_acc", ("val_acc", "max"), "metric: left out: has no name: and goal:"),
    ],
)
def test_the_metric(tmp_path: Path, metric: str, expected: tuple[str, str], told: str) -> None:
    text = f"method: grid\nmetric: {metric}\nparameters: {{lr: {{values: [1e-3, 1e-4]}}}}\n"
    space, said = made(tmp_path, text)
    assert (space.metric, space.mode) == expected
    assert any(told in each for each in said) if told else not said


def test_what_the_reader_would_refuse_is_taken_out_and_said(tmp_path: Path) -> None:
    """A grid cannot list a range, and resnet18 has no stages of the 2019 study to freeze."""
    text = """\
method: grid
parameters:
  backbone: {value: resnet18}
  lr: {min: 0.001, max: 0.1}
  momentum: {values: [0.8, 0.9]}
  freeze: {values: [true, false]}
"""
    space, said = made(tmp_path, text)
    assert [*space.search] == ["momentum"] and space.fixed == {"net": "resnet18"}
    assert said[0].startswith("line 4  lr: left out: a grid cannot list a continuous range")
    assert said[1].startswith("line 6  freeze: left out: true is of alexnet and vgg16_bn")


def test_of_two_parameters_that_are_one_setting_the_first_is_taken(tmp_path: Path) -> None:
    nested = "gen: {parameters: {lr: {value: 1e-3}}}, disc: {parameters: {lr: {value: 1e-4}}}"
    space, said = made(tmp_path, f"method: random\nrun_cap: 5\nparameters: {{{nested}}}\n")
    assert space.fixed == {"lr": 1e-3}
    assert said == ["line 3  disc.lr: left out: gen.lr is lr already"]


def test_a_sweep_that_is_not_there_is_told_with_a_near_file_and_no_ready_space(
    tmp_path: Path,
) -> None:
    (tmp_path / "sweep.yaml").write_text("parameters: {lr: {value: 1e-3}}\n")
    for name, hint in {
        "sweeps.yaml": f"; did you mean {tmp_path}/sweep.yaml?",
        "code2": "",
    }.items():
        with pytest.raises(SpaceError) as refused:
            Sweep(tmp_path / name)
        assert str(refused.value) == f"{tmp_path}/{name}: no such file{hint}"


def test_what_is_said_stays_a_comment_whatever_a_value_holds(tmp_path: Path) -> None:
    text = 'method: random\nrun_cap: -3\nparameters: {lr: {values: [1e-3, "x\\ny: 3"]}}\n'
    space, said = made(tmp_path, text)
    assert space.fixed == {"lr": 1e-3} and space.trials == 20
    assert said == [
        "line 2  run_cap: trials left out: must be 1 or more, got -3",
        r"line 3  lr: value x y: 3 left out: must be a number, got 'x\ny: 3'",
    ]


def test_a_file_that_would_be_passed_over_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--from-wandb", "sweep.yaml", "space.yaml"], ["--schema", "space.yaml"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
        assert "space.yaml: --schema and --from-wandb check no FILE" in capsys.readouterr().err


def test_the_command_writes_the_file_and_names_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep, out = SWEEPS[0].parent / "bayes.yaml", tmp_path / "faces.yaml"
    assert main(["--from-wandb", str(sweep), "--out", str(out)]) == 0
    told = capsys.readouterr()
    assert told.out == "" and "7 settings: lr, batch_size, optimizer, hidden" in told.err
    assert "  line 28  num_workers: left out: images are packed once" in told.err
    assert f"written to {out}; what it would run and cost:" in told.err
    assert told.err.endswith("\nits run is named by the sweep: ray_results/face-sweep-3\n")
    assert main([str(out)]) == 0
    assert main(["--from-wandb", str(sweep)]) == 0
    assert re.sub(r"\s+", "", capsys.readouterr().out.split("configurations\n")[1]) == re.sub(
        r"\s+", "", out.read_text()
    )
    assert main(["--from-wandb", str(sweep), "--out", str(out)]) == 2
    assert f"--out {out}: exists; give another name, or remove it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "sweep.yaml: empty; a sweep has `parameters:`"),
        ("program: x\n", "not a W&B sweep: it has no parameters:"),
        ("search: {lr: [1, 2]}\n", "a space file already"),
        (
            "parameters: {d_model: {values: [1, 2]}, nhead: {value: 3}}\n",
            "sweep.yaml: no parameter becomes a setting; docs/space-file.md lists them\n"
            "  line 1  d_model: left out: no setting has this meaning\n"
            "  line 1  nhead: left out: no setting has this meaning",
        ),
        ("parameters: {lr: {value: 1\n", "a list that is not closed"),
    ],
)
def test_what_is_no_sweep_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(text)
    with pytest.raises(SpaceError) as refused:
        Sweep(file)
    assert expected.replace("a list", "a ") in str(refused.value).replace("a mapping", "a ")


@pytest.mark.parametrize("bands", ["max_iter: 27, s: 1, eta: 0", "min_iter: 3, eta: 1e400"])
def test_bands_that_no_number_can_be_are_left_out(tmp_path: Path, bands: str) -> None:
    text = f"early_terminate: {{type: hyperband, {bands}}}\nparameters: {{lr: {{value: 1e-3}}}}\n"
    space, said = made(tmp_path, f"method: random\nrun_cap: 5\n{text}")
    assert space == made(tmp_path, f"method: random\nrun_cap: 5\n{text.splitlines()[1]}\n")[0]
    assert said == ["line 3  early_terminate: left out: neither min_iter nor max_iter and s"]
