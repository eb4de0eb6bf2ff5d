"""What a search would cost, before it starts: ``search.run --dry-run``.

Seconds an epoch come from earlier runs on this machine where there are any with the same net and
data protocol; else from arithmetic with stated rates. Early stopping is not foretold: the estimate
is what the trials cost if every one runs to its end.
"""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from facesiam.config import Value
from search.options import RunOptions
from search.runs.journal import read_epochs, read_trials
from search.runs.line_format import JournalError
from search.space import SearchSpace
from search.space.combinations import base

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
}
"""Multiply-adds of one 224×224 image through the convolutions, in 1e9; of another net 4 are taken.
Counted by layer, or as torchvision's documentation has them."""
SLOW = 8
"""How many times as long a net of depthwise convolutions takes on a CPU as its operations say
(EfficientNet-lite0 at 112 pixels trains 88 images a second on the two cores of RATES, as
spaces/cpu.yaml measured at its start)."""
SAMPLES = {
    ("frontal-triplets", False): 3000,
    ("cfp-pairs", False): 8400,
    ("frontal-triplets", True): 600,
    ("cfp-pairs", True): 840,
}
"""Training triplets or pairs by protocol, of the whole CFP dataset and of the drawn one."""
PEOPLE_IMAGES = {
    (False, "protocol"): 3000,
    (False, "all"): 4200,
    (True, "protocol"): 600,
    (True, "all"): 840,
}
"""Training images by whether they are drawn, and by `views`."""
RATES = {"CPU": 0.4e12, "GPU": 60e12}
"""Assumed operations a second of two CPU cores with bf16, and of a GPU of 2020 or later."""
SAME = (
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
"""Settings that decide an epoch's time: trials that agree in them are taken as a measure."""


def describe(space: SearchSpace, out: Path, options: RunOptions) -> str:
    """Return the plan of a search as text: what would run, with what, for how long."""
    from search.pruning.inactive_rules import cannot_act

    silent = cannot_act(space)
    if space.algorithm == "rows":  # of the rest nothing is run, and rows run to their end
        prune = space.prune | {"asha": False, "chance": False, "plateau": False}
        space = replace(space, search={}, trials=len(space.rows), prune=prune)
        distinct = [json.dumps(space.row_settings(id), sort_keys=True) for id in space.rows]
        size: int | None = len(set(distinct))
    else:
        size = space.size()
    count = space.count()
    trials = "until the space is exhausted" if count is None else str(count)
    text = [
        space.dump().rstrip(),
        "",
        f"distinct configurations: {'infinitely many' if size is None else size}",
        f"algorithm: {space.algorithm}, trials: {trials}",
    ]
    text += [f"rule {line}" for line in silent]
    resources, at_once = _resources(space, options)
    text += resources
    if space.algorithm == "tpe":
        text.append(who_chooses(space, at_once)[0])
    text.append(f"data: {_data(options.data or space.data)}")
    text += _weights(space, options.weights)
    drawn = (options.data or space.data) == "drawn"
    return "\n".join([*text, _cost(space, out, count or size, drawn)])


def _data(given: str | None) -> str:
    """Name the data that a run would take; a path is opened and refused as in a run.

    Raises:
        DataError: it is not there, or is not a dataset.
    """
    from facesiam.data.archive import open_source

    spec = given or os.environ.get("FACESIAM_DATA")
    if spec is None:
        from facesiam.data.dataset import cache_root
        from facesiam.data.preparation import ARCHIVE

        there = cache_root() / ARCHIVE
        return str(there) if there.exists() else "none: the start needs --data"
    if spec != "drawn":
        open_source(Path(spec).expanduser())
    return spec


def _weights(space: SearchSpace, given: str | None) -> list[str]:
    """Say where the ImageNet weights are that a run would take; nothing is downloaded.

    Raises:
        WeightsError: there are none where they have to be.
    """
    nets = sorted({str(config["net"]) for config in space.examples() if config["pretrained"]})
    if not nets:
        return []
    from facesiam.nets.pretrained import place_of_weights

    places = {net: place_of_weights(net, given) for net in nets}
    missing = [net for net, place in places.items() if not place.is_file()]
    here = [f"{net} {place}" for net, place in places.items() if place.is_file()]
    if missing:
        here.append(f"not here, so the start has to download them: {', '.join(missing)}")
    return [f"pretrained weights: {'; '.join(here)}"]


def who_chooses(space: SearchSpace, at_once: int | None, known: int = 0) -> tuple[str, int]:
    """Return how many trials are drawn at random and how many TPE chooses, and the latter number.

    Args:
        space: a search by TPE.
        at_once: how many trials run at once; None: not known.
        known: trials of earlier runs that it begins with.
    """
    count, startup = space.count() or 0, max(0, space.startup() - known)
    blind = 0 if known else at_once or 1  # that start before there is any score to learn from
    drawn = min(count, max(startup, blind))
    why = f", as {at_once} start before any has a score" if blind > startup and at_once else ""
    if drawn == count:
        return (
            f"TPE chooses no trial: all {count} are drawn at random{why}; with more trials, or "
            "fewer at once, it would"
        ), 0
    first = f"the first {drawn} of {count} trials are drawn at random{why}"
    if at_once is None and not known:
        first += ", and all that start before any has a score"
    text = f"{first}; TPE chooses the other {count - drawn}"
    text = text if drawn else "TPE chooses every trial"
    if count == space.size():
        text += ", in which order: every configuration is run"
    return text, count - drawn


def _resources(space: SearchSpace, options: RunOptions) -> tuple[list[str], int | None]:
    """Say what each trial gets, here or on the cluster, which is not asked.

    Returns:
        Lines, and how many trials run at once, where that is known.
    """
    number: int | None = None
    from search.resources import sharing
    from search.resources.allocation import Allocation, Setup, this_machine

    if options.address:
        shares = {net: space.resources.for_net(net) for net in space.nets()}
        at_once = f"as many at once as fit on {options.address}"
    else:
        given = {name: getattr(options, name) for name in ("cpus", "gpus", "concurrent")}
        setup = Setup(Path(), "", **given)
        here = Allocation(space, setup, this_machine())
        shares = {net: here.of(net) for net in space.nets()}
        number = here.concurrent
        at_once = f"{number} at once on this machine"
        drawn = (options.data or space.data) == "drawn"
        if open_ := sharing.wanted(space, setup, this_machine(), drawn):
            at_once += (
                f"; how many with {' and '.join(open_)} is best the start will measure, a minute "
                "or so once a machine (--concurrent does without)"
            )
    text = [f"a trial with {net}: cpus {c}, gpus {g}" for net, (c, g) in shares.items()]
    return [*text, at_once], number


def _cost(space: SearchSpace, out: Path, count: int | None, drawn: bool) -> str:
    examples = list(space.examples())
    measured = _measured(out)
    seconds, how = [], set()
    for config in examples:
        times = measured.get(_key(config))
        how.add("earlier runs here" if times else "arithmetic, good to a factor of 3")
        seconds.append(
            int(config["epochs"])
            * (statistics.median(times) if times else _seconds(config, drawn))
        )
    epochs = statistics.mean(int(config["epochs"]) for config in examples)
    mean, number = statistics.mean(seconds), count or len(examples)
    limit = f"; it halts after {space.minutes:g} minutes" if space.minutes else ""
    return (
        f"estimated cost: trials × epochs = {number} × {epochs:.0f}, "
        f"{human_seconds(mean)} a trial, "
        f"{human_seconds(mean * number)} in all, one after the other and none stopped "
        f"(from {' and '.join(sorted(how))}){limit}"
    )


def seconds_in_all(space: SearchSpace, drawn: bool) -> float:
    """Return what the search would take by arithmetic, one trial after the other, none stopped.

    On the drawn faces or the whole of CFP; without end, infinity.
    """
    each = [int(config["epochs"]) * _seconds(config, drawn) for config in space.examples()]
    return statistics.mean(each) * (space.count() or math.inf)


def seconds_of_rows(spaces: Iterable[SearchSpace], rates: Mapping[str, float]) -> float | None:
    """Return what the documents' rows take to train at measured rates, one after the other.

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
            pairs = SAMPLES[protocol, False] * (2 if triplets else 1)
            seconds += int(row["epochs"]) * pairs / (rate if triplets else rate * 1.5 / 2)
    return seconds


def _seconds(config: Mapping[str, Value], drawn: bool) -> float:
    """Return seconds an epoch by arithmetic: operations of forward and backward over the rate."""
    protocol = str(config["protocol"])
    images = SAMPLES[protocol, drawn] * (3 if protocol == "frontal-triplets" else 2)
    if config["images_per_person"]:  # each image once: 300 people with 10 frontal and 4 profiles
        images = PEOPLE_IMAGES[drawn, str(config["views"])]
    if people := int(config["people"]):  # of some 300 that train, or 60 drawn ones
        images = min(images, people * images // (60 if drawn else 300))
    scale = (int(config["image_size"]) / 224) ** 2
    operations = images * 3 * 2 * GIGA_MACS.get(str(config["net"]), 4.0) * 1e9 * scale
    from facesiam.device.hardware import (  # imports torch, so only where it is needed
        DEPTHWISE,
        gpu_names,
    )

    if gpu_names():
        return operations / RATES["GPU"]
    slow = SLOW if str(config["net"]).startswith(DEPTHWISE) else 1
    return slow * operations / RATES["CPU"]


def _measured(out: Path) -> dict[str, list[float]]:
    """Return seconds an epoch of earlier runs under `out`, by the settings that decide them."""
    times: dict[str, list[float]] = {}
    for run in sorted(p.parent for p in out.glob("*/manifest.json")):
        try:
            epochs = read_epochs(run)
            for name, trial in read_trials(run).items():
                seconds = [row["seconds"] for row in epochs.get(name, [])]
                times.setdefault(_key(trial["settings"]), []).extend(seconds)
        except (JournalError, KeyError):
            continue  # a damaged run is no measure, and no reason not to plan
    return {key: values for key, values in times.items() if values}


def _key(settings: Mapping[str, Value]) -> str:
    return json.dumps([base(settings)[name] for name in SAME])  # older runs lack some


def human_seconds(seconds: float) -> str:
    """Return a duration as people say it: 45 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
