"""The environment of Ray: variables that a search sets or removes, and what its workers get.

By default Ray follows some two hundred variables, and writes a token that everybody can read into
HOME. This module does not import Ray, which reads some of them when it is imported.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import facesiam
import search

PASSED_ON = ("FACESIAM_GRAPHS",)
"""Variables of the driver's environment that the workers get; $FACESIAM_CACHE names a folder of
each machine."""
_FOLLOWED = re.compile("RAY_[a-z]")
"""Variables that a Ray of this machine follows: switches of its daemons, such as
RAY_memory_usage_threshold, which do not say where Ray is or what runs on it."""
_OURS_ON_A_CLUSTER = re.compile(
    "TUNE_|TRAIN_|RAY_TUNE_|RAY_TRAIN_|RAY_AIR_|RAY_STORAGE$|RAY_CHDIR_TO_TRIAL_DIR$"
)
"""Variables of Ray Tune, which runs in this process even where the rest of Ray is a cluster's."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Ray writes its own state at the start and the end only: it has a line for every trial so far,
    # and nothing but Ray's restore reads it, which is not used here.
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # see shutdown.py
    # Trials that wait for a worker. By Ray's own limit of 1 workers would start one by one;
    # RaySearcher limits how many trials there are.
    "TUNE_MAX_PENDING_TRIALS_PG": "1000000",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Variables that every Ray of ours gets."""
_LOCAL = {
    # On loopback: a run for this machine alone opens no port to others.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # it would copy the folder that uv was started in
    "RAY_AUTH_MODE": "token",
}


def set_environment(local: bool) -> list[str]:
    """Set the variables that Ray needs, and remove those that were meant for another Ray.

    Args:
        local: for a Ray of this machine alone; else what a cluster needs stays.

    Returns:
        The names of the variables that were removed, without those of authentication.
    """
    meant = QUIET | (_LOCAL if local else {})
    foreign = [
        name
        for name in sorted(os.environ)
        if _is_foreign(name, local)
        and os.environ[name] != meant.get(name, "")
        and name not in _set
    ]
    for name in foreign:
        del os.environ[name]
    if local and "RAY_AUTH_TOKEN" not in _set:
        meant["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    os.environ.update(meant)
    _set.update(meant)
    return [name for name in foreign if not name.startswith("RAY_AUTH_")]


@contextmanager
def restored() -> Iterator[None]:
    """After this the environment is as it was: Ray and torch, too, set variables when imported."""
    before, known = dict(os.environ), set(_set)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
        _set.intersection_update(known)


_set: set[str] = set()
"""Variables that this process has set itself."""


def _is_foreign(name: str, local: bool) -> bool:
    if _OURS_ON_A_CLUSTER.match(name):
        return True
    return local and name.startswith("RAY_") and not _FOLLOWED.match(name)


def runtime_env() -> dict[str, Any]:
    """Return Ray's runtime environment: both packages, and variables that say how trials run."""
    places = [str(Path(str(package.__file__)).parent) for package in (facesiam, search)]
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {"py_modules": places, "excludes": ["__pycache__"], "env_vars": passed_on}
