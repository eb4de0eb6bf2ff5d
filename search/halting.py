"""SIGTERM and Ctrl-C: the trials that run save their state, then the search ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from search.recorder import Recorder

SECONDS = 8.5
"""How long the trials have to save their states. A preempted machine has not much more than 10."""
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


@contextmanager
def on_signals(recorder: Recorder) -> Iterator[None]:
    """Within this, a first signal halts the search, and a second one ends it at once.

    Halted, no trial starts, each that runs saves its state after its step at hand, and the search
    ends when all have, or after SECONDS with KeyboardInterrupt.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread has signals
        return

    def first(number: int, frame: Any) -> None:
        if recorder.halted:
            raise KeyboardInterrupt
        recorder.halted = WORDS[signal.Signals(number)]
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        trials = list(recorder.trials.values())
        threading.Thread(target=_tell, args=[trials], daemon=True).start()

    def late(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, first) for number in WORDS}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, late)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(trials: Iterable[Any]) -> None:
    """Send SIGTERM to the workers of these trials, on whichever machine they are."""
    here = ray.get_runtime_context().get_node_id()
    for trial in trials:
        actor = trial.temporary_state.ray_actor
        if actor is None:
            continue
        found = ray._private.state.actors(actor._actor_id.hex())
        pid, node = int(found.get("Pid") or 0), found["Address"]["NodeID"]
        if not pid:
            continue
        if node == here:
            _end(pid)
        else:
            there = NodeAffinitySchedulingStrategy(node, soft=False)
            ray.remote(_end).options(num_cpus=0, scheduling_strategy=there).remote(pid)


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
