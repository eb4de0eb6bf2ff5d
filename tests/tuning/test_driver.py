"""The driver on a real Ray: a trial that runs out of memory comes again with a larger share."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from builders import space
from ray import cloudpickle, tune
from rich.console import Console
from saving_trial import SavingTrial
from simulated_ray import quiet

from facesiam.config.metrics import FIELDS
from facesiam.data.dataset import FaceData
from search import results
from search.resources.allocation import Allocation, DriverError, Node, Setup
from search.runs.journal import read_trials
from search.tuning import driver, live_table, ray_cluster
from search.tuning.live_table import LiveTable

SPACE = """
fixed: {epochs: 2}
search: {lr: [1e-3, 1e-2, 1e-1]}
algorithm: grid
prune: false
"""


class OutOfMemory(RuntimeError):
    """As facesiam.trainable raises."""


class Hungry(tune.Trainable):
    """Needs two cores from a learning rate on; trains nothing."""

    def setup(self, config: dict[str, Any]) -> None:
        """Start a trial."""
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next one."""
        self.given, self.epoch = new_config, -1
        return True

    def step(self) -> dict[str, Any]:
        """Report an epoch, or the want of memory in the second one."""
        self.epoch += 1
        lr = self.given["settings"]["lr"]
        given = self.trial_resources.required_resources["CPU"]
        assert given == self.given["cpus"]  # what Ray gave, and what it was told
        if self.epoch == 1 and lr >= self.given["weights"]["hungry"] and given < 2:
            raise OutOfMemory("out of memory in epoch 1: 9 GiB asked for")
        row = dict.fromkeys(FIELDS, 0.5) | {"epoch": self.epoch, "val_acc": lr, "updates": 9}
        return {**row, "val_pairs": 100, "done": self.epoch == 1}


class Told(tune.Trainable):
    """Is told the whole URL; trains nothing."""

    def setup(self, config: dict[str, Any]) -> None:
        """Start a trial."""
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next one."""
        assert new_config["run"] == "s3://AKIA:s3cr3t@bucket/run"
        self.epoch = -1
        return True

    def step(self) -> dict[str, Any]:
        """Report an epoch."""
        self.epoch += 1
        row = dict.fromkeys(FIELDS, 0.5) | {"epoch": self.epoch, "updates": 9}
        return {**row, "val_pairs": 100, "done": self.epoch == 1}


class Slow(tune.Trainable):
    """Of a worker that takes longer to start than the other one takes for two trials.

    The third trial of the first worker and the first one of the second wait for each other.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Start a worker: the second one waits until the first has done two trials."""
        self.folder, self.trials = Path(config["run"]), 0
        (self.folder / f"worker-{os.getpid()}").touch()
        try:
            (self.folder / "first").touch(exist_ok=False)
            self.second = False
        except FileExistsError:
            self.second = True
            self._wait_for("done-2")

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial."""
        return True

    def step(self) -> dict[str, Any]:
        """Report the only epoch."""
        self.trials += 1
        if self.second or self.trials == 3:
            name, other = ("a", "b") if self.second else ("b", "a")
            (self.folder / name).touch()
            self._wait_for(other)
        (self.folder / f"done-{self.trials}").touch()
        return dict.fromkeys(FIELDS, 0.5) | {
            "epoch": 0,
            "updates": 9,
            "val_pairs": 100,
            "done": True,
        }

    def _wait_for(self, name: str) -> None:
        for _ in range(6000):
            if (self.folder / name).exists():
                return
            time.sleep(0.01)
        raise AssertionError(f"{name} did not come within a minute")


cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not have the tests


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("hungry", [0.1, 1e-3])  # the last of the grid, when Ray had been told
def test_a_trial_that_runs_out_of_memory_is_tried_again_with_twice_its_share(
    tmp_path: Path, hungry: float, monkeypatch: pytest.MonkeyPatch
) -> None:  # of no more; and all of them
    searched = space(tmp_path, SPACE)
    weights: Any = {"hungry": hungry}
    setup = Setup(run=tmp_path, data="", cpus=1, weights=weights)
    monkeypatch.setattr(live_table, "LINE_SECONDS", 0.0)
    text = io.StringIO()
    table = LiveTable(3, searched.objective, Console(file=text, width=200))
    shares = Allocation(searched, setup, ray_cluster.machines())
    assert driver.run(shares, table, Hungry) is None
    assert [t["stop_reason"] for t in read_trials(tmp_path).values()] == [None] * 3
    trials, epochs = results.load(tmp_path)
    assert trials["val_acc"].tolist() == [0.1, 0.01, 0.001]
    assert len(epochs) == 6 and not table.running and table.counts["done"] == 3
    # While trials run, not only when one ends, its output says how far it is.
    said = r"search: 0 epochs of about 6; 0 of 3 ended; running 000[123] 0/2"
    assert re.search(said, text.getvalue())  # any of the three may begin first


