"""Shared by all tests: drawn faces, packed once, and one Ray for the whole session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.data.preparation import prepare
from facesiam.data.synthetic.writer import draw

# Ray runs its workers at nice 15: beside anything else that computes, a test would wait minutes.
os.environ.setdefault("RAY_worker_niceness", "0")
# Threads that wait for each other on busy cores made the trainer's tests three times as long, and
# an epoch of 24 updates 14 s where one thread takes 1.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
torch.set_num_threads(1)

LONG = {
    "test_cluster.py": "machines",
    "test_run.py": "Ray",
    "test_search.py": "Ray",
    "test_driver.py": "Ray",
    "test_allocation.py": "Ray",
    "test_ray_watchdog.py": "watch",
    "test_protocols.py": "verify",
    "test_loop.py": "train",
    "test_storage.py": "storage",
    "test_resume.py": "resume",
}
"""Test files that take minutes, and what those share that must run in one process: a Ray."""

TINY: dict[str, object] = {
    "image_size": 64,
    "hidden": 16,
    "lr": 1e-3,
    "epochs": 3,
    "batch_size": 8,
    "precision": "fp32",
}
"""The smallest trial that is still the real net."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have what takes long come first in each process of ``pytest -n``, or all wait for it."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: (item.path.name not in LONG, item.path.name))


@pytest.hookimpl(optionalhook=True)  # without xdist the tests run all the same
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each process of ``pytest -n`` a file at a time, or all files of a group.

    Groups by marks do not work in xdist 3.8 with pytest 9.2: it renames a test by an attribute
    that is no longer there.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0].rpartition("/")[2]
            return LONG.get(file, file)

    config.option.loadscopereorder = False  # by number of tests, which puts the longest last
    return ByFile(config, log)


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 drawn people with 6 frontal and 2 profile images, as a folder in the CFP layout."""
    folder = tmp_path_factory.mktemp("faces") / "drawn"
    return draw(folder, people=20, frontal=6, profile=2, seed=3, progress=False)


@pytest.fixture(scope="session")
def data(faces: Path) -> FaceData:
    """The same, packed."""
    cache = faces.parent / "cache"
    return prepare(str(faces), ["squeeze", "letterbox"], cache=cache, progress=False)


@pytest.fixture
def tiny() -> TrialConfig:
    """A trial of seconds."""
    return TrialConfig.from_dict(TINY)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """One Ray of two CPUs for all tests of the session."""
    import ray

    from search.tuning import ray_cluster

    ray_cluster.connect(None)
    yield
    ray.shutdown()


@pytest.fixture(autouse=True)
def clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No test reads the user's data, or writes into the user's cache."""
    monkeypatch.setenv("FACESIAM_CACHE", str(tmp_path_factory.getbasetemp() / "own-cache"))
    real = os.environ.get("FACESIAM_DATA")
    monkeypatch.delenv("FACESIAM_DATA", raising=False)
    if real:
        monkeypatch.setenv("REAL_FACES", real)
