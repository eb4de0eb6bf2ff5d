"""What a file is by its first bytes, for a sentence on why it is not what was expected."""

from __future__ import annotations

_KINDS = {
    b"\xff\xd8": "a JPEG",
    b"\x89PNG": "a PNG",
    b"RIFF": "a WebP",
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"\0\0\0\x0cjP": "a JPEG 2000",
    b"\xff\x0a": "a JPEG XL",
    b"8BPS": "a Photoshop file",
    b"%PDF": "a PDF",
    b"<": "a page of HTML or XML",
    b"version https://git-lfs": "a pointer of Git LFS, fetch the file itself",
    b"PK\3\4": "a zip archive",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x1f\x8b": "a gzip file, such as a .tar.gz",
    b"\xfd7zXZ": "an xz file, such as a .tar.xz",
    b"BZh": "a bzip2 file, such as a .tar.bz2",
    b"\xd0\xcf\x11\xe0": "a document of old Microsoft Office",
}
ENOUGH = 512
"""Bytes of a file by which it is recognised."""


def kind_of(content: bytes) -> str:
    """Return what a file is, with its article, as in "a JPEG"; "" where that is not known.

    Args:
        content: the file, or its first ENOUGH bytes.
    """
    if not content:
        return "an empty file"
    if content[4:8] == b"ftyp":
        return "a HEIC or AVIF"
    if content[257:262] == b"ustar":
        return "a tar archive"
    if not content.strip(b"\0"):
        return "nothing but zeros"
    head = content[:64].lstrip(b"\xef\xbb\xbf \t\r\n") if b"<" in content[:64] else content
    return next((kind for start, kind in _KINDS.items() if head.startswith(start)), "")
