"""Searches played on a table of a few curves, where all that comes out can be counted by hand."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from builders import SCRIPTS, script

from search.pruning.recorded_runs import Curve
from search.space import SearchSpace, load
from search.space.prune import HALVING, pruning

sys.path.insert(0, str(SCRIPTS))  # as for a script that is run
bench_search = script("bench_search")
from search_bench import bohb, live, methods, playing, record, regret, table  # noqa: E402

SPACE = """
fixed: {protocol: frontal-triplets, join: cosine, epochs: 9}
search:
  lr: {low: 1e-4, high: 1e-2, log: true}
  optimizer: [adam, sgd]
  momentum: {choices: [0.5, 0.9], when: {optimizer: sgd}}
  loss: [triplet]
prune: {asha: {grace: 1, factor: 3}}
"""


@pytest.fixture
def space(tmp_path: Path) -> SearchSpace:
    file = tmp_path / "space.yaml"
    file.write_text(SPACE)
    return load(file)


def curve(
    space: SearchSpace, name: str, scores: Sequence[float], seconds: float = 1.0, **given: Any
) -> Curve:
    """Return a recorded training with these validation accuracies."""
    settings = next(replace_search(space).grid()) | {"epochs": len(scores)} | given
    rows = tuple({"epoch": e, "val_acc": acc, "seconds": seconds} for e, acc in enumerate(scores))
    return Curve(name, settings, rows)


def replace_search(space: SearchSpace) -> SearchSpace:
    return dataclasses.replace(space, search={}, algorithm="grid")


class InOrder:
    """Starts the rows of a table in their order, and stops those that are named after an epoch."""

    def __init__(self, stopped: Sequence[str] = ()) -> None:
        self.stopped = stopped

    def next(self, rows: playing.Rows) -> playing.Trial | None:
        if not rows.left:
            return None
        first = rows.table.curves[int(rows.taken.argmin())]
        return rows.trial(first.id, first.settings)

    def decide(self, trial: playing.Trial, row: dict[str, float]) -> str:
        return "stop" if trial.over or trial.id in self.stopped else "go on"


def test_the_distance_is_the_mean_over_the_settings_that_either_side_has(
    space: SearchSpace,
) -> None:
    one = {"lr": 1e-4, "optimizer": "adam", "momentum": 0.9, "loss": "triplet"}
    other = one | {"lr": 1e-3}

    def distance(settings: dict[str, Any], row: dict[str, Any]) -> float:
        only = curve(space, "1", [0.5], **row)  # a single row says nothing: all weigh the same
        (found,) = table.table_of(space, [only]).distances(settings)
        return float(found)

    assert distance(one, other) == pytest.approx(1 / 2 / 2)  # half of the range, of 2 settings
    sgd = other | {"optimizer": "sgd"}
    assert distance(one, sgd) == pytest.approx((0.5 + 1 + 1) / 3)  # adam has no momentum
    assert distance(sgd, one) == distance(one, sgd)
    assert distance(sgd, sgd | {"momentum": 0.5}) == pytest.approx(1 / 3)


def test_settings_weigh_what_they_explain(space: SearchSpace) -> None:
    """Ten learning rates of two optimizers; the optimizer decides the score up to 0.01."""
    curves = [
        curve(space, f"{n}{name}", [best + 0.01 * (n % 2)], lr=1e-4 * 1.5**n, optimizer=name)
        for n in range(10)
        for name, best in (("adam", 0.6), ("sgd", 0.8))
    ]
    weights = table.table_of(space, curves).weights
    # Between 0.2, within 0.0005; omega squared with 18 degrees of freedom.
    assert weights["optimizer"] == pytest.approx((0.2 - 0.0005 / 18) / (0.2005 + 0.0005 / 18))
    assert weights["lr"] == table.LEAST
    assert weights["momentum"] == weights["optimizer"]  # only sgd has it, always the same
    # A like optimizer is nearer than a like learning rate.
    both = table.table_of(space, curves)
    nearest = both.distances(curves[0].settings | {"lr": 1e-2})[1:].argmin()
    assert curves[1:][nearest].id == "9adam"


def test_a_suggestion_becomes_the_nearest_row_that_is_left(space: SearchSpace) -> None:
    rates = {"a": 1e-4, "b": 1e-3, "c": 1e-2}
    curves = [curve(space, name, [0.5], lr=lr, optimizer="adam") for name, lr in rates.items()]
    rows = playing.Rows(table.table_of(space, curves))
    wanted = curves[0].settings | {"lr": 2e-3}
    assert [rows.trial(str(n), wanted).curve.id for n in range(3)] == ["b", "c", "a"]
    assert rows.trial("4", wanted) is None


def test_a_second_seed_is_no_row_of_its_own(space: SearchSpace) -> None:
    both = table.table_of(space, [curve(space, "1", [0.6, 0.7]), curve(space, "1-1", [0.9, 0.8])])
    assert [each.id for each in both.curves] == ["1"]
    assert both.best == 0.7
    assert both.epochs == 2
    assert both.seconds == 2.0
    assert both.seed_spread() == pytest.approx(0.2 / 2**0.5)


@pytest.mark.parametrize(
    ("scores", "correlation"), [((0.5, 0.6, 0.8, 0.9), 0.6), ((0.5, 0.9, 0.6, 0.8), -1.0)]
)
def test_a_table_is_smooth_where_neighbours_score_alike(
    space: SearchSpace, scores: Sequence[float], correlation: float
) -> None:
    """Two pairs of neighbours, whose ranks are 1 2, 3 4 and 1 4, 2 3."""
    rates = (1e-4, 1.2e-4, 1e-3, 1.2e-3)
    curves = [
        curve(space, f"{lr}", [score], lr=lr, optimizer="adam")
        for lr, score in zip(rates, scores, strict=True)
    ]
    assert table.table_of(space, curves).smoothness() == pytest.approx(correlation)


def test_two_workers_share_the_clock(space: SearchSpace) -> None:
    """a takes 2 s an epoch on one worker; b, c and then nothing run beside it."""
    curves = [
        curve(space, "a", [0.5, 0.9], 2.0),
        curve(space, "b", [0.6, 0.7], 0.5),
        curve(space, "c", [0.8], 0.7),
    ]
    searched = playing.play(table.table_of(space, curves), InOrder(), 2)
    assert searched.points == [
        (0, 0.0, 0.0),
        (1, 0.5, 0.6),
        (2, 1.0, 0.7),
        (3, 1.7, 0.8),
        (4, 2.0, 0.8),
        (5, 4.0, 0.9),
    ]
    stopped = playing.play(table.table_of(space, curves), InOrder(["a", "b"]), 1)
    assert stopped.points[1:] == [(1, 2.0, 0.5), (2, 2.5, 0.6), (3, 3.2, 0.8)]


def test_regret_is_what_is_missing_when_so_much_was_spent(space: SearchSpace) -> None:
    curves = [curve(space, "a", [0.5, 0.9], 2.0), curve(space, "b", [0.6, 0.7], 0.5)]
    both = table.table_of(space, curves)
    searched = playing.play(both, InOrder(), 1)
    epochs, seconds = (
        regret.budgets(both, axis, 1, [0.25, 0.4, 1]) for axis in ("epochs", "seconds")
    )
    assert (epochs, seconds) == ([1, 1.6, 4], [1.25, 2.0, 5.0])
    assert regret.regrets(both, [searched], epochs, "epochs").round(9).tolist() == [[40, 40, 0]]
    assert regret.regrets(both, [searched], seconds, "seconds").round(9).tolist() == [[90, 40, 0]]


def test_a_mean_has_students_interval() -> None:
    assert str(regret.mean_of([1.0, 2.0, 3.0])) == "2.0 ± 2.5"  # 4.303 / sqrt(3)
    assert str(regret.mean_of([1.5])) == "1.5"


class Listed:
    """A searcher of Ray's form that suggests the rows one after the other, and notes what it is told."""

    def __init__(self, curves: Sequence[Curve]) -> None:
        self.rest, self.told = list(curves), list[tuple[str, str, Any]]()

    def suggest(self, id: str) -> dict[str, Any]:
        return self.rest.pop(0).settings

    def on_trial_result(self, id: str, result: dict[str, Any]) -> None:
        self.told.append(("result", id, result["val_acc"]))

    def on_trial_complete(self, id: str, result: dict[str, Any] | None = None) -> None:
        self.told.append(("complete", id, result and result["val_acc"]))


