"""Shared by all tests: drawn faces, packed once, and one Ray for the whole session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from facesiam.config import TrialConfig
from facesiam.data import FaceData, prepare
from facesiam.synthetic import draw

# Ray runs its workers at nice 15: beside anything else that computes, a test would wait minutes.
os.environ.setdefault("RAY_worker_niceness", "0")

TINY: dict[str, object] = {
    "image_size": 64, "hidden": 16, "lr": 1e-3, "epochs": 3, "batch_size": 8, "precision": "fp32",
}
"""The smallest trial that is still the real net."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep on one of the processes of ``pytest -n`` what shares a Ray, or machines' addresses."""
    for item in items:
        if "local_ray" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("ray"))
        elif item.path.name == "test_cluster.py":
            item.add_marker(pytest.mark.xdist_group("machines"))


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

    from search import driver

    driver.connect(None)
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
