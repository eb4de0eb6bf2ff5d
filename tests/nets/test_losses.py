"""Losses against numbers worked out by hand: logits (0, x) cost ln(1 + e^x) as "same"."""

from __future__ import annotations

import math

import pytest
import torch

from facesiam.config import TrialConfig
from facesiam.nets import losses
from facesiam.nets.losses import EMBEDDING_LOSSES, pairs_of, single, two

LOGITS = torch.tensor([[0.0, 0.0], [0.0, math.log(3)], [0.0, math.log(3)], [0.0, 0.0]])


def test_single_is_the_mean_over_all_pairs() -> None:
    label = torch.tensor([0, 0, 1, 1])
    each = [math.log(2), math.log(4), math.log(4 / 3), math.log(2)]
    assert math.isclose(single(LOGITS, label).item(), sum(each) / 4, rel_tol=1e-6)


def test_two_gives_each_kind_half_of_the_say() -> None:
    label = torch.tensor([0, 1, 1, 1])
    negatives = (math.log(4 / 3) + math.log(4 / 3) + math.log(2)) / 3
    expected = (math.log(2) + negatives) / 2
    assert math.isclose(two(LOGITS, label).item(), expected, rel_tol=1e-6)


def test_two_equals_single_where_both_kinds_are_equally_many() -> None:
    label = torch.tensor([0, 1, 0, 1])
    assert torch.allclose(two(LOGITS, label), single(LOGITS, label))


def test_two_leaves_out_a_kind_that_is_missing() -> None:
    label = torch.zeros(4, dtype=torch.long)
    assert torch.allclose(two(LOGITS, label), single(LOGITS, label))


def at(*degrees: float) -> torch.Tensor:
    """Unit vectors in the plane, (B, 2)."""
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1).float()


PEOPLE = torch.tensor([0, 0, 1])
PLACES = at(0, 60, 90)
"""One person at 0 and 60 degrees, another at 90: s = 1/2 for the same pair, 0 and cos 30° for the
others; d = 1 for the same pair, √2 and 0.5176 for the others."""


def loss(name: str, places: torch.Tensor = PLACES, **settings: object) -> float:
    """What a loss of embeddings says of three images."""
    config = TrialConfig.from_dict({"join": "cosine", "loss": name, "embedding": 2, **settings})
    return float(EMBEDDING_LOSSES[name](config, 2)(places, PEOPLE).detach())


def test_every_pair_of_a_batch_counts_once() -> None:
    left, right, same = pairs_of(PEOPLE)
    assert list(zip(left.tolist(), right.tolist(), same.tolist(), strict=True)) == [
        (0, 1, True),
        (0, 2, False),
        (1, 2, False),
    ]


def test_contrastive_is_hadsells() -> None:
    near = 2 * math.sin(math.radians(15))
    expected = (1.0 + (0 + (1.2 - near) ** 2) / 2) / 2  # √2 is beyond the margin
    assert loss("contrastive", margin=1.2) == pytest.approx(expected, rel=1e-5)


def test_contrastive_has_a_slope_where_two_images_are_one() -> None:
    places = at(10, 10, 10).requires_grad_()
    config = TrialConfig(join="cosine", loss="contrastive")
    EMBEDDING_LOSSES["contrastive"](config, 2)(places, PEOPLE).backward()
    assert places.grad is not None and places.grad.isfinite().all()


def test_cosine_embedding_is_one_minus_s_and_what_is_above_the_margin() -> None:
    expected = (0.5 + (0 + math.cos(math.pi / 6) - 0.3) / 2) / 2
    assert loss("cosine_embedding", margin=0.3) == pytest.approx(expected, rel=1e-5)


def test_logistic_is_the_cross_entropy_of_a_scaled_cosine() -> None:
    def cost(logit: float) -> float:
        return math.log1p(math.exp(-logit))

    same, others = 8 * 0.5 - 4, [8 * 0.0 - 4, 8 * math.cos(math.pi / 6) - 4]
    expected = (cost(same) + sum(cost(-logit) for logit in others) / 2) / 2
    assert loss("logistic", loss_scale=8) == pytest.approx(expected, rel=1e-5)
    half = (
        0.95 * cost(0)
        + 0.05 * cost(0)
        + sum(0.95 * cost(-logit) + 0.05 * cost(logit) for logit in others) / 2
    ) / 2
    assert loss("logistic", loss_scale=8, label_smoothing=0.1) == pytest.approx(half, rel=1e-5)


