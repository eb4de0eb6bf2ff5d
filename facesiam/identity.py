"""What a trial's numbers come from besides its settings: the trainer's code and its libraries."""

from __future__ import annotations

import ast
import functools
import hashlib
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

TRAINER = (
    "align", "augment", "batches", "cfp", "config", "convolutions", "data", "device", "graphs",
    "judge", "losses", "metrics", "models", "optimizer", "packing", "pixels", "train", "trunks",
    "vitals", "weights",
)
"""The modules that an epoch's numbers come from."""
LIBRARIES = ("torch", "torchvision", "numpy", "pillow", "pytorch-metric-learning")


@functools.cache
def trainer_version() -> str:
    """Return a hash of the trainer: its code without comments and docstrings, its libraries."""
    told = hashlib.sha256()
    for name in TRAINER:
        tree = ast.parse((Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):  # a text that stands alone says something to readers only
                node.body = [  # type: ignore[attr-defined]
                    part for part in body
                    if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
                ]
        told.update(f"{name} {ast.dump(tree)}\n".encode())
    lite = ("efficientnet_lite_pytorch",) if find_spec("efficientnet_lite_pytorch") else ()
    for library in (*LIBRARIES, *lite):
        told.update(f"{library} {version(library)}\n".encode())
    return told.hexdigest()[:16]
