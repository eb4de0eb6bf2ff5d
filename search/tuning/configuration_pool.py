"""The configurations of a space that no trial has had: drawn at random, or listed where few."""

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
"""Most configurations of a space that is listed from the start; TPE then ranks all of them."""
DRAWS = 200
"""How often a draw that was tried before is drawn again."""


def key_of(settings: Mapping[str, Any]) -> str:
    """Return the settings as a text by which two configurations are told apart."""
    return json.dumps(settings, sort_keys=True)


class ConfigurationPool:
    """What is left of a space.

    Args:
        space: the space.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space, self.size = space, space.size()
        self.seen: set[str] = set()
        """Keys of what was tried, in this space or in an earlier form of it."""
        self.names = [name for name, _ in space.ordered()]
        self._base = combinations.base(space.fixed)
        self._listed: list[tuple[Value, ...]] | None = None
        self._at: dict[str, int] = {}
        self._left = np.zeros(0, dtype=np.bool_)

    def take(self, settings: Mapping[str, Value]) -> None:
        """Take note that a configuration is tried."""
        key = key_of(settings)
        self.seen.add(key)
        if (at := self._at.get(key)) is not None:
            self._left[at] = False

    def new(self, settings: Mapping[str, Value]) -> bool:
        """Say whether nobody has tried a configuration."""
        return key_of(settings) not in self.seen

    def none_left(self) -> bool:
        """Say whether all configurations were tried."""
        # Of a resumed run some that were tried may lie outside what the space has become.
        if self.size is None or len(self.seen) < self.size:
            return False
        return not self.left().size

    def few(self) -> bool:
        """Say whether what is left can be listed in a moment."""
        return self.size is not None and (self.size <= FEW or self._listed is not None)

    def left(self) -> npt.NDArray[np.int64]:
        """Return which places of ``listed`` are untried; the space is finite."""
        self.listed()
        return np.flatnonzero(self._left)

    def listed(self) -> list[tuple[Value, ...]]:
        """Return every configuration of a finite space by the values of ``names``."""
        if self._listed is None:
            self._listed = []
            for settings in self.space.grid():
                self._at[key_of(settings)] = len(self._listed)
                self._listed.append(tuple(settings[name] for name in self.names))
            self._left = np.array([key not in self.seen for key in self._at], dtype=np.bool_)
        return self._listed

    def settings(self, place: int) -> dict[str, Value]:
        """Return the configuration at a place of ``listed``."""
        return self._base | dict(zip(self.names, self.listed()[place], strict=True))

    def draw(self, rng: random.Random) -> dict[str, Value] | None:
        """Draw one, each as likely as the next; None where there is none.

        Of an infinite space, whatever of it is infinite: so that a search goes on where all that
        it meets by chance is one branch without a range, which it has been through.
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
        """Draw a configuration, each value by how many configurations it leads to."""
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
