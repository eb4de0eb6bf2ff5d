"""What a trial's numbers come from besides its settings: the trainer's code and its libraries."""

from __future__ import annotations

import ast
import functools
import hashlib
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import facesiam

PACKAGE = Path(str(facesiam.__file__)).parent
TRAINER = (
    "config/constraints", "config/trial", "data/alignment", "data/cfp", "data/checksums",
    "data/dataset", "data/images", "data/jpeg", "data/lists", "data/packing", "device/cuda_graph",
    "device/hardware", "device/image_store", "evaluation/metrics", "evaluation/predict",
    "nets/convolutions", "nets/losses", "nets/pretrained", "nets/siamese", "nets/trunks",
    "nets/weight_files", "training/augment", "training/batches", "training/liveness",
    "training/loop", "training/optimizer", "training/schedules",
)
"""The modules that an epoch's numbers come from."""
LIBRARIES = ("torch", "torchvision", "numpy", "pillow", "pytorch-metric-learning")


@functools.cache
def trainer_version() -> str:
    """Return a hash of the trainer: its code without comments and docstrings, its libraries.

    Where a definition stands, in which module and after which other, does not count.
    """
    imports: set[str] = set()
    definitions: list[str] = []
    for name in TRAINER:
        tree = ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):  # a text that stands alone says something to readers only
                node.body = [  # type: ignore[attr-defined]
                    part for part in body
                    if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
                    and not (node is not tree and _own(part))
                ]
        for part in tree.body:
            if not isinstance(part, ast.Import | ast.ImportFrom):
                definitions.append(ast.dump(part))
            elif not _own(part):
                imports.add(ast.dump(part))
    lite = ("efficientnet_lite_pytorch",) if find_spec("efficientnet_lite_pytorch") else ()
    libraries = [f"{library} {version(library)}" for library in (*LIBRARIES, *lite)]
    text = "\n".join([*sorted(definitions), *sorted(imports), *libraries])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _own(part: ast.stmt) -> bool:
    """Whether a statement imports from this package, wherever it stands."""
    return isinstance(part, ast.ImportFrom) and (part.module or "").startswith("facesiam")
