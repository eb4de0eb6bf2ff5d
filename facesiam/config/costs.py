"""What a net costs in use: the names of the figures that stand beside a trial's metrics."""

from __future__ import annotations

from typing import Literal, get_args

Cost = Literal["params", "macs", "latency_ms"]
"""``params``: numbers that the net has, trained or frozen, without the weights of a loss.
``macs``: multiply-accumulates of one pair. ``latency_ms``: milliseconds of one pair on the trial's
device. Less of each is better."""
COSTS: tuple[str, ...] = get_args(Cost)
MEANINGS = {
    "params": "parameters of the net",
    "macs": "multiply-accumulates of one pair",
    "latency_ms": "milliseconds of one pair, measured on the device of the run",
}