@pytest.mark.usefixtures("local_ray")
def test_the_secret_of_a_runs_url_stays_in_no_file_of_the_run(tmp_path: Path) -> None:
    """Ray keeps the trials' configs, in which workers are told where the run lies."""
    searched, url = space(tmp_path, SPACE), "s3://AKIA:s3cr3t@bucket/run"
    setup = Setup(run=tmp_path / "run", data="", cpus=1, storage=url, weights={"hungry": "9"})
    setup.run.mkdir()
    told = setup.run / "ray" / "session0" / "experiment_state-of-a-driver-that-was-killed.json"
    told.parent.mkdir(parents=True)
    told.write_text(url)
    table = quiet(searched)
    shares = Allocation(searched, setup, [Node(2, 0)])
    assert driver.run(shares, table, Told) is None
    assert {line["status"] for line in read_trials(setup.run).values()} == {"done"}
    files = [file for file in setup.run.rglob("*") if file.is_file()]
    assert (setup.run / "ray").stat().st_mode & 0o777 == 0o700
    assert files and not [file for file in files if b"s3cr3t" in file.read_bytes()]


@pytest.mark.usefixtures("local_ray")
def test_two_run_at_once_though_a_worker_takes_longer_to_start_than_a_trial(
    tmp_path: Path,
) -> None:
    searched = space(
        tmp_path,
        "fixed: {epochs: 1}\nsearch: {lr: [1e-4, 1e-3, 1e-2, 1e-1]}\n"
        "algorithm: grid\nprune: false\n",
    )
    setup = Setup(run=tmp_path, data="", concurrent=2)
    shares = Allocation(searched, setup, ray_cluster.machines())
    assert driver.run(shares, quiet(searched), Slow) is None
    # The one that was starting was not thrown away for the other, which was idle again.
    assert len(list(tmp_path.glob("worker-*"))) == 2
    noted = {
        (line["trial"], line["status"]): line["n"]
        for line in map(json.loads, (tmp_path / "trials.jsonl").read_text().splitlines())
    }
    ends = sorted({(noted[trial, "done"], trial) for trial, _ in noted})
    for (_, one), (end, _) in ((ends[-1], ends[-2]), (ends[-2], ends[-1])):
        assert noted[one, "running"] < end


def test_a_head_without_workers_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    joining = iter([[Node(0, 0)], [Node(0, 0)], [Node(0, 0), Node(4, 0)]])
    said: list[str] = []
    slept: list[float] = []
    monkeypatch.setattr(ray_cluster, "machines", lambda: next(joining))
    monkeypatch.setattr(time, "sleep", slept.append)
    assert ray_cluster.wait_for_machines("HEAD:6379", said.append) == [Node(0, 0), Node(4, 0)]
    assert len(slept) == 2 and len(said) == 1 and "waiting up to 10 minutes" in said[0]


def test_a_head_without_workers_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(ray_cluster, "machines", lambda: [Node(0, 0)])
    monkeypatch.setattr(time, "sleep", slept.append)
    with pytest.raises(DriverError, match="within 10 minutes no machine joined that has a core"):
        ray_cluster.wait_for_machines("HEAD:6379", lambda line: None)
    assert sum(slept) >= 600
    assert ray_cluster.wait_for_machines(None, lambda line: None) == [
        Node(0, 0)
    ]  # nobody joins this machine


