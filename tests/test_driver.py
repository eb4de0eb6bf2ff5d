"""The driver on a real Ray: a trial that runs out of memory comes again with a larger share."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle, tune
from rich.console import Console

from facesiam import trainable
from facesiam.data import FaceData
from facesiam.trainable import FaceTrial
from search import driver, results
from search.board import Board
from search.journal import read_trials
from search.machine import Setup, Shares
from search.recorder import EPOCH_FIELDS
from search.space import load

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
        row = dict.fromkeys(EPOCH_FIELDS, 0.5) | {"epoch": self.epoch, "val_acc": lr, "updates": 9}
        return {**row, "done": self.epoch == 1}


class Saving(FaceTrial):
    """Saves its state after every epoch, whatever that costs."""

    def setup(self, config: dict[str, Any]) -> None:
        """Start a trial."""
        trainable.SAVING_SHARE = 1e9
        super().setup(config)


cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not have the tests


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("hungry", [0.1, 1e-3])  # the last of the grid, when Ray had been told
def test_a_trial_that_runs_out_of_memory_is_tried_again_with_twice_its_share(
    tmp_path: Path, hungry: float
) -> None:  # of no more; and all of them
    (tmp_path / "space.yaml").write_text(SPACE)
    space = load(tmp_path / "space.yaml")
    weights: Any = {"hungry": hungry}
    setup = Setup(run=tmp_path, data="", cpus=1, weights=weights)
    board = Board(3, "val_acc", "max", Console(quiet=True))
    shares = Shares(space, setup, driver.cluster())
    assert driver.run(space, setup, shares, board, Hungry) is None
    assert [t["stop_reason"] for t in read_trials(tmp_path).values()] == [None] * 3
    trials, epochs = results.load(tmp_path)
    assert trials["val_acc"].tolist() == [0.1, 0.01, 0.001]
    assert len(epochs) == 6 and not board.running and board.counts["done"] == 3


@contextmanager
def watched(*folders: Path) -> Iterator[list[list[int]]]:
    """The sizes of the files in these folders, again and again while the block runs."""
    seen: list[list[int]] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.003):
            sizes = []
            for path in (path for folder in folders for path in folder.glob("*")):
                try:
                    sizes.append(path.stat().st_size)
                except FileNotFoundError:
                    pass  # renamed or removed between the two looks
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
    (tmp_path / "space.yaml").write_text(
        "fixed: {image_size: 64, hidden: 16, batch_size: 8, epochs: 4, people: 4}\n"
        "search: {lr: [1e-5, 1e-4, 1e-3], seed: [0, 1, 2]}\n"
        "algorithm: grid\nprune: false\nkeep: 2\n"
    )
    space = load(tmp_path / "space.yaml")
    setup = Setup(run=tmp_path, data=str(data.folder), cpus=1)
    board = Board(9, "val_acc", "max", Console(quiet=True))
    with watched(tmp_path / "weights", tmp_path / "state") as seen:
        shares = Shares(space, setup, driver.cluster())
        assert driver.run(space, setup, shares, board, Saving) is None
    ranked = results.load(tmp_path)[0]["trial"].head(2)
    assert {path.name for path in (tmp_path / "weights").iterdir()} == {f"{t}.pt" for t in ranked}
    assert list((tmp_path / "state").iterdir()) == []
    one, running = (tmp_path / "weights" / f"{ranked[0]}.pt").stat().st_size, 2
    assert max(max(sizes, default=0) for sizes in seen) > 2.9 * one  # states were there
    assert max(map(sum, seen)) <= 2 * (2 + running + 3 * running) * one * 1.01
    assert max(map(len, seen)) <= 2 * (2 + running + running)