def spread(space: SearchSpace, scores: Sequence[Sequence[float]]) -> list[Curve]:
    """Return curves of different learning rates, so that each is nearest to itself."""
    return [
        curve(space, f"{n}", each, lr=1e-4 * 1.3**n, optimizer="adam")
        for n, each in enumerate(scores)
    ]


def test_rays_asha_stops_what_lies_below_its_cutoff(space: SearchSpace) -> None:
    """At factor 2: 0.6 is below 0.8; 0.7 is the median of the two, and below 0.8 at two epochs."""
    curves = spread(space, [[0.8] * 9, [0.6] * 9, [0.7] * 9, [0.9] * 9])
    searcher = Listed(curves)
    scheduler = methods.asha(space, grace_period=1, reduction_factor=2)
    searched = playing.play(table.table_of(space, curves), methods.RayTune(searcher, scheduler), 1)
    assert [trial.epochs for trial in searched.order] == [9, 1, 2, 9]
    ends = [each for each in searcher.told if each[0] == "complete"]
    assert ends == [
        ("complete", f"000{n + 1}", score) for n, score in enumerate((0.8, 0.6, 0.7, 0.9))
    ]
    # Ray tells a searcher of the epoch that stops a trial at its end only.
    assert ("result", "0002", 0.6) not in searcher.told


