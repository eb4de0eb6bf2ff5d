"""Shared by the tests of data: a data set known by heart (see tiny_cfp)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tiny_cfp


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It, not to be changed."""
    return tiny_cfp.write(tmp_path_factory.mktemp("tiny") / "cfp-dataset")


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return shutil.copytree(tiny_folder, tmp_path / "cfp-dataset")
