"""Characters that look like those of a keyboard and are others, as word processors put them in."""

from __future__ import annotations

import unicodedata

_LIKE = {
    "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d": "-",
    "\u2018\u2019\u201a\u201b\u2032": "'",
    "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb": '"',
    "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f"
    "\u3000\u0085\u2028\u2029": " ",
    "\u200b\u200c\u200d\u2060\ufeff\u00ad": "",
    "\u2236\ua789\u02d0": ":",
    "\u2044": "/",
    "\u0430": "a",
    "\u0435": "e",
    "\u043e": "o",
    "\u0440": "p",
    "\u0441": "c",
    "\u0445": "x",
    "\u0456": "i",
}
_PLAIN = {odd: plain for odds, plain in _LIKE.items() for odd in odds}
SPACES = "".join(odd for odd, plain in _PLAIN.items() if plain in ("", " "))
"""What looks like a space or like nothing, and is not the plain space."""
_NAMED = {"\u0085": "NEXT LINE"}


def plain(character: str) -> str | None:
    """Return what a character looks like on a keyboard; None where it is that, or like nothing."""
    if character.isascii():
        return None
    if character in _PLAIN:
        return _PLAIN[character]
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    wide = unicodedata.normalize("NFKC", character)
    return wide if wide != character and len(wide) == 1 and wide.isascii() else None


def plainly(text: str) -> str:
    """Return a text as one would type it."""
    return "".join(c if (p := plain(c)) is None else p for c in text)


def odd(text: str) -> str:
    """Name the first character of a text that is not what it looks like, in brackets; or ''."""
    found = next((c for c in text if plain(c) is not None), None)
    return f" ({named(found)})" if found else ""


def named(character: str) -> str:
    """Say what a character is and what to write for it."""
    name = unicodedata.name(character, _NAMED.get(character, ""))
    meant = plain(character)
    instead = {" ": "write a plain space", "": "take it out"}.get(meant or "", f"write {meant}")
    visible = "" if character in SPACES else f"{character!r} is "
    return f"{visible}U+{ord(character):04X} {name}; {instead}"
