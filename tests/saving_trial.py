"""The real trial, for tests that need its saved states on a machine of any speed."""

from __future__ import annotations

import sys
from typing import Any

from ray import cloudpickle

from facesiam.trainable import FaceTrial
from facesiam.training import saving


class SavingTrial(FaceTrial):
    """Saves its state after every epoch, whatever that costs."""

    def setup(self, config: dict[str, Any]) -> None:
        """Start a worker with its first trial."""
        saving.SAVING_SHARE = float("inf")
        super().setup(config)


cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not have the tests
