"""What decides a trial's numbers, as hashes: of the trainer's code, and of all of a trial.

Two trials with the same key are the same work: the same settings, data, trainer and pretrained
weights.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import facesiam
from facesiam.config.trial import Value
from facesiam.files import digest

if TYPE_CHECKING:
    from facesiam.device.numerics import Ran

PACKAGE = Path(str(facesiam.__file__)).parent
TRAINER = (
    "config/constraints",
    "config/trial",
    "data/alignment",
    "data/cfp",
    "data/checksums",
    "data/dataset",
    "data/images",
    "data/jpeg",
    "data/lists",
    "data/packing",
    "device/cuda_graph",
    "device/hardware",
    "device/image_store",
    "evaluation/metrics",
    "evaluation/predict",
    "nets/convolutions",
    "nets/losses",
    "nets/pretrained",
    "nets/siamese",
    "nets/trunks",
    "nets/weight_files",
    "training/augment",
    "training/batches",
    "training/liveness",
    "training/loop",
    "training/optimizer",
    "training/schedules",
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
                    part
                    for part in body
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


class Key(Protocol):
    """Gives the key of a trial."""

    def __call__(self, settings: Mapping[str, Value], ran: Ran = ..., /) -> str:
        """Return the key of a trial with these settings, of what it ran with or would."""


def keys(
    data: str,
    weights: Mapping[str, str],
    device: str = "cpu",
    threads: Callable[[str], int] = lambda net: 1,
) -> Key:
    """Return what gives a trial's key.

    Args:
        data: key of the data's content.
        weights: file of pretrained weights per net.
        device: cpu or cuda: the numbers of one are not those of the other.
        threads: how many a trial with a net has on a CPU: nor are those of one thread and of two.
    """

    def key(settings: Mapping[str, Value], ran: Ran | None = None) -> str:
        """Return 20 hexadecimal digits; without `ran` of what would be run here."""
        from facesiam.device import numerics  # torch takes seconds to import

        net, auto = str(settings["net"]), str(settings["precision"])
        now = numerics.here(net, auto, device, threads(net))
        ran = ran or numerics.noted((), now, 0)
        parts = [data, trainer_version(), *numerics.for_key(ran)]
        if settings["pretrained"] and net in weights:
            parts.append(digest(Path(weights[net])))
        # What auto stands for is in `parts`: bf16 that was asked for is no other work.
        same = {name: value for name, value in settings.items() if name != "precision"}
        text = json.dumps([dict(sorted(same.items())), *parts])
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    return key
