"""sshd_config and what it includes, in the order that sshd reads it: who set what, and where.

sshd -T says what is in force, but not which line put it there. Sources: sshd_config(5), and
servconf.c of OpenSSH: the first value of a keyword counts; an Include is read in its place, and
one in a Match block for that block alone; a Match block ends with its file; what a Match block
sets wins over what stands outside of all of them.
"""

from __future__ import annotations

import glob
import os
import shlex
from collections.abc import Iterator
from typing import NamedTuple

FOLDER = "/etc/ssh"
MAIN = f"{FOLDER}/sshd_config"
MAX_DEPTH = 16  # servconf.h: SERVCONF_MAX_DEPTH
_OLD_NAMES = {
    "challengeresponseauthentication": "kbdinteractiveauthentication",
    "skeyauthentication": "kbdinteractiveauthentication",
    "dsaauthentication": "pubkeyauthentication",
}


class Setting(NamedTuple):
    """One line. ``keyword`` in lower case, under its present name; ``match``: its conditions.

    ``match`` is empty outside of Match blocks; it has one text for each Match around the line.
    """

    file: str
    number: int
    keyword: str
    value: str
    match: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        return f"{self.file}:{self.number}"


def settings(path: str = MAIN) -> list[Setting]:
    """Return every line that sets something, in sshd's order. Raises OSError for ``path`` alone.

    A file that an Include names and that cannot be read is left out; sshd -t reports it.
    """
    return list(_read(path, (), 0))


def files_read(path: str = MAIN) -> list[str]:
    """Return the files that settings() reads outside of Match blocks, included ones too."""
    read = [path]
    for line in settings(path):
        if line.keyword == "include" and not line.match:
            read += _included(line.value)
    return read


def _read(path: str, match: tuple[str, ...], depth: int) -> Iterator[Setting]:
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = file.read().split("\n")
    outer = match
    for number, line in enumerate(lines, 1):
        keyword, value = split(line)
        if not keyword:
            continue
        if keyword == "match":
            match = (*outer, value)
            continue
        yield Setting(path, number, keyword, value, match)
        if keyword == "include" and depth < MAX_DEPTH:
            for name in _included(value):
                try:
                    yield from _read(name, match, depth + 1)
                except OSError:
                    continue


def split(line: str) -> tuple[str, str]:
    """Split a line into keyword and value, without quotes and comment; ("", "") if it is empty."""
    words = _words(line)
    if not words:
        return "", ""
    # "keyword=value" and "keyword = value" are allowed as well
    keyword, equals, rest = words[0].partition("=")
    if not equals and words[1:] and words[1].startswith("="):
        rest = words.pop(1)[1:]
    keyword = keyword.lower()
    return _OLD_NAMES.get(keyword, keyword), " ".join(([rest] if rest else []) + words[1:])


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError:  # a quote without its end: sshd refuses the file
        words = line.split()
    comment = next((at for at, word in enumerate(words) if word.startswith("#")), len(words))
    return words[:comment]


def _included(value: str) -> list[str]:
    patterns = (os.path.join(FOLDER, pattern) for pattern in value.split())
    return [name for pattern in patterns for name in sorted(glob.glob(pattern))]
