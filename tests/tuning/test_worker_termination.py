"""SIGTERM to trials' workers: on another machine an actor that is there already sends it."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from search.tuning import ray_cluster, worker_termination

WORKER = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print("runs", flush=True)
print(signal.sigwaitinfo({signal.SIGTERM}).si_pid, flush=True)
"""


def trial_of(actor: Any) -> Any:
    """Ray's trial whose worker is this actor."""
    return SimpleNamespace(temporary_state=SimpleNamespace(ray_actor=actor))


@pytest.mark.usefixtures("local_ray")
def test_another_machines_workers_are_signalled_by_the_actor_that_stands_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A task would start a process first, for which busy cores may take longer than is left."""
    (machine,) = ray_cluster.alive()
    node = machine["NodeID"]
    monkeypatch.setattr(worker_termination, "_terminators", {})
    worker_termination.stand_ready()
    assert worker_termination._terminators == {}  # this machine needs none
    monkeypatch.setattr(worker_termination, "here", lambda: "another machine")
    worker_termination.stand_ready()
    worker_termination.stand_ready()  # as each look at the cluster's machines does
    (actor,) = worker_termination._terminators.values()
    ray.get(actor.terminate.remote([]))  # it is up
    place, sender = ray_cluster.worker_of(trial_of(actor)) or ("", 0)
    assert place == node and sender
    with subprocess.Popen([sys.executable, "-c", WORKER], stdout=-1, text=True) as worker:
        assert worker.stdout and worker.stdout.readline() == "runs\n"
        monkeypatch.setattr(worker_termination, "worker_of", lambda trial: trial)
        worker_termination.terminate_workers([None, (node, worker.pid)])
        assert int(worker.stdout.readline()) == sender
    assert worker.returncode == 0


def test_a_trial_without_a_worker_is_passed_over() -> None:
    assert ray_cluster.worker_of(trial_of(None)) is None
