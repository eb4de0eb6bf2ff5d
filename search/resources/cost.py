"""The cost of a search in seconds, from earlier runs on this machine or from arithmetic.

Seconds an epoch come from earlier runs with the same net and data protocol where there are any;
else from arithmetic with the rates below. Pruning is not predicted: an estimate is what the trials
cost if each of them runs to its end.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facesiam.config import Value
from facesiam.config.image_sizes import mean_share, share_of
from search.runs.journal import read_epochs, read_trials
from search.runs.line_format import JournalError
from search.space import SearchSpace
from search.space.combinations import base

if TYPE_CHECKING:
    from facesiam.data.dataset import FaceData

GIGA_MACS = {
    "alexnet": 0.66,
    "vgg16_bn": 15.4,
    "resnet18": 1.8,
    "resnet50": 4.1,
    "resnext50_32x4d": 4.2,
    "densenet121": 2.8,
    "googlenet": 1.5,
    "convnext_tiny": 4.5,
    "mobilenet_v3_large": 0.22,
    "efficientnet_b0": 0.39,
    "efficientnet_lite0": 0.39,
    "efficientnet_lite1": 0.6,
    "efficientnet_lite2": 0.86,
    "iresnet18": 10.4,
    "iresnet34": 17.8,
    "iresnet50": 25.2,
    "iresnet100": 48.3,
}
"""Multiply-adds of one 224×224 image through the convolutions, in 1e9; of another net 4 are taken.
Counted by layer, or as torchvision's documentation has them."""
DEPTHWISE_FACTOR = 8
"""Factor by which a net of depthwise convolutions is slower on a CPU than its operations say
(EfficientNet-lite0 at 112 pixels trains 88 images a second on the two cores of RATES, as
spaces/cpu.yaml measured at its start)."""
RATES = {"CPU": 0.4e12, "GPU": 60e12}
"""Assumed operations a second of two CPU cores with bf16, and of a GPU of 2020 or later."""
EPOCH_TIME_SETTINGS = (
    "net",
    "join",
    "hidden",
    "protocol",
    "fold",
    "people",
    "image_size",
    "batch_size",
    "images_per_person",
    "views",
    "freeze_stages",
)
"""Settings that decide the time of an epoch: an earlier trial counts if it agrees in them."""


@dataclass(frozen=True)
class Samples:
    """What an epoch trains on."""

    units: Mapping[str, int]
    """Training pairs or triplets by protocol."""
    images: Mapping[str, int]
    """Training images by `views`."""
    people: int
    """That train."""


_PAIRS = ("cfp-pairs", "dataset-pairs")
CFP = Samples(
    {**dict.fromkeys(_PAIRS, 8400), "frontal-triplets": 3000}, {"protocol": 3000, "all": 4200}, 300
)
DRAWN = Samples(
    {**dict.fromkeys(_PAIRS, 840), "frontal-triplets": 600}, {"protocol": 600, "all": 840}, 60
)


def samples_of(space: SearchSpace, data: FaceData | None, drawn: bool) -> Samples:
    """Return what an epoch trains on with these data, for each protocol of the space.

    Args:
        space: what is searched.
        data: the data; None where there are none yet. Those in CFP's form are not counted.
        drawn: whether they are the drawn faces.
    """
    if data is None or data.format == "cfp":
        return DRAWN if drawn else CFP
    units, images, people = dict[str, int](), dict[str, int](), 0
    for protocol in space.possible("protocol"):
        pairs = data.pairs(str(protocol), "train")  # type: ignore[arg-type]
        units[str(protocol)] = len(pairs.label if pairs.triplets is None else pairs.triplets)
        for views in ("protocol", "all"):
            images[views] = max(images.get(views, 0), len(data.images_of(pairs, views)))
        people = max(people, len({*data.person[pairs.left], *data.person[pairs.right]}))
    return Samples(units, images, people)


def estimate(
    space: SearchSpace,
    out: Path,
    count: int | None,
    samples: Samples,
) -> str:
    """Return the estimated cost of a search as a sentence.

    Args:
        space: what is searched.
        out: folder with earlier runs.
        count: number of trials; None: as many as the examples of the space.
        samples: what an epoch trains on.
    """
    examples = list(space.examples())
    seconds, how = _seconds_each(examples, out, samples)
    epochs = statistics.mean(int(config["epochs"]) for config in examples)
    mean, number = statistics.mean(seconds), count or len(examples)
    limit = f"; it halts after {space.minutes:g} minutes" if space.minutes else ""
    return (
        f"estimated cost: trials × epochs = {number} × {epochs:.0f}, "
        f"{human_seconds(mean)} a trial, "
        f"{human_seconds(mean * number)} in all, one after the other and none stopped "
        f"(from {how}){limit}"
    )


