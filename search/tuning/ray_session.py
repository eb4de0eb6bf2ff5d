"""The session of a Ray that runs on this machine alone: the folder of its files and sockets.

By default Ray takes $TMPDIR as it is, though the path of a socket has at most 107 bytes, opens its
folders to everybody and leaves them there. Here a session has a folder that only its owner may
enter and that is removed when the session ends; the next driver removes that of a killed one.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from facesiam.device.processes import runs_elsewhere
from facesiam.errors import reason
from search.resources.allocation import DriverError, RayStartError

PREFIX = "siam"
"""Begins the name of a session's folder; eight more characters follow."""
LOCK = "siamsearch.lock"
"""Lock file in it, which its driver holds until it ends."""
LONGEST_BASE = 30
"""Most bytes in the path above a session's folder. Of a socket's 107 bytes our
name takes 13, /session_2026-11-27_00-00-00_123456_1234567 43 and /sockets/plasma_store 21."""
ROOM_BYTES = 64 * 2**20
"""Free bytes that a session needs, for logs and files of the run's environment."""
YOUNG_SECONDS = 120.0
"""How long a folder without a lock may be one that is just being made."""


def new_folder() -> Path:
    """Make the folder of a session; remove those of sessions whose drivers were killed.

    Returns:
        A folder that only its owner may enter, short enough for Ray's sockets.

    Raises:
        DriverError: no folder is fit for one; the text says what is wrong with each.
    """
    sweep()
    tried = []
    for base in bases():
        folder = None
        try:
            if len(os.fsencode(base)) > LONGEST_BASE:
                raise OSError(f"has more than {LONGEST_BASE} letters")
            if base.stat() and _room(base) < ROOM_BYTES:
                raise OSError(f"has less than {ROOM_BYTES >> 20} MiB of room")
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
            _hold(folder)
            _try_socket(folder)
        except OSError as error:
            tried.append(f"\n  {base}: {reason(error)}")
            if folder:
                shutil.rmtree(folder, ignore_errors=True)
            continue
        return folder
    raise DriverError(
        "Ray has no folder for its session. Set TMPDIR to one that can be written, has a path of "
        f"at most {LONGEST_BASE} letters and {ROOM_BYTES >> 20} MiB of room. "
        f"Tried:{''.join(tried)}"
    )


