"""A run that lies behind a URL: its folder on this machine, brought there bit by bit.

Nothing can be appended to an object in a bucket, so the journal goes there in parts: each object
has the lines since the last one, of both of its files, and is named by their numbers. So whatever
the bucket has at any moment is the journal as it was at some moment. A driver on another machine
fetches the parts and goes on.

What is removed from the bucket, such as the state of a trial that has ended, is removed only after
the lines are there that say why.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from facesiam.data import cache_root
from facesiam.errors import masked
from facesiam.files import write_text
from facesiam.storage import Bucket, StorageError, is_of, join
from search import prior
from search.journal import EPOCHS, TRIALS, JournalError

PERIOD = 5.0
"""Seconds between two looks for what is new: what the loss of the driver's machine can cost."""
SIGNING, SILENCE = 10.0, 60.0
"""Seconds between a driver's signs of life, and without one until another may take over."""
PARTS = 100
"""So many parts become one."""
LOCK = "lock.json"
HERE_ONLY = ("weights", "state", "logs", "ray")
"""What is not copied: the workers bring their own, the rest is of this machine."""
Over = Mapping[str, set[str]]
"""By folder the trials whose files are needed no more."""


def folder_for(url: str) -> Path:
    """Return the folder on this machine for a run behind a URL."""
    place = masked(url).partition("?")[0].rstrip("/")  # another password, the same place
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
        self.url, self._say = url, say
        self.run, self.bucket = folder_for(url), Bucket(url)
        self.trouble: str | None = None
        self.on_lost: Callable[[str], None] = say
        """Told when another driver has taken the run over."""
        self._token = uuid.uuid4().hex
        self._sent, self._at = 0, {TRIALS: 0, EPOCHS: 0}
        """Number of the last line that is there, and where in each file the next one begins."""
        self._parts: list[str] = []
        self._seen: dict[str, tuple[int, int]] = {}
        self._ending: Callable[[], Over] | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._signed = -SIGNING

    def say(self, text: str) -> None:
        """Tell the user, but no secret of the URL."""
        self._say(masked(text))

    def exists(self) -> bool:
        """Say whether there is a run behind the URL."""
        return self.bucket.exists("manifest.json")

    def fetch(self) -> None:
        """Make the folder here what is behind the URL, and know what is there already.

        Lines that are only here stay, if they continue what is there. If they do not, another
        machine went on in the meantime: the folder here is set aside, and nothing in it lost.
        """
        there = list(self._lines())
        self._sent, self._at = 0, dict.fromkeys(self._at, 0)
        here = self._new()
        if [line for _, line in here][: len(there)] != [line for _, line in there]:
            if here:
                aside = f"{self.run.name}-aside-{time.time_ns()}"
                shutil.move(self.run, self.run.with_name(aside))
            self.run.mkdir(parents=True, exist_ok=True)
            for name in (TRIALS, EPOCHS):
                text = "".join(line for file, line in there if file == name)
                (self.run / name).write_text(text, encoding="utf-8")
        self._went(there)
        for name in ("manifest.json", "space.yaml", prior.FILE):
            if (found := self.bucket.read(name)) is not None:
                write_text(self.run / name, found.decode())

    def __enter__(self) -> Mirror:
        """Take the run for this driver, and begin.

        Raises:
            JournalError: another driver has it, or a part is missing.
            StorageError: it cannot be reached.
        """
        self._take()
        self.run.mkdir(parents=True, exist_ok=True)
        self.fetch()  # by now nobody else writes there
        self._thread = threading.Thread(target=self._work, daemon=True, name="mirror")
        self._thread.start()
        return self

    def __exit__(self, *of_an_error: object) -> None:
        """End, once what is new is there, or cannot be brought there: see ``trouble``."""
        self._over.set()
        self.bucket.patience = (1,)  # a machine that is taken away does not wait for long
        assert self._thread is not None
        self._thread.join()
        try:
            self.bring(everything=True)
            self.bucket.remove(Path(LOCK))
        except (StorageError, JournalError, OSError) as error:
            self.trouble = str(error)

    def sweep(self, ending: Callable[[], Over]) -> None:
        """Remove what is over, as ``ending`` then says, once the journal is there."""
        self._ending = ending

    def bring(self, everything: bool = False) -> None:
        """Bring there what is new.

        Args:
            everything: TensorBoard's files too.

        Raises:
            StorageError: it cannot be reached; what is new is still new.
            JournalError: another driver has taken the run over.
        """
        if self._thread:
            self._sign()
        ending, self._ending = self._ending, None
        over = ending() if ending else {}
        try:
            self._bring_lines()
            if ending:
                self._remove(ending, over)
        except BaseException:
            self._ending = self._ending or ending
            raise
        self._bring_files(everything)

    def _bring_lines(self) -> None:
        if new := self._new():
            self._write_part(self._sent + 1, new)
            self._went(new)
        if len(self._parts) >= PARTS:
            old, self._parts, at = self._parts, [], (self._sent, self._at)
            self._sent, self._at = 0, dict.fromkeys(self._at, 0)
            whole = self._new()[: at[0]]
            self._sent, self._at = at
            self._write_part(1, whole)
            for part in old:
                self.bucket.remove(Path("journal") / part)

    def _new(self) -> list[tuple[str, str]]:
        """Return file and text of the whole lines here that are not there, in their order.

        Up to the first that is missing: the other file may have been read before it was written.
        """
        found = []
        for name, at in self._at.items():
            if (self.run / name).exists():
                with (self.run / name).open("rb") as file:
                    file.seek(at)
                    content = file.read()
                lines = content[: content.rfind(b"\n") + 1].decode().splitlines(keepends=True)
                found += [(int(json.loads(line)["n"]), name, line) for line in lines]
        found.sort()
        return [
            (name, line) for place, (number, name, line) in enumerate(found, self._sent + 1)
            if number == place
        ]

    def _went(self, lines: list[tuple[str, str]]) -> None:
        """Take note that these lines are there."""
        self._sent += len(lines)
        for name, line in lines:
            self._at[name] += len(line.encode())

    def _write_part(self, first: int, lines: list[tuple[str, str]]) -> None:
        name = f"{first:012d}-{first + len(lines) - 1:012d}.jsonl"
        self.bucket.write(f"journal/{name}", "".join(line for _, line in lines).encode())
        self._parts.append(name)

    def _remove(self, ending: Callable[[], Over], before: Over) -> None:
        # Listed before it is asked who goes on now: what starts later is not in the list. Who went
        # on before the lines were read may have ended since, which they do not say.
        there = {folder: self.bucket.names(folder) for folder in before if folder != "logs"}
        now = ending()
        for folder, names in there.items():
            for name in names:
                if is_of(name, folder, before[folder] & now[folder]):
                    self.bucket.remove(Path(folder) / name)

    def _bring_files(self, everything: bool) -> None:
        for place, folders, names in os.walk(self.run):
            if Path(place) == self.run:
                skipped = (*HERE_ONLY, *(() if everything else ("tensorboard",)))
                folders[:] = [name for name in folders if name not in skipped]
            for path in (Path(place) / name for name in sorted(names)):
                name = str(path.relative_to(self.run))
                if path.name.startswith(".") or name in (TRIALS, EPOCHS):
                    continue
                status = path.stat()
                stamp = status.st_mtime_ns, status.st_size
                if self._seen.get(name) != stamp:
                    self.bucket.put(path, Path(name))
                    self._seen[name] = stamp

    def _lines(self) -> Iterator[tuple[str, str]]:
        """Yield file and text of the lines that are there, in order."""
        self._parts, number = self.bucket.names("journal"), 0
        with ThreadPoolExecutor(16) as pool:
            for part, content in zip(
                self._parts, pool.map(lambda p: self.bucket.read(f"journal/{p}"), self._parts),
                strict=True,
            ):
                for line in (content or b"").decode().splitlines(keepends=True):
                    row = json.loads(line)
                    if row["n"] <= number:
                        continue  # parts that became one, which were not all removed
                    number += 1
                    if row["n"] != number:
                        raise JournalError(
                            f"{join(self.url, 'journal')}: lines {number} to {row['n'] - 1} are "
                            f"missing before {part}"
                        )
                    yield (TRIALS if "status" in row else EPOCHS), line

    def _work(self) -> None:
        while not self._over.wait(PERIOD):
            try:
                self.bring()
            except JournalError as error:
                self.trouble = str(error)
                self.on_lost(self.trouble)
                return
            except (StorageError, OSError) as error:
                if self.trouble is None:
                    self.say(f"not reached, will be tried again: {error}")
                self.trouble = str(error)
            else:
                if self.trouble is not None:
                    self.say(f"{self.url}: reached again, nothing is missing there")
                self.trouble = None

    def _take(self) -> None:
        """Wait for a driver that has the run to show that it lives, or for SILENCE."""
        held = self.bucket.read(LOCK)
        if held:
            sign = json.loads(held)
            mine = sign["host"] == _host()
            dead = mine and (sign["pid"] == os.getpid() or not _runs(int(sign["pid"])))
            who = f"process {sign['pid']} on {sign['host']}"
            if not dead:
                self.say(f"{self.url}: {who} had it; {SILENCE:.0f} s for a sign of life from it")
            began = time.monotonic()
            while not dead and time.monotonic() - began < SILENCE:
                time.sleep(min(1.0, SILENCE / 10))
                now = self.bucket.read(LOCK)
                if now is None:
                    break  # it has ended
                if now != held:
                    raise JournalError(f"{self.url}: another search is running in it, {who}")
        self._write_sign()

    def _sign(self) -> None:
        """Give a sign of life, where it is time, unless another driver has the run.

        Raises:
            JournalError: it has.
        """
        if time.monotonic() - self._signed < SIGNING:
            return
        held = json.loads(self.bucket.read(LOCK) or b"{}")
        if held and held["token"] != self._token:
            raise JournalError(
                f"{self.url}: process {held['pid']} on {held['host']} has taken it over"
            )
        self._write_sign()

    def _write_sign(self) -> None:
        self._signed = time.monotonic()
        sign = {"host": _host(), "pid": os.getpid(), "token": self._token, "time": time.time()}
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
