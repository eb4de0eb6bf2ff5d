"""Files of weights: written whole or not at all, read without running code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facesiam.config import TrialConfig
from facesiam.device import dtype_of
from facesiam.models import SiameseNet, WeightsError, read_weights
from facesiam.optimizer import compute_in


def save_model(
    path: Path, weights: Mapping[str, Tensor], config: TrialConfig, **info: float | str
) -> None:
    """Write weights, settings and `info` to one file, atomically; ``load_model`` reads it."""
    save_atomically({"config": config.to_dict(), "model": dict(weights), **info}, path)


def load_model(path: str | Path) -> tuple[SiameseNet, TrialConfig, dict[str, Any]]:
    """Read a file of ``save_model``: the net, ready to judge, its settings, the rest.

    Raises:
        WeightsError: no such file, code in it, or not written by this project.
    """
    state = read_weights(Path(path))
    if not isinstance(state, dict) or not {"config", "model"} <= state.keys():
        raise WeightsError(f"{path}: not a model file of facesiam (it lacks config and model)")
    config = TrialConfig.from_dict(state.pop("config"))
    with torch.random.fork_rng(devices=[]):  # its first weights are replaced at once
        net = SiameseNet(config)
    try:
        net.load_state_dict(state.pop("model"))
    except RuntimeError as error:
        raise WeightsError(f"{path}: weights and settings disagree ({error})") from None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    compute_in(net, dtype_of(config, device))
    return net.to(device, memory_format=torch.channels_last).eval(), config, state  # type: ignore[call-overload]


def save_atomically(state: Mapping[str, Any], path: Path) -> None:
    """torch.save to `path` by way of a neighbour, so that a kill never leaves half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        torch.save(dict(state), partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
