"""The page's charts of what each setting is worth, of a drawn search whose truth is known."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import builders
import numpy as np
import pytest

from facesiam.config import TrialConfig
from search.analysis import importance
from search.analysis.differences import Effect
from search.report import setting_charts
from search.report.chart import Chart
from search.report.report_data import read
from search.report.setting_effects import section
from search.report.setting_worth import Best, Worth, best_of, worth
from search.report.smoothing import kernel_mean
from search.report.style import GREY, TRAIN, VAL
from search.space import load

SPACE = """name: drawn
fixed: {net: alexnet, join: difference, epochs: 1, loss: single}
search:
  lr: {low: 1e-4, high: 1e-2, log: true}
  erase: {low: 0.0, high: 0.5}
  optimizer: [adam, sgd]
  momentum: {choices: [0.8, 0.9], when: {optimizer: sgd}}
  augment: [true, false]
trials: 40
"""


def drawn(folder: Path, metric: str = "") -> Path:
    """A search of 40 trials: a peak over lr in the middle, +3 points for augment, noise of 1 point."""
    folder.mkdir(parents=True)
    (folder / "space.yaml").write_text(SPACE + metric)
    space, rng, noise = load(folder / "space.yaml"), random.Random(0), np.random.default_rng(0)
    trials: list[dict[str, Any]] = []
    epochs: list[dict[str, Any]] = []
    for number in range(40):
        name, settings = f"{number + 1:04d}", space.sample(rng)
        accuracy = 0.8 - 0.1 * (np.log10(settings["lr"]) + 3) ** 2 + 0.03 * settings["augment"]
        accuracy += 0.01 * noise.standard_normal()
        one = {"trial": name, "settings": TrialConfig(**settings).to_dict(), "row": None}
        trials.append(one | {"status": "done"})
        measured = builders.epoch(0, float(accuracy)) | {"val_loss": 1 - float(accuracy)}
        epochs.append({"trial": name, **measured})
    (folder / "manifest.json").write_text('{"name": "drawn", "data": {}}')
    return builders.write_run(folder, trials, epochs)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Worth:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importance, "SHUFFLES", 39)
        return worth([read(drawn(tmp_path_factory.mktemp("runs") / "drawn"))])


def by_id(charts: list[Chart]) -> dict[str, Chart]:
    return {chart.id: chart for chart in charts}


def test_importance_is_beside_the_best_value_and_grey_where_it_may_be_chance(found: Worth) -> None:
    bar = setting_charts.importance_chart(found).figure["data"][0]
    shares = dict(zip(bar["y"], bar["x"], strict=True))
    assert set(shares) == set(found.given[0].searched.search) and bar["y"][-1] == "lr"
    assert sum(shares.values()) == pytest.approx(100) and shares["lr"] > 50
    colours = dict(zip(bar["y"], bar["marker"]["color"], strict=True))
    assert colours["lr"] == TRAIN and colours["erase"] == GREY
    page = section(found, study=False)
    assert f"| lr | {shares['lr']:.0f} | 0.03 | 0.000" in page
    assert "| Setting | Importance, % | p | Best here |" in page


def test_effects_are_drawn_with_their_intervals_and_coloured_where_told_from_zero(
    found: Worth,
) -> None:
    points = setting_charts.effects_chart(found).figure["data"][0]
    effects = {
        f"{one.setting}: {one.after if one.setting in ('lr', 'erase') else one.change}": one
        for one in found.effects.every
    }
    assert set(points["y"]) == set(effects)
    for place, name in enumerate(points["y"]):
        one = effects[name]
        assert points["x"][place] == 100 * one.mean
        assert points["error_x"]["array"][place] == pytest.approx(100 * (one.high - one.mean))
        told = one.low > 0 or one.high < 0
        assert points["marker"]["color"][place] == (VAL if told else GREY)
    ends = [one for one in found.effects.every if one.setting == "lr"]
    assert ends[0].high < 0 and ends[-1].high < 0
    assert effects["augment: F → T"].low > 0


def test_the_best_of_a_continuum_is_a_bin_and_its_neighbours_may_be_as_good(found: Worth) -> None:
    best = best_of(found.effects.every, "lr")
    low, high = map(float, best.value.split(" to "))
    assert low < 1.2e-3 and high > 0.8e-3 and len(best.worse) >= 2
    augment = best_of(found.effects.every, "augment")
    assert (augment.value, augment.as_good, augment.worse) == ("T", [], ["F"])


def change(after: str, mean: float, half: float) -> Effect:
    return Effect("net", "base", after, mean, mean - half, mean + half, 3, "matched", half)


def test_of_an_ablation_a_change_that_is_better_than_its_base_is_the_best() -> None:
    every = [change("sure", 0.05, 0.01), change("less", 0.03, 0.02), change("low", 0.01, 0.005)]
    best = best_of([*every, change("bad", -0.1, 0.01)], "net")
    assert best == Best("sure", ["less"], ["base", "low", "bad"])
    best = best_of([change("perhaps", 0.02, 0.03), change("bad", -0.1, 0.01)], "net")
    assert best == Best("perhaps", ["base"], ["bad"])
    best = best_of([change("like", -0.01, 0.02), change("bad", -0.1, 0.01)], "net")
    assert best == Best("base", ["like"], ["bad"])


def test_a_slice_has_every_trial_of_its_setting_and_the_means_of_its_bins(found: Worth) -> None:
    slices = by_id(setting_charts.charts(found))
    trials, means = slices["slice-lr"].figure["data"]
    assert len(trials["x"]) == 40 and len(means["x"]) == 5
    assert max(means["y"]) == means["y"][2] and sorted(means["x"]) == means["x"]
    assert slices["slice-lr"].figure["layout"]["xaxis"]["type"] == "log"
    sgd = (found.trials["optimizer"] == "sgd").sum()
    momentum, words = slices["slice-momentum"].figure["data"]
    assert len(momentum["x"]) == sgd and words["x"] == ["0.8", "0.9"]


def test_a_contour_has_the_mean_of_the_trials_near_each_place(found: Worth) -> None:
    contours = [one for one in setting_charts.charts(found) if one.id.startswith("contour")]
    assert len(contours) == 3
    heat, points = by_id(contours)["contour-lr-augment"].figure["data"]
    assert heat["type"] == "heatmap" and heat["y"] == ["F", "T"] and len(points["x"]) == 40
    assert heat["z"].shape == (2, len(heat["x"]))
    peak = heat["x"][np.nanargmax(heat["z"][1])]
    assert 5e-4 < peak < 2e-3 and np.nanmax(heat["z"][1]) > np.nanmax(heat["z"][0])


def test_the_kernel_mean_is_of_what_is_near_and_nothing_elsewhere() -> None:
    places = (np.array([0.0, 0.1]), np.array([0.0, 0.0]))
    grid = (np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    smooth = kernel_mean(places, np.array([1.0, 3.0]), grid, (0.1, 0.0))
    near = np.exp(-0.5)
    assert smooth[0, 0] == pytest.approx((1 + 3 * near) / (1 + near))
    assert np.isnan(smooth[0, 1]) and np.isnan(smooth[1]).all()


def test_where_less_is_better_the_least_is_the_best(tmp_path: Path) -> None:
    one = worth([read(drawn(tmp_path / "loss", "metric: val_loss\nmode: min\n"))])
    assert one.scale == 1 and one.trials["score"].max() <= 0
    assert "less being better" in section(one, study=False)
    chart = setting_charts.effects_chart(one)
    assert chart and "less before, turned: positive is better. With" in chart.note
    trials, _ = by_id(setting_charts.charts(one))["slice-lr"].figure["data"]
    assert min(trials["y"]) > 0


def test_an_ablation_has_effects_but_no_importance() -> None:
    one = worth([read(builders.REFERENCE / "cpu-ablation")])
    assert one.importance == [] and setting_charts.importance_chart(one) is None
    ids = list(by_id(setting_charts.charts(one)))
    assert ids[0] == "effects" and "slice-loss" in ids
    chart = setting_charts.effects_chart(one)
    assert chart and "after a change less that of the trial that it changes, the abl" in chart.note
    assert "best one" not in chart.note
    # Eight changes and two of seeds are drawn, which are two families.
    assert len(chart.figure["data"][0]["x"]) == 10
    assert "(Bonferroni over 8 comparisons of settings, and over those of seeds); 0 of 10" in (
        chart.note
    )


def test_no_interval_of_a_share_is_beyond_100_points(tmp_path: Path) -> None:
    """Of two matched pairs Student's interval is hundreds of points wide."""
    scores = {(1e-4, True): 0.5, (1e-4, False): 0.9, (1e-3, True): 0.95, (1e-3, False): 0.55}
    trials, epochs = [], []
    for number, ((lr, augment), score) in enumerate(scores.items()):
        settings = TrialConfig(lr=lr, augment=augment, epochs=1).to_dict()
        trials.append({"trial": f"{number}", "settings": settings, "row": None, "status": "done"})
        epochs.append({"trial": f"{number}", **builders.epoch(0, score)})
    folder = tmp_path / "four"
    folder.mkdir()
    (folder / "space.yaml").write_text("search: {lr: [1e-4, 1e-3], augment: [true, false]}\n")
    (folder / "manifest.json").write_text('{"name": "four", "data": {}}')
    one = worth([read(builders.write_run(folder, trials, epochs))])
    assert {(effect.low, effect.high) for effect in one.effects.every} == {(-1.0, 1.0)}
    chart = setting_charts.effects_chart(one)
    assert chart
    (points,) = chart.figure["data"]
    ends = zip(
        points["x"], points["error_x"]["array"], points["error_x"]["arrayminus"], strict=True
    )
    assert [(x - under, x + above) for x, above, under in ends] == [pytest.approx((-100, 100))] * 2
    assert "| +0.0 [-100.0, +100.0], n = 2 |" in section(one, False)
