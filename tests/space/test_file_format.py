"""Bad space files → the exact sentences, all of a file at once, each with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.space import SpaceError, load

NAN = "the statistics of untrained batch-norm layers mean nothing"

# Each: what is wrong, the file, the lines of the message below its first.
WRONG: list[tuple[str, str, str]] = [
    (
        "the issue's own example",
        """\
fixed:
  lr: -0.001
  optimiser: adam
""",
        """\
line 2  lr: must be above 0, got -0.001
line 3  optimiser: not a setting; did you mean optimizer?""",
    ),
    (
        "unknown keys of the file",
        """\
serach: {lr: [1]}
trails: 3
lr: 3
fixed: {seed: 1}
""",
        """\
line 1  serach: not a key of a space file; did you mean search?
line 2  trails: not a key of a space file; did you mean trials?
line 3  lr: a setting; put it under fixed: or search:""",
    ),
    (
        "keys that belong inside of another one",
        """\
halving: true
halfing: {grace: 0.2}
grace: 3
ash: true
nett: [alexnet]
per_nett: {}
learning_rate: 3
fixed: {seed: 1}
""",
        """\
line 1  halving: a key of prune; put it under prune:
line 2  halfing: not a key of a space file; did you mean halving, under prune:?
line 3  grace: a key of prune.asha; put it under asha:
line 4  ash: not a key of a space file; did you mean asha, under prune:?
line 5  nett: not a key of a space file; did you mean net, under fixed: or search:?
line 6  per_nett: not a key of a space file; did you mean per_net, under resources:?
line 7  learning_rate: not a key of a space file; did you mean lr, under fixed: or search:?""",
    ),
    (
        "keys of several places, of which the file has one",
        """\
within: 0.01
grace: 0.2
prune: {asha: false, halving: true}
finalists: {top: 3}
fixed: {seed: 1}
""",
        """\
line 1  within: a key of finalists; put it under finalists:
line 2  grace: a key of prune.halving; put it under halving:""",
    ),
    (
        "keys of several places, of which the file has an empty one",
        """\
within: 0.01
finalists:
fixed: {seed: 1}
""",
        """\
line 1  within: a key of finalists; put it under finalists:
line 2  finalists: has nothing under it""",
    ),
    (
        "nothing to run",
        "name: x\n",
        """\
line 1  nothing to run; a space file has search:, rows: or fixed:""",
    ),
    (
        "nothing under a key",
        "search:\nfixed: {}\ntrials:\n",
        """\
line 1  search: has nothing under it
line 2  fixed: has nothing under it
line 3  trials: has no value""",
    ),
    (
        "wrong types",
        """\
fixed:
  epochs: ten
  dropout: 1
  lr: [1]
  net: vgg16bn
  hidden: 3.5
  seed: {a: 1}
  batch_size:
  weight_decay: .nan
""",
        """\
line 2  epochs: must be a whole number, got 'ten'
line 3  dropout: must be true or false, got '1'
line 4  lr: must be a single value, got a list
line 5  net: 'vgg16bn' is not one of the 87 that there are (alexnet, vgg16_bn, \
convnext_base, …); did you mean vgg16_bn?
line 6  hidden: must be a whole number, got 3.5
line 7  seed: must be a single value, got a mapping
line 8  batch_size: has no value
line 9  weight_decay: must be a number, got '.nan'""",
    ),
    (
        "keys that are taken for a number",
        "fixed: {net: alexnet}\nstop_when: 0.3\nfinalists: true\nmetric: val_acc, latency_ms\n"
        "prune: {halving: {grace: 2}}\n",
        """\
