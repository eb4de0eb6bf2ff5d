"""Ray for the length of one search, in a process that goes on afterwards."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from search.resources.allocation import DriverError
from search.tuning import ray_environment, ray_session

END_SECONDS = 20.0
"""How long the end of a Ray that has died may take: it waits six seconds for a dead daemon."""


@contextmanager
def used() -> Iterator[None]:
    """Within this a search may start Ray or join a cluster, which ends with it.

    A Ray that ran before is used, and goes on. The environment is afterwards as it was. Ray is
    imported after its environment has been set, so not here.

    Raises:
        DriverError: Ray has died in this process, and could not be ended.
    """
    if died := _died():
        raise DriverError(
            f"{died[0]} in an earlier search of this process; start Python anew, or restart the "
            "notebook's kernel"
        )
    running = "ray" in sys.modules and sys.modules["ray"].is_initialized()
    with ray_environment.restored(), _no_advice():
        try:
            yield
        finally:
            if _died():
                _end_dead()
            elif not running and "ray" in sys.modules:
                gc.collect()  # Ray Tune of a search that was cut short holds its trials
                sys.modules["ray"].shutdown()
                ray_session.close()


def _end_dead() -> None:
    """End a Ray that has died: left as it is, it ends this process a minute after its head."""
    gc.collect()
    ray = sys.modules["ray"]
    # On a thread, as it may wait for a head that does not answer until Ray ends the process.
    ending = threading.Thread(target=ray.shutdown, daemon=True, name="end of Ray")
    ending.start()
    ending.join(END_SECONDS)
    if not ending.is_alive():
        ray_session.close()
        _died().clear()
        return
    from search.tuning.ray_cluster import remove_excepthook

    remove_excepthook()
    ray_session.end()


@contextmanager
def _no_advice() -> Iterator[None]:
    """Within this Ray does not advise to install widgets, in a notebook."""
    logger = logging.getLogger("ray.widgets.util")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="IProgress not found")
            yield
    finally:
        logger.setLevel(before)


def _died() -> list[str]:
    """Return what has died of this process's Ray."""
    watchdog = sys.modules.get("search.tuning.ray_watchdog")
    return watchdog.died if watchdog else []
