"""The number of trials that share a GPU, or a machine's cores, measured for long searches.

Knows nothing of Ray: the caller brings what measures on a machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from facesiam.config import Value
from facesiam.errors import counted
from facesiam.training.throughput import Share
from search.resources.allocation import Allocation, Node, Setup
from search.resources.cost import Samples, seconds_in_all
from search.space import SearchSpace

WORTH_SECONDS = 600
"""A search that is estimated to take less is not worth the time that measuring takes."""

Probe = Callable[[Mapping[str, Value], int, bool], Share]
"""Takes settings, cores, and whether on a GPU; returns the result of ``throughput.share_of``."""


def measure(
    space: SearchSpace,
    setup: Setup,
    nodes: Sequence[Node],
    samples: Samples,
    probe: Probe,
    say: Callable[[str], None],
) -> dict[str, int]:
    """Return, by net whose share is `auto`, how many of its trials share a GPU or the cores.

    Args:
        space: what is searched.
        setup: whose --cpus, --gpus and --concurrent leave nothing to measure.
        nodes: the machines; of different ones the first suitable one is measured.
        samples: what an epoch trains on.
        probe: measures there.
        say: is given each line of the result.
    """
    at_once = {}
    for net, settings in nets_to_measure(space, setup, nodes, samples).items():
        gpu = any(node.gpus >= 1 for node in nodes)
        node = next(node for node in nodes if node.gpus >= 1 or not gpu)
        cores = node.cpus // max(1.0, node.gpus if gpu else 1.0)
        device = "a GPU" if gpu else "the cores"
        say(
            f"{net}: how many trials at once are best on {device}? (measured once, in about a "
            "minute; then known from the cache)"
        )
        share = probe(settings, max(1, int(cores)), gpu)
        at_once[net] = share.best.at_once
        for line in _lines(net, share, gpu):
            say(line)
    return at_once


def nets_to_measure(
    space: SearchSpace, setup: Setup, nodes: Sequence[Node], samples: Samples
) -> dict[str, Mapping[str, Value]]:
    """Return, by net that is worth measuring, the settings of its most costly trial."""
    if setup.concurrent or space.count() == 1 or seconds_in_all(space, samples) < WORTH_SECONDS:
        return {}
    shares = Allocation(space, setup, nodes)
    gpu = shares.has_gpus
    asked = {net: shares.requested(net) for net in space.nets()}
    nets = {net for net, (cpus, gpus) in asked.items() if (gpus if gpu else cpus) == "auto"}
    costliest: dict[str, Mapping[str, Value]] = {}
    for config in space.examples():
        net = str(config["net"])
        if net in nets:
            costliest[net] = max(costliest.get(net, config), config, key=step_cost)
    return costliest


def _lines(net: str, share: Share, gpu: bool) -> list[str]:
    """Return a line for each number of trials that was measured, and one for the choice."""
    device = "a GPU" if gpu else "the cores"
    lines = [
        f"{net}: {way.at_once} on {device}, {counted(way.threads, 'thread')} each: "
        + (
            f"{way.pairs_per_second:.1f} pairs/s together, {way.memory_mib:.0f} MiB each"
            if way.pairs_per_second
            else "did not come up"
        )
        for way in share.tried
    ]
    return [*lines, f"{net}: {share.best.at_once} at once on {device}"]


def step_cost(config: Mapping[str, Value]) -> tuple[float, ...]:
    """Return a key that orders settings by the time and memory of a step."""
    pixels = int(config["batch_size"]) * int(config["image_size"]) ** 2
    joined = {"concat": 2, "difference": 1, "linear": 1}
    head = joined.get(str(config["join"]), 0) * int(config["hidden"])
    frozen = int(config["freeze_stages"]) or bool(config["freeze"])
    return pixels, head, -frozen, config["precision"] == "fp32"