def test_rays_hyperband_pauses_and_goes_on(space: SearchSpace) -> None:
    """Brackets of 3 at 9 epochs, 5 at 3, 9 at 1: a third goes on each time."""
    curves = spread(space, [[0.5 + n / 100] * 9 for n in range(17)])
    method = methods.ray_hyperband(space)
    method.searcher = Listed(curves)
    searched = playing.play(table.table_of(space, curves), method, 1)
    assert [trial.epochs for trial in searched.order] == [
        *(9, 9, 9),
        *(3, 3, 3, 9, 9),
        *(1, 1, 1, 1, 1, 1, 3, 3, 9),
    ]
    # The first waits after its last epoch for the two others, of which the searcher is told.
    assert sum(each[:2] == ("result", "0001") for each in method.searcher.told) == 9


def test_our_sampler_is_told_of_every_end(
    space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ASHA stops what is not the best of three at a rung; where pairs are unknown, noise is 0."""
    told: dict[str, tuple[float | None, str, str | None]] = {}
    ours = methods.Ours(dataclasses.replace(space, trials=4, algorithm="random"))
    monkeypatch.setattr(
        ours.state.sampler,
        "tell",
        lambda name, end: told.update({name: (end.value, end.status, end.rule)}),
    )
    curves = spread(space, [[0.8] * 9, [0.6] * 9, [0.7] * 9, [0.9] * 9])
    searched = playing.play(table.table_of(space, curves), ours, 1)
    assert len(searched.order) == 4
    assert ours.state.scheduler.histories == {}
    for trial in searched.order:
        score = trial.curve.rows[0]["val_acc"]
        done = (score, "done", None)
        assert told[trial.id] == (done if trial.epochs == 9 else (score, "stopped", "asha"))
    best = next(trial for trial in searched.order if trial.curve.id == "3")
    assert best.epochs == 9
    assert min(trial.epochs for trial in searched.order) == 1


def test_ours_pauses_at_the_rungs_of_halving(space: SearchSpace) -> None:
    """Of four trials of nine epochs two go on from the rung of two, and one from that of four."""
    half = dataclasses.replace(space, prune=pruning() | {"halving": HALVING, "plateau": False})
    curves = spread(space, [[0.8] * 9, [0.6] * 9, [0.7] * 9, [0.9] * 9])
    ours = methods.Ours(dataclasses.replace(half, trials=4, algorithm="random"))
    searched = playing.play(table.table_of(space, curves), ours, 2)
    assert {trial.curve.id: trial.epochs for trial in searched.order} == {
        "3": 9,
        "0": 4,
        "2": 2,
        "1": 2,
    }
    assert searched.points[-1].epochs == 9 + 4 + 2 + 2
    assert ours.state.ended == {"0001", "0002", "0003", "0004"}
    assert not ours.state.paused


def test_our_rules_see_the_settings_of_the_row(space: SearchSpace) -> None:
    """They are about its curve: its schedule, its planned epochs."""
    rows = playing.Rows(table.table_of(space, spread(space, [[0.8] * 5])))
    ours = methods.Ours(dataclasses.replace(space, trials=1))
    trial = ours.next(rows)
    assert trial.suggested["epochs"] == 9
    assert ours.state.scheduler.histories[trial.id].planned == 5
    assert (
        ours.state.running[trial.id].settings["epochs"] == 5
    )  # with which it goes on when paused


def test_the_shipped_table_is_whole() -> None:
    shipped = table.load_table(bench_search.TABLE)
    assert (len(shipped.curves), len(shipped.repeats), shipped.epochs) == (150, 30, 1800)
    assert shipped.best == 0.885
    assert shipped.space.prune["halving"] == HALVING


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--table", "nowhere"], "nowhere: no such folder of recorded curves"),
        (["--methods", "our"], "--methods our: no such method; did you mean ours?"),
    ],
)
def test_a_wrong_word_is_told(
    words: list[str],
    said: str,
    space: SearchSpace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [{"trial": "1", "epoch": 0, "val_acc": 0.5, "seconds": 1.0}]
    record._add(tmp_path / "epochs.csv", list(rows[0]), rows)
    record._add(tmp_path / "trials.csv", ["trial", "lr"], [{"trial": "1", "lr": 1e-3}])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bench_search.py", "play", "--table", ".", *words])
    assert bench_search.main() == 2
    assert capsys.readouterr().err.strip() == said


def test_every_method_plays_to_the_end_and_repeats_itself(space: SearchSpace) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    scores = [[0.5 + 0.02 * n + 0.01 * e for e in range(9)] for n in range(14)]
    whole = table.table_of(space, spread(space, scores))
    space = dataclasses.replace(space, trials=14, seed=3, prune=pruning() | {"halving": HALVING})
    fewer = {"ours, 60 % of the trials": 8, "ours, 30 % of the trials": 4}
    for name, make in methods.METHODS.items():
        if name == "Ray BOHB":
            continue  # only where its packages are; it prints what its model doubts
        one, two = (playing.play(whole, make(space), 2) for _ in range(2))
        assert one.points == two.points, name
        assert len({trial.curve.id for trial in one.order}) == fewer.get(name, 14), name
        assert one.points[-1].epochs <= 14 * 9


def test_a_suggestion_of_bohb_is_completed_to_the_settings_of_the_space(
    space: SearchSpace,
) -> None:
    found = object.__new__(bohb.Bohb)
    found.space = space
    found.ray = SimpleNamespace(suggest=lambda id: {"lr": 2e-3, "optimizer": "1", "momentum": "1"})
    settings = found.suggest("1")
    given = {name: settings[name] for name in ("lr", "optimizer", "momentum", "join", "epochs")}
    assert given == {
        "lr": 2e-3,
        "optimizer": "sgd",
        "momentum": 0.9,
        "join": "cosine",
        "epochs": 9,
    }


def test_live_searches_are_compared_at_equal_epochs_and_minutes() -> None:
    def search(*points: tuple[int, float, float]) -> list[Any]:
        return [playing.Point(0, 0.0, 0.0), *(playing.Point(*each) for each in points)]

    text = live.table(
        {
            "ours": [search((1, 30, 0.5), (2, 60, 0.75), (3, 90, 0.875), (4, 120, 0.9))],
            "theirs": [
                search((1, 10, 0.6), (2, 50, 0.7), (3, 70, 0.7), (4, 100, 0.7), (5, 110, 0.8))
            ],
        },
        120.0,
    )
    cells = [line.split() for line in text.splitlines()[2:]]
    assert cells[:3] == [
        ["epochs", "1", "2", "3", "4"],
        ["ours", "50.0", "75.0", "87.5", "90.0"],
        ["theirs", "60.0", "70.0", "70.0", "70.0"],
    ]
    assert cells[4:] == [
        ["minutes", "0.5", "1", "1.5", "2"],
        ["ours", "50.0", "75.0", "87.5", "90.0"],
        ["theirs", "60.0", "70.0", "70.0", "80.0"],
    ]


def test_live_halving_is_told_its_trials_and_asha_ends_by_the_minutes(
    space: SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: dict[str, SearchSpace] = {}
    monkeypatch.setattr(
        "search.api.searching.run", lambda space, data, name, **given: ran.update({name: space})
    )
    half = dataclasses.replace(space, trials=10_000, prune=pruning() | {"halving": HALVING})
    task = live.Task(half, "drawn", tmp_path, {}, 60.0, 7, 2, tmp_path)
    for side in ("ours", "ours, ASHA"):
        live.SIDES[side](task)
    found = {name: (each.trials, bool(each.prune["halving"])) for name, each in ran.items()}
    assert found == {"ours-0": (7, True), "ours-asha-0": (10_000, False)}
    assert ran["ours-asha-0"].prune["asha"] == methods.OUR_ASHA


def test_recording_goes_on_where_it_was_killed(
    space: SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[float] = []

    def train(config: Any, data: Any, weights: Any) -> list[dict[str, float]]:
        trained.append(config.lr)
        return [dict.fromkeys(record.COLUMNS[1:], config.lr) | {"epoch": e} for e in range(9)]

    monkeypatch.setattr(record, "trained", train)
    monkeypatch.setattr(record, "prepared", lambda space: None)
    monkeypatch.setattr(record, "weights_of", lambda space: {})
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    record.record(whole, 6, space.path)
    assert len(trained) == 7  # the fifth has a second seed
    record.record(killed, 3, space.path)
    with (killed / "epochs.csv").open("a") as file:
        file.write("0004,0,0.1\n0004,1,")  # killed while it wrote the fourth
    with (killed / "trials.csv").open("a") as file:
        file.write("0004,alex")
    record.record(killed, 6, space.path)
    assert len(trained) == 7 + 3 + 4
    for name in ("space.yaml", "epochs.csv", "trials.csv"):
        assert (killed / name).read_text() == (whole / name).read_text()
    read = table.load_table(whole)
    assert [each.id for each in read.curves] == [f"000{n}" for n in range(1, 7)]
    assert read.repeats["0005"].settings["seed"] == 1
    assert read.curves[0].rows[0]["val_acc"] == pytest.approx(trained[0], rel=1e-5)
