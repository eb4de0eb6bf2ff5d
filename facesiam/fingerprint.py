"""Fingerprints: hashes of the code that trains and that tests, and the key of a trial.

Two trials with the same key give the same numbers: they have the same settings, data, trainer,
plugins, arithmetic and pretrained weights.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import facesiam
from facesiam.config import Value
from facesiam.device import arithmetic
from facesiam.files import digest, read_object
from facesiam.plugins import registry

if TYPE_CHECKING:
    from facesiam.device.arithmetic import ComputeHistory

PACKAGE = Path(str(facesiam.__file__)).parent
TRAINER = ("config", "data", "device", "evaluation", "nets", "objective.py", "plugins", "training")
"""The packages and modules that compute the numbers of an epoch or a test."""
EXCLUDED = {
    "config/costs": "names what is measured",
    "config/lookalikes": "words error messages",
    "config/settings": "reads values, which are in the key themselves",
    "data/__main__": "a command",
    "data/archive": "finds and opens files, whose content is in the key",
    "data/cache_files": "names, replaces and removes files",
    "data/common_problems": "refuses data, and changes none",
    "data/download": "fetches files, whose content is in the key",
    "data/fetched_files": "copies files, whose content is in the key; blank images are only timed",
    "data/formats/cfp_root": "finds the dataset's folder",
    "data/input_images": "prepares images that are predicted, not trained on or tested",
    "data/inspection": "reports on a dataset",
    "data/progress": "a progress bar",
    "data/protocol_checks": "refuses data, and changes none",
    "data/synthetic": "draws images, whose content is in the key",
    "device/arithmetic": "what it describes is in the key",
    "device/processes": "finds processes and redirects output",
    "device/cores": "counts cores; the number of threads is in the key",
    "device/gpu_memory": "limits what may be allocated",
    "device/reproducibility": "what it resolves is in the key",
    "device/torch_build": "reports what torch was built for",
    "nets/checkpoint": "stores weights as they are",
    "plugins/loading": "runs files, whose text is in the key",
    "training/inference_cost": "measures, and leaves the net and the generators as they were",
    "training/saving": "stores states and weights as they are",
    "training/throughput": "measures speed and memory",
}
"""Those parts of them that cannot change a number, each with the reason."""
TESTER = (
    *("evaluation/ensemble", "evaluation/figures", "evaluation/fixed_folds", "evaluation/leaks"),
    *("evaluation/people_rates", "evaluation/protocols", "evaluation/scores"),
    *("evaluation/ten_fold", "training/soup"),
)
"""Those that no training runs: they test nets that are trained, which so stay what they are."""
LIBRARIES = ("torch", "torchvision", "numpy", "pillow", "pytorch-metric-learning")


@functools.cache
def trainer_version() -> str:
    """Return a hash of the trainer: its code without comments and docstrings, its libraries.

    The module and the place of a definition do not count.

    Returns:
        16 hexadecimal digits.
    """
    return _version(trainer_files())


@functools.cache
def tester_version() -> str:
    """Return a hash of what tests trained nets besides the trainer's code, made as its own."""
    return _version(tester_files())


def _version(files: Sequence[Path]) -> str:
    imports: set[str] = set()
    definitions: list[str] = []
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):  # an expression of one text is a docstring
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
                module = getattr(part, "module", None)  # by name: statements are cut in moves
                imports |= {f"{module} {ast.dump(name)}" for name in part.names}
    lite = ("efficientnet_lite_pytorch",) if find_spec("efficientnet_lite_pytorch") else ()
    libraries = [f"{library} {version(library)}" for library in (*LIBRARIES, *lite)]
    text = "\n".join([*sorted(definitions), *sorted(imports), *libraries])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def trainer_files() -> list[Path]:
    """Return the source files that ``trainer_version`` hashes."""
    return _files(lambda name: name not in TESTER)


def tester_files() -> list[Path]:
    """Return the source files that ``tester_version`` hashes."""
    return _files(lambda name: name in TESTER)


def _files(wanted: Callable[[str], bool]) -> list[Path]:
    found = []
    for package in TRAINER:
        place = PACKAGE / package
        for file in [place] if place.is_file() else sorted(place.rglob("*.py")):
            name = file.relative_to(PACKAGE).with_suffix("")
            excluded = {name.as_posix(), name.parent.as_posix()} & EXCLUDED.keys()
            if not excluded and wanted(name.as_posix()):
                found.append(file)
    return found


def _own(part: ast.stmt) -> bool:
    """Return whether a statement imports from this package."""
    return isinstance(part, ast.ImportFrom) and (part.module or "").startswith("facesiam")


class Key(Protocol):
    """A function that returns the key of a trial."""

    def __call__(self, settings: Mapping[str, Value], ran: ComputeHistory = ..., /) -> str:
        """Return the key of a trial with these settings, of what it ran with or would."""


def keys(
    data: str,
    weights: Mapping[str, str],
    device: str = "cpu",
    threads: Callable[[str], int] = lambda net: 1,
) -> Key:
    """Return the function that computes a trial's key.

    Args:
        data: key of the data's content.
        weights: file of pretrained weights per net.
        device: cpu or cuda.
        threads: returns the number of threads of a trial with a net, on a CPU.
    """

    def key(settings: Mapping[str, Value], ran: ComputeHistory | None = None) -> str:
        """Return 20 hexadecimal digits; without `ran` of what would be run here."""
        from facesiam.device import reproducibility  # torch takes seconds to import

        net, auto = str(settings["net"]), str(settings["precision"])
        now = reproducibility.current_arithmetic(net, auto, device, threads(net))
        ran = ran or arithmetic.extend_history((), now, 0)
        parts = [data, trainer_version(), *arithmetic.key_parts(ran), *registry.hashes()]
        if settings["pretrained"] and net in weights:
            parts.append(digest(Path(weights[net])))
        # What auto stands for is in `parts`: bf16 that was asked for is no other work.
        same = {name: value for name, value in settings.items() if name != "precision"}
        text = json.dumps([dict(sorted(same.items())), *parts])
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    return key


def noted_with_key(file: Path, key: str) -> dict[str, Any] | None:
    """Return what a JSON file says of the work with this key; None where it says nothing of it.

    Args:
        file: holds an object with a ``key``, or is not there, or is damaged.
        key: of the work.
    """
    noted = read_object(file)
    return noted if noted.get("key") == key else None
