"""Effects of settings: matched pairs and the linear model on numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from facesiam.config import SETTINGS
from search.analysis import published
from search.analysis.effects import Effect, effects
from search.report.report_data import log_settings, read, settings_frame

NAMES = list(SETTINGS)


def found(trials: list[dict[str, Any]], names: list[str] = NAMES) -> dict[tuple[str, str], Effect]:
    every = effects(pd.DataFrame(trials), names, {"lr"})
    return {(effect.setting, effect.change): effect for effect in every}


def test_mean_of_matched_pairs_with_students_interval() -> None:
    # augment is worth 1, 2 and 3 points: mean 2, sd 1, t(2) = 4.3027, half width 4.3027 / sqrt(3)
    # as the only comparison; beside the three of lr t(2) at 1 - 0.05 / 8 = 8.8602
    trials = [
        {"lr": lr, "augment": augment, "val_acc": 0.7 + gain * augment}
        for lr, gain in ((1e-5, 0.01), (1e-4, 0.02), (1e-3, 0.03))
        for augment in (False, True)
    ]
    effect = found(trials)["augment", "F → T"]
    assert (effect.n, effect.fitted) == (3, False)
    assert effect.mean == pytest.approx(0.02)
    assert effect.family == 4
    assert effect.high - effect.mean == pytest.approx(8.8602 * 0.01 / math.sqrt(3), abs=1e-6)
    alone = effect.among(1)
    assert alone.high - effect.mean == pytest.approx(0.024841, abs=1e-6)
    assert effect.mean - alone.low == pytest.approx(0.024841, abs=1e-6)


def test_a_single_pair_has_no_interval() -> None:
    effect = found([{"freeze": False, "val_acc": 0.8}, {"freeze": True, "val_acc": 0.75}])
    one = effect["freeze", "F → T"]
    assert one.n == 1 and one.mean == pytest.approx(-0.05)
    assert math.isnan(one.low) and math.isnan(one.high)


def test_trials_that_differ_in_two_settings_are_no_pair() -> None:
    trials = [
        {"augment": False, "freeze": False, "val_acc": 0.7},
        {"augment": True, "freeze": True, "val_acc": 0.9},
    ]
    assert found(trials) == {}


def test_what_is_no_setting_must_be_equal_too() -> None:
    trials = [
        {"augment": False, "data": "one", "val_acc": 0.7},
        {"augment": True, "data": "other", "val_acc": 0.9},
    ]
    assert found(trials, [*NAMES, "data"]) == {}
    assert found(trials)["augment", "F → T"].mean == pytest.approx(0.2)


def test_three_values_are_compared_each_with_each_and_four_numbers_with_neighbours() -> None:
    three = [{"lr": lr, "val_acc": acc} for lr, acc in ((1e-5, 0.8), (5e-4, 0.7), (1e-3, 0.5))]
    assert {key[1]: round(effect.mean, 3) for key, effect in found(three).items()} == {
        "1e-05 → 0.0005": -0.1,
        "1e-05 → 0.001": -0.3,
        "0.0005 → 0.001": -0.2,
    }
    four = [*three, {"lr": 1e-2, "val_acc": 0.5}]
    assert [key[1] for key in found(four)] == ["1e-05 → 0.0005", "0.0005 → 0.001", "0.001 → 0.01"]


def test_four_words_have_no_neighbours_and_are_compared_with_the_best() -> None:
    nets = {"alexnet": 0.7, "vgg16_bn": 0.75, "googlenet": 0.6, "resnet18": 0.9, "resnet50": 0.8}
    grid = [
        {"net": net, "augment": augment, "val_acc": acc + 0.01 * augment}
        for net, acc in nets.items()
        for augment in (False, True)
    ]
    changes = {key[1]: effect.mean for key, effect in found(grid).items() if key[0] == "net"}
    assert changes == pytest.approx(
        {f"resnet18 → {net}": acc - 0.9 for net, acc in nets.items() if net != "resnet18"}
    )


def ablation(seeds: int = 3) -> list[dict[str, Any]]:
    """A ResNet-18 that is the best, four other nets and another lr, each changed alone."""
    best = {"net": "resnet18", "lr": 1e-3}
    gains = {"alexnet": -0.20, "googlenet": -0.30, "resnet50": -0.10, "vgg16_bn": -0.15}
    ones = [(best, 0.0), ({**best, "lr": 1e-2}, -0.05)]
    ones += [({**best, "net": net}, gain) for net, gain in gains.items()]
    return [
        {**one, "seed": seed, "val_acc": 0.9 + gain + 0.02 * seed + gain * seed / 10}
        for one, gain in ones
        for seed in range(seeds)
    ]


def test_an_ablation_compares_each_change_with_the_best_of_the_same_seed() -> None:
    effects_of = found(ablation())
    changes = {change: effect for (_, change), effect in effects_of.items() if "resnet" in change}
    assert {change: round(effect.mean, 3) for change, effect in changes.items()} == {
        "resnet18 → alexnet": -0.22,
        "resnet18 → googlenet": -0.33,
        "resnet18 → resnet50": -0.11,
        "resnet18 → vgg16_bn": -0.165,
    }
    one = effects_of["net", "resnet18 → alexnet"]
    # -0.20, -0.22, -0.24: the seed's own 0.02 is in both. sd 0.02; t(2) at 1 - 0.05 / 10 is 9.9248
    assert (one.n, one.family) == (3, 5)
    assert one.high - one.mean == pytest.approx(9.92484 * 0.02 / math.sqrt(3), abs=1e-6)
    assert effects_of["lr", "0.001 → 0.01"].n == 3 and effects_of["seed", "0 → 1"].n == 6
    assert effects_of["seed", "0 → 1"].family == 3  # of its own


def test_an_ablation_with_one_seed_has_no_intervals_and_one_with_a_gap_fewer_pairs() -> None:
    one = found(ablation(seeds=1))["net", "resnet18 → alexnet"]
    assert one.n == 1 and math.isnan(one.low)
    short = [row for row in ablation() if (row["net"], row["seed"]) != ("alexnet", 2)]
    two = found(short)["net", "resnet18 → alexnet"]
    assert two.n == 2 and two.mean == pytest.approx(-0.21)


def test_an_ablation_of_many_values_is_none_of_a_continuum() -> None:
    rows = [
        {"lr": lr, "erase": 0.0, "val_acc": 0.9 - 10 * abs(lr - 0.005)}
        for lr in (0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.007, 0.008)
    ]
    rows.append({"lr": 0.005, "erase": 0.5, "val_acc": 0.8})
    changes = [change for setting, change in found(rows) if setting == "lr"]
    assert len(changes) == 7 and all(change.startswith("0.005 → ") for change in changes)
    assert found(rows)["lr", "0.005 → 0.001"].mean == pytest.approx(-0.04)
    assert not found(rows)["lr", "0.005 → 0.001"].fitted


def test_of_a_single_setting_the_name_says_which_trial_is_changed() -> None:
    rows = [
        {"lr": lr, "row": f"{name}-s0", "seed": 0, "val_acc": acc}
        for lr, name, acc in (
            (1e-5, "lr-1e-05", 0.5),
            (1e-4, "lr-0.0001", 0.7),
            (1e-3, "best", 0.8),
            (1e-2, "lr-0.01", 0.6),
        )
    ]
    assert [change for _, change in found(rows)] == [
        "0.001 → 1e-05",
        "0.001 → 0.0001",
        "0.001 → 0.01",
    ]
    assert len(found([{**row, "row": None} for row in rows])) == 3
    assert "1e-05 → 0.0001" in {change for _, change in found([{**r, "row": None} for r in rows])}


def test_pretraining_may_bring_its_frozen_batchnorm_along_in_an_ablation() -> None:
    best = {"net": "vgg16_bn", "pretrained": True, "freeze_batchnorm": True, "lr": 1e-3}
    rows = [
        {**best, "val_acc": 0.9},
        {**best, "lr": 1e-2, "val_acc": 0.8},
        {**best, "pretrained": False, "freeze_batchnorm": False, "val_acc": 0.7},
        {**best, "freeze_batchnorm": False, "val_acc": 0.85},
    ]
    means = {key: effect.mean for key, effect in found(rows).items()}
    assert means == pytest.approx(
        {
            ("pretrained", "T → F"): -0.2,
            ("freeze_batchnorm", "T → F"): -0.05,
            ("lr", "0.001 → 0.01"): -0.1,
        }
    )


def test_the_recorded_ablations_intervals_hold_together() -> None:
    run = read("ray_results/reference/cpu-ablation")
    changes = effects(settings_frame(run), NAMES, log_settings([run]))
    own = [effect for effect in changes if effect.setting != "seed"]
    assert len(own) == 8 and {effect.family for effect in own} == {8}
    loss = next(effect for effect in own if effect.setting == "loss")
    shown = [round(100 * value, 1) for value in (loss.mean, loss.low, loss.high)]
    assert shown == [-5.1, -15.1, 4.9]  # alone [-8.5, -1.7]
    assert all(effect.low < 0 < effect.high for effect in own)


def test_repeats_of_the_same_settings_count_once_by_their_mean() -> None:
    trials = [
        {"augment": False, "val_acc": 0.70},
        {"augment": False, "val_acc": 0.72},
        {"augment": True, "val_acc": 0.75},
    ]
    effect = found(trials)["augment", "F → T"]
    assert effect.n == 1 and effect.mean == pytest.approx(0.04)


def test_nan_is_left_out() -> None:
    trials = [{"augment": False, "val_acc": 0.7}, {"augment": True, "val_acc": math.nan}]
    assert found(trials) == {}
    assert effects(pd.DataFrame(), NAMES, ()) == []


def test_pretraining_may_bring_its_frozen_batchnorm_along() -> None:
    # rows C and D: freeze_batchnorm is refused without pretrained weights
    trials = [
        {"net": "vgg16_bn", "pretrained": False, "freeze_batchnorm": False, "val_acc": 0.80},
        {"net": "vgg16_bn", "pretrained": True, "freeze_batchnorm": True, "val_acc": 0.84},
    ]
    assert found(trials)["pretrained", "F → T"].mean == pytest.approx(0.04)
    assert ("freeze_batchnorm", "F → T") not in found(trials)


def test_alexnet_has_no_batchnorm_to_freeze() -> None:
    both = {"net": "alexnet", "pretrained": False}
    trials = [
        both | {"augment": False, "freeze_batchnorm": False, "val_acc": 0.7},
        both | {"augment": True, "freeze_batchnorm": True, "val_acc": 0.8},
    ]
    assert list(found(trials)) == [("augment", "F → T")]


def test_batchnorm_that_is_frozen_with_every_pretrained_vgg_is_no_setting_of_its_own() -> None:
    # as in code2.yaml, where the model would share pretraining's +4 points between the two
    trials = [
        line
        | {
            "net": net,
            "pretrained": pretrained,
            "freeze_batchnorm": pretrained and net == "vgg16_bn",
            "val_acc": line["val_acc"] + 0.04 * pretrained,
        }
        for place, line in enumerate(continuous(24))
        for net, pretrained in [(("alexnet", "vgg16_bn")[place // 2 % 2], place // 4 % 2 == 0)]
    ]
    model = found(trials)
    assert model["pretrained", "F → T"].mean == pytest.approx(0.04)
    assert {setting for setting, _ in model} == {"net", "pretrained", "lr", "augment"}


def continuous(n: int) -> list[dict[str, Any]]:
    """Draw lr as a sampler does, never twice; exactly −2 points a decade and +3 for augment."""
    return [
        {
            "lr": 10 ** (-6 + 3 * place / n),
            "augment": place % 3 == 0,
            "val_acc": 0.8 - 0.02 * (3 * place / n) + 0.03 * (place % 3 == 0),
        }
        for place in range(n)
    ]


def test_continuous_lr_falls_back_to_the_linear_model() -> None:
    model = found(continuous(12))
    slope, augment = model["lr", "×10"], model["augment", "F → T"]
    assert slope.fitted and augment.fitted and slope.n == 12
    assert slope.mean == pytest.approx(-0.02)
    assert augment.mean == pytest.approx(0.03)
    assert augment.low == pytest.approx(0.03) and augment.high == pytest.approx(0.03)


def test_linear_models_interval_against_simple_regression() -> None:
    # decades x = 0 … 7, slope 1 point; noise ±1 point orthogonal to 1 and x (Thue and Morse), so
    # variance 8e-4 / 6, Sxx 42, t(6) = 2.446912: half width 2.446912 · sqrt(1.33333e-4 / 42)
    noise = [1, -1, -1, 1, -1, 1, 1, -1]
    trials = [
        {"lr": 10.0 ** (x - 7), "val_acc": 0.5 + 0.01 * x + 0.01 * noise[x]} for x in range(8)
    ]
    slope = found(trials)["lr", "×10"]
    assert slope.mean == pytest.approx(0.01)
    assert slope.high - slope.mean == pytest.approx(0.0043598, abs=1e-7)


def test_a_number_on_a_linear_scale_is_worth_its_whole_range() -> None:
    trials = [{"hidden": 10 * x, "val_acc": 0.5 + 0.01 * x} for x in range(8)]
    assert found(trials)["hidden", "0 → 70"].mean == pytest.approx(0.07)


def test_too_few_trials_for_the_model_give_nothing() -> None:
    # lr, augment, freeze, dropout and the constant are 5 coefficients, which want 10 trials
    trials = [
        line | {"freeze": place % 2 == 0, "dropout": place > 4}
        for place, line in enumerate(continuous(9))
    ]
    assert found(trials) == {}


def test_settings_that_say_the_same_are_left_out_of_the_model() -> None:
    trials = [line | {"freeze": line["augment"]} for line in continuous(12)]
    assert {setting for setting, _ in found(trials)} == {"lr"}


def test_the_interval_of_two_pairs() -> None:
    # differences 0 and 2 points: sd √2, t(1) = 12.706, so half the width is 12.706 · √2 / √2
    trials = [
        {"lr": lr, "augment": augment, "val_acc": 0.7 + gain * augment}
        for lr, gain in ((1e-5, 0.0), (1e-4, 0.02))
        for augment in (False, True)
    ]
    alone = found(trials)["augment", "F → T"].among(1)
    shown = [100 * alone.mean, 100 * alone.low, 100 * alone.high]
    assert shown == pytest.approx([1.0, -11.7062, 13.7062], abs=1e-4)


def test_augmentation_on_the_studys_own_runs() -> None:
    # 1→2 +2.03, A→B +2.71, D→E +0.71: mean 1.82 points, not “close to 4”
    runs = published.recorded_runs()
    effect = found(runs.to_dict("records"))["augment", "F → T"]
    assert effect.n == 3
    assert effect.mean == pytest.approx((0.0203 + 0.0271 + 0.0071) / 3, abs=1e-4)
    alone = effect.among(1)
    assert alone.low < 0 < alone.high < 0.05
    assert effect.family == 7  # lr 3, net, freeze, augment and epochs: pretrained and join have 1
