"""Settings: parsing, bounds, conflicts, and what one new field makes of itself."""

from __future__ import annotations

import pytest

from facesiam.augment import AUGMENTS
from facesiam.config import GEOMETRY, SETTINGS, ConfigError, TrialConfig
from facesiam.losses import LOSSES
from facesiam.models import JOINS
from facesiam.trunks import MODELS


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("lr", "1e-5", 1e-5), ("lr", "0.001", 0.001), ("epochs", "60", 60),
        ("epochs", "1e3", 1000),
        ("augment", "on", True), ("augment", "no", False), ("join", "concat", "concat"),
    ],
)
def test_text_becomes_the_settings_own_type(name: str, text: str, value: object) -> None:
    parsed = SETTINGS[name].parse(text)
    assert parsed == value and type(parsed) is type(value)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("lr", 0.0, "must be above 0, got 0"),
        ("lr", float("nan"), "must be finite, got nan"),
        ("lr", "fast", "must be a number, got 'fast'"),
        ("lr", True, "must be a number, got True"),
        ("epochs", 0, "must be 1 or more, got 0"),
        ("epochs", 2.5, "must be a whole number, got 2.5"),
        ("image_size", 512, "must be 224 or less, got 512"),
        ("net", "alexnt", "'alexnt' is not one of alexnet, vgg16_bn; did you mean alexnet?"),
        ("augment", "maybe", "must be true or false, got 'maybe'"),
    ],
)
def test_a_value_out_of_bounds_is_told_in_a_sentence(
    name: str, value: object, sentence: str
) -> None:
    assert SETTINGS[name].problem(value) == sentence
    with pytest.raises(ConfigError) as refused:
        TrialConfig.from_dict({name: value})  # type: ignore[dict-item]
    assert str(refused.value) == f"{name}: {sentence}"


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"lr: must be above 0, got -1; epochs: must be 1"):
        TrialConfig(lr=-1, epochs=0)


def test_an_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="optimiser: not a setting; did you mean optimizer?"):
        TrialConfig.from_dict({"optimiser": "adam"})


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="freeze_batchnorm: true needs pretrained: true"):
        TrialConfig(net="vgg16_bn", freeze_batchnorm=True)
    TrialConfig(net="alexnet", freeze_batchnorm=True)  # has no batch-norm to freeze
    with pytest.raises(ConfigError, match="batch_size: must be even with loss: two"):
        TrialConfig(protocol="cfp-pairs", loss="two", batch_size=15)


def test_settings_survive_a_dict() -> None:
    config = TrialConfig(lr=3e-4, people=7)
    assert TrialConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("setting", "table"),
    [("net", MODELS), ("join", JOINS), ("loss", LOSSES), ("protocol", AUGMENTS),
     ("protocol", GEOMETRY)],
)
def test_choices_and_the_dicts_behind_them_are_equal(
    setting: str, table: dict[str, object]
) -> None:
    assert set(SETTINGS[setting].choices) == set(table)
