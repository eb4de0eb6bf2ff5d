"""The pool of configurations that no trial has had: drawn at random, or listed where few."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from facesiam.config import Value
from search.space import SearchSpace, combinations
from search.space.domains import active

FEW = 10_000
"""Most configurations of a space that is listed from the start, so that TPE ranks them all."""
DRAWS = 200
"""How often a configuration is drawn again where it was tried before."""


def key_of(settings: Mapping[str, Any]) -> str:
    """Return a text that is the same for equal settings only."""
    return json.dumps(settings, sort_keys=True)


class ConfigurationPool:
    """The configurations of a space that are untried.

    Args:
        space: the space.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space, self.size = space, space.size()
        self.seen: set[str] = set()
        """Keys of the configurations that were tried, in this or an earlier form of the space."""
        self.names = [name for name, _ in space.ordered()]
        self._base = combinations.base(space.fixed)
        self._listed: list[tuple[Value, ...]] | None = None
        self._at: dict[str, int] = {}
        self._left = np.zeros(0, dtype=np.bool_)

    def take(self, settings: Mapping[str, Value]) -> None:
        """Remove a configuration from the pool."""
        key = key_of(settings)
        self.seen.add(key)
        if (at := self._at.get(key)) is not None:
            self._left[at] = False

    def new(self, settings: Mapping[str, Value]) -> bool:
        """Say whether a configuration is untried."""
        return key_of(settings) not in self.seen

    def none_left(self) -> bool:
        """Say whether all configurations were tried."""
        # Some that a resumed run has tried may lie outside the space as it is now.
        if self.size is None or len(self.seen) < self.size:
            return False
        return not self.left().size

    def few(self) -> bool:
        """Say whether the pool can be listed in a moment."""
        return self.size is not None and (self.size <= FEW or self._listed is not None)

    def left(self) -> npt.NDArray[np.int64]:
        """Return the positions in ``listed`` that are untried, of a finite space."""
        self.listed()
        return np.flatnonzero(self._left)

    def listed(self) -> list[tuple[Value, ...]]:
        """Return every configuration of a finite space, as the values of ``names``."""
        if self._listed is None:
            self._listed = []
            for settings in self.space.grid():
                self._at[key_of(settings)] = len(self._listed)
                self._listed.append(tuple(settings[name] for name in self.names))
            self._left = np.array([key not in self.seen for key in self._at], dtype=np.bool_)
        return self._listed

    def settings(self, place: int) -> dict[str, Value]:
        """Return the configuration at a position in ``listed``."""
        return self._base | dict(zip(self.names, self.listed()[place], strict=True))

    def draw(self, rng: random.Random) -> dict[str, Value] | None:
        """Return an untried configuration, each as likely as any other; None where none is left.

        Of an infinite space only the infinite branches are drawn from: a search then goes on where
        random draws keep hitting a finite branch that it has exhausted.
        """
        if self.size is None or (self.size > FEW and 2 * len(self.seen) < self.size):
            for _ in range(DRAWS):
                settings = self._anywhere(rng)
                if self.new(settings):
                    return settings
            if self.size is None:
                return None
        left = self.left()
        return self.settings(int(rng.choice(left))) if left.size else None

    def _anywhere(self, rng: random.Random) -> dict[str, Value]:
        """Draw a configuration, each value weighted by the number of configurations below it."""
        search, settings = self.space.search, dict(self._base)
        for place, name in enumerate(self.names):
            domain, rest = search[name], self.names[place + 1 :]
            if not active(domain, settings):
                continue
            if domain.count() is None or not any(name in search[other].when for other in rest):
                settings[name] = domain.sample(rng)
                continue
            values = list(domain.values())
            later = {other: search[other] for other in rest}
            counts = [combinations.count({**settings, name: v}, later) for v in values]
            endless = [value for value, n in zip(values, counts, strict=True) if n is None]
            if endless:
                settings[name] = rng.choice(endless)
            else:
                weights = [float(n or 0) for n in counts]
                (settings[name],) = rng.choices(values, weights)
        return settings