def of_race(space: SearchSpace, out: Path, trainings: int, samples: Samples) -> str:
    """Return what the race at the end of a search costs at most, as a sentence.

    Args:
        space: what is searched.
        out: folder with earlier runs.
        trainings: of the race, at most.
        samples: what an epoch trains on.
    """
    examples = list(space.examples())
    most = trainings * max(_seconds_each(examples, out, samples)[0])
    epochs = max(int(config["epochs"]) for config in examples)
    return (
        "estimated cost of the race besides: trainings × epochs = "
        f"{trainings} × {epochs} at most, {human_seconds(most)} one after the other"
    )


def _seconds_each(
    examples: Iterable[Mapping[str, Value]], out: Path, samples: Samples
) -> tuple[list[float], str]:
    """Return the seconds of each trial, and what they come from."""
    measured = _measured(out)
    seconds, how = [], set()
    for config in examples:
        times = measured.get(_key(config))
        how.add("earlier runs here" if times else "arithmetic, good to a factor of 3")
        seconds.append(
            int(config["epochs"])
            * mean_share(config)
            * (statistics.median(times) if times else _epoch_seconds(config, samples))
        )
    return seconds, " and ".join(sorted(how))


def seconds_in_all(space: SearchSpace, samples: Samples) -> float:
    """Return the seconds of a search by arithmetic, one trial after the other and none stopped.

    Args:
        space: what is searched.
        samples: what an epoch trains on.

    Returns:
        Seconds; infinity for a search without a last trial.
    """
    each = [
        int(config["epochs"]) * mean_share(config) * _epoch_seconds(config, samples)
        for config in space.examples()
    ]
    return statistics.mean(each) * (space.count() or math.inf)


def seconds_of_rows(spaces: Iterable[SearchSpace], rates: Mapping[str, float]) -> float | None:
    """Return the seconds that the rows of the 2019 study train at measured rates, one by one.

    Validation is left out.

    Args:
        spaces: whose rows.
        rates: pairs of triplets a second, by NET/JOIN. An official pair has two images to itself
            where a pair of a triplet has one and a half, and takes so much longer.

    Returns:
        Seconds, or None where the rate of a row's net and join is not known.
    """
    seconds = 0.0
    for space in spaces:
        for id in space.rows:
            row = space.row_settings(id)
            rate = rates.get(f"{row['net']}/{row['join']}")
            if rate is None:
                return None
            protocol = str(row["protocol"])
            triplets = protocol == "frontal-triplets"
            pairs = CFP.units[protocol] * (2 if triplets else 1)
            seconds += int(row["epochs"]) * pairs / (rate if triplets else rate * 1.5 / 2)
    return seconds


def human_seconds(seconds: float) -> str:
    """Return a duration as people say it: 45 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _multiply_adds(config: Mapping[str, Value]) -> float:
    """Return the multiply-adds, in 1e9, of the convolutions of a trial's net for one image."""
    scale = (int(config["image_size"]) / 224) ** 2
    return GIGA_MACS.get(str(config["net"]), 4.0) * scale


def _epoch_seconds(config: Mapping[str, Value], samples: Samples) -> float:
    """Return seconds an epoch by arithmetic: operations of forward and backward over the rate."""
    protocol = str(config["protocol"])
    images = samples.units[protocol] * (3 if protocol == "frontal-triplets" else 2)
    if config["images_per_person"]:  # each image once
        images = samples.images[str(config["views"])]
    if people := int(config["people"]):
        images = min(images, people * images // max(1, samples.people))
    operations = images * 3 * 2 * _multiply_adds(config) * 1e9
    from facesiam.device.hardware import (  # imports torch, so only where it is needed
        DEPTHWISE,
        gpu_names,
    )

    if gpu_names():
        return operations / RATES["GPU"]
    slow = DEPTHWISE_FACTOR if str(config["net"]).startswith(DEPTHWISE) else 1
    return slow * operations / RATES["CPU"]


def _measured(out: Path) -> dict[str, list[float]]:
    """Return seconds an epoch of earlier runs under `out`, by the settings that decide them.

    With images that grow, they are those of an epoch at the last size.
    """
    times: dict[str, list[float]] = {}
    for run in sorted(p.parent for p in out.glob("*/manifest.json")):
        try:
            epochs = read_epochs(run)
            for name, trial in read_trials(run).items():
                known = base(trial["settings"])  # older runs lack some
                seconds = [
                    row["seconds"] / share_of(known, row["epoch"]) for row in epochs.get(name, [])
                ]
                times.setdefault(_key(known), []).extend(seconds)
        except (JournalError, KeyError):
            continue  # a damaged run is no measure, and no reason not to plan
    return {key: values for key, values in times.items() if values}


def _key(settings: Mapping[str, Value]) -> str:
    return json.dumps([settings[name] for name in EPOCH_TIME_SETTINGS])
