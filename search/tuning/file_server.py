"""The actor that hands data and weights to the machines of a cluster that do not see them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import ray

from search.tuning.ray_tasks import here, standing_actor


class FileServer:
    """An actor on the driver's machine that puts each file into Ray's object store once.

    Ray copies an object to a machine once and maps it into every process there: a machine holds
    one copy of the pixels, as it does of a mapped file.

    Args:
        files: the paths that may be asked for.
    """

    def __init__(self, files: Iterable[str]) -> None:
        self.files = set(files)
        self.stored: dict[str, Any] = {}

    def file(self, path: str) -> list[Any]:
        """Return a reference to the array in a ``.npy`` file, or to a file's bytes, (n,) uint8.

        Raises:
            FileNotFoundError: the path is not one of the files.
        """
        if path not in self.files:
            raise FileNotFoundError(f"{path}: not among the files of this run")
        if path not in self.stored:
            pixels = path.endswith(".npy")
            array = np.load(path, mmap_mode="r") if pixels else np.fromfile(path, np.uint8)
            # A plain array: each process would get a copy of a memmap, as of every subclass.
            self.stored[path] = ray.put(np.asarray(array))
        return [self.stored[path]]  # in a list, or Ray would send the content


def serve_files(data: Path, weights: Mapping[str, str]) -> str:
    """Start the actor for a run's files, once for the same files.

    Args:
        data: folder of the packed data.
        weights: file of the pretrained weights, by net.

    Returns:
        The name under which workers find the actor.
    """
    files = (*map(str, sorted(data.glob("*.np[yz]"))), *sorted(weights.values()))
    if files in _started:
        return _started[files][0]
    name = f"file-server-{uuid.uuid4().hex[:8]}"
    actor = standing_actor(FileServer, here(), files, name=name)
    _started[files] = name, actor  # the actor lives as long as this reference to it
    return name


_started: dict[tuple[str, ...], tuple[str, Any]] = {}
