"""What copying and other keyboards make of an ASCII answer, and back again.

A file of its own, because few answers need it. Debian's interpreter has unicodedata built in;
others load a megabyte for it.
"""

from __future__ import annotations

import unicodedata

# Soft hyphen, zero-width spaces and joiners, marks, embeddings and isolates of direction, byte
# order mark: not the overrides of direction, under which an answer looks like another one.
_INVISIBLE = (
    "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u2060\u2066\u2067\u2068\u2069\ufeff"
)
_MINUS = "\u2212\u2043"  # minus sign, hyphen bullet: dashes to the eye, but not of category Pd


def fold(text: str) -> str:
    """Return ``text`` with compatibility forms, dashes and spaces as ASCII, where they have any.

    NFKC turns full-width digits and letters into ASCII (UAX #15). Every dash becomes a hyphen,
    every space and line separator a space; what has no width of its own (zero-width spaces, marks
    of direction, the byte order mark) goes. All else stays: digits of other scripts are no digits
    of a code.
    """
    return "".join(map(_ascii_of, unicodedata.normalize("NFKC", text)))


def _ascii_of(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Pd" or character in _MINUS:
        return "-"
    if category in ("Zs", "Zl", "Zp") or character == "\x85":
        return " "
    return "" if character in _INVISIBLE else character
