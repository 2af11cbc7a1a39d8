"""Every command that a hint names is one that there is: the program, the verb and its options.

That it fixes what it is named for is tried on machines: tests/e2e/doctor_machine.assert_fixed.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import click

from docs import generate
from tests.support.place import ROOT

PROSE = {"has", "did", "is", "wrote", "shows"}  # sentences about totpctl
VALUE = "\x00"  # of an f-string: any word
# What every Debian has: packages that are essential, or that the hint is about.
PROGRAMS = {
    "apt-get": "apt",
    "apt": "apt",
    "chmod": "coreutils",
    "chown": "coreutils",
    "date": "coreutils",
    "df": "coreutils",
    "dmesg": "util-linux",
    "dnf": "for machines with rpm",
    "find": "findutils",
    "findmnt": "mount",
    "free": "procps",
    "getent": "libc-bin",
    "grep": "grep",
    "hwclock": "util-linux",
    "journalctl": "systemd, where it runs",
    "ls": "coreutils",
    "lsattr": "e2fsprogs",
    "make": "whoever installed with it has it",
    "man": "man-db, or the web",
    "mkdir": "coreutils",
    "mount": "mount",
    "pam-auth-update": "libpam-runtime",
    "passwd": "passwd",
    "rm": "coreutils",
    "sed": "sed",
    "ssh-keygen": "openssh-client, which the server needs",
    "ss": "iproute2",
    "sshd": "openssh-server, which the hint is about",
    "systemctl": "systemd, where it runs",
    "timedatectl": "systemd",
    "totpctl": "this",
    "touch": "coreutils",
    "visudo": "sudo, which the hint is about",
    "./install.sh": "where the hint says",
}
# What stands before a command, and words that may stand there instead.
_COMMAND = re.compile(r"\b(?:run|look at|look for|see|see who): (?!.*\brun: )([^;]+)")
_NO_COMMAND = {VALUE, "{holders}", "pam_totp.conf(5)", "pam_totp(8)", "pam.d(5)", "the", "docs"}


def texts(path: Path) -> Iterator[str]:
    """Yield the string literals of a file, but docstrings; VALUE for what an f-string puts in."""
    tree = ast.parse(path.read_text("utf-8"))
    inside = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else VALUE for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            is_docstring = "\n    " in node.value or node.value.endswith(".")
            if id(node) not in inside and not is_docstring:
                yield node.value


@functools.cache
def hints() -> list[tuple[str, str]]:
    return [
        (str(path.relative_to(ROOT)), text)
        for folder in ("pam_totp", "admin_cli")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for text in texts(path)
    ]


def commands() -> list[tuple[str, str]]:
    found = []
    for path, text in hints():
        for part in text.split("; "):
            # What may have to be run before a command, "...; ", is put in right in front of it.
            found += [
                (path, re.sub(rf"^{VALUE}(?=\w)", "", m.strip())) for m in _COMMAND.findall(part)
            ]
    return [(p, c) for p, c in found if c.split()[0].strip(",") not in _NO_COMMAND]


def verbs() -> list[tuple[str, list[str]]]:
    """Return what stands behind ``totpctl`` in a hint, up to what is no word of a command."""
    found = []
    for path, text in hints():
        for words in re.findall(r"\btotpctl ([a-z-]+(?: [\w\x00-]+)*)", text):
            found.append((path, words.split(" ")))
    return found


def test_hints_are_found() -> None:
    assert 30 < len(commands())
    assert 30 < len(verbs())


def test_the_program_is_one_that_the_machine_has() -> None:
    assert [] == [
        (path, command) for path, command in commands() if command.split()[0] not in PROGRAMS
    ]


def test_the_verb_of_totpctl_is_one_and_has_these_options() -> None:
    wrong = []
    for path, words in verbs():
        if words[0] in ("disable", "enable") and "or" in words:
            words = words[: words.index("or")]
        if words[0] in PROSE or words == ["--version"]:
            continue
        command = generate.COMMANDS.get(" ".join(words[:2]), generate.COMMANDS.get(words[0]))
        given = {word for word in words if word.startswith("--")}
        if command is None or not given <= options(command):
            wrong.append((path, words))
    assert [] == wrong


def options(command: click.Command) -> set[str]:
    return {name for p in command.params if isinstance(p, click.Option) for name in p.opts}
