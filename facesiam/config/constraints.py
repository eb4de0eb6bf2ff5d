"""Rules between settings: what no trial can run with, though each setting by itself is in bounds.

Imports neither torch nor Ray. TrialConfig checks itself against them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, get_args

from facesiam.config.settings import Value

EmbeddingJoin = Literal["cosine", "distance"]
EMBEDDING_JOINS: tuple[str, ...] = get_args(EmbeddingJoin)
PairLoss = Literal["single", "two"]
PAIR_LOSSES: tuple[str, ...] = get_args(PairLoss)
"""Losses of two logits, which are ln 2 for a guess; those of embeddings have other scales."""
EmbeddingLoss = Literal[
    "contrastive",
    "triplet",
    "cosine_embedding",
    "logistic",
    "supcon",
    "arcface",
    "cosface",
    "subcenter_arcface",
    "adaface",
]
EMBEDDING_LOSSES: tuple[str, ...] = get_args(EmbeddingLoss)
"""Losses of embeddings and identities."""
DOCUMENTED = ("alexnet", "vgg16_bn")
"""Nets of the 2019 study, whose `freeze` is known and whose inputs stay in [0, 1]."""
FIXED_SIZE = ("vit_", "maxvit_")
"""Nets that take 224×224 only, by how their names begin."""
STOCHASTIC_DEPTH = {
    "convnext_tiny": 0.1,
    "convnext_small": 0.4,
    "convnext_base": 0.5,
    "convnext_large": 0.5,
    "efficientnet_": 0.2,
    "maxvit_t": 0.2,
    "swin_b": 0.5,
    "swin_s": 0.3,
    "swin_t": 0.2,
    "swin_v2_b": 0.5,
    "swin_v2_s": 0.3,
    "swin_v2_t": 0.2,
}
"""Rates of stochastic depth that their authors trained nets with, by how the nets' names begin:
that of the last block, but of EfficientNet the one that would come after it."""

Settings = Mapping[str, Value]


class Constraint(NamedTuple):
    """A rule between some settings."""

    key: str
    """The setting that is told to be wrong where the rule is broken."""
    fields: tuple[str, ...]
    """The settings that the rule reads, no others: a search tries the combinations of these. The
    first of them is the one that a search had best make `key` conditional on."""
    broken: Callable[[Settings], bool]
    """Says whether settings, in bounds each by itself, break the rule."""
    text: Callable[[Settings], str]
    """Says in a sentence, without the key, what is wrong with settings that do."""

    def rank(self, name: str) -> int:
        """Return the position of a setting among the fields; of another one, after all of them."""
        return self.fields.index(name) if name in self.fields else len(self.fields)


def own_stochastic_depth(net: str) -> float:
    """Return the rate of stochastic depth that a net's authors trained it with; 0: it has none."""
    return next((rate for name, rate in STOCHASTIC_DEPTH.items() if net.startswith(name)), 0.0)


def _smallest_side(s: Settings) -> int:
    """Return the side of the smallest images that the net takes, in pixels."""
    if str(s["net"]).startswith(FIXED_SIZE):
        return 224
    return 75 if s["net"] == "inception_v3" else 64


def _takes(s: Settings) -> str:
    """Say which images the net takes."""
    smallest = _smallest_side(s)
    return f"{s['net']} takes {smallest} {'only' if smallest == 224 else 'and more'}"


def _leaves(s: Settings) -> bool:
    """Say whether growing images leave the sizes from the net's smallest to ``image_size``."""
    smallest, last = _smallest_side(s), int(s["image_size"])
    first = int(s["first_image_size"])
    # An image_size that is itself too small breaks its own rule; one sentence is enough.
    return bool(first) and smallest <= last and not smallest <= first <= last


def _grows(s: Settings) -> str:
    """Say from where to where images of the net may grow."""
    smallest, last, first = _smallest_side(s), int(s["image_size"]), int(s["first_image_size"])
    if smallest == last:
        why = f"as {s['net']} takes {last} only" if last == 224 else f"as image_size is {last}"
        return f"must be 0 for one size, {why}, got {first}"
    least = "64" if smallest == 64 else f"{smallest}, the least that {s['net']} takes,"
    nearest = smallest if first < smallest else last
    return (
        f"must be from {least} to image_size ({last}), or 0 for one size, got {first}; the "
        f"nearest is {nearest}"
    )


def _embeds(s: Settings) -> bool:
    return s["join"] in EMBEDDING_JOINS


def _groups(s: Settings) -> bool:
    size, each = int(s["batch_size"]), int(s["images_per_person"])
    return each > 1 and (size % each > 0 or size < 2 * each)


