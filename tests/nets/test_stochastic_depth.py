"""What a net draws while it trains: what was asked for, and nothing where it is frozen."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from builders import REFERENCE
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.ops import StochasticDepth

from facesiam.config import TrialConfig
from facesiam.config.constraints import FIXED_SIZE, conflicts, own_stochastic_depth
from facesiam.config.nets import Net
from facesiam.config.trial import recorded
from facesiam.nets.siamese import SiameseNet
from search.runs import layout

NETS = [net for net in get_args(Net) if not net.startswith("regnet_") or net.endswith("_400mf")]
"""Every net but for the larger RegNets, whose layers are those of the small ones: torchvision
computes their widths with tensors, so that they cannot be made without their weights."""
HAVE = [
    "convnext_tiny",
    "efficientnet_b0",
    "efficientnet_lite0",
    "efficientnet_v2_s",
    "maxvit_t",
    "swin_t",
    "swin_v2_t",
]

KINDS = {*HAVE, "alexnet", "vgg11", "resnet18", "densenet121", "googlenet", "inception_v3"} | {
    *("squeezenet1_1", "shufflenet_v2_x0_5", "mobilenet_v2", "mobilenet_v3_small", "mnasnet0_5"),
    *("regnet_x_400mf", "resnext50_32x4d", "wide_resnet50_2", "vit_b_32"),
}
"""One net of each kind, the smallest; the others differ in size alone."""


def _marked(nets: list[str]) -> list[Any]:
    """All nets; half a second each, so those that differ in size alone are slow."""
    return [net if net in KINDS else pytest.param(net, marks=pytest.mark.slow) for net in nets]


class Draws(TorchDispatchMode):
    """Counts what is drawn from a generator."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator, and note it where it is random."""
        given = {a.name: v for a, v in zip(func._schema.arguments, args, strict=False)}
        given |= kwargs or {}
        drops = "scaled_dot_product" not in func.name() or given.get("dropout_p")
        if torch.Tag.nondeterministic_seeded in func.tags and drops:
            self.seen.append(func.name())
        return func(*args, **(kwargs or {}))


def embedding(net: str, **more: Any) -> TrialConfig:
    """An embedding net without dropout, of images as small as it takes."""
    side = 224 if net.startswith(FIXED_SIZE) else 75
    return TrialConfig(net=net, join="cosine", loss="supcon", image_size=side, **more)


def without_values(given: TrialConfig) -> SiameseNet:
    """A net of shapes alone, which costs nothing to make and to run."""
    with torch.device("cpu" if given.net.startswith("regnet_") else "meta"):
        return SiameseNet(given, 2).to("meta")


def draws(net: str, **more: Any) -> list[str]:
    """What one training pass of a net draws."""
    given = embedding(net, **more)
    trained = without_values(given).train()
    with Draws() as drawn:
        trained.embed(torch.empty(2, 3, given.image_size, given.image_size, device="meta"))
    return drawn.seen


@pytest.mark.parametrize("net", _marked(NETS))
def test_without_dropout_and_stochastic_depth_nothing_is_drawn(net: str) -> None:
    assert draws(net) == []


@pytest.mark.parametrize("net", HAVE)
def test_what_is_asked_for_is_drawn_and_where_all_is_frozen_nothing(net: str) -> None:
    own = own_stochastic_depth(net)
    assert draws(net, stochastic_depth=own)
    assert draws(net, stochastic_depth=own, freeze_stages=8) == []


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        # Blocks with a branch to leave out, by resolution: lite0 repeats 1 2 2 3 3 4 1, the first
        # of each without one: 0 at 112 pixels, 1 at 56, 1 at 28, 2 + 2 at 14, 3 + 0 at 7.
        ("efficientnet_lite0", [9, 9, 8, 7, 3, 0]),
        # 3 at 56, 3 at 28, 9 at 14, 3 at 7; of all 18 the first one's rate is 0. Stage 1 has none.
        ("convnext_tiny", [17, 17, 15, 12, 3, 0]),
        # 2, 2, 6 and 2 blocks of two branches each, the first block's rate being 0.
        ("swin_t", [22, 22, 20, 16, 4, 0]),
    ],
)
def test_frozen_blocks_leave_nothing_out(net: str, expected: list[int]) -> None:
    own = own_stochastic_depth(net)
    counts = [len(draws(net, stochastic_depth=own, freeze_stages=stages)) for stages in range(6)]
    assert counts == expected


@pytest.mark.parametrize("net", ["efficientnet_lite0", "efficientnet_b0", "convnext_tiny"])
def test_two_passes_are_equal_to_the_digit_unless_branches_are_left_out(net: str) -> None:
    torch.manual_seed(0)
    images = torch.rand(4, 3, 75, 75)

    def apart(**more: Any) -> float:
        trained = SiameseNet(embedding(net, **more), 2).train()
        for layer in trained.modules():  # of BN the statistics would be those of the batch
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.eval()
            if getattr(layer, "layer_scale", None) is not None:  # 1e-6 at first
                nn.init.ones_(layer.layer_scale)
        with torch.no_grad():
            return float((trained.embed(images) - trained.embed(images)).abs().max())

    assert apart() == 0
    assert apart(stochastic_depth=0.5) > 1e-5  # of fresh nets, whose embeddings lie close
    assert apart(stochastic_depth=0.5, freeze_stages=8) == 0


@pytest.mark.parametrize(
    "net",
    _marked(
        [
            net
            for net in NETS
            if own_stochastic_depth(net)
            and not net.startswith("efficientnet_lite")  # of its package
        ]
    ),
)
def test_the_rates_are_the_authors(net: str) -> None:
    """The last block's; EfficientNet's n blocks have 0, 1/n, … (n - 1)/n of theirs."""
    made = without_values(embedding(net, stochastic_depth=own_stochastic_depth(net)))
    found = [layer.p for layer in made.modules() if isinstance(layer, StochasticDepth)]
    own, last = own_stochastic_depth(net), max(found)
    if net.startswith("efficientnet_"):
        assert last == pytest.approx(own * (1 - 1 / len(found)))
    else:
        assert last == pytest.approx(own)


def test_a_rate_is_the_last_blocks_and_rises_to_it() -> None:
    made = without_values(embedding("convnext_tiny", stochastic_depth=0.34))
    lite = without_values(embedding("efficientnet_lite0", stochastic_depth=0.34))
    found = [layer.p for layer in made.modules() if isinstance(layer, StochasticDepth)]
    assert found == pytest.approx([0.02 * n for n in range(18)])
    assert lite.trunk.net._global_params.drop_connect_rate == 0.34


def test_a_net_without_it_refuses_a_rate() -> None:
    given = embedding("resnet18").to_dict() | {"stochastic_depth": 0.1}
    (said,) = conflicts(given)
    assert (
        said == "stochastic_depth: resnet18 has none; 0, or one of convnext, efficientnet, "
        "maxvit, swin"
    )


def test_a_run_of_before_it_could_be_set_had_its_nets_own() -> None:
    run = REFERENCE / "cpu"
    assert {known.stochastic_depth for known in layout.settings(run).values()} == {0.2}
    assert recorded({"net": "resnet18"})["stochastic_depth"] == 0
    assert recorded({"net": "swin_s"})["stochastic_depth"] == 0.3
    assert recorded({"net": "swin_s", "stochastic_depth": 0.0})["stochastic_depth"] == 0
