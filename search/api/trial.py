"""Trial: one trial of a run, as Python has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from facesiam.config import TrialConfig, Value


@dataclass(frozen=True)
class Trial:
    """One trial of a run, as far as it has run."""

    name: str
    """Its id, such as ``"0003"``."""
    rank: int | None
    """From 1; None: no epoch has ended."""
    status: str
    """running, done, stopped, failed or interrupted."""
    reason: str | None
    """Why it was stopped, or failed."""
    settings: Mapping[str, Value] = field(repr=False)
    """All of them, by name."""
    figures: Mapping[str, float]
    """Of its best epoch, by column of ``Run.trials``: shares and intervals in [0, 1], epochs from
    0; of all its epochs ``epochs_run`` and ``seconds``."""

    @property
    def config(self) -> TrialConfig:
        """Its settings as the trainer takes them."""
        return TrialConfig.from_dict(dict(self.settings))
