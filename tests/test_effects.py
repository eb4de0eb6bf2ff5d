"""Effects of settings: matched pairs and the linear model on numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from facesiam.config import SETTINGS
from search import documents
from search.effects import Effect, effects, mean_interval

NAMES = list(SETTINGS)


def found(trials: list[dict[str, Any]], names: list[str] = NAMES) -> dict[tuple[str, str], Effect]:
    every = effects(pd.DataFrame(trials), names, {"lr"})
    return {(effect.setting, effect.change): effect for effect in every}


def test_mean_of_matched_pairs_with_students_interval() -> None:
    # augment is worth 1, 2 and 3 points: mean 2, sd 1, t(2) = 4.3027, half width 4.3027 / sqrt(3)
    trials = [
        {"lr": lr, "augment": augment, "val_acc": 0.7 + gain * augment}
        for lr, gain in ((1e-5, 0.01), (1e-4, 0.02), (1e-3, 0.03))
        for augment in (False, True)
    ]
    effect = found(trials)["augment", "F → T"]
    assert (effect.n, effect.fitted) == (3, False)
    assert effect.mean == pytest.approx(0.02)
    assert effect.high - effect.mean == pytest.approx(0.024841, abs=1e-6)
    assert effect.mean - effect.low == pytest.approx(0.024841, abs=1e-6)


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


def test_three_values_are_compared_each_with_each_and_four_with_neighbours() -> None:
    three = [{"lr": lr, "val_acc": acc} for lr, acc in ((1e-5, 0.8), (5e-4, 0.7), (1e-3, 0.5))]
    assert {key[1]: round(effect.mean, 3) for key, effect in found(three).items()} == {
        "1e-05 → 0.0005": -0.1, "1e-05 → 0.001": -0.3, "0.0005 → 0.001": -0.2,
    }  # fmt: skip
    four = [*three, {"lr": 1e-2, "val_acc": 0.5}]
    assert [key[1] for key in found(four)] == ["1e-05 → 0.0005", "0.0005 → 0.001", "0.001 → 0.01"]


def test_repeats_of_the_same_settings_count_once_by_their_mean() -> None:
    trials = [
        {"augment": False, "val_acc": 0.70}, {"augment": False, "val_acc": 0.72},
        {"augment": True, "val_acc": 0.75},
    ]  # fmt: skip
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
        line | {
            "net": net, "pretrained": pretrained,
            "freeze_batchnorm": pretrained and net == "vgg16_bn",
            "val_acc": line["val_acc"] + 0.04 * pretrained,
        }
        for place, line in enumerate(continuous(24))
        for net, pretrained in [(("alexnet", "vgg16_bn")[place // 2 % 2], place // 4 % 2 == 0)]
    ]  # fmt: skip
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


def test_mean_interval() -> None:
    # sd √2, t(1) = 12.706, so half the width is 12.706 · √2 / √2
    assert mean_interval([0.0, 2.0]) == pytest.approx((1.0, -11.7062, 13.7062), abs=1e-4)


def test_augmentation_on_the_documents_own_runs() -> None:
    # 1→2 +2.03, A→B +2.71, D→E +0.71: mean 1.82 points, not “close to 4”
    runs = documents.recorded_runs()
    effect = found(runs.to_dict("records"))["augment", "F → T"]  # type: ignore[arg-type]
    assert effect.n == 3
    assert effect.mean == pytest.approx((0.0203 + 0.0271 + 0.0071) / 3, abs=1e-4)
    assert effect.low < 0 < effect.high < 0.05
