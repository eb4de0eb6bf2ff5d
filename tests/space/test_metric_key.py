"""The key `metric` with costs beside the metric: what it becomes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import space

from facesiam.config.costs import COSTS
from facesiam.config.metrics import METRICS
from search.cli import run_parser
from search.space import SpaceError, algorithms, load, metric_key
from search.space.file_dump import dump

SEARCH = "search: {lr: {low: 1e-5, high: 1e-1, log: true}}\n"


@pytest.mark.parametrize(
    ("said", "metric", "costs", "mode"),
    [
        ("val_acc", "val_acc", (), "max"),
        ("[val_acc]", "val_acc", (), "max"),
        ("[val_acc, latency_ms]", "val_acc", ("latency_ms",), "max"),
        ("[val_loss, macs, params]", "val_loss", ("macs", "params"), "min"),
    ],
)
def test_it_is_a_metric_and_costs(
    tmp_path: Path, said: str, metric: str, costs: tuple[str, ...], mode: str
) -> None:
    one = space(tmp_path, f"{SEARCH}metric: {said}\n")
    assert (one.metric, one.costs, one.mode) == (metric, costs, mode)
    again = tmp_path / "again.yaml"
    again.write_text(dump(one))
    assert load(again, strict=True) == one


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            "[latency_ms, val_acc]",
            "latency_ms is a cost, the same in every epoch; the first one must be a metric of the "
            "epochs, by which trials are stopped and ranked, such as [val_acc, latency_ms]",
        ),
        ("macs", "macs is a cost, the same in every epoch; the first one must be a metric of"),
        ("[val_acc, macs, macs]", "macs stands twice; leave one out"),
        (
            "[val_acc, latency]",
            "'latency' is not one of params, macs, latency_ms; did you mean latency_ms?",
        ),
        (
            "[val_acc, val_loss]",
            "val_loss is a metric of the epochs; after the first one come costs: params, macs, "
            "latency_ms",
        ),
        (
            "[val_accuracy, macs]",
            "'val_accuracy' is not one of val_acc, val_auc, val_tpr_at_fpr, val_loss, train_acc, "
            "train_loss; did you mean val_acc?",
        ),
        (
            "Accuracy",
            "'Accuracy' is not one of val_acc, val_auc, val_tpr_at_fpr, val_loss, train_acc, "
            "train_loss; did you mean val_acc?",
        ),
        (
            "[val_acc, FLOPs]",
            "'FLOPs' is not one of params, macs, latency_ms; did you mean macs?",
        ),
        ("[]", "an empty list; name a metric, and costs after it"),
        ("[val_acc, [macs]]", "must be a single value, got a list"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, said: str, why: str) -> None:
    with pytest.raises(SpaceError) as refused:
        space(tmp_path, f"{SEARCH}metric: {said}\n")
    assert f"line 2  metric: {why}" in str(refused.value)


def test_the_words_of_others_name_what_there_is() -> None:
    assert {*metric_key.MEANT.values()} <= {*METRICS}
    assert {*metric_key.COSTS_MEANT.values()} <= {*COSTS}
    assert {*algorithms.MEANT.values()} <= {*algorithms.ALGORITHMS}
    taken = {*METRICS, *COSTS, *algorithms.ALGORITHMS, *algorithms.OTHER_WORDS}
    assert not taken & {*metric_key.MEANT, *metric_key.COSTS_MEANT, *algorithms.MEANT}


@pytest.mark.parametrize(
    ("word", "meant"), [("bayesian", "tpe"), ("Gaussian Process", "gp"), ("genetic", "nsga2")]
)
def test_a_sampler_by_another_word_is_told_in_a_file_and_an_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str, meant: str
) -> None:
    with pytest.raises(SpaceError, match=rf"line 2  algorithm: .* did you mean {meant}\?$"):
        space(tmp_path, f"{SEARCH}algorithm: {word}\n")
    with pytest.raises(SystemExit):
        run_parser.parser().parse_args(["code2", "--algorithm", word])
    assert f"; did you mean {meant}?\n" in capsys.readouterr().err


def test_a_sampler_of_one_score_is_refused(tmp_path: Path) -> None:
    text = f"{SEARCH}metric: [val_acc, macs]\nalgorithm: "
    with pytest.raises(SpaceError, match="line 3  algorithm: cmaes chooses by one score"):
        space(tmp_path, f"{text}cmaes\n")
    for algorithm in ("tpe", "nsga2", "gp", "random", "quasi-random"):
        assert space(tmp_path, text + algorithm).costs == ("macs",)


@pytest.mark.parametrize("more", ["fpr: [1e-2, 1e-3]", "fpr_pairs: [protocol, images]"])
def test_all_trials_are_judged_at_one_rate_on_the_same_pairs(tmp_path: Path, more: str) -> None:
    file = tmp_path / "space.yaml"
    start = "metric: [val_tpr_at_fpr, macs]\nfixed: {join: cosine, loss: supcon}\n"
    file.write_text(f"{start}search: {{{more}}}\n")
    name = more.split(":")[0]
    with pytest.raises(SpaceError) as refused:
        load(file)
    assert str(refused.value) == (
        f"{file}: 1 problem\n  line 3  {name}: is what trials are judged by, so it is the same in "
        "all of them"
    )
    file.write_text(f"{start}search: {{lr: [1, 2]}}\n")
    found = load(file)
    assert (found.metric, found.mode, found.costs) == ("val_tpr_at_fpr", "max", ("macs",))
