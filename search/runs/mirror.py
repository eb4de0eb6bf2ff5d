"""The mirror of a run's folder behind a URL: what is new is brought there every few seconds.

The journal goes there in parts (``journal_parts``). A driver on another machine fetches the parts
and goes on. What is removed there, such as the state of a trial that has ended, is removed only
after the lines are there that say why.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from facesiam.bucket import Bucket
from facesiam.data.dataset import cache_root
from facesiam.errors import FileError, MissingFileError, StorageError, masked
from facesiam.files import open_regular, write_bytes
from facesiam.storage import is_of
from search.runs import layout
from search.runs.journal_parts import (
    Line,
    numbered_rows,
    part_names,
    read_parts,
    remove_part,
    write_part,
)
from search.runs.lease import Lease
from search.runs.line_format import EPOCHS, TRIALS, JournalError

PERIOD = 5.0
"""Seconds between two looks for what is new: what the loss of the driver's machine can cost."""
PARTS = 100
"""So many parts become one."""
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
        self._lease = Lease(self.bucket, self.say)
        self._sent, self._at = 0, {TRIALS: 0, EPOCHS: 0}
        """Number of the last line that is there, and where in each file the next one begins."""
        self._parts: list[str] = []
        self._seen: dict[str, tuple[int, int]] = {}
        self._ending: Callable[[], Over] | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def say(self, text: str) -> None:
        """Tell the user, but no secret of the URL."""
        self._say(masked(text))

    def exists(self) -> bool:
        """Say whether there is a run behind the URL."""
        return self.bucket.exists(layout.MANIFEST)

    def fetch(self) -> None:
        """Make the folder here what is behind the URL, and know what is there already.

        Lines that are only here stay, if they continue what is there. If they do not, another
        machine went on in the meantime: the folder here is set aside, and nothing in it lost. So
        is one whose journal cannot be read.

        Raises:
            JournalError: a part is damaged or missing.
            StorageError: the URL cannot be reached.
        """
        self._parts = part_names(self.bucket)
        there = list(read_parts(self.bucket, self._parts))
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
        self._count_sent(there)
        for name in (layout.MANIFEST, layout.SPACE, layout.WARM_START):
            if (found := self.bucket.read(name)) is not None:
                write_bytes(self.run / name, found)  # whoever reads it says what it lacks

    def __enter__(self) -> Mirror:
        """Take the run for this driver, and begin.

        Raises:
            JournalError: another driver has it, or a part is missing.
            StorageError: it cannot be reached.
        """
        self._lease.take()
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
            self._lease.release()
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
            self._lease.renew()
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
            self._parts.append(write_part(self.bucket, self._sent + 1, new))
            self._count_sent(new)
        if len(self._parts) >= PARTS:
            old, self._parts, at = self._parts, [], (self._sent, self._at)
            self._sent, self._at = 0, dict.fromkeys(self._at, 0)
            whole = self._new()[: at[0]]
            self._sent, self._at = at
            self._parts.append(write_part(self.bucket, 1, whole))
            for part in old:
                remove_part(self.bucket, part)

    def _new(self) -> list[Line]:
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
            for row, line in numbered_rows(
                content[: content.rfind(b"\n") + 1], str(self.run / name)
            ):
                found.append((int(row["n"]), name, line))
        found.sort()
        return [
            (name, line)
            for place, (number, name, line) in enumerate(found, self._sent + 1)
            if number == place
        ]

    def _here(self) -> tuple[list[Line], bool]:
        """Return what ``_new`` does, and whether that cannot be told."""
        try:
            return self._new(), False
        except (JournalError, FileError) as error:
            self.say(f"{error}; the folder is set aside, and that of {self.url} taken")
            return [], True

    def _count_sent(self, lines: list[Line]) -> None:
        """Count lines as present behind the URL."""
        self._sent += len(lines)
        for name, line in lines:
            self._at[name] += len(line.encode())

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
