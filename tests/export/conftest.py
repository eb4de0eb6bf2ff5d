"""A net as a training leaves it, and the folder that its export is."""

from __future__ import annotations

from pathlib import Path

import pytest
from saved_nets import save

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.export.__main__ import main


@pytest.fixture(scope="session")
def embedding(tiny: TrialConfig) -> TrialConfig:
    """The settings of a small embedding net."""
    changed = {"join": "cosine", "loss": "logistic", "embedding": 8, "flip_average": True}
    return TrialConfig.from_dict({**tiny.to_dict(), **changed})


@pytest.fixture(scope="session")
def weights(
    embedding: TrialConfig, data: FaceData, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Its file of weights."""
    file = tmp_path_factory.mktemp("weights") / "weights.pt"
    save(file, embedding, data.key)
    return file


@pytest.fixture(scope="session")
def exported(weights: Path, data: FaceData, faces: Path) -> Path:
    """Its export with thresholds and without ONNX files."""
    folder = weights.parent / "exported"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACESIAM_CACHE", str(data.folder.parent))
        given = [str(weights), "--out", str(folder), "--safetensors", "--data", str(faces)]
        assert main(given) == 0
    return folder
