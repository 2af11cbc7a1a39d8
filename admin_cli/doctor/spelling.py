"""The name of our module, mistyped in a PAM file: enable leaves such a line, which denies all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from pam_totp.stack.pam_ways import NATIVE_MODULE

from .facts import module_path

_AUTH_LINE = re.compile(r"\s*-?auth\s")
_WORD = re.compile(r"(?<![\w./-])[A-Za-z0-9_-]+(?:\.so)?(?![\w./-])")


class Misspelled(NamedTuple):
    number: int  # of the line
    module: str


def misspelled(text: str) -> Iterator[Misspelled]:
    """Yield what is our module but for a slip, in auth lines, and is no module that exists."""
    for number, line in enumerate(text.split("\n"), 1):
        if not _AUTH_LINE.match(line):
            continue
        for word in _WORD.findall(line.partition("#")[0]):
            if word != NATIVE_MODULE and _is_a_slip(word) and module_path(word) is None:
                yield Misspelled(number, word)


def fix_of(path: str, wrong: Misspelled) -> str:
    name = wrong.module.replace(".", r"\.")
    return f"run: sed -i '{wrong.number}s/{name}/{NATIVE_MODULE}/' {path}"


def _is_a_slip(word: str) -> bool:
    """Return whether one letter is wrong, missing, too many, or changed places with the next.

    More would take pam_otpw.so and pam_oath.so for ours.
    """
    given, right = (name.removesuffix(".so") for name in (word.lower(), NATIVE_MODULE))
    for _ in ("the beginning", "the end"):
        while given and right and given[0] == right[0]:
            given, right = given[1:], right[1:]
        given, right = given[::-1], right[::-1]
    swapped = len(given) == 2 and given == right[::-1]
    return swapped or max(len(given), len(right)) <= 1
