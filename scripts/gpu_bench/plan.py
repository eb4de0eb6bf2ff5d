"""What one part of a GPU benchmark is given: data, device, time, and how small all of it is."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from facesiam.config import TrialConfig, Value
from facesiam.config.trial import Packing
from facesiam.data.dataset import FaceData
from facesiam.data.preparation import prepare
from search.space import SearchSpace, load
from search.space.shipped import SPACES

SMALL: dict[str, Value] = {"image_size": 64, "hidden": 16, "batch_size": 4, "epochs": 1}
"""Settings of a rehearsal, whatever a part would train."""
SMALL_WHERE_SET: dict[str, Value] = {"people": 0, "images_per_person": 2}
"""Further ones, which only replace another value."""
PACKINGS = (Packing("letterbox", 224), Packing("squeeze", 224))


@dataclass(frozen=True)
class Plan:
    """What a part is given."""

    data: str
    """The dataset."""
    work: Path
    """Folder of the searches."""
    rehearsal: bool
    until: float
    """When the part is cut, in ``time.monotonic()``."""

    @property
    def device(self) -> str:
        """Where the nets are trained."""
        return "cpu" if self.rehearsal else "cuda"

    def left(self) -> float:
        """Return the seconds that the part still has."""
        return self.until - time.monotonic()

    def minutes(self, parts: int = 1, reserve: float = 20.0) -> float:
        """Return the minutes of a search: its share of what is left, without what its end takes.

        Args:
            parts: how many searches share that.
            reserve: seconds for its end and for reading it.
        """
        return max(0.2, (self.left() / parts - reserve) / 60)

    def small(self, **settings: Value) -> dict[str, Value]:
        """Return settings, made small where this is a rehearsal."""
        if not self.rehearsal:
            return settings
        smaller = {name: value for name, value in SMALL_WHERE_SET.items() if settings.get(name)}
        return {**settings, **SMALL, **smaller}

    def config(self, **settings: Value) -> TrialConfig:
        """Return a configuration, made small where this is a rehearsal."""
        return TrialConfig.from_dict(self.small(**settings))

    @cached_property
    def packed(self) -> FaceData:
        """The dataset, packed in both geometries."""
        return prepare(self.data, PACKINGS, progress=False)


def row(name: str) -> dict[str, Value]:
    """Return the settings of a row of code 2 of the 2019 study."""
    return dict(code2().row_settings(name))


def code2() -> SearchSpace:
    """Return the space of the study's code 2."""
    return load(SPACES / "code2.yaml")


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Within its ``with``, have variables of the environment at these values."""
    before: Mapping[str, Any] = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
