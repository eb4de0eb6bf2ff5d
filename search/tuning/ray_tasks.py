"""Tasks and actors on machines of a cluster that are chosen by Ray's id of them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from search.resources.allocation import DriverError
from search.tuning.ray_cluster import alive

ANSWER_SECONDS = 120
"""How long a machine is waited for, its environment set up for the first time included."""


def check_shared(out: Path) -> None:
    """Refuse a folder for the run that not every machine of the cluster sees.

    Raises:
        DriverError: names the machine, and says what to do.
    """
    nodes = alive()
    if len(nodes) < 2:
        return
    nearest = next(place for place in (out, *out.parents) if place.exists())
    with tempfile.NamedTemporaryFile(dir=nearest, prefix=".siamsearch-") as token:
        asked = {
            node["NodeManagerAddress"]: ray.remote(_sees)
            .options(num_cpus=0, scheduling_strategy=on(node["NodeID"]))
            .remote(token.name)
            for node in nodes
        }
        for address, answer in asked.items():
            try:
                sees = ray.get(answer, timeout=ANSWER_SECONDS)
            except ray.exceptions.GetTimeoutError:
                raise DriverError(f"machine {address} of the cluster does not answer") from None
            if not sees:
                raise DriverError(
                    f"--out {out}: machine {address} of the cluster does not see this folder; "
                    "give one that all of them share, or a URL such as --out s3://bucket/runs"
                )


def _sees(path: str) -> bool:
    return Path(path).exists()


def on(node: str) -> NodeAffinitySchedulingStrategy:
    """Return the strategy that runs a task on one machine, by Ray's id of it, or not at all."""
    return NodeAffinitySchedulingStrategy(node, soft=False)


def here() -> str:
    """Return Ray's id of this machine."""
    node: str = ray.get_runtime_context().get_node_id()
    return node


def standing_actor(kind: type, node: str, *given: Any, **options: Any) -> Any:
    """Start an actor that needs no core, on one machine; Ray starts it again where it dies.

    Args:
        kind: its class.
        node: Ray's id of the machine.
        given: to the class.
        options: of Ray, such as a name.
    """
    options |= {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1}
    actor: Any = ray.remote(kind).options(scheduling_strategy=on(node), **options)
    return actor.remote(*given)