def bases() -> list[Path]:
    """Return the folders in which sessions are made, in the order in which they are tried."""
    named = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")]
    found = [*named, "/tmp", "/var/tmp", os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm"]
    return [Path(base) for base in dict.fromkeys(found) if base and os.path.isabs(base)]


def ends_with_this_process(folder: Path, end: Callable[[], object]) -> None:
    """End a session, and remove its folder, when this process ends.

    Args:
        folder: of the session.
        end: ends the Ray in it.
    """
    here = os.getpid()
    _folders.append(folder)

    def over() -> None:
        if os.getpid() == here:  # and not a fork of this process
            try:
                end()
            finally:
                _clear(folder)

    atexit.register(over)
    _ends.append(over)


def close() -> None:
    """End the sessions of this process in order, so that another one can begin."""
    while _ends:
        over = _ends.pop()
        atexit.unregister(over)
        over()
    _folders.clear()
    while _held:
        os.close(_held.pop())


_ends: list[Callable[[], None]] = []
"""What ends each session of this process when it exits."""
_folders: list[Path] = []
"""Folders of the sessions of this process."""


def end() -> None:
    """End the sessions of this process at once, without Ray's own shutdown."""
    for folder in _folders:
        _clear(folder)


def not_started(folder: Path, why: str) -> RayStartError:
    """Return the error of a session that did not begin; keep its logs, which go with its folder.

    Args:
        folder: of the session.
        why: what Ray says.

    Returns:
        With the last errors of Ray's daemons and where the logs are, where there are some.
    """
    said = f"Ray does not start here: {why}"
    files = sorted(folder.glob("session_2*/logs/*.[oe][ur][tr]"))
    if not any(file.stat().st_size for file in files):
        return RayStartError(said)
    for file in files:
        errors = _ERROR.findall(file.read_text("utf-8", "replace"))
        said += f"\n  {file.name}: {errors[-1]}" if errors else ""
    kept = None
    try:
        kept = Path(tempfile.mkdtemp(prefix="siamsearch-ray-logs-", dir=folder.parent))
        for file in files:
            shutil.copy(file, kept)
    except OSError as error:  # a full disk may be why it did not start
        if kept:
            shutil.rmtree(kept, ignore_errors=True)
        return RayStartError(f"{said}\n  its logs cannot be kept: {reason(error)}")
    more = f"its logs: {kept}; on a busy machine the same command may do later"
    return RayStartError(f"{said}\n  {more}")


_ERROR = re.compile(r"^\[[^\]]* [CEF] \d+ \d+\] (.*)", re.MULTILINE)
"""Lines of Ray's daemons that tell errors: their severity stands before the process's number."""


def sweep() -> None:
    """End the sessions of this user whose drivers were killed, and remove their folders.

    Two of Ray's agents outlive a driver by a minute, as they report one dead daemon to another.
    The sessions of drivers that live stay, and so does every folder that is no session's.
    """
    for base in bases():
        for folder in _sessions(base):
            lock = _lock_of(folder)
            if lock is None:
                continue
            try:
                _clear(folder)
            finally:
                os.close(lock)


def _clear(folder: Path) -> None:
    """End the processes that may still write to the folder of a session, and remove it."""
    for pid in inhabitants(folder):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def inhabitants(folder: Path) -> Iterator[int]:
    """Yield the processes of this user that Ray started for the session in a folder.

    They are found by the files that they have open in it, as they change their command lines, and
    by a name of Ray's: a pager of the logs has a file open there, too.
    """
    inside = f"{folder}/"
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if place.stat().st_uid != os.getuid():
                continue
            if _RAYS.search((place / "cmdline").read_bytes()) and any(
                os.readlink(file).startswith(inside) for file in (place / "fd").iterdir()
            ):
                yield int(place.name)
        except OSError:  # it has ended, or is none of ours
            continue


def children(pid: int) -> Iterator[int]:
    """Yield the ids of the running processes that a process of this machine has started."""
    for place in Path("/proc").glob("[0-9]*"):
        fields = status_of(int(place.name))
        if len(fields) > 1 and fields[1] == str(pid):
            yield int(place.name)


def status_of(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on; [] where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def name_of(pid: int) -> str:
    """Return the first word of a process's command line; "" where there is no such process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").partition("\0")[0]
    except OSError:
        return ""


_RAYS = re.compile(rb"^ray::|/ray/(_private|core|dashboard)/")
"""Pattern of the command lines of Ray's processes."""


def _sessions(base: Path) -> list[Path]:
    """Return the folders of this user's sessions in a folder."""
    found = []
    try:
        with os.scandir(base) as entries:
            for entry in entries:
                named = re.fullmatch(rf"{PREFIX}\w{{8}}", entry.name)
                if not named or not entry.is_dir(follow_symlinks=False):
                    continue
                if entry.stat(follow_symlinks=False).st_uid == os.getuid():
                    found.append(Path(entry.path))
    except OSError:
        return []
    return found


def _lock_of(folder: Path) -> int | None:
    """Return a descriptor that holds a session's lock.

    None where its driver holds it, or the folder is no session's.
    """
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        written = os.pread(lock, 20, 0).strip()
        young = time.time() - os.fstat(lock).st_mtime <= YOUNG_SECONDS
        # On a file system where every lock succeeds, a free lock does not mean a dead driver.
        own = any(os.path.samestat(os.fstat(lock), os.fstat(held)) for held in _held)
        lives = own or (written.isdigit() and runs_elsewhere(int(written)))
        if not lives and (written or not young):
            return lock
    except OSError:
        pass
    os.close(lock)
    return None


def _hold(folder: Path) -> None:
    """Hold a session's lock until this process ends."""
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_EXCL, 0o600)
    _held.append(lock)
    fcntl.flock(lock, fcntl.LOCK_EX)  # a sweep that holds it releases it at once
    os.write(lock, f"{os.getpid()}\n".encode())  # from now on a free lock means a dead driver


_held: list[int] = []


def _room(base: Path) -> int:
    found = os.statvfs(base)
    return found.f_bavail * found.f_frsize


def _try_socket(folder: Path) -> None:
    """Make a socket, which some file systems do not support."""
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(folder / "socket"))
    (folder / "socket").unlink()
