"""The settings of a trial: their names, types, bounds, defaults, and which exclude each other."""

from facesiam.config.metrics import EpochMetrics
from facesiam.config.settings import Value
from facesiam.config.trial import SETTINGS, TrialConfig

__all__ = ["SETTINGS", "EpochMetrics", "TrialConfig", "Value"]
