"""A run that lies behind a URL: its folder on this machine, brought there bit by bit.

Nothing can be appended to an object in a bucket, so the journal goes there in parts: each object
has the lines since the last one and is named by the byte at which it begins. The parts in a row
are the file. A driver on another machine fetches them and goes on.

A trial's state is removed from the bucket only after the lines that say it has ended are there.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from facesiam.data import cache_root
from facesiam.storage import Bucket, StorageError, join, sweep
from search.journal import EPOCHS, TRIALS, JournalError, write_atomically

PERIOD = 5.0
"""Seconds between two looks for what is new: what the loss of the driver's machine can cost."""
HEARTBEAT, SILENCE = 10.0, 60.0
"""Seconds between a driver's signs of life, and without one until another may take over."""
LOCK = "lock.json"
HERE_ONLY = ("weights", "state", "logs", "ray", ".lock", ".came-from")
"""What is not copied: the workers bring their own, the rest is of this machine."""


def folder_for(url: str) -> Path:
    """Return the folder on this machine for a run behind a URL."""
    place = url.partition("?")[0].rstrip("/")
    name = place.rsplit("/", 1)[-1]
    return cache_root() / "runs" / hashlib.sha256(place.encode()).hexdigest()[:12] / name


def fetched(url: str) -> Path:
    """Return a folder with a run's files as they are behind the URL now, but for the weights.

    Raises:
        StorageError: it cannot be reached.
    """
    mirror = Mirror(url, lambda text: None)
    mirror.fetch()
    return mirror.run


class Mirror:
    """Brings what is new in a run's folder to its URL, on a thread of its own.

    Args:
        url: of the run.
        say: told when the URL cannot be reached, and when it can again.
    """

    def __init__(self, url: str, say: Callable[[str], None]) -> None:
        self.url, self.say = url, say
        self.run, self.bucket = folder_for(url), Bucket(url)
        self.trouble: str | None = None
        self._sent = {TRIALS: 0, EPOCHS: 0}
        self._seen: dict[str, tuple[int, int]] = {}
        self._keep: Mapping[str, set[str]] | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._alive_at = -HEARTBEAT

    def fetch(self) -> None:
        """Make the folder here what is behind the URL, and know what is there already.

        Lines that are only here stay, if they continue what is there. If they do not, another
        machine went on in the meantime: the folder here is set aside, and nothing in it lost.
        """
        there = {name: self._journal(name) for name in (TRIALS, EPOCHS)}
        here = {
            name: file.read_bytes() if (file := self.run / name).exists() else b""
            for name in there
        }
        if any(not here[name].startswith(content) for name, content in there.items()):
            if any(here.values()):
                aside = self.run.with_name(f"{self.run.name}-aside-{time.time():.0f}")
                shutil.move(self.run, aside)
            self.run.mkdir(parents=True, exist_ok=True)
            for name, content in there.items():
                (self.run / name).write_bytes(content)
        self._sent = {name: len(content) for name, content in there.items()}
        for name in ("manifest.json", "space.yaml"):
            if (found := self.bucket.read(name)) is not None:
                write_atomically(self.run / name, found.decode())

    def exists(self) -> bool:
        """Say whether there is a run behind the URL."""
        return self.bucket.exists("manifest.json")

    def __enter__(self) -> Mirror:
        """Take the run for this driver, and begin.

        Raises:
            JournalError: another driver has it.
            StorageError: it cannot be reached.
        """
        self._take()
        self._thread = threading.Thread(target=self._work, daemon=True, name="mirror")
        self._thread.start()
        return self

    def __exit__(self, *of_an_error: object) -> None:
        """End, once what is new is there, or cannot be brought there: see ``trouble``."""
        self._over.set()
        assert self._thread is not None
        self._thread.join()
        try:
            self.bring()
            self.bucket.remove(Path(LOCK))
        except (StorageError, OSError) as error:
            self.trouble = str(error)

    def sweep(self, keep: Mapping[str, set[str]]) -> None:
        """Remove what is not to be kept, once the journal is there that says so."""
        self._keep = keep

    def bring(self) -> None:
        """Bring there what is new.

        Raises:
            StorageError: it cannot be reached; what is new is still new.
        """
        keep = self._keep
        for name, sent in self._sent.items():
            file = self.run / name
            if not file.exists():
                continue
            with file.open("rb") as stream:
                stream.seek(sent)
                new = stream.read()
            new = new[: new.rfind(b"\n") + 1]
            if new:
                self.bucket.write(f"journal/{Path(name).stem}-{sent:015d}.jsonl", new)
                self._sent[name] = sent + len(new)
        for path in sorted(self.run.rglob("*")):
            name = str(path.relative_to(self.run))
            if name.split("/")[0] in (*HERE_ONLY, *self._sent) or not path.is_file():
                continue
            status = path.stat()
            stamp = status.st_mtime_ns, status.st_size
            if self._seen.get(name) != stamp and not path.name.startswith("."):
                self.bucket.put(path, Path(name))
                self._seen[name] = stamp
        if keep is not None:
            sweep(self.bucket, {name: stems for name, stems in keep.items() if name != "logs"})
            if self._keep is keep:
                self._keep = None
        if self._thread and time.monotonic() - self._alive_at > HEARTBEAT:
            self._sign()

    def _journal(self, name: str) -> bytes:
        content, stem = b"", Path(name).stem
        for part in self.bucket.names("journal"):
            if part.startswith(f"{stem}-"):
                begins = int(part.removeprefix(f"{stem}-").removesuffix(".jsonl"))
                if begins > len(content):
                    raise JournalError(
                        f"{join(self.url, 'journal')}: bytes {len(content)} to {begins} of {name} "
                        "are missing"
                    )
                content = content[:begins] + (self.bucket.read(f"journal/{part}") or b"")
        return content

    def _work(self) -> None:
        while not self._over.wait(PERIOD):
            try:
                self.bring()
            except (StorageError, OSError) as error:
                if self.trouble is None:
                    self.say(f"not reached, will be tried again: {error}")
                self.trouble = str(error)
            else:
                if self.trouble is not None:
                    self.say(f"{self.url}: reached again, nothing is missing there")
                self.trouble = None

    def _take(self) -> None:
        held = json.loads(self.bucket.read(LOCK) or b"{}")
        silent = time.time() - held.get("time", 0.0)
        mine = held.get("host") == _host()
        if held and silent < SILENCE and not (mine and not _runs(int(held["pid"]))):
            raise JournalError(
                f"{self.url}: another search is running in it, process {held['pid']} on "
                f"{held['host']}, last heard of {silent:.0f} s ago; one that has died is taken "
                f"over {SILENCE:.0f} s after that"
            )
        self._sign()

    def _sign(self) -> None:
        self._alive_at = time.monotonic()
        sign = {"host": _host(), "pid": os.getpid(), "time": time.time()}
        self.bucket.write(LOCK, json.dumps(sign).encode())


def _host() -> str:
    return platform.node()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
