"""A Ray that dies under a search: noticed soon, in a sentence, with all that ran marked."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from builders import ROOT
from ray import tune
from rich.console import Console

from facesiam.config.metrics import FIELDS
from facesiam.objective import Objective
from search.resources.allocation import Allocation, Setup
from search.runs.journal import read_epochs, read_trials
from search.space import load
from search.tuning import (
    driver,
    ray_cluster,
    ray_session,
    ray_watchdog,
    shutdown,
)
from search.tuning.live_table import LiveTable
from search.tuning.shutdown import on_signals

SPACE = """
fixed: {epochs: 500}
search: {lr: [1e-3, 1e-2]}
algorithm: grid
prune: false
"""


class Slow(tune.Trainable):
    """Reports an epoch ten times a second; trains nothing. Told to end, it says so in a file."""

    def setup(self, config: dict[str, Any]) -> None:
        """Start a trial."""
        self.epoch, self.run = -1, Path(config["run"])
        signal.signal(signal.SIGTERM, lambda number, frame: (self.run / "told").touch())

    def step(self) -> dict[str, Any]:
        """Report an epoch."""
        self.epoch += 1
        time.sleep(0.1)
        counts = {"epoch": self.epoch, "updates": 9, "val_pairs": 9}
        return {**dict.fromkeys(FIELDS, 0.5), **counts, "done": False}


def search_without(daemon: str, run: Path) -> None:
    """Search into `run`, and kill a daemon of this process's own Ray once an epoch is noted."""
    ray_watchdog.LOOK_SECONDS = 0.2
    ray_watchdog.STUCK_SECONDS = 2.0
    ray_watchdog.SAVE_SECONDS = 2.0  # type: ignore[attr-defined]
    space = load(run / "space.yaml")
    setup = Setup(run=run, data="", cpus=1)
    ray_cluster.connect(None)
    node: Any = ray._private.worker._global_node
    (run / "session").write_text(node.temp_dir)

    def kill() -> None:
        while len(read_epochs(run)) < 2:
            time.sleep(0.1)
        os.kill(node.all_processes[daemon][0].process.pid, signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    table, shares = (
        LiveTable(2, Objective(), Console()),
        Allocation(space, setup, ray_cluster.machines()),
    )
    print("returned", driver.run(shares, table, Slow), flush=True)
    ray_watchdog.exit_now(3)


@pytest.mark.timeout(300)
def test_a_search_whose_ray_has_lost_a_daemon_ends_and_says_so(tmp_path: Path) -> None:
    """Without a raylet it was waited for without end; without a head Ray ended the process."""
    started = {}
    for daemon in ("raylet", "gcs_server"):
        run = tmp_path / daemon
        run.mkdir()
        (run / "space.yaml").write_text(SPACE)
        command = [sys.executable, __file__, daemon, str(run)]
        environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
        started[daemon] = subprocess.Popen(
            command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    for daemon, process in started.items():
        try:
            shown, said = process.communicate(timeout=120)
        finally:
            process.kill()
        run = tmp_path / daemon
        why = f"Ray's {daemon} has died (SIGKILL, as the system does that runs out of memory)"
        assert process.returncode == 3, said
        assert f"returned {why}" in shown or said == f"{why}\n"
        assert {trial["status"] for trial in read_trials(run).values()} == {"interrupted"}
        assert (run / "told").exists() or daemon == "raylet"  # whose workers go with it
        assert not Path((run / "session").read_text()).exists()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A node of which this process sees nothing but the head's address, where somebody answers."""
    server = socket.create_server(("127.0.0.1", 0))
    node = SimpleNamespace(
        raylet_socket_name="/nowhere",
        gcs_address=f"127.0.0.1:{server.getsockname()[1]}",
        server=server,
        dead_processes=list,
    )
    monkeypatch.setattr(ray._private.worker, "_global_node", node)
    return node


def test_a_head_may_be_silent_for_a_while_and_not_for_ever(
    alone: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    seen = ray_watchdog.RayWatch()
    now = 1000.0
    assert seen.lost() is None  # it has answered
    alone.server.close()
    now = 1040.0
    assert seen.lost() is None
    now = 1041.0
    address = alone.gcs_address
    assert seen.lost() == f"Ray's head at {address} has not answered for 41 s"


def test_a_raylet_that_this_process_did_not_start_is_watched_as_well(
    alone: SimpleNamespace, tmp_path: Path
) -> None:
    alone.raylet_socket_name = str(tmp_path / "sockets" / "raylet")
    command = [
        "/x/raylet",
        "-c",
        "import time; time.sleep(60)",
        f"--raylet_socket_name={alone.raylet_socket_name}",
    ]
    raylet = subprocess.Popen(command, executable=sys.executable)
    try:
        while ray_session.name_of(raylet.pid) != "/x/raylet":
            time.sleep(0.01)
        seen = ray_watchdog.RayWatch()
        assert seen.raylet and seen.raylet[0] == raylet.pid and seen.lost() is None
        raylet.kill()
        os.waitid(os.P_PID, raylet.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the list
        assert seen.lost() == "the raylet of this machine has died"
    finally:
        raylet.kill()
        raylet.wait()
        alone.server.close()


def stopped(monkeypatch: pytest.MonkeyPatch, *numbers: signal.Signals) -> str | None:
    """What a search is halted by that is sent these signals; a KeyboardInterrupt adds a !."""
    monkeypatch.setattr(shutdown, "terminate_workers", lambda trials: None)
    recorder: Any = SimpleNamespace(stop=None, trials={})
    try:
        with on_signals(recorder):
            for number in numbers:
                signal.raise_signal(number)
    except KeyboardInterrupt:
        return f"{recorder.stop}!"
    return None if recorder.stop is None else str(recorder.stop)


def test_a_dropped_connection_halts_as_a_sigterm_does(monkeypatch: pytest.MonkeyPatch) -> None:
    hup, term = signal.SIGHUP, signal.SIGTERM
    assert stopped(monkeypatch, hup) == stopped(monkeypatch, term) == "terminated"
    assert stopped(monkeypatch, hup, hup) == "terminated"  # the shell's, and the system's
    assert stopped(monkeypatch, term, hup) == "terminated"  # as systemd sends them
    assert stopped(monkeypatch, hup, term) == "terminated!"
    before = signal.signal(hup, signal.SIG_IGN)  # nohup
    try:
        assert stopped(monkeypatch, hup) is None
        assert signal.getsignal(hup) is signal.SIG_IGN
    finally:
        signal.signal(hup, before)


def test_a_first_signal_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The states are saved for seconds, in which the user would press Ctrl-C again."""
    monkeypatch.setattr(shutdown, "terminate_workers", lambda trials: None)
    said: queue.Queue[str] = queue.Queue()
    with on_signals(SimpleNamespace(stop=None, trials={}), say=said.put):
        signal.raise_signal(signal.SIGINT)
    assert said.get(timeout=60).startswith("interrupted: saving, at most 8.5 s; once more")


if __name__ == "__main__":
    search_without(sys.argv[1], Path(sys.argv[2]))