def test_no_trial_is_suggested_before_there_is_room_for_it(tmp_path: Path) -> None:
    searched = space(
        tmp_path,
        "search: {net: [alexnet, vgg16_bn], lr: [1e-3, 1e-4]}\nalgorithm: grid\n"
        "resources: {cpus: 1, per_net: {vgg16_bn: {cpus: 4}}}\n",
    )
    shares = Allocation(searched, Setup(run=tmp_path, data="", concurrent=64), [Node(4, 0)])
    running: dict[str, Any] = {}
    searcher = driver.RaySearcher(
        SimpleNamespace(state=SimpleNamespace(running=running, doublings={})), shares
    )
    room = []
    for number in range(5):
        room.append(searcher._room())
        running[str(number)] = SimpleNamespace(settings={"net": "alexnet"})
    assert room == [True] * 4 + [False]  # four at a core each, whatever --concurrent says
    running.clear()
    running["0"] = SimpleNamespace(settings={"net": "vgg16_bn"})
    assert not searcher._room()


def test_a_trial_is_told_its_share_of_a_gpu_which_doubles_where_memory_ran_out(
    tmp_path: Path,
) -> None:
    searched = space(tmp_path, "search: {lr: [1e-3]}\nresources: {cpus: 1, gpus: 0.25}\n")
    shares = Allocation(searched, Setup(run=tmp_path, data=""), [Node(4, 1)])
    state = SimpleNamespace(
        running={},
        doublings={"0002": 1},
        costs={},
        epochs_noted=lambda trial: 0,
        keep_threshold=lambda: None,
        scheduler=SimpleNamespace(pauses=lambda settings: ()),
    )
    trials = iter(["0001", "0002"])
    recorder: Any = SimpleNamespace(
        state=state,
        space=searched,
        next=lambda: SimpleNamespace(trial=next(trials), settings={"net": "alexnet"}),
    )
    searcher = driver.RaySearcher(recorder, shares)
    told = [searcher.suggest(number) for number in ("a", "b")]
    assert [(one["gpus"], one["device"]) for one in told] == [(0.25, "cuda"), (0.5, "cuda")]


def test_a_machine_that_joins_gets_trials_and_somebody_who_can_end_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = space(tmp_path, "search: {lr: {low: 1e-4, high: 1e-2}}\nresources: {cpus: 1}\n")
    setup = Setup(run=tmp_path, data="", address="auto")
    searcher = driver.RaySearcher(
        SimpleNamespace(),
        Allocation(searched, setup, [Node(4, 0)]),
    )
    stood: list[str] = []
    monkeypatch.setattr(driver, "stand_ready", lambda: stood.append("ready"))
    monkeypatch.setattr(driver, "machines", lambda: [Node(4, 0), Node(2, 0)])
    searcher._count_machines()
    assert (searcher.shares.concurrent, stood) == (4, [])  # it has just been counted
    searcher.counted -= 60
    searcher._count_machines()
    assert (searcher.shares.concurrent, stood) == (6, ["ready"])


@contextmanager
def watched(*folders: Path) -> Iterator[list[list[int]]]:
    """The sizes of the files in these folders, again and again while the block runs."""
    seen: list[list[int]] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.003):
            sizes = []
            for path in (path for folder in folders for path in folder.glob("*")):
                # It may be renamed or removed between the two looks.
                with contextlib.suppress(FileNotFoundError):
                    sizes.append(path.stat().st_size)
            seen.append(sizes)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@pytest.mark.usefixtures("local_ray")
def test_the_disk_holds_no_more_than_the_readme_says(tmp_path: Path, data: FaceData) -> None:
    searched = space(
        tmp_path,
        "fixed: {image_size: 64, hidden: 16, batch_size: 8, epochs: 3, people: 4}\n"
        "search: {lr: [1e-4, 1e-3], seed: [0, 1]}\n"
        "algorithm: grid\nprune: false\nkeep: 2\n",
    )
    setup = Setup(run=tmp_path, data=str(data.folder), cpus=1)
    table = quiet(searched)
    with watched(tmp_path / "weights", tmp_path / "state") as seen:
        shares = Allocation(searched, setup, ray_cluster.machines())
        assert driver.run(shares, table, SavingTrial) is None
    ranked = results.load(tmp_path)[0]["trial"].head(2)
    assert {path.name for path in (tmp_path / "weights").iterdir()} == {f"{t}.pt" for t in ranked}
    assert list((tmp_path / "state").iterdir()) == []
    one, running = (tmp_path / "weights" / f"{ranked[0]}.pt").stat().st_size, 2
    assert max(max(sizes, default=0) for sizes in seen) > 2.9 * one  # states were there
    assert max(map(sum, seen)) <= 2 * (2 + running + 3 * running) * one * 1.01
    assert max(map(len, seen)) <= 2 * (2 + running + running)
