"""The folder, the environment and the remains of a Ray of this machine, without Ray."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from search.resources.allocation import DriverError
from search.tuning import ray_environment, ray_session

DRIVER = (
    "from search.tuning import ray_session as session;"
    "print(session.new_folder(), flush=True); input()"
)


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short folder that is the only place for sessions: pytest's own paths are too long."""
    folder = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    monkeypatch.setattr(ray_session, "bases", lambda: [folder])
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_session_has_a_folder_that_only_its_owner_may_enter(base: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        folder = ray_session.new_folder()
    finally:
        os.umask(before)
    assert folder.parent == base and stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()] == [0o600]


def test_the_longest_base_just_fits_rays_longest_socket(base: Path) -> None:
    """Linux takes 107 bytes; a process number has seven digits at most."""
    name = ray_session.new_folder().name
    ray = "session_2026-11-27_00-00-00_123456_4194304/sockets/plasma_store"
    assert len(f"{'b' * ray_session.LONGEST_BASE}/{name}/{ray}") == 107


def test_the_first_place_that_will_do_is_taken_and_without_one_each_is_named(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (long := base / ("l" * 40)).mkdir()
    places = [long, Path("/proc"), base / "no", base]
    monkeypatch.setattr(ray_session, "bases", lambda: places)
    assert ray_session.new_folder().parent == base
    places.pop()
    room = ray_session._room
    monkeypatch.setattr(ray_session, "_room", lambda place: 0 if place == base else room(place))
    places.append(base)
    with pytest.raises(DriverError) as refused:
        ray_session.new_folder()
    said = str(refused.value).splitlines()
    assert said[0].startswith("Ray has no folder for its session. Set TMPDIR to one that can be")
    assert said[1] == f"  {long}: has more than 30 letters"
    assert said[2].startswith("  /proc: ")
    assert said[3:] == [
        f"  {base}/no: No such file or directory",
        f"  {base}: has less than 64 MiB of room",
    ]


def test_the_places_are_those_of_the_system_where_tmpdir_will_not_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("TEMP", "TMP", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    for given, first in (("/scratch", "/scratch"), ("relative", "/tmp"), ("", "/tmp")):
        monkeypatch.setenv("TMPDIR", given)
        assert str(ray_session.bases()[0]) == first
        assert [str(place) for place in ray_session.bases()][-3:] == [
            "/tmp",
            "/var/tmp",
            "/dev/shm",
        ]


def writing(name: str, folder: Path) -> subprocess.Popen[bytes]:
    """A process of this name that has a file open in a folder."""
    with (folder / f"{name}.log").open("w") as file:
        command = [name, "-c", "import time; time.sleep(60)"]
        return subprocess.Popen(command, executable=sys.executable, stdout=file)


def test_what_a_killed_driver_left_goes_and_all_else_stays(base: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(base), "PYTHONPATH": os.pathsep.join(sys.path)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", DRIVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(2)
    ]
    dead, alive = (Path(driver.stdout.readline().strip()) for driver in started if driver.stdout)
    agent, other = writing("ray::DashboardAgent", dead), writing("ray::DashboardAgent", base)
    reader = writing("less", dead)
    foreign = [base / "siam", base / "siamabcdefg!", base / "siamabcdefgh", base / "ray"]
    for folder in foreign:
        folder.mkdir()
    (base / "thesis").mkdir()
    (base / "siamlinklink").symlink_to(base / "thesis")
    (base / "thesis" / ray_session.LOCK).write_text("1")
    try:
        started[0].kill()
        started[0].wait()
        deadline = time.monotonic() + 60
        while agent.pid not in list(ray_session.inhabitants(dead)) and time.monotonic() < deadline:
            time.sleep(0.01)  # its name is there once it is executed
        ray_session.sweep()
        assert agent.wait(60) == -signal.SIGKILL
        assert (reader.poll(), other.poll()) == (None, None)
        assert not dead.exists() and alive.exists()
        assert all(folder.exists() for folder in [*foreign, base / "thesis" / ray_session.LOCK])
    finally:
        processes: list[subprocess.Popen[Any]] = [*started, agent, reader, other]
        for process in processes:
            process.kill()
            process.communicate()


def test_one_that_is_being_made_is_not_taken_for_left(base: Path) -> None:
    (base / "siamabcdefgh").mkdir()
    (lock := base / "siamabcdefgh" / ray_session.LOCK).touch()  # and not held, nor written, yet
    ray_session.sweep()
    assert lock.exists()
    os.utime(lock, (0, 0))
    ray_session.sweep()
    assert not lock.parent.exists()


def test_where_every_lock_succeeds_the_session_of_a_driver_that_lives_stays(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda *given: None)
    driver = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (base / "siamabcdefgh").mkdir()
    (lock := base / "siamabcdefgh" / ray_session.LOCK).write_text(f"{driver.pid}\n")
    own = ray_session.new_folder()
    ray_session.sweep()
    assert lock.exists() and own.exists()
    driver.communicate(b"\n")
    ray_session.sweep()
    assert not lock.parent.exists() and own.exists()


FOREIGN = (
    "RAY_ADDRESS",
    "RAY_AIR_LOCAL_CACHE_DIR",
    "RAY_STORAGE",
    "RAY_TMPDIR",
    "TUNE_RESULT_DIR",
    "RAY_RUNTIME_ENV_HOOK",
    "TUNE_MAX_LEN_IDENTIFIER",
)


@pytest.mark.parametrize("local", [True, False])
def test_variables_that_were_meant_for_another_ray_are_put_aside_and_named(
    local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {name: value for name, value in os.environ.items() if not re.match("RAY|TUNE", name)}
    given = dict.fromkeys(FOREIGN, "/x") | {
        "RAY_memory_usage_threshold": "0.9",
        "RAY_AUTH_MODE": "disabled",
        "RAY_AUTH_TOKEN_PATH": "/token",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "XRAY_DOSE": "1",
    }
    monkeypatch.setattr(ray_environment, "_set", set())
    monkeypatch.setattr(os, "environ", {**known, **given})
    of_tune = [
        "RAY_AIR_LOCAL_CACHE_DIR",
        "RAY_STORAGE",
        "TUNE_MAX_LEN_IDENTIFIER",
        "TUNE_RESULT_DIR",
    ]
    assert ray_environment.set_environment(local) == (sorted(FOREIGN) if local else of_tune)
    left = os.environ
    assert left["RAY_memory_usage_threshold"] == "0.9" and left["XRAY_DOSE"] == "1"
    assert ray_environment.QUIET.items() <= left.items() and not set(of_tune) & set(left)
    if local:  # the token is this session's, and in no file
        assert left["RAY_AUTH_MODE"] == "token" and "RAY_AUTH_TOKEN_PATH" not in left
        assert re.fullmatch("[0-9a-f]{64}", token := left["RAY_AUTH_TOKEN"])
        assert ray_environment.set_environment(local) == [] and left["RAY_AUTH_TOKEN"] == token
    else:
        assert left["RAY_ADDRESS"] == "/x" and left["RAY_AUTH_MODE"] == "disabled"
