"""The members of a zip archive: their paths, and what an archive is refused for."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from pathlib import Path

from facesiam import files
from facesiam.data.file_kinds import ENOUGH, kind_of
from facesiam.data.paths import leaves
from facesiam.errors import DataError, reason

MAX_MEMBER = 64 * 2**20
"""Bytes of the largest file that is read. The largest of CFP has 0.4 MB."""
MAX_TOTAL = 4 * 2**30
"""Bytes that any archive may unpack to; CFP has 0.09 GB. More is of a large set of images, which
compress little: such an archive may unpack to MAX_RATIO times its own size."""
MAX_RATIO = 20
"""Encoded images shrink by a few percent in a zip, uncompressed ones to a third, a bomb to a
thousandth."""
_ENCRYPTED, _SAYS_UTF_8 = 0x1, 0x800
"""Flags of a zip's member."""


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open an archive whose members may all be read.

    Raises:
        DataError: not a whole zip, a member outside its folder, or a bomb.
    """
    try:
        archive = zipfile.ZipFile(path)
    except files.DAMAGED as error:
        raise DataError(_broken(path, error)) from None
    _refuse_unsafe(path, archive.infolist())
    _refuse_doubles(path, archive.infolist())
    return archive


def _broken(path: Path, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return f"{path}: cannot be read ({error.strerror})"
    try:
        with open(path, "rb") as stream:
            head = stream.read(ENOUGH)
    except OSError as unreadable:
        return f"{path}: cannot be read ({reason(unreadable)})"
    if head.startswith(b"PK"):
        return (
            f"{path}: a truncated or damaged zip ({error}); fetch it again, CFP with "
            "`python -m facesiam.data download`"
        )
    kind = kind_of(head)
    return (
        f"{path}: {f'{kind}, ' * bool(kind)}not a zip archive; give a zip of a dataset, or its "
        "folder"
    )


def _refuse_unsafe(path: Path, members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        # orig_filename: zipfile cuts the name at a NUL and rewrites separators
        names = {member.orig_filename, member.filename}
        if any(leaves(name) for name in names):
            raise DataError(
                f"{path}: member {member.orig_filename!r} would land outside its folder; refused"
            )
        if member.file_size > MAX_MEMBER:
            raise DataError(
                f"{path}: member {member.filename!r} unpacks to {member.file_size:,} bytes; "
                f"refused above {MAX_MEMBER:,}"
            )
        if member.flag_bits & _ENCRYPTED:
            raise DataError(
                f"{path}: member {member.filename!r} is encrypted; unpack the archive with its "
                "password and give the folder"
            )
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(
                f"{path}: member {member.filename!r} is neither stored nor deflated; refused"
            )
    total = sum(member.file_size for member in members)
    size = path.stat().st_size  # of the file: members may overlap in it
    if total > max(MAX_TOTAL, MAX_RATIO * size):
        raise DataError(
            f"{path}: unpacks to {total:,} bytes, {total // max(size, 1):,} times its size; above "
            f"{MAX_TOTAL:,} bytes refused beyond {MAX_RATIO} times"
        )


def name_of(member: zipfile.ZipInfo) -> str:
    """Return a member's path with slashes, whatever wrote the archive, and without "./"."""
    name = member.filename
    if not name.isascii() and not member.flag_bits & _SAYS_UTF_8:  # macOS does not set the flag
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))


def is_folder(member: zipfile.ZipInfo) -> bool:
    """Return whether a member is a folder, whatever wrote the archive."""
    return member.filename.endswith(("/", "\\"))


def _refuse_doubles(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuse two members of one name, which different programs would extract differently."""
    seen: dict[str, tuple[int, int]] = {}
    for member in members:
        name, stamp = name_of(member), (member.file_size, member.CRC)
        if seen.setdefault(name, stamp) != stamp:
            raise DataError(
                f"{path}: member {member.filename!r} is in it twice, with different content; "
                "refused"
            )
