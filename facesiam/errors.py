"""The errors that a user can mend, and text made safe to print."""

from __future__ import annotations

import re
from typing import Any

LONGEST_LINE = 600
"""Largest number of characters of a line of a message."""
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f"
    "\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Characters that move a terminal's cursor, ring its bell, hide or reorder text."""


class UserError(Exception):
    """An error that the user can mend. A command prints its text and exits with its code.

    Each domain has a subclass of its own. The text is made safe when it is shown: control
    characters of whatever was read are written as escapes, and endless lines are shortened.
    """

    exit_code = 2
    """Wrong input, in most domains."""

    def __str__(self) -> str:
        return shown(super().__str__())


class ConfigError(UserError, ValueError):
    """Settings that no trial can run with; the text names each of them and the rule it breaks."""


class DataError(UserError, ValueError):
    """Data that cannot be used; the text names the file and says what to do."""


class FileError(UserError, ValueError):
    """A file that cannot be read or written; the text names it and says why."""


class MissingFileError(FileError):
    """A file that does not exist."""


class NetError(UserError, ValueError):
    """A net that cannot be made on this machine; the text says what to do."""


class PluginError(UserError, ValueError):
    """A plugin that cannot be used; the text has its file and line."""


class StorageError(UserError, OSError):
    """Storage that cannot be written or read; the text names the file and says why."""


class WeightsError(UserError, ValueError):
    """Weights that are not available or do not fit; the text says what to do."""


def shown(text: object, longest: int = LONGEST_LINE) -> str:
    """Return text that was read from somewhere, safe to print.

    It has no control characters, no secrets of URLs and no endless line. Line ends and tabs stay.

    Args:
        text: anything; its str() is shown.
        longest: characters that a line may have; the middle of a longer one is left out.
    """
    said = _CONTROL.sub(_escape, masked(str(text)))
    return "\n".join(_shortened(line, longest) for line in said.split("\n"))


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return ``1 epoch``, ``2 epochs``, ``1,400 images``.

    Args:
        count: how many.
        noun: what, in the singular.
        plural: the other form; None: with an s.
    """
    return f"{count:,} {inflected(count, noun, plural)}"


def inflected(count: int, noun: str, plural: str | None = None) -> str:
    """Return the form of a noun that goes with a count: ``epoch`` with 1, else ``epochs``."""
    return noun if count == 1 else plural or noun + "s"


def masked(text: str) -> str:
    """Return text without the secrets of the URLs in it: *** stands for them.

    As in s3://KEY:SECRET@bucket, and in a query as in ?secret_key=…&token=…. A name alone before
    the @ is none (abfs://container@account, sftp://me@host), but for kinds where it is a key.
    """
    if "://" not in text and "=" not in text:
        return text
    text = _QUERY.sub(r"\1***", text)
    return _KEY.sub(r"\1***@", _PASSWORD.sub(r"\1***@", text))


_PASSWORD = re.compile(r"(://)[^/\s@:'\"]*:(?!\d+(?:/|$))[^\s@'\"]*@")
"""NAME:SECRET@, but not a port. A secret may hold a slash that was not written as %2F."""
_KEY = re.compile(r"\b((?:s3|https?|ray|oss|r2)://)(?!\*\*\*@)[^/\s@'\"]+@", re.IGNORECASE)
_QUERY = re.compile(
    r"([?&;](?:[\w.-]*(?:secret|token|passw|credential|signature|(?:access|account|api|private)"
    r"[_-]?key)[\w.-]*|sig|key|pwd|auth)=)[^&;\s'\"#]+",
    re.IGNORECASE,
)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _shortened(line: str, longest: int) -> str:
    if len(line) <= longest:
        return line
    half = longest // 2
    return f"{line[:half]}… ({len(line) - 2 * half:,} characters) …{line[-half:]}"


def reason(error: Any) -> str:
    """Return what the system says of an OSError, without its number; else the error's text."""
    return str(getattr(error, "strerror", None) or error)


def first_line(error: BaseException, most: int = 160) -> str:
    """Return the beginning of an error's text; the error's kind where it has none."""
    # Masked before it is cut: half of a secret is not recognised as one.
    return masked(str(error).strip() or type(error).__name__).splitlines()[0][:most]


def named(error: BaseException) -> str:
    """Return the kind of an error and the beginning of its text: ``OSError: disk I/O error``."""
    kind, text = type(error).__name__, first_line(error)
    return text if text.startswith(kind) else f"{kind}: {text}"
