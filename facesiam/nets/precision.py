"""The precision of a net's layers: fp32, or bf16 for convolutions and linear layers."""

from __future__ import annotations

import torch
from torch import nn

from facesiam.config import TrialConfig
from facesiam.device.hardware import precision_of
from facesiam.nets.trunks import Pooled

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def dtype_of(config: TrialConfig, device: torch.device) -> torch.dtype:
    """Return the dtype of the convolutions and linear layers."""
    return DTYPES[precision_of(config.precision, config.net, device.type)]


def compute_in(net: nn.Module, dtype: torch.dtype) -> None:
    """Round the weights of convolutions and linear layers to `dtype`, in place.

    Those are the layers that autocast runs in bf16, and PReLU, which takes inputs of its own dtype
    only. Batch-norm keeps its fp32 parameters and takes inputs of either dtype. A trunk that mixes
    both stays in fp32, and computes under autocast.
    """
    mixed = [layer for layer in net.modules() if isinstance(layer, Pooled) and layer.mixed]
    left_alone = {layer for trunk in mixed for layer in trunk.modules()}
    for trunk in mixed:
        trunk.dtype = dtype
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.PReLU) and layer not in left_alone:
            layer.to(dtype)
