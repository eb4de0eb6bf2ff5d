"""What is asked for and would do nothing, or the opposite of what is meant, is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from builders import SPACES

from search.cli.run_command import main
from search.space import SpaceError, load
from search.space.file_dump import dump

SEARCH = "search: {lr: [1e-3, 1e-4], batch_size: [8, 16]}\n"
ROWS = "rows: {A: {settings: {lr: 1e-3}}, B: }\n"
NO_SEED = "leave it out. The seed of the trials is a setting: under fixed:, or by --set seed="

# Each: a file, and what is said of its second line; None: it is read.
FILES: list[tuple[str, str | None]] = [
    (
        "metric: val_loss\nmode: max\n" + SEARCH,
        "mode: max takes the worst val_loss for the best; leave it out, or write min",
    ),
    (
        "metric: train_loss\nmode: max\n" + SEARCH,
        "mode: max takes the worst train_loss for the best; leave it out, or write min",
    ),
    (
        "metric: val_auc\nmode: min\n" + SEARCH,
        "mode: min takes the worst val_auc for the best; leave it out, or write max",
    ),
    (
        SEARCH + "mode: min\n",
        "mode: min takes the worst val_acc for the best; leave it out, or write max",
    ),
    (
        SEARCH + "prune: {chance: {score: 50}}\n",
        "prune.chance.score: val_acc is a share from 0 to 1, got 50: 50 % is 0.5",
    ),
    (
        "metric: val_auc\nprune: {chance: {score: -1}}\n" + SEARCH,
        "prune.chance.score: val_auc is a share from 0 to 1, got -1",
    ),
    ("metric: val_loss\nprune: {chance: {score: 50}}\n" + SEARCH, None),
    (SEARCH + "prune: {chance: {score: 1}}\n", None),
    (
        "algorithm: grid\ntrials: 2\n" + SEARCH,
        "trials: a grid runs each of its configurations, 4 "
        "here; leave it out, or take algorithm: random or tpe",
    ),
    (
        "fixed: {lr: 1}\ntrials: 20\n",
        "trials: a grid runs each of its configurations, 1 here; "
        "leave it out, or take algorithm: random or tpe",
    ),
    (
        ROWS + "trials: 20\n",
        "trials: rows are run as they are, 2 here; leave it out, or take algorithm: random or tpe",
    ),
    (
        ROWS + "seed: 3\n",
        "seed: draws which trials to run, and rows are run as they are; " + NO_SEED,
    ),
    (
        SEARCH + "seed: 3\nalgorithm: grid\n",
        "seed: draws which trials to run, and a grid runs each of its configurations; " + NO_SEED,
    ),
    (SEARCH + "seed: 3\nalgorithm: grid\nprune: {control: 0.1}\n", None),
    (SEARCH + "seed: 3\ntrials: 2\n", None),
    (
        ROWS + "prune: {asha: {grace: 2}}\n",
        "prune.asha: rows run to their end; of the rules only dead and diverged hold for them",
    ),
    (
        ROWS + "prune: {chance: {care: 2}, dead: false}\n",
        "prune.chance: rows run to their end; of the rules only dead and diverged hold for them",
    ),
    (ROWS + "prune: {plateau: false, dead: true}\n", None),
    (
        SEARCH
        + "prune: {dead: false, diverged: false, chance: false, plateau: false, control: 1}\n",
        "prune.control: no rule is on, so none stops a trial that could run on",
    ),
    (
        "fixed: {epochs: 9}\nprune: {plateau: {patience: 9}}\n" + SEARCH,
        "prune.plateau.patience: "
        "no trial has more than 9 epochs, so none can be without a new best so long",
    ),
    ("fixed: {epochs: 9}\nprune: {plateau: {patience: 8}}\n" + SEARCH, None),
    (
        SEARCH + "resources: {per_net: {vgg16_bn: {gpus: 1}}}\n",
        "resources.per_net.vgg16_bn: no trial has this net; they have alexnet",
    ),
    (
        "rows: {A: {settings: {net: vgg16_bn}}}\nresources: {per_net: {vgg16_bn: {gpus: 1}}}\n"
        + SEARCH,
        None,
    ),
    (
        "search:\n  lr: {choices: [1, 2], when: {augment: true, dropout: true}}\n  augment: [false, "
        "true]\n  dropout: {choices: [true, false], when: {augment: false}}\n",
        "lr.when: holds in no trial: what it asks for cannot be at once",
    ),
    (
        "fixed: {dropout: true}\nsearch: {lr: {choices: [1, 2], when: {augment: true, dropout: "
        "true}}, augment: [false, true], dropout: {choices: [false, true], when: {augment: false}}}"
        "\n",
        None,
    ),
    (SEARCH + "keep: 0\n", "keep: must be 1 or more, got 0"),
]


@pytest.mark.parametrize(("text", "said"), FILES)
def test_a_file_that_contradicts_itself_is_refused(
    tmp_path: Path, text: str, said: str | None
) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    if said is None:
        space = load(path, strict=True)
        again = tmp_path / "again.yaml"
        again.write_text(dump(space))
        assert load(again, strict=True) == replace(space, name=space.name)
        return
    with pytest.raises(SpaceError) as caught:
        load(path, strict=True)
    assert str(caught.value) == f"{path}: 1 problem\n  line 2  {said}"
    if "keep" not in said:  # a run of before has such a file, and can be read all the same
        load(path, of_run=True)
    if not any(text in said for text in ("takes the worst", "no trial:", "keep", "is a share")):
        load(path)  # it does no harm
    else:
        with pytest.raises(SpaceError):
            load(path)


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (
            SEARCH,
            ["--algorithm", "grid", "--trials", "2"],
            "--trials 2: a grid runs each of its "
            "configurations, 4 here; leave it out, or take algorithm: random or tpe",
        ),
        (
            SEARCH + ROWS,
            ["--rows", "A", "--trials", "2"],
            "--trials 2: rows are run as they are, 1 "
            "here; leave it out, or take algorithm: random or tpe",
        ),
        (
            SEARCH + ROWS,
            ["--rows", "A", "--seed", "2"],
            "--seed 2: draws which trials to run, and rows are run as they are; " + NO_SEED,
        ),
        (
            SEARCH,
            ["--set", "mode=min"],
            "--set mode: not a setting of a trial; it goes into the space file",
        ),
        (
            SEARCH,
            ["--set", "trials=3"],
            "--set trials: not a setting of a trial; it goes into --trials",
        ),
        (
            SEARCH,
            ["--seeds", "3"],
            "--seeds goes with --ablate; search.retrain trains the best trial with more seeds",
        ),
    ],
)
def test_options_that_do_nothing_are_refused(
    tmp_path: Path, text: str, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    argv = [str(path), "--dry-run", "--out", str(tmp_path / "runs"), "--data", "drawn"]
    assert main([*argv, *options]) == 2
    assert capsys.readouterr().err == f"{said}\n"
    if "--trials" in options and "--rows" not in options:  # a file's trials are for its algorithm
        path.write_text(text + "trials: 2\n")
        assert main([*argv, "--algorithm", "grid"]) == 0
        out = capsys.readouterr().out
        assert "algorithm: grid, trials: 4" in out and "trials: 2" not in out


def test_a_dumped_space_is_a_space_file(tmp_path: Path) -> None:
    """What a run leaves in its folder can be run again as it is, whatever the options were."""
    path = tmp_path / "space.yaml"
    path.write_text(
        "search: {net: [alexnet, vgg16_bn], lr: [1e-3, 1e-4]}\n" + ROWS + "trials: 3\nseed: 5\n"
        "prune: {asha: {grace: 2}}\nresources: {per_net: {vgg16_bn: {gpus: 1}}}\n"
    )
    space = load(path)
    for changed in (
        space,
        space.override(["net=alexnet"]),
        replace(space, algorithm="grid"),
        replace(space, algorithm="rows"),
    ):
        path.write_text(dump(changed))
        again = load(path, strict=True)
        assert (again.algorithm, again.count()) == (changed.algorithm, changed.count())
        assert list(again.examples()) == list(changed.examples())


@pytest.mark.parametrize("columns", [80, 200])
def test_a_dumped_space_fits_the_columns_of_a_terminal(columns: int) -> None:
    """PyYAML ends a line after the word that is beyond its width."""
    for path in SPACES.glob("*.yaml"):
        space = load(path)
        lines = dump(space, columns).splitlines()
        assert max(map(len, lines)) <= columns, path.name
        assert yaml.safe_load(dump(space, columns)) == yaml.safe_load(dump(space))
