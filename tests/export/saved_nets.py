"""Nets as a training leaves them."""

from __future__ import annotations

from pathlib import Path

import torch

from facesiam.config import TrialConfig
from facesiam.nets.checkpoint import save_model
from facesiam.nets.siamese import SiameseNet


def save(
    file: Path, config: TrialConfig, data: str, val_acc: float = 0.75, **noted: float | str
) -> SiameseNet:
    """Write the weights of an untrained net with a threshold, and return the net."""
    torch.manual_seed(3)
    net = SiameseNet(config).eval()
    if net.calibrated:
        net.calibrate(0.99, 40.0)
    save_model(file, net.state_dict(), config, epoch=1, val_acc=val_acc, data=data, **noted)
    return net
