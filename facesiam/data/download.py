"""Download of the official archive: resumable, and in place only when it is whole."""

from __future__ import annotations

import errno
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from pathlib import Path

from facesiam.data.formats import open_dataset
from facesiam.data.progress import bar
from facesiam.data.zip_members import MAX_TOTAL
from facesiam.errors import DataError, counted
from facesiam.files import publish

URL = "http://www.cfpw.io/cfp-dataset.zip"
"""The official archive; free for research only."""
TIMEOUT_SECONDS = 30.0
ATTEMPTS = 4
"""Attempts in a row that may bring no byte before the download is given up."""
PAUSE_SECONDS = 0.3
_BLOCK = 2**18


class _Incomplete(OSError):
    """The connection ended before the length that the server had announced."""


def download(url: str, target: Path, *, progress: bool = True) -> Path:
    """Fetch ``url`` to ``target``, continuing ``target``.part where there is one.

    Returns ``target``, at once where it is already a whole CFP archive.

    Raises:
        DataError: no network, a server that says no, a full disk, or something else than CFP.
    """
    if not url.startswith(("http://", "https://")):
        raise DataError(f"{url}: not an http:// or https:// address")
    if target.exists() and _is_whole(target):
        return target
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
    except OSError as error:
        raise DataError(f"{target.parent}: cannot be written ({error.strerror})") from None
    _fetch_all(url, part, progress)
    try:
        _verify(part)
    except DataError as error:
        part.unlink()
        raise DataError(f"{url}: what came was deleted: {error}") from None
    publish(part, target)
    return target


def _fetch_all(url: str, part: Path, progress: bool) -> None:
    idle = 0
    while True:
        before = part.stat().st_size
        try:
            _fetch(url, part, progress)
            return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code < 500:
                raise DataError(f"{url}: the server says {error.code} {error.reason}") from None
            problem: Exception = error
        except (OSError, http.client.HTTPException) as error:
            if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EACCES):
                raise DataError(f"{part}: cannot be written ({error})") from None
            problem = error
        idle = 0 if part.stat().st_size > before else idle + 1
        if idle == ATTEMPTS:
            reason, came = getattr(problem, "reason", problem), part.stat().st_size
            if not came:
                part.unlink()
            goes_on = f" (it goes on after the {came:,} bytes that came)" if came else ""
            raise DataError(
                f"{url}: cannot be fetched ({reason}); check the network and run this again"
                f"{goes_on}, or get a copy and give it to --data"
            )
        time.sleep(PAUSE_SECONDS * 2**idle)


def _fetch(url: str, part: Path, progress: bool) -> None:
    """Bring ``part`` to its full length, or raise an OSError with what came kept."""
    have = part.stat().st_size
    headers = {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(url, headers=headers)
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        total = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range") or "")
        if error.code != 416:
            raise
        error.close()
        if total is None or int(total[1]) != have:  # longer than the file: not a part of it
            os.truncate(part, 0)
            raise _Incomplete("the part that was there does not belong to this file") from None
        return
    with answer:
        served = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range") or "")
        start = int(served[1]) if answer.status == 206 and served else 0
        if start not in (0, have):
            raise _Incomplete(f"asked from byte {have}, the server sent from {start}")
        length = answer.headers.get("Content-Length")
        total_bytes = start + int(length) if length else 0
        if total_bytes > MAX_TOTAL:
            raise DataError(f"{url}: {total_bytes:,} bytes; refused above {MAX_TOTAL:,}")
        with (
            open(part, "r+b") as stream,
            bar(f"downloading {url}", total_bytes, done=start, show=progress) as advance,
        ):
            stream.truncate(start)
            stream.seek(start)
            while block := answer.read(_BLOCK):
                stream.write(block)
                advance(len(block))
                if stream.tell() > MAX_TOTAL:
                    raise DataError(f"{url}: more than {MAX_TOTAL:,} bytes; refused")
            came = stream.tell()
    if total_bytes and came != total_bytes:
        raise _Incomplete(f"{came:,} of {total_bytes:,} bytes came")


def _is_whole(archive: Path) -> bool:
    try:
        _verify(archive)
    except DataError:
        return False
    return True


def _verify(path: Path) -> None:
    opened = open_dataset(path, "cfp")
    dataset = opened.read()
    if dataset.problems:
        problems = dataset.problems
        count = counted(len(problems), "problem")
        raise DataError(f"{path}: {count}, first: {problems[0].said}")
    for name in dataset.files + dataset.names:
        opened.source.read(name)  # checks the CRC
