"""Ray for the length of one search, where it has died on the way."""

from __future__ import annotations

import sys
import threading

import pytest
import ray

from search.resources.allocation import DriverError
from search.tuning import ray_lifetime, ray_session, ray_watchdog

WHY = "Ray's raylet has died"


@pytest.fixture(autouse=True)
def running(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ray runs, whose hook has replaced Python's own."""
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray_watchdog, "died", [])
    monkeypatch.setattr(sys, "excepthook", ray._private.worker.custom_excepthook)


def test_a_ray_that_has_died_is_ended_and_another_search_may_follow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was left, and ended the process a minute later, an error's text unseen."""
    ended = []
    monkeypatch.setattr(ray, "shutdown", lambda: ended.append("Ray"))
    monkeypatch.setattr(ray_session, "close", lambda: ended.append("session"))
    with pytest.raises(OSError, match=WHY), ray_lifetime.used():
        ray_watchdog.died.append(WHY)
        raise OSError(WHY)
    assert ended == ["Ray", "session"]
    with ray_lifetime.used():
        pass


def test_an_error_is_shown_where_the_ray_that_has_died_does_not_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ray's hook waited for a dead head before Python's own showed the error."""
    over, ended = threading.Event(), []
    monkeypatch.setattr(ray, "shutdown", over.wait)
    monkeypatch.setattr(ray_lifetime, "END_SECONDS", 0.01)
    monkeypatch.setattr(ray_session, "end", lambda: ended.append("session"))
    with ray_lifetime.used():
        ray_watchdog.died.append(WHY)
    over.set()
    assert sys.excepthook is ray._private.worker.normal_excepthook
    assert ended == ["session"]
    with pytest.raises(DriverError, match=f"{WHY} in an earlier search"), ray_lifetime.used():
        pass
