"""What a worker can run in place of the trainer, where a test is of the search around it."""

from __future__ import annotations

import math
import sys
from typing import Any

from ray import cloudpickle, tune

from facesiam.config.metrics import FIELDS


class StubTrial(tune.Trainable):
    """Trains nothing: what an epoch measures is a function of the settings and its number.

    The best learning rate is 1e-3. Nothing is saved, so a trial whose worker dies starts over.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Start a worker with its first trial."""
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial."""
        self.settings, self.epoch = new_config["settings"], -1
        return True

    def step(self) -> dict[str, Any]:
        """Report an epoch."""
        self.epoch += 1
        away = abs(math.log10(self.settings["lr"]) + 3) + 0.1 * self.settings["augment"]
        loss = 0.3 + 0.1 * away - 0.01 * min(self.epoch, 20)  # a share, however many epochs run
        return {
            **dict.fromkeys(FIELDS, 0.5),
            "epoch": self.epoch,
            "val_acc": 1 - loss / 2,
            "val_loss": loss,
            "train_loss": loss,
            "val_pairs": 1000,
            "updates": 9,
            "done": self.epoch + 1 == self.settings["epochs"],
        }


cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not have the tests
