"""Settings: parsing, bounds, conflicts, and what one new field makes of itself."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError

import pytest

from facesiam.config import SETTINGS, TrialConfig, Value
from facesiam.config.settings import number, positive, random_seed, whole
from facesiam.config.trial import GEOMETRY
from facesiam.errors import ConfigError
from facesiam.nets.losses import EMBEDDING_LOSSES, LOSSES
from facesiam.nets.models import MODELS
from facesiam.nets.siamese import JOINS, SCORES
from facesiam.training.augment import AUGMENTS
from facesiam.training.optimizer import MOMENTS
from facesiam.training.schedules import SCHEDULES
from search.resources.cost import CFP, DRAWN


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("lr", "1e-5", 1e-5),
        ("lr", "0.001", 0.001),
        ("epochs", "60", 60),
        ("epochs", "1e3", 1000),
        ("augment", "on", True),
        ("augment", "no", False),
        ("join", "concat", "concat"),
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
        (
            "net",
            "alexnt",
            "'alexnt' is not one of the 87 that there are (alexnet, vgg16_bn, "
            "convnext_base, …); did you mean alexnet?",
        ),
        ("augment", "maybe", "must be true or false, got 'maybe'"),
    ],
)
def test_a_value_out_of_bounds_is_told_in_a_sentence(
    name: str, value: object, sentence: str
) -> None:
    assert SETTINGS[name].problem(value) == sentence
    with pytest.raises(ConfigError) as refused:
        TrialConfig.from_dict({name: value})
    assert str(refused.value) == f"{name}: {sentence}"


EMBEDS: dict[str, Value] = {"join": "cosine", "loss": "logistic"}


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"lr: must be above 0, got -1; epochs: must be 1"):
        TrialConfig(lr=-1, epochs=0)


def test_an_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="optimiser: not a setting; did you mean optimizer?"):
        TrialConfig.from_dict({"optimiser": "adam"})
    with pytest.raises(ConfigError, match=r"learning_rate: not a setting; did you mean lr\?"):
        TrialConfig.from_dict({"learning_rate": 0.1})


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="freeze_batchnorm: true needs pretrained: true"):
        TrialConfig(net="vgg16_bn", freeze_batchnorm=True)
    TrialConfig(net="alexnet", freeze_batchnorm=True)  # has no batch-norm to freeze
    with pytest.raises(ConfigError, match="batch_size: must be even with loss: two"):
        TrialConfig(protocol="cfp-pairs", loss="two", batch_size=15)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"freeze": True, "net": "resnet18"}, "with resnet18 use freeze_stages"),
        ({"join": "cosine"}, "loss: two does not go with join: cosine; contrastive, triplet"),
        ({"loss": "triplet"}, "loss: triplet does not go with join: concat"),
        ({"images_per_person": 2}, "images_per_person: 2 needs join: cosine or distance"),
        (EMBEDS | {"images_per_person": 1}, "images_per_person: 1 makes no pair"),
        (EMBEDS | {"images_per_person": 3}, "multiple of images_per_person: 3, two people"),
        (EMBEDS | {"images_per_person": 16}, "two people or more, got 16"),
        ({"views": "all"}, "views: all needs images_per_person"),
        ({"lookalike_people": 0.5}, "lookalike_people: 0.5 needs images_per_person"),
        ({"flip_average": True}, "flip_average: true needs join: cosine or distance"),
        ({"net": "vit_b_16", "image_size": 112}, "image_size: vit_b_16 takes 224 only, got 112"),
        ({"net": "inception_v3", "image_size": 64}, "image_size: inception_v3 takes 75 and more"),
        ({"packed_size": 112}, "packed_size: must be image_size (224) or more, got 112"),
        ({"fold": 3, "people": 9}, "people: limits the protocol's own split, not a fold"),
    ],
)
def test_what_the_new_nets_ask_for_is_told(settings: dict[str, Value], sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        TrialConfig.from_dict(settings)


@pytest.mark.parametrize(
    ("net", "image_size", "first", "sentence"),
    [
        ("alexnet", 112, 32, "from 64 to image_size (112), or 0 for one size, got 32; the nearest is 64"),
        ("alexnet", 112, 113, "from 64 to image_size (112), or 0 for one size, got 113; the nearest is 112"),
        ("alexnet", 64, 32, "0 for one size, as image_size is 64, got 32"),
        ("inception_v3", 112, 74, "from 75, the least that inception_v3 takes, to image_size (112), or 0 for one size, got 74; the nearest is 75"),
        ("inception_v3", 75, 74, "0 for one size, as image_size is 75, got 74"),
        ("vit_b_16", 224, 112, "0 for one size, as vit_b_16 takes 224 only, got 112"),
        ("maxvit_t", 224, 32, "0 for one size, as maxvit_t takes 224 only, got 32"),
    ],
)  # fmt: skip
def test_a_first_size_that_cannot_grow_is_one_sentence_with_the_nearest(
    net: str, image_size: int, first: int, sentence: str
) -> None:
    settings = {"net": net, "image_size": image_size, "first_image_size": first}
    with pytest.raises(ConfigError, match=f"^first_image_size: must be {re.escape(sentence)}$"):
        TrialConfig.from_dict(settings)


@pytest.mark.parametrize(
    ("net", "image_size", "first"),
    [("alexnet", 64, 64), ("alexnet", 112, 64), ("inception_v3", 112, 75), ("vit_b_16", 224, 224)],
)
def test_the_first_and_the_last_size_are_within_the_bounds(
    net: str, image_size: int, first: int
) -> None:
    TrialConfig(net=net, image_size=image_size, first_image_size=first)
    TrialConfig(net=net, image_size=image_size)


def test_an_image_size_that_is_too_small_is_told_once() -> None:
    with pytest.raises(ConfigError, match="^image_size: inception_v3 takes 75 and more, got 64$"):
        TrialConfig(net="inception_v3", image_size=64, first_image_size=70)


def test_the_losses_of_embeddings_are_listed_once() -> None:
    from facesiam.config import constraints

    assert set(constraints.EMBEDDING_LOSSES) == set(EMBEDDING_LOSSES)
    assert set(constraints.EMBEDDING_JOINS) == set(SCORES)


def test_settings_survive_a_dict() -> None:
    config = TrialConfig(lr=3e-4, people=7)
    assert TrialConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("setting", "table"),
    [
        ("net", MODELS),
        ("join", JOINS | SCORES),
        ("loss", LOSSES | EMBEDDING_LOSSES),
        ("protocol", AUGMENTS),
        ("protocol", GEOMETRY),
        ("protocol", CFP.units),
        ("protocol", DRAWN.units),
        ("optimizer", MOMENTS),
        ("schedule", SCHEDULES),
    ],
)
def test_choices_and_the_dicts_behind_them_are_equal(
    setting: str, table: dict[str, object]
) -> None:
    assert set(SETTINGS[setting].choices) == set(table)


@pytest.mark.parametrize("text", ["1_000", "\u0663", "5 ", "\uff15", "0x10", "010", "inf", "1:30"])
def test_what_python_takes_for_a_number_and_nobody_types_is_none(text: str) -> None:
    for read in (SETTINGS["epochs"].parse, SETTINGS["lr"].parse, number, whole):
        with pytest.raises(ValueError, match="^must be a (whole )?number, got "):
            read(text)
    for of_options in (positive, random_seed):
        with pytest.raises(ArgumentTypeError, match="^must be a whole number, got "):
            of_options(text)


def test_numbers_as_they_are_typed() -> None:
    assert [number(text) for text in ("1e-5", "+.5", "5.", "-0.25E+2")] == [1e-5, 0.5, 5, -25]
    assert (whole("1e3"), positive("7"), random_seed("0")) == (1000, 7, 0)
    with pytest.raises(ArgumentTypeError, match="at most 1,000,000, got 1000001"):
        positive("1000001")
    with pytest.raises(ArgumentTypeError, match="from 0 to 2147483647, got 2147483648"):
        random_seed("2147483648")
    assert SETTINGS["seed"].problem(2**31) == "must be 2147483647 or less, got 2147483648"
