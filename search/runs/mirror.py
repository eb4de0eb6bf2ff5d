"""The mirror of a run's folder behind a URL: new lines and files are uploaded every few seconds.

The journal is uploaded in parts (``journal_parts``). A driver on another machine downloads them
and resumes the run. A file that is no longer needed, such as the state of a trial that has ended,
is removed there only after the lines that say so are uploaded.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from facesiam.data.dataset import cache_root
from facesiam.errors import FileError, MissingFileError, StorageError, masked
from facesiam.files import open_regular, write_bytes, write_text
from facesiam.storage.bucket import Bucket
from facesiam.storage.folder import is_of
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

UPLOAD_SECONDS = 5.0
"""Seconds between two uploads: the most that is lost with the driver's machine."""
MAX_PARTS = 100
"""Number of parts that are merged into one."""
LOCAL_ONLY = ("weights", "state", "logs", "ray")
"""Folders that are not uploaded: workers upload their own, the rest is of this machine only."""
Finished = Mapping[str, set[str]]
"""By folder the trials whose files are no longer needed."""


def folder_for(url: str) -> Path:
    """Return the folder on this machine that mirrors a URL; it does not depend on its secrets."""
    place = masked(url).partition("?")[0].rstrip("/")
    name = place.rsplit("/", 1)[-1]
    return cache_root() / "runs" / hashlib.sha256(place.encode()).hexdigest()[:12] / name


def fetched(url: str) -> Path:
    """Download a run's files, except weights and states; return their folder.

    Raises:
        StorageError: it cannot be reached.
    """
    mirror = Mirror(url, lambda text: None)
    mirror.fetch()
    return mirror.run


def upload(url: str, folder: str) -> None:
    """Upload the files of one folder of a run, such as its report, from the folder here.

    The run needs no lease for that: no driver reads them.

    Args:
        url: of the run.
        folder: its name in the run.

    Raises:
        StorageError: it cannot be reached.
    """
    run, bucket = folder_for(url), Bucket(url)
    for file in sorted((run / folder).iterdir()):
        bucket.put(file, file.relative_to(run))


class Mirror:
    """Uploads what is new in a run's folder to its URL, on a thread of its own.

    Args:
        url: of the run.
        say: shows the user when the URL cannot be reached, and when it can again.
    """

    def __init__(self, url: str, say: Callable[[str], None]) -> None:
        self.url, self._say = url, say
        self.run, self.bucket = folder_for(url), Bucket(url)
        self.trouble: str | None = None
        self.on_lost: Callable[[str], None] = say
        """Called with the reason when another driver has taken the run over."""
        self._lease = Lease(self.bucket, self.say)
        self._sent, self._offsets = 0, {TRIALS: 0, EPOCHS: 0}
        """Number of the last uploaded line, and the offset of the next one in each file."""
        self._parts: list[str] = []
        self._seen: dict[str, tuple[int, int]] = {}
        self._finished: Callable[[], Finished] | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def say(self, text: str) -> None:
        """Show the user a text, without the URL's secrets."""
        self._say(masked(text))

    def exists(self) -> bool:
        """Say whether there is a run behind the URL."""
        return self.bucket.exists(layout.MANIFEST)

    def fetch(self) -> None:
        """Bring the folder here up to date with the URL.

        Lines that are only here stay where they continue those behind the URL. Where they do not,
        another machine resumed the run meanwhile: the folder here is renamed, so that nothing in
        it is lost. So is one whose journal cannot be read.

        Raises:
            JournalError: a part is damaged or missing.
            StorageError: the URL cannot be reached.
        """
        self._parts = part_names(self.bucket)
        there = list(read_parts(self.bucket, self._parts))
        self._sent, self._offsets = 0, dict.fromkeys(self._offsets, 0)
        here, damaged = self._local_lines()
        if damaged or [line for _, line in here][: len(there)] != [line for _, line in there]:
            if here or damaged:
                aside = f"{self.run.name}-aside-{time.time_ns()}"
                shutil.move(self.run, self.run.with_name(aside))
            for name in (TRIALS, EPOCHS):
                text = "".join(line for file, line in there if file == name)
                write_text(self.run / name, text)
        self._count_sent(there)
        for name in (layout.MANIFEST, layout.SPACE, layout.WARM_START):
            if (found := self.bucket.read(name)) is not None:
                write_bytes(self.run / name, found)  # whoever reads it says what it lacks

    def __enter__(self) -> Mirror:
        """Take the lease, download what is there, and start the thread.

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
        """Upload what is left and release the lease; ``trouble`` says why that failed."""
        self._stopping.set()
        self.bucket.patience = (1,)  # a machine that is taken away does not wait for long
        assert self._thread is not None
        self._thread.join()
        try:
            self.bring(everything=True)
            self._lease.release()
        except (StorageError, JournalError, OSError) as error:
            self.trouble = str(error)

    def sweep(self, ending: Callable[[], Finished]) -> None:
        """Have files removed with the next upload, after the journal is there.

        Args:
            ending: returns which, each time it is called.
        """
        self._finished = ending

    def bring(self, everything: bool = False) -> None:
        """Upload what is new.

        Args:
            everything: TensorBoard's files too, which are left out while the search runs.

        Raises:
            StorageError: it cannot be reached; the next call tries the same again.
            JournalError: another driver has taken the run over.
        """
        if self._thread:
            self._lease.renew()
        ending, self._finished = self._finished, None
        over = ending() if ending else {}
        try:
            self._bring_lines()
            if ending:
                self._remove(ending, over)
        except BaseException:
            self._finished = self._finished or ending
            raise
        self._bring_files(everything)

    def _bring_lines(self) -> None:
        if new := self._unsent_lines():
            self._parts.append(write_part(self.bucket, self._sent + 1, new))
            self._count_sent(new)
        if len(self._parts) >= MAX_PARTS:
            old, self._parts, at = self._parts, [], (self._sent, self._offsets)
            self._sent, self._offsets = 0, dict.fromkeys(self._offsets, 0)
            whole = self._unsent_lines()[: at[0]]
            self._sent, self._offsets = at
            self._parts.append(write_part(self.bucket, 1, whole))
            for part in old:
                remove_part(self.bucket, part)

    def _unsent_lines(self) -> list[Line]:
        """Return the complete lines that are not uploaded yet, in order of their numbers.

        They end before the first number that is missing: its file may have been read before the
        line was written.

        Raises:
            JournalError: what is here is no journal.
            FileError: it cannot be read.
        """
        found = []
        for name, at in self._offsets.items():
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

    def _local_lines(self) -> tuple[list[Line], bool]:
        """Return all complete lines here, and whether the journal is damaged."""
        try:
            return self._unsent_lines(), False
        except (JournalError, FileError) as error:
            self.say(f"{error}; the folder is set aside, and that of {self.url} taken")
            return [], True

    def _count_sent(self, lines: list[Line]) -> None:
        """Count lines as uploaded."""
        self._sent += len(lines)
        for name, line in lines:
            self._offsets[name] += len(line.encode())

    def _remove(self, ending: Callable[[], Finished], before: Finished) -> None:
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
                skipped = (*LOCAL_ONLY, *(() if everything else ("tensorboard",)))
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
        while not self._stopping.wait(UPLOAD_SECONDS):
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
