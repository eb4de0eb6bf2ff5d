"""What a row of broken datasets is, and how it is written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NONE, FLAWED = 2, 1
"""Exit codes of ``check``: there is no dataset, or it has problems."""


@dataclass(frozen=True)
class Broken:
    """A way in which a dataset is broken, and what is said of it.

    In the sentences ``{given}`` stands for the path that the command is given, ``{root}`` for the
    folder that was written, ``{above}`` for the one above it, ``{formats}`` for the formats that
    are known and ``{cfp}`` for CFP's layout.
    """

    name: str
    sound: Callable[[Path], Path]
    """Writes the sound dataset into a folder and returns the path that a user would give."""
    damage: Callable[[Path], Path | None]
    """Takes that path and breaks the dataset; returns the path to give, where it is another."""
    code: int
    """Exit code of ``check``: NONE or FLAWED."""
    said: tuple[str, ...]
    """Each sentence, without the path before it where there is a dataset."""
    packing: bool = False
    """Whether it is only met when the images are decoded, at the end of a preparation."""


class Cases:
    """The broken datasets that are made from one sound dataset.

    Args:
        sound: as in ``Broken``.
    """

    def __init__(self, kind: str, sound: Callable[[Path], Path]) -> None:
        self.kind, self.sound = kind, sound
        self.all: list[Broken] = []

    def none(self, said: str) -> Callable[[Callable[[Path], Path | None]], None]:
        """Add a function as the damage after which there is no dataset to look at."""
        return self._adder(NONE, (said,))

    def flawed(
        self, *said: str, packing: bool = False
    ) -> Callable[[Callable[[Path], Path | None]], None]:
        """Add a function as the damage after which a dataset has these problems."""
        return self._adder(FLAWED, said, packing)

    def _adder(
        self, code: int, said: tuple[str, ...], packing: bool = False
    ) -> Callable[[Callable[[Path], Path | None]], None]:
        def add(damage: Callable[[Path], Path | None]) -> None:
            name = f"{self.kind}: {damage.__name__.replace('_', ' ')}"
            self.all.append(Broken(name, self.sound, damage, code, said, packing))

        return add