line 2  stop_when: must be a mapping, such as {gain: 0.3}
line 3  finalists: must be a mapping, such as {top: 5}
line 4  metric: write a list: [val_acc, latency_ms]
line 5  prune.halving.grace: must be 0.9 or less, got 2; it is a share of a trial's epochs""",
    ),
    (
        "a key beside the only one",
        "fixed: {net: alexnet}\nstop_when: {gain: 0.3, trials: 5}\n",
        "line 2  stop_when.trials: not a key of stop_when; its only key is gain",
    ),
    (
        "mappings that are none",
        "fixed: 3\nresources: 2 gpus\nrows:\n- A\n",
        """\
line 1  fixed: must be a mapping, with `key: value` lines under it
line 2  resources: must be a mapping, with `key: value` lines under it
line 3  rows: must be a mapping, with `key: value` lines under it""",
    ),
    (
        "choices",
        """\
search:
  lr: []
  join: [concat, conct]
  augment: [true, yes]
  hidden: {choices: 3}
  epochs: 5
  net: {choices: [alexnet], low: 3}
  weight_decay: [1e-3,
    0.001]
""",
        """\
line 2  lr: an empty list; name at least one choice
line 3  join: 'conct' is not one of concat, difference, linear, cosine, distance; did you \
mean concat?
line 4  augment: true is listed twice
line 5  hidden.choices: must be a list, such as [a, b]
line 6  epochs: a list of choices or a range is searched; a single value goes under fixed:
line 7  net: has both choices and low; take one out
line 9  weight_decay: 0.001 is listed twice""",
    ),
    (
        "ranges",
        """\
search:
  lr: {low: 1e-3, high: 1e-5}
  weight_decay: {low: 0, high: 1, log: true}
  dropout: {low: 0, high: 1}
  net: {low: 1, high: 2}
  hidden: {low: 8, hgih: 64}
  epochs: {low: 0, high: 4}
  seed: {low: 1, high: 9, step: 20}
  people: {low: 1, high: 9, step: 2, log: true}
  image_size: {low: 64, high: 128, step: 0}
  batch_size: {low: 8, high: 8}
""",
        """\
line 2  lr: low must be below high, got 0.001 and 1e-05
line 3  weight_decay: a log scale must start above 0, got low: 0
line 4  dropout: takes a list of choices, such as [false, true]
line 5  net: takes a list of choices, such as [alexnet, vgg16_bn, convnext_base]
line 6  hidden: needs a list of choices, or low: and high:
line 6  hidden.hgih: not a key of hidden; did you mean high?
line 7  epochs.low: must be 1 or more, got 0
line 8  seed: step must not exceed high - low, got 20
line 9  people: has both log and step; take one out
line 10  image_size.step: must be above 0, got 0
line 11  batch_size: low must be below high, got 8 and 8""",
    ),
    (
        "conditions",
        """\
search:
  pretrained: [false]
  freeze: {choices: [true, false], when: {pretrained: true}}
  augment: {choices: [true, false], when: {pretraind: true}}
  dropout: {choices: [true, false], when: {epochs: 5}}
  lr: {low: 1e-5, high: 1e-3, when: {}}
  hidden: {choices: [4, 8], when: {pretrained: []}}
  weight_decay: {choices: [0, 1], when: {pretrained: 7}}
""",
        """\
line 3  freeze.when.pretrained: pretrained is never true
line 4  augment.when.pretraind: not a setting; did you mean pretrained?
line 5  dropout.when.epochs: epochs is not searched, so it decides nothing
line 6  lr.when: has nothing under it
line 7  hidden.when.pretrained: an empty list; name at least one value
line 8  weight_decay.when.pretrained: must be true or false, got '7'""",
    ),
    (
        "a condition on a continuous range",
        """\
search:
  lr: {low: 1e-5, high: 1e-3}
  augment: {choices: [true, false], when: {lr: 1e-4}}
""",
        "line 3  augment.when.lr: lr is never 0.0001",
    ),
    (
        "conditions in a circle",
        """\
search:
  freeze: {choices: [true, false], when: {augment: true}}
  augment: {choices: [true, false], when: {dropout: true}}
  dropout: {choices: [true, false], when: {freeze: true}}
""",
        "line 2  freeze: conditions go in a circle: freeze → augment → dropout → freeze",
    ),
    (
        "a condition on itself",
        "search:\n  freeze: {choices: [true], when: {freeze: true}}\n",
        "line 2  freeze: conditions go in a circle: freeze → freeze",
    ),
    (
        "fixed and searched",
        "fixed: {lr: 1}\nsearch:\n  lr: [1, 2]\n",
        """\
line 3  lr: searched, and fixed on line 1; take one out, or give it a `when:`""",
    ),
    (
        "options",
        """\
fixed: {lr: 1}
metric: val_accuracy
mode: maximum
trials: 0
seed: -1
algorithm: gird
name: ../x
report: maybe
""",
        """\
line 2  metric: 'val_accuracy' is not one of val_acc, val_auc, val_tpr_at_fpr, val_loss, train_acc, \
train_loss; \
did you mean val_acc?
line 3  mode: 'maximum' is not one of max, min; did you mean max?
line 4  trials: must be 1 or more, got 0
line 5  seed: must be 0 or more, got -1
line 6  algorithm: 'gird' is not one of tpe, gp, cmaes, nsga2, random, quasi-random, grid, rows; did you mean grid?
line 7  name: letters, digits, '-', '_' and '.' only, got '../x'
line 8  report: must be true or false, got 'maybe'""",
    ),
    (
        "negative trials",
        "fixed: {lr: 1}\ntrials: -3\n",
        "line 2  trials: must be 1 or more, got -3",
    ),
    (
        "pruning",
        """\
search: {lr: [1, 2], epochs: [4, 100]}
prune:
  asha:
    factor: 1
    grace: 70
  diverge: true
""",
        """\
line 4  prune.asha.factor: must be 2 or more, got 1
line 5  prune.asha.grace: must be at most the 4 epochs of the shortest trial, got 70
line 6  prune.diverge: not a key of prune; did you mean diverged?""",
    ),
    (
        "two rules that halve",
        "search: {lr: [1, 2]}\nprune:\n  asha: true\n  halving: true\n",
        "line 4  prune.halving: does what asha does, with pauses; take one of the two",
    ),
    (
        "values of the rules",
        """\
fixed: {lr: 1}
prune:
  chance:
    care: 0
    level: 0.6
    car: 4
  plateau:
    patience: 0
    within: 2
  asha:
    grace: 2.5
    factor: two
    compare: epochs
    noise: 11
  control: 1.5
""",
        """\
line 4  prune.chance.care: must be above 0, got 0
line 5  prune.chance.level: must be 0.5 or less, got 0.6
line 6  prune.chance.car: not a key of prune.chance; did you mean care?
line 8  prune.plateau.patience: must be 1 or more, got 0
line 9  prune.plateau.within: must be 1 or less, got 2
line 11  prune.asha.grace: must be a whole number, got 2.5
line 12  prune.asha.factor: must be a whole number, got 'two'
line 13  prune.asha.compare: 'epochs' is not one of epoch, share; did you mean epoch?
line 14  prune.asha.noise: must be 10 or less, got 11
line 15  prune.control: must be 1 or less, got 1.5""",
    ),
    (
        "rules that are neither on nor off",
        """\
fixed: {lr: 1}
prune:
  dead: {patience: 3}
  diverged: [true]
  chance: 4
  plateau: [20]
  asha: ture
  control: true
""",
        """\
line 3  prune.dead: must be true or false, got a mapping
line 4  prune.diverged: must be true or false, got a list
line 5  prune.chance: must be true or false, or have care:, level: or score: under it, got '4'
line 6  prune.plateau: must be true or false, or have patience: or within: under it, got a list
line 7  prune.asha: must be true or false, or have grace:, factor:, compare: or noise: under \
it, got 'ture'
line 8  prune.control: must be a number, got 'true'""",
    ),
    (
        "rules with nothing under them",
        """\
fixed: {lr: 1}
prune:
  dead:
  chance:
  plateau: {}
  asha: {grace: }
  control:
""",
        """\
line 3  prune.dead: has no value
line 4  prune.chance: has nothing under it
line 5  prune.plateau: has nothing under it
line 6  prune.asha.grace: has no value
line 7  prune.control: has no value""",
    ),
    (
        "a rule's key beside the rule",
        "fixed: {lr: 1}\nprune:\n  asha: true\n  grace: 5\n",
        "line 4  prune.grace: a key of prune.asha; put it under asha:",
    ),
    (
        "pruning that is neither on nor off",
        "fixed: {lr: 1}\nprune: asha\n",
        "line 2  prune: must be false (no rule), true (every rule, asha too), or have dead:, "
        "diverged:, chance:, plateau:, asha:, halving: or control: under it, got 'asha'",
    ),
    (
        "a list of rules",
        "fixed: {lr: 1}\nprune: [asha]\n",
        "line 2  prune: must be false (no rule), true (every rule, asha too), or have dead:, "
        "diverged:, chance:, plateau:, asha:, halving: or control: under it, got a list",
    ),
    ("no pruning at all", "fixed: {lr: 1}\nprune:\n", "line 2  prune: has nothing under it"),
    (
        "asha's default grace",
        "fixed: {epochs: 2}\nprune:\n  asha:\n    factor: 2\n",
        "line 3  prune.asha.grace: must be at most the 2 epochs of the shortest trial, got 3",
    ),
    (
        "the same, all rules on",
        "fixed: {epochs: 2}\nprune: true\n",
        "line 2  prune.asha.grace: must be at most the 2 epochs of the shortest trial, got 3",
    ),
    (
        "grace by shares",
        """\
search: {lr: [1, 2], epochs: [4, 100]}
prune:
  asha: {compare: share,
    grace: 101}
""",
        "line 4  prune.asha.grace: must be at most the 100 epochs of the longest trial, got 101",
    ),
    (
        "resources",
        """\
fixed: {lr: 1}
resources:
  cpus: 0
  gpus: -1
  gpu: 3
  per_net:
    vgg17: {gpus: 1}
    alexnet: {gpus: lots, cpus: inf}
    vgg16_bn: 3
""",
        """\
line 3  resources.cpus: must be above 0, got 0
line 4  resources.gpus: must be 0 or more, got -1
line 5  resources.gpu: not a key of resources; did you mean gpus?
line 7  resources.per_net.vgg17: not a net; did you mean vgg19?
line 8  resources.per_net.alexnet.cpus: must be auto or a number, got 'inf'
line 8  resources.per_net.alexnet.gpus: must be auto or a number, got 'lots'
line 9  resources.per_net.vgg16_bn: must be a mapping, with `key: value` lines under it""",
    ),
    (
        "rows",
        """\
rows:
  A b:
  B:
    setings: {lr: 1}
  C:
    settings: {lr: -1, optimiser: adam}
    published: {val: 120, overfit: maybe, eopch: 3}
    printed: {net: VGG}
    note: [1]
""",
        """\
line 2  row A b: letters, digits, '-', '_' and '.' only
line 4  row B, setings: not a key of a row; did you mean settings?
line 6  row C, lr: must be above 0, got -1
line 6  row C, optimiser: not a setting; did you mean optimizer?
line 7  row C, published eopch: not a published figure; did you mean epoch?
line 7  row C, published overfit: must be true or false, got 'maybe'
line 7  row C, published val: must be 100 or less, got 120
line 8  row C, printed net: 'VGG' is not one of the 87 that there are (alexnet, vgg16_bn, \
convnext_base, …)
line 9  row C, note: must be a single value, got a list""",
    ),
    (
        "parts of rows and of searched settings that are none, or empty",
        """\
rows:
  A: {settings: ""}
  B: {settings: [], printed: 3}
  C: {settings: {}, printed:, published: {}}
search:
  lr: {}
  net: {}
  hidden: {choices: []}
""",
        """\
line 2  row A, settings: must be a mapping, with `key: value` lines under it
line 3  row B, printed: must be a mapping, with `key: value` lines under it
line 3  row B, settings: must be a mapping, with `key: value` lines under it
line 4  row C, published: has nothing under it
line 6  lr: has nothing under it
line 7  net: has nothing under it
line 8  hidden.choices: an empty list; name at least one choice""",
    ),
    (
        "a row by the name of a key",
        "rows: {when: {pretrained: true}}\n",
        "line 1  row when, pretrained: not a key of a row; did you mean printed?",
    ),
    (
        "rows without rows",
        "search: {lr: [1]}\nalgorithm: rows\n",
        "line 2  algorithm: rows, but the space has no rows",
    ),
    (
        "a row that no trial can run",
        """\
rows:
  C: {settings: {net: vgg16_bn}}
  D: {settings: {net: vgg16_bn, freeze_batchnorm: true}}
""",
        f"line 3  row D, freeze_batchnorm: true needs pretrained: true ({NAN})",
    ),
    (
        "a grid without end",
        "search:\n  lr: {low: 1e-5, high: 1e-3}\nalgorithm: grid\n",
        "line 2  lr: a grid cannot list a continuous range; give it a step, or choices",
    ),
    (
        "images that begin too small",
        "fixed: {image_size: 112,\n  first_image_size: 32}\n",
        "line 2  first_image_size: must be from 64 to image_size (112), or 0 for one size, got 32; "
        "the nearest is 64",
    ),
    (
        "images that grow in no epoch",
        "fixed: {first_image_size: 112,\n  growing: 0}\n",
        "line 2  growing: 0 leaves first_image_size: 112 no epoch; a share of the epochs above 0, "
        "such as 0.5, or first_image_size: 0 for one size",
    ),
    # vgg16_bn, false, true is the only one of 2·2·2.
    (
        "combinations that no trial can run",
        """\
search:
  net: [alexnet, vgg16_bn]
  pretrained: [false, true]
  freeze_batchnorm: [false, true]
  lr: {low: 1e-5, high: 1e-3}
""",
        f"""\
line 4  freeze_batchnorm: true needs pretrained: true ({NAN}); 1 of 8 combinations of net, \
pretrained and freeze_batchnorm breaks \
this; give freeze_batchnorm `when: {{pretrained: true}}`""",
    ),
    (
        "the same with one of them fixed",
        """\
fixed: {freeze_batchnorm: true}
search:
  net: [alexnet, vgg16_bn]
  pretrained: [false, true]
""",
        f"""\
line 1  freeze_batchnorm: true needs pretrained: true ({NAN}); 1 of 4 combinations of net and \
pretrained breaks this; search freeze_batchnorm with its one choice and `when: {{pretrained: \
true}}`""",
    ),
    (
        "the same without a cure",
        "fixed: {net: vgg16_bn}\nsearch:\n  freeze_batchnorm: [false, true]\n",
        f"line 3  freeze_batchnorm: true needs pretrained: true ({NAN}); 1 of 2 values of "
        "freeze_batchnorm breaks this",
    ),
    (
        "the same, all fixed",
        "fixed: {net: vgg16_bn, freeze_batchnorm: true}\n",
        f"line 1  freeze_batchnorm: true needs pretrained: true ({NAN})",
    ),
    # A range stands by 8 and 9.
    (
        "odd batches",
        """\
fixed: {protocol: cfp-pairs}
search:
  loss: [single, two]
  batch_size: {low: 8, high: 64}
""",
        """\
line 4  batch_size: must be even with loss: two (half of a batch each), got 9; 1 of 4 \
combinations of loss and batch_size breaks this; give batch_size `when: {loss: single}`""",
    ),
    (
        "duplicate keys",
        "fixed:\n  lr: 1\n  net: alexnet\n  lr: 2\nfixed:\n  lr: 3\n",
        """\
line 4  lr: given twice, first on line 2
line 5  fixed: given twice, first on line 1""",
    ),
    (
        "tags",
        """\
fixed: !!python/object/apply:os.system ['touch /tmp/x']
search:
  lr: [!!float 1, 2]
  net: !mine [alexnet]
""",
        """\
line 1  !!python/object/apply:os.system: tags are not read; write the plain value
line 1  fixed: must be a mapping, with `key: value` lines under it
line 3  !!float: tags are not read; write the plain value
line 4  !mine: tags are not read; write the plain value""",
    ),
    (
        "merged mappings",
        "fixed:\n  <<: {lr: 1}\n  seed: 1\n",
        "line 2  merging with << is not read; write the keys out",
    ),
    (
        "keys that are no text",
        "fixed:\n  ? [a]\n  : 3\n  seed: 1\n",
        "line 2  a key must be plain text",
    ),
    (
        "a tab",
        "fixed:\n\tlr: 1\n  # a\ttab here is fine\n\tnet: alexnet\n",
        """\
line 2  a tab; YAML takes spaces only
line 4  a tab; YAML takes spaces only""",
    ),
    ("a tab after a colon", "fixed:\n  lr:\t1\n", "line 2  a tab; YAML takes spaces only"),
    (
        "an open list",
        "fixed:\n  lr: [1, 2\nsearch: 3\n",
        "line 2  not YAML: a list that is not closed: ',' or ']' is missing",
    ),
    (
        "an open mapping",
        "fixed: {lr: 1\nsearch: 3\n",
        "line 1  not YAML: a mapping that is not closed: ',' or '}' is missing",
    ),
    (
        "an open quote",
        "fixed:\n  lr: 'abc\nsearch: 3\n",
        "line 2  not YAML: a quote that is not closed",
    ),
    (
        "two colons",
        "fixed:\n  lr: 1: 2\n",
        "line 2  not YAML: a ':' too many in this line, a ':' "
        "missing in the line above, or a wrong indentation",
    ),
    (
        "indentation",
        "fixed:\n    lr: 1\n  net: alexnet\n",
        "line 3  not YAML: a wrong indentation, or a '-' or quote that does not belong",
    ),
    (
        "no quotes",
        "fixed:\n  net: @a\n",
        "line 2  not YAML: a value that starts with '@' needs quotes",
    ),
    (
        "an alias of nothing",
        "fixed:\n  lr: *a\n",
        "line 2  not YAML: *a is used, but no &a stands above it",
    ),
    (
        "two documents",
        "fixed:\n  lr: 1\n---\nfixed:\n",
        "line 3  not YAML: a second document starts here; a space file holds one",
    ),
    ("a bracket too many", "fixed: }\n", "line 1  not YAML: a value is missing before '}'"),
    (
        "an escape",
        'fixed: {net: "a\\q"}\n',
        "line 1  not YAML: \\q in double quotes means nothing; use single ones",
    ),
    (
        "a control character",
        "fixed:\n  lr\x01: 3\n",
        "line 2  not YAML: a control character that no text file has",
    ),
    ("brackets without end", "fixed: " + "[" * 5000, "line 1  not YAML: nested more than 20 deep"),
    ("a list", "- 1\n", "line 1  a list, where `key: value` lines are expected"),
    ("a sentence", "hello\n", "line 1  a single value, where `key: value` lines are expected"),
]

