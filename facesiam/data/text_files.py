"""Text files in whatever encoding and with whatever line ends editors and systems write them."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""UTF-32's little-endian mark begins with UTF-16's, so it comes first."""
INVISIBLE = "\ufeff\u200b\u2060\x1a\0 \t\xa0"
"""What is no text at a line's or a cell's ends: blanks, marks, a last Ctrl-Z."""


def text_of(content: bytes) -> str:
    """Return the text of a file: UTF-8, -16 or -32, with or without a mark, or Windows-1252."""
    for mark, code in _MARKS.items():
        if content.startswith(mark):
            return content.decode(code, errors="replace")
    if b"\0" in content[:4]:  # digits and commas in UTF-16: each second byte is 0
        return content.decode("utf-16-be" if content[:1] == b"\0" else "utf-16-le", "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def lines_of(content: bytes) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, text without blanks around it) of each line that is not empty."""
    # Not splitlines(), which ends lines where no editor does, at a form feed for one.
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text_of(content)), 1):
        if text := line.strip(INVISIBLE):
            yield number, text