CONSTRAINTS: tuple[Constraint, ...] = (
    Constraint(
        "freeze_batchnorm",
        ("pretrained", "net", "freeze_batchnorm"),
        lambda s: bool(s["freeze_batchnorm"] and not s["pretrained"] and s["net"] != "alexnet"),
        lambda s: (
            "true needs pretrained: true (the statistics of untrained batch-norm layers "
            "mean nothing)"
        ),
    ),
    Constraint(
        "batch_size",
        ("loss", "protocol", "batch_size"),
        lambda s: (
            s["loss"] == "two"
            and s["protocol"] != "frontal-triplets"
            and int(s["batch_size"]) % 2 == 1
        ),
        lambda s: f"must be even with loss: two (half of a batch each), got {s['batch_size']}",
    ),
    Constraint(
        "freeze",
        ("net", "freeze"),
        lambda s: bool(s["freeze"]) and s["net"] not in DOCUMENTED,
        lambda s: f"true is of alexnet and vgg16_bn; with {s['net']} use freeze_stages",
    ),
    Constraint(
        "loss",
        ("join", "loss"),
        lambda s: _embeds(s) == (s["loss"] in PAIR_LOSSES),
        lambda s: (
            f"{s['loss']} does not go with join: {s['join']}; {', '.join(EMBEDDING_LOSSES)} "
            f"go with {' and '.join(EMBEDDING_JOINS)}, single and two with the others"
        ),
    ),
    Constraint(
        "embedding",
        ("embedding",),
        lambda s: s["embedding"] == 1,
        lambda s: "1 leaves two directions; 0 (the trunk's own features), or 2 and more",
    ),
    Constraint(
        "images_per_person",
        ("join", "images_per_person"),
        lambda s: bool(s["images_per_person"]) and not _embeds(s),
        lambda s: f"{s['images_per_person']} needs join: {' or '.join(EMBEDDING_JOINS)}",
    ),
    Constraint(
        "images_per_person",
        ("images_per_person",),
        lambda s: s["images_per_person"] == 1,
        lambda s: "1 makes no pair of the same person; 0, or 2 and more",
    ),
    Constraint(
        "batch_size",
        ("images_per_person", "batch_size"),
        _groups,
        lambda s: (
            f"must be a multiple of images_per_person: {s['images_per_person']}, two people "
            f"or more, got {s['batch_size']}"
        ),
    ),
    Constraint(
        "views",
        ("images_per_person", "views"),
        lambda s: s["views"] == "all" and not s["images_per_person"],
        lambda s: "all needs images_per_person",
    ),
    Constraint(
        "lookalike_people",
        ("images_per_person", "lookalike_people"),
        lambda s: bool(s["lookalike_people"]) and not s["images_per_person"],
        lambda s: f"{s['lookalike_people']:g} needs images_per_person",
    ),
    Constraint(
        "flip_average",
        ("join", "flip_average"),
        lambda s: bool(s["flip_average"]) and not _embeds(s),
        lambda s: f"true needs join: {' or '.join(EMBEDDING_JOINS)}",
    ),
    Constraint(
        "fpr_pairs",
        ("join", "fpr_pairs"),
        lambda s: s["fpr_pairs"] != "protocol" and not _embeds(s),
        lambda s: (
            f"{s['fpr_pairs']} needs join: {' or '.join(EMBEDDING_JOINS)}, whose pairs cost one "
            f"product each; with {s['join']} every pair goes through the head: protocol"
        ),
    ),
    Constraint(
        "scale_average",
        ("join", "scale_average"),
        lambda s: bool(s["scale_average"]) and not _embeds(s),
        lambda s: f"{s['scale_average']:g} needs join: {' or '.join(EMBEDDING_JOINS)}",
    ),
    Constraint(
        "cohort",
        ("join", "cohort"),
        lambda s: bool(s["cohort"]) and not _embeds(s),
        lambda s: f"{s['cohort']} needs join: {' or '.join(EMBEDDING_JOINS)}",
    ),
    Constraint(
        "cohort",
        ("cohort",),
        lambda s: s["cohort"] == 1,
        lambda s: "1 has no deviation to normalise by; 0, or 2 and more",
    ),
    Constraint(
        "stochastic_depth",
        ("net", "stochastic_depth"),
        lambda s: bool(s["stochastic_depth"]) and not own_stochastic_depth(str(s["net"])),
        lambda s: f"{s['net']} has none; 0, or one of convnext, efficientnet, maxvit, swin",
    ),
    Constraint(
        "image_size",
        ("net", "image_size"),
        lambda s: int(s["image_size"]) < _smallest_side(s),
        lambda s: f"{_takes(s)}, got {s['image_size']}",
    ),
    Constraint("first_image_size", ("image_size", "net", "first_image_size"), _leaves, _grows),
    Constraint(
        "growing",
        ("first_image_size", "growing"),
        lambda s: bool(s["first_image_size"]) and not s["growing"],
        lambda s: (
            f"0 leaves first_image_size: {s['first_image_size']} no epoch; a share of the epochs "
            "above 0, such as 0.5, or first_image_size: 0 for one size"
        ),
    ),
    Constraint(
        "packed_size",
        ("image_size", "packed_size"),
        lambda s: int(s["packed_size"]) < int(s["image_size"]),
        lambda s: (
            f"must be image_size ({s['image_size']}) or more, got {s['packed_size']}; packed "
            "images are averaged down to it, never enlarged"
        ),
    ),
    Constraint(
        "people",
        ("fold", "people"),
        lambda s: bool(s["fold"]) and bool(s["people"]),
        lambda s: "limits the protocol's own split, not a fold; leave out one of the two",
    ),
)
"""Every rule. A test holds that each reads its fields and nothing else."""


def conflicts(settings: Settings) -> list[str]:
    """List the rules that ``settings``, complete and in bounds, break, each after its key."""
    return [f"{rule.key}: {rule.text(settings)}" for rule in CONSTRAINTS if rule.broken(settings)]