# Each: what is wrong with the whole file, its bytes, the message after the path.
HOPELESS: list[tuple[str, bytes, str]] = [
    ("empty", b"", "empty; a space file has `search:`, `rows:` or `fixed:`"),
    ("comments", b"# hi\n---\n", "empty; a space file has `search:`, `rows:` or `fixed:`"),
    ("utf-16", "fixed: {lr: 1}\n".encode("utf-16"), "saved as UTF-16; save it as UTF-8"),
    ("binary", b"\x89PNG\r\n\0\0", "a binary file, not a space file"),
    (
        "latin-1",
        b"fixed:\n  net: \xe9\n",
        "1 problem\n  line 2  not UTF-8 text (byte 0xe9); save the file as UTF-8",
    ),
    ("long", b"#" * 300_000, "longer than 200,000 bytes, so not a space file"),
    (
        "an alias in its own anchor",
        b"fixed: &a {lr: *a}\n",
        "more than 10,000 values with its aliases written out",
    ),
]


def test_by_shares_grace_may_be_longer_than_the_shortest_trial(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("search: {epochs: [4, 100]}\nprune: {asha: {compare: share, grace: 100}}\n")
    assert load(path).prune["asha"]["grace"] == 100


def message(path: str | Path) -> str:
    with pytest.raises(SpaceError) as caught:
        load(path)
    return str(caught.value)


@pytest.mark.parametrize(("wrong", "text", "lines"), WRONG, ids=[case[0] for case in WRONG])
def test_every_problem_is_told_with_its_line(
    tmp_path: Path, wrong: str, text: str, lines: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    number = lines.count("\n") + 1
    title = f"{path}: {number} problem{'s' if number > 1 else ''}\n  "
    assert message(path) == title + lines.replace("\n", "\n  ")


@pytest.mark.parametrize(("wrong", "raw", "end"), HOPELESS, ids=[case[0] for case in HOPELESS])
def test_what_is_no_space_file_at_all(tmp_path: Path, wrong: str, raw: bytes, end: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(raw)
    assert message(path) == f"{path}: {end}"


def test_nested_aliases_are_refused_before_they_grow(tmp_path: Path) -> None:
    """Nine levels of nine aliases: 387 million values out of 400 bytes."""
    lines = ["a0: &a0 [1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join([*lines, "fixed: *a9", ""]))
    assert message(path).endswith("more than 10,000 values with its aliases written out")


def test_a_path_that_is_no_file_names_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "code1.yaml").touch()
    (tmp_path / "spaces" / "code2.yaml").touch()
    monkeypatch.chdir(tmp_path)
    assert message("spaces/cod2.yaml") == (
        "spaces/cod2.yaml: no such file; did you mean spaces/code2.yaml?"
    )
    assert message("code1.yaml") == "code1.yaml: no such file; did you mean spaces/code1.yaml?"
    lone = tmp_path / "spaces" / "c.yaml"  # no name but its ending is like it
    assert message(lone) == f"{lone}: no such file"
    assert message("spaces/other.txt") == "spaces/other.txt: no such file"
    assert message("spacez/a.yaml") == "spacez/a.yaml: no such file; there is no folder spacez"
    assert message("spaces") == (
        "spaces: a folder, not a space file; name a file in it, such as spaces/code1.yaml"
    )
    assert message("/dev/null") == "/dev/null: not a regular file"
    assert message("x" * 300).endswith(": cannot be read (File name too long)")
