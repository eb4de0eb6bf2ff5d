"""`log:` of a space file: the trackers that keep a copy of the run, and where."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BeforeValidator, field_validator, model_validator

from facesiam.config.settings import did_you_mean
from facesiam.errors import masked
from search.space.fields import Part, given, key, kind_of

LogName = Literal["mlflow", "wandb"]
LOGS: tuple[str, ...] = get_args(LogName)
"""The trackers by name, which is that of their package."""


class _Place(Part):
    """Where a tracker keeps the run; empty: where its own environment variables say."""

    _filled = model_validator(mode="before")(lambda value: {} if value is None else value)


class MlflowPlace(_Place):
    """MLflow."""

    uri: str = key("")
    """Of the tracking server or database; without it MLFLOW_TRACKING_URI, or ./mlruns."""
    experiment: str = key("")
    """Its name; without it MLFLOW_EXPERIMENT_NAME, or the run's name."""

    @field_validator("uri")
    @classmethod
    def _without_secret(cls, value: str) -> str:
        if masked(value) != value:
            raise ValueError("holds a password, which the run would note; set MLFLOW_TRACKING_URI")
        return value


class WandbPlace(_Place):
    """Weights & Biases."""

    project: str = key("")
    """Its name; without it WANDB_PROJECT, or siamsearch."""
    entity: str = key("")
    """User or team; without it WANDB_ENTITY, or the login's default."""
    mode: Literal["online", "offline"] = key("online")
    """offline: into files, which `wandb sync` brings later; without it as WANDB_MODE says."""


class Log(Part):
    """The trackers by name."""

    mlflow: MlflowPlace = key(None)
    """MLflow: a run for each trial, within one for the search."""
    wandb: WandbPlace = key(None)
    """Weights & Biases: a run for each trial, in a group."""


def _by_name(value: object) -> object:
    """Return the names of trackers, or one, as a mapping."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list):
        return value
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"must name trackers ({', '.join(LOGS)}), got {kind_of(name)}")
        if name not in LOGS:
            known = ", ".join(LOGS)
            raise ValueError(f"{name!r} is not one of {known}{did_you_mean(name, LOGS)}")
    return {name: None for name in names}


named = BeforeValidator(_by_name, json_schema_input_type=Log | LogName | list[LogName])
"""Reads the short forms, `log: mlflow` and `log: [mlflow, wandb]`."""


def places(said: Log) -> dict[str, dict[str, str]]:
    """Return SearchSpace.log: what a file says of each tracker that it names."""
    return {name: given(getattr(said, name)) for name in sorted(said.model_fields_set)}
