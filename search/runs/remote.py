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
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from facesiam.bucket import Bucket, join
from facesiam.data.dataset import cache_root
from facesiam.errors import FileError, MissingFileError, StorageError, masked, shown
from facesiam.files import open_regular, write_bytes
from facesiam.processes import runs_elsewhere
from facesiam.storage import is_of
from search.runs.field_checks import is_whole
from search.runs.line_format import EPOCHS, TRIALS, JournalError, parsed
from search.tuning import warm_start

PERIOD = 5.0
"""Seconds between two looks for what is new: what the loss of the driver's machine can cost."""
SIGNING, SILENCE = 10.0, 60.0
"""Seconds between a driver's signs of life, and without one until another may take over."""
PARTS = 100
"""So many parts become one."""
PART = re.compile(r"(?P<first>\d{12})-(?P<last>\d{12})\.jsonl", re.ASCII)
"""A part's name; what else lies beside the parts is not this program's."""
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
        machine went on in the meantime: the folder here is set aside, and nothing in it lost. So
        is one whose journal cannot be read.

        Raises:
            JournalError: a part is damaged or missing.
            StorageError: the URL cannot be reached.
        """
        there = list(self._lines())
        self._sent, self._at = 0, dict.fromkeys(self._at, 0)
        here, damaged = self._here()
        if damaged or [line for _, line in here][: len(there)] != [line for _, line in there]:
            if here or damaged:
                aside = f"{self.run.name}-aside-{time.time_ns()}"
                shutil.move(self.run, self.run.with_name(aside))
            self.run.mkdir(parents=True, exist_ok=True)
            for name in (TRIALS, EPOCHS):
                text = "".join(line for file, line in there if file == name)
                (self.run / name).write_text(text, encoding="utf-8")
        self._went(there)
        for name in ("manifest.json", "space.yaml", warm_start.FILE):
            if (found := self.bucket.read(name)) is not None:
                write_bytes(self.run / name, found)  # whoever reads it says what it lacks

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

        Raises:
            JournalError: what is here is no journal.
            FileError: it cannot be read.
        """
        found = []
        for name, at in self._at.items():
            try:
                with open_regular(self.run / name) as file:
                    file.seek(at)
                    content = file.read()
            except MissingFileError:
                continue
            for row, line in _rows(content[: content.rfind(b"\n") + 1], str(self.run / name)):
                found.append((int(row["n"]), name, line))
        found.sort()
        return [
            (name, line)
            for place, (number, name, line) in enumerate(found, self._sent + 1)
            if number == place
        ]

    def _here(self) -> tuple[list[tuple[str, str]], bool]:
        """Return what ``_new`` does, and whether that cannot be told."""
        try:
            return self._new(), False
        except (JournalError, FileError) as error:
            self.say(f"{error}; the folder is set aside, and that of {self.url} taken")
            return [], True

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
        self._parts = [name for name in self.bucket.names("journal") if PART.fullmatch(name)]
        number = 0
        with ThreadPoolExecutor(16) as pool:
            for part, content in zip(
                self._parts,
                pool.map(lambda p: self.bucket.read(f"journal/{p}"), self._parts),
                strict=True,
            ):
                if content is None:
                    raise JournalError(
                        f"{join(self.url, f'journal/{part}')}: was removed while "
                        "it was looked for, as a search joins parts; try again"
                    )
                for row, line in self._whole(part, content):
                    if row["n"] <= number:
                        continue  # parts that became one, which were not all removed
                    number += 1
                    if row["n"] != number:
                        raise JournalError(
                            f"{join(self.url, 'journal')}: lines {number} to {row['n'] - 1} are "
                            f"missing before {part}"
                        )
                    yield (TRIALS if "status" in row else EPOCHS), line

    def _whole(self, part: str, content: bytes) -> list[tuple[dict[str, Any], str]]:
        """Return what the lines of a part hold, and their text.

        Raises:
            JournalError: it does not hold the lines that its name says.
        """
        where, named = join(self.url, f"journal/{part}"), PART.fullmatch(part)
        assert named
        more = (
            "; put an earlier version of it back, or go on with a copy of the folder that the "
            "driver's machine has"
        )
        try:
            rows = _rows(content, where)
        except JournalError as error:
            raise JournalError(f"{error}{more}") from None
        numbers = [row["n"] for row, _ in rows]
        first, last = int(named["first"]), int(named["last"])
        if len(numbers) != last + 1 - first or numbers != list(range(first, last + 1)):
            raise JournalError(
                f"{where}: does not hold lines {first} to {last} as it should{more}"
            )
        return rows

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
            sign = _signed_by(held)
            mine = sign["host"] == _host()
            dead = mine and not runs_elsewhere(sign["pid"])
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
        sign = self.bucket.read(LOCK)
        held = _signed_by(sign) if sign else {}
        if held and held["token"] != self._token:
            raise JournalError(
                f"{self.url}: process {held['pid']} on {held['host']} has taken it over"
            )
        self._write_sign()

    def _write_sign(self) -> None:
        self._signed = time.monotonic()
        sign = {"host": _host(), "pid": os.getpid(), "token": self._token, "time": time.time()}
        self.bucket.write(LOCK, json.dumps(sign).encode())


def _rows(content: bytes, where: str) -> list[tuple[dict[str, Any], str]]:
    """Return what each line holds, and its text.

    Args:
        content: of whole lines.
        where: they are, for the message.

    Raises:
        JournalError: a line is no numbered record.
    """
    rows = []
    for line in content.splitlines(keepends=True):
        row, why = parsed(line)
        if why is None and not (isinstance(row, dict) and is_whole(row.get("n"), 1)):
            why = " with a number n"
        if why is None and not line.endswith(b"\n"):
            why = " with its end"
        if why is not None:
            said = shown(line[:60].decode(errors="replace").rstrip("\n"))
            raise JournalError(f"{where}: has a line that is not JSON{why}: {said!r}")
        rows.append((row, line.decode()))
    return rows


def _signed_by(held: bytes) -> dict[str, Any]:
    """Return host, pid and token of a sign of life; of one that says none, that nobody has."""
    sign, why = parsed(held)
    forms = {"host": str, "pid": int, "token": str}
    if (
        why is None
        and isinstance(sign, dict)
        and all(isinstance(sign.get(name), form) for name, form in forms.items())
        and 0 < sign["pid"] < 2**31
    ):
        return {name: sign[name] for name in forms}
    return {"host": "a machine that is not known", "pid": 0, "token": ""}


def _host() -> str:
    return platform.node()
