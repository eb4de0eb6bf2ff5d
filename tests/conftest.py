"""Shared by all tests: drawn faces, packed once, and one Ray for the whole session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from builders import CFP, LETTERBOX, SQUEEZE
from filelock import FileLock

from facesiam.config import TrialConfig, Value
from facesiam.data.dataset import FaceData
from facesiam.data.preparation import prepare
from facesiam.data.synthetic.writer import draw

# Ray runs its workers at nice 15: beside anything else that computes, a test would wait minutes.
os.environ.setdefault("RAY_worker_niceness", "0")
# Workers that a Ray starts ahead are 1.4 s of a core, and most searches here use one at a time.
os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
# Threads that wait for each other on busy cores made the trainer's tests three times as long, and
# an epoch of 24 updates 14 s where one thread takes 1.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
torch.set_num_threads(1)

LONGEST = (
    "test_cluster.py",
    "test_run.py",
    "test_deaths.py",
    "test_loop.py",
    "test_search.py",
    "test_gradient_health.py",
    "test_storage.py",
    "test_driver.py",
    "test_searching.py",
    "test_retrain.py",
    "test_onnx_files.py",
    "test_resume.py",
    "test_docs_commands.py",
    "test_interactive.py",
    "test_stochastic_depth.py",
    "test_trainable.py",
    "test_dataset.py",
    "test_ray_watchdog.py",
    "test_trunks.py",
    "test_own_parts.py",
)
"""Test files that take twenty seconds or more of four busy processes, the longest first."""

TINY: dict[str, Value] = {
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
        order = {name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: (order.get(item.path.name, len(order)), item.path.name))


@pytest.fixture(autouse=True)
def no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have texts fold where they do in a pipe, whatever an earlier test's libraries have set."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the processes of ``pytest -n`` share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def faces(session_folder: Path) -> Path:
    """20 drawn people with 6 frontal and 2 profile images, as a folder in the CFP layout."""
    with FileLock(session_folder / "faces.lock"):
        folder = session_folder / "faces" / "drawn"
        return draw(folder, people=20, frontal=6, profile=2, seed=3, progress=False)


@pytest.fixture(scope="session")
def data(faces: Path) -> FaceData:
    """The same, packed."""
    cache = faces.parent / "cache"
    return prepare(str(faces), [SQUEEZE, LETTERBOX], cache=cache, progress=False)


@pytest.fixture
def real_faces() -> str:
    """The zip of the real CFP."""
    if not CFP:
        pytest.skip("needs the real CFP: set FACESIAM_DATA to its zip, cfp-dataset.zip")
    return str(CFP)


@pytest.fixture(scope="session")
def tiny() -> TrialConfig:
    """A trial of seconds."""
    return TrialConfig.from_dict(TINY)


@pytest.fixture(scope="session")
def _ray_ends() -> Iterator[None]:
    import ray

    yield
    ray.shutdown()


@pytest.fixture
def local_ray(_ray_ends: None) -> None:
    """One Ray of two CPUs for all tests of the session; another where a search has ended it."""
    import ray

    from search.tuning import ray_cluster

    if not ray.is_initialized():
        ray_cluster.connect(None)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, session_folder: Path) -> None:
    """No test reads the user's data, or writes into the user's cache."""
    monkeypatch.setenv("FACESIAM_CACHE", str(session_folder / "own-cache"))
    monkeypatch.delenv("FACESIAM_DATA", raising=False)  # the tests that need it: builders.CFP
