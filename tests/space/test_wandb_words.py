"""W&B's words in a space file: the same space as in ours, and problems told in the file's words."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import space

from search.space import SpaceError, load

WORDS = """\
method: bayes
metric: {name: val_loss, goal: minimize}
fixed: {epochs: 20}
search:
  lr: {distribution: log_uniform_values, min: 1e-5, max: 1e-2}
  optimizer: {values: [adam, sgd]}
  momentum: {values: [0.8, 0.9], when: {optimizer: sgd}, distribution: categorical}
  batch_size: {min: 8, max: 64, distribution: q_uniform, q: 8}
  hidden: {value: 64}
  erase: {min: 0, max: 0.5}
  rotate: {min: 0, max: 20, distribution: int_uniform}
  people: {min: 100, max: 300, distribution: int_uniform}
early_terminate: {type: hyperband, min_iter: 3}
"""
OURS = """\
algorithm: tpe
metric: val_loss
mode: min
fixed: {epochs: 20}
search:
  lr: {low: 1e-5, high: 1e-2, log: true}
  optimizer: [adam, sgd]
  momentum: {choices: [0.8, 0.9], when: {optimizer: sgd}}
  batch_size: {low: 8, high: 64, step: 8}
  hidden: [64]
  erase: {low: 0, high: 0.5}
  rotate: {low: 0, high: 20, step: 1}
  people: {low: 100, high: 300}
prune: {asha: {grace: 3, factor: 3}}
"""


def test_they_make_the_same_space_as_ours(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(WORDS)
    assert load(file, strict=True) == space(tmp_path, OURS)


@pytest.mark.parametrize(
    ("words", "ours"),
    [
        ("mode: maximize", "mode: max"),
        ("method: grid", "algorithm: grid"),
        ("metric: {name: val_auc}", "metric: val_auc"),
        (
            "early_terminate: {type: hyperband, max_iter: 27, s: 2}",
            "prune: {asha: {grace: 3, factor: 3}}",
        ),
        (
            "early_terminate: {max_iter: 20, s: 2, eta: 2}\nprune: {chance: false}",
            "prune: {chance: false, asha: {grace: 5, factor: 2}}",
        ),
        ("algorithm: sobol", "algorithm: quasi-random"),
    ],
)
def test_each_word(tmp_path: Path, words: str, ours: str) -> None:
    text = "search: {join: [concat, difference]}\n"
    assert space(tmp_path, text + words) == space(tmp_path, text + ours)


def test_problems_are_told_in_the_words_and_at_the_lines_of_the_file(tmp_path: Path) -> None:
    text = """\
method: byes
metric: {name: val_acc, goal: minimize, target: 0.9}
parameters: {a: {value: 3}}
search:
  lr: {distribution: log_uniform, min: -9.2, max: -4.6}
  optimizer: {values: [adam, sgdd], choices: [adam]}
  batch_size: {min: 0, max: 64, distribution: q_unifrm, q: 8}
  hidden:
    value: 1
  erase: {min: 0.6, max: 0.5}
  join: {values: [concat, conct]}
  momentum: {min: 0.1, low: 0.1, high: 0.3}
early_terminate: {type: hyperbnd, min_iter: 0, eta: 1.5, strict: true}
"""
    with pytest.raises(SpaceError) as refused:
        space(tmp_path, text)
    assert str(refused.value).splitlines()[1:] == [
        "  line 1  method: 'byes' is not one of tpe, gp, cmaes, nsga2, random, quasi-random, grid, rows",
        "  line 2  metric.target: not a key of metric, which takes name and goal",
        "  line 3  parameters: of a W&B sweep; python -m search.space --from-wandb FILE makes a space file of one",
        "  line 5  lr.distribution: its min and max are exponents of e; write log_uniform_values, with min: 0.000101 and max: 0.0101",
        "  line 6  optimizer.values: is choices, which line 6 gives; take one out",
        "  line 7  batch_size.distribution: 'q_unifrm' is not one of categorical, constant, uniform, int_uniform, q_uniform, log_uniform_values; did you mean q_uniform?",
        "  line 7  batch_size.min: must be 1 or more, got 0",
        "  line 9  hidden.value: must be 2 or more, got 1",
        "  line 10  erase: low must be below high, got 0.6 and 0.5",
        "  line 11  join.values: 'conct' is not one of concat, difference, linear, cosine, distance; did you mean concat?",
        "  line 12  momentum.min: is low, which line 12 gives; take one out",
        "  line 13  early_terminate.eta: must be a whole number, got 1.5",
        "  line 13  early_terminate.min_iter: must be 1 or more, got 0",
        "  line 13  early_terminate.strict: not a key of early_terminate",
        "  line 13  early_terminate.type: must be hyperband, got 'hyperbnd'; did you mean hyperband?",
    ]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (
            "early_terminate: {max_iter: 27, s: 1, eta: 0}",
            "line 2  early_terminate.eta: must be 2 or more, got 0",
        ),
        (
            "metric: {name: val_acc, goal: minimize}",
            "line 2  metric.goal: min takes the worst val_acc for the best; leave it out, or write max",
        ),
        (
            "algorithm: tpe\nmethod: bayes",
            "line 3  method: is algorithm, which line 2 gives; take one out",
        ),
        (
            "early_terminate: {min_iter: 3}\nprune: {asha: true}",
            "line 2  early_terminate: is the rule asha, which prune: says too; take one out",
        ),
        (
            "early_terminate: 3",
            "line 2  early_terminate: must be a mapping, such as {type: hyperband, min_iter: 3}",
        ),
        (
            "mode: max\nmetric: {name: val_acc, goal: maximize}",
            "line 3  metric.goal: is mode, which is given too; take one out",
        ),
        ("early_terminate:", "line 2  early_terminate: must be a mapping"),
    ],
)
def test_what_contradicts_is_told(tmp_path: Path, more: str, expected: str) -> None:
    with pytest.raises(SpaceError) as refused:
        space(tmp_path, f"search: {{lr: [1e-3, 1e-4]}}\n{more}\n")
    assert expected in str(refused.value)