def test_triplets_are_all_of_a_batch_or_the_hardest() -> None:
    d = (PLACES[:, None] - PLACES[None]).norm(dim=2).tolist()
    triplets = [d[0][1] - d[0][2] + 0.9, d[1][0] - d[1][2] + 0.9]  # both anchors of person 0
    both = [max(0.0, value) for value in triplets]
    expected = sum(both) / sum(value > 0 for value in both)
    assert loss("triplet", margin=0.9) == pytest.approx(expected, rel=1e-4)
    # Of anchor 2 nobody else is of its person, so it makes no triplet; hard ones are the same two.
    assert loss("triplet", margin=0.9, mining="hard") == pytest.approx(expected, rel=1e-4)
    # d(a, p) < d(a, n) < d(a, p) + m holds for anchor 0 alone: 1 < √2 < 1.9.
    assert loss("triplet", margin=0.9, mining="semihard") == pytest.approx(triplets[0], rel=1e-4)


def test_supcon_is_khoslas() -> None:
    s = (5 * PLACES @ PLACES.T).tolist()
    anchors = [
        -s[a][p] + math.log(sum(math.exp(s[a][x]) for x in range(3) if x != a))
        for a, p in ((0, 1), (1, 0))
    ]
    assert loss("supcon", loss_scale=5) == pytest.approx(sum(anchors) / 2, rel=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("name", ["arcface", "cosface"])
def test_identity_losses_put_the_margin_on_the_own_class(name: str, smoothing: float) -> None:
    config = TrialConfig.from_dict(
        {
            "join": "cosine",
            "loss": name,
            "embedding": 2,
            "margin": 0.2,
            "loss_scale": 4,
            "label_smoothing": smoothing,
        }
    )
    module = EMBEDDING_LOSSES[name](config, 2)
    (weights,) = module.parameters()
    classes = at(20, 100)
    with torch.no_grad():
        weights.copy_(3 * classes.T)  # (E, classes); their length does not matter
    cosine = (PLACES @ classes.T).clamp(-1, 1).tolist()
    costs = []
    for image, own in enumerate(PEOPLE.tolist()):
        logits = list(cosine[image])
        angle = math.acos(logits[own])
        logits[own] = math.cos(angle + 0.2) if name == "arcface" else logits[own] - 0.2
        logits = [4 * logit for logit in logits]
        logs = [logit - math.log(sum(map(math.exp, logits))) for logit in logits]
        costs.append(-(1 - smoothing) * logs[own] - smoothing * sum(logs) / 2)
    assert float(module(PLACES, PEOPLE).detach()) == pytest.approx(sum(costs) / 3, rel=1e-4)


def identity_loss(name: str, **settings: object) -> torch.nn.Module:
    """A loss of two people with margin 0.2 and scale 4, for vectors of the plane."""
    fixed = {"join": "cosine", "loss": name, "embedding": 2, "margin": 0.2, "loss_scale": 4}
    return EMBEDDING_LOSSES[name](TrialConfig.from_dict({**fixed, **settings}), 2)


def placed(module: torch.nn.Module, *degrees: float) -> torch.nn.Module:
    """The loss with its centres at these angles, at lengths that do not matter."""
    with torch.no_grad():
        (centres,) = module.parameters()
        centres.copy_(3 * at(*degrees).view(centres.shape))
    return module


def cost(*logits: float, own: int) -> float:
    """The cross-entropy of S = 4 times these, in nats."""
    return math.log(sum(math.exp(4 * logit) for logit in logits)) - 4 * logits[own]


def of(degrees: float) -> float:
    """Its cosine."""
    return math.cos(math.radians(degrees))


def test_of_the_sub_centres_the_nearest_counts() -> None:
    # Of person 0 at 20 and 50 degrees, of person 1 at 100 and 200: the images at 0, 60 and 90 are
    # 20, 10 and 40 from person 0 and 100, 40 and 10 from person 1.
    module = placed(identity_loss("subcenter_arcface", sub_centres=2), 20, 50, 100, 200)
    turned = math.degrees(0.2)
    costs = [
        cost(of(20 + turned), of(100), own=0),
        cost(of(10 + turned), of(40), own=0),
        cost(of(40), of(10 + turned), own=1),
    ]
    assert float(module(PLACES, PEOPLE).detach()) == pytest.approx(sum(costs) / 3, rel=1e-4)


def test_one_sub_centre_is_arcface_and_beyond_half_a_turn_it_still_falls() -> None:
    one = placed(identity_loss("subcenter_arcface", sub_centres=1, margin=1.5), 20, 250)
    arcface = identity_loss("arcface", margin=1.5)
    with torch.no_grad():
        next(arcface.parameters()).copy_(at(20, 250).T)
    expected = float(arcface(PLACES, PEOPLE).detach())  # 90 degrees are 160 from 250
    assert float(one(PLACES, PEOPLE).detach()) == pytest.approx(expected, rel=1e-4)


def test_adaface_sets_the_margin_by_the_norm() -> None:
    # Norms 2, 4 and 6 have mean 4 and deviation 1.633: q is -0.408, 0 and 0.408 with h = 1/3.
    module = placed(identity_loss("adaface"), 20, 100)
    q = 2 / 3 / (math.sqrt(8 / 3) + 1e-3)
    turned = math.degrees(0.2 * q)
    costs = [
        cost(of(20 + turned) + 0.2 * q - 0.2, of(100), own=0),
        cost(of(40) - 0.2, of(40), own=0),
        cost(of(70), of(10 - turned) - 0.2 * q - 0.2, own=1),
    ]
    found = module(PLACES, PEOPLE, torch.tensor([2.0, 4.0, 6.0]))
    assert float(found.detach()) == pytest.approx(sum(costs) / 3, rel=1e-4)


def test_adafaces_quality_ends_at_one_and_its_target_is_smoothed() -> None:
    module = placed(identity_loss("adaface", label_smoothing=0.2, loss_scale=2), 20, 100)
    module.eval().get_buffer("mean").fill_(5)  # the deviation is 1
    turned = math.degrees(0.2)
    costs = []
    logits = [
        (of(20 - turned) - 0.4, of(100), 0),  # q = 1
        (of(40 + turned), of(40), 0),  # q = -1
        (of(70), of(10) - 0.2, 1),  # q = 0
    ]
    for first, second, own in logits:
        halved = first / 2, second / 2  # `cost` has a scale of 4
        costs.append(0.9 * cost(*halved, own=own) + 0.1 * cost(*halved, own=1 - own))
    found = module(PLACES, PEOPLE, torch.tensor([90.0, 0.0, 5.0]))
    assert float(found.detach()) == pytest.approx(sum(costs) / 3, rel=1e-4)


def test_adafaces_norms_are_compared_with_a_running_mean_in_training_only() -> None:
    module = identity_loss("adaface")
    module(PLACES, PEOPLE, torch.tensor([2.0, 4.0, 6.0]))
    module(PLACES, PEOPLE, torch.tensor([14.0, 14.0, 14.0]))
    kept = {"mean": 0.99 * 4 + 0.01 * 14, "deviation": 0.99 * math.sqrt(8 / 3)}
    for name, value in kept.items():
        assert float(module.get_buffer(name)) == pytest.approx(value, rel=1e-5)
    module.eval()(PLACES, PEOPLE, torch.tensor([90.0, 90.0, 90.0]))
    assert float(module.get_buffer("mean")) == pytest.approx(4.1, rel=1e-5)


@pytest.mark.parametrize("name", ["subcenter_arcface", "adaface"])
def test_margin_losses_have_a_slope_where_an_image_is_its_centre(name: str) -> None:
    module = placed(identity_loss(name, sub_centres=1), 10, 10)
    places = at(10, 10, 10).requires_grad_()
    module(places, PEOPLE, *([torch.ones(3)] if name == "adaface" else [])).backward()
    assert places.grad is not None and places.grad.isfinite().all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("contrastive", (1.0 + (1.5 - 2 * math.sin(math.radians(15))) ** 2) / 2),
        ("cosine_embedding", (0.5 + of(30) - 0.3) / 2),
        ("logistic", (math.log1p(math.exp(0)) + math.log1p(math.exp(8 * of(30) - 4))) / 2),
    ],
)
def test_of_different_people_the_most_alike_pairs_count(name: str, expected: float) -> None:
    margin = 1.5 if name == "contrastive" else 0.3
    settings = {"margin": margin, "loss_scale": 8}
    half = loss(name, hard_negatives=0.5, **settings)  # of two different pairs the one at 30
    assert half == pytest.approx(expected, rel=1e-4)
    assert loss(name, hard_negatives=0.1, **settings) == half  # one at least
    assert loss(name, hard_negatives=0.51, **settings) == loss(name, **settings) != half


def test_a_share_of_the_different_pairs_is_not_one_more_by_rounding() -> None:
    person = torch.tensor([0] * 5 + [1] * 5)  # 25 pairs of two; 0.28 of them is 7.000000000000001
    vectors = torch.randn(10, 8, generator=torch.Generator().manual_seed(0))
    _, same, counted = losses._pairs(vectors, person, 0.28)
    assert int((counted & ~same).sum()) == 7


def test_smoothing_shares_the_target_of_pairs() -> None:
    label = torch.tensor([0, 1, 0, 1])
    plain = [math.log(2), math.log(4 / 3), math.log(4), math.log(2)]
    other = [math.log(2), math.log(4), math.log(4 / 3), math.log(2)]
    expected = sum(0.9 * a + 0.1 * b for a, b in zip(plain, other, strict=True)) / 4
    for smoothed in (single, two):
        assert float(smoothed(LOGITS, label, 0.2)) == pytest.approx(expected, rel=1e-5)
