"""Accounts that sshd lets in by a key alone: a file of Match blocks, which is all ours.

A file of its own, and not a part of the drop-in: a Match block goes on to the end of its file, so
that a line which somebody adds below would count for that account alone; and it stays where sshd is
disabled, and enabled again. It comes before the drop-in (sshd reads files by name), but that does
not matter: what a Match block sets wins over what stands outside of all of them. Of two blocks for
one account, the first counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

FILE = "/etc/ssh/sshd_config.d/00-pam_totp-key-only.conf"
BEGIN = (
    "# BEGIN pam_totp (written by totpctl exempt --key-only; taken out by: totpctl exempt --remove)"
)
END = "# END pam_totp"
_AS_WRITTEN = {
    "PubkeyAuthentication": "yes",
    "AuthenticationMethods": "publickey",
    "PasswordAuthentication": "no",
    "KbdInteractiveAuthentication": "no",
}
SETTINGS = {keyword.lower(): value for keyword, value in _AS_WRITTEN.items()}  # as sshd -T has them
# What neither a pattern of Match, nor quotes, nor a comment reads as anything else.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*\$?")
_BLOCK_OF = re.compile(r"Match User (\S+)(?: Address \S+)?")


class KeyOnly(NamedTuple):
    """An account; ``sources``: the addresses and networks that it may come from, () for all."""

    name: str
    sources: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name + (f" (from {', '.join(self.sources)})" if self.sources else "")


def is_plain(name: str) -> bool:
    """Return whether Match takes ``name`` for that name, and for nothing else."""
    return _PLAIN_NAME.fullmatch(name) is not None


def text(accounts: Iterable[KeyOnly]) -> str:
    """Return what the file says; "" for nobody."""
    blocks = [line for account in accounts for line in _block(account)]
    return "\n".join((BEGIN, *blocks, END, "")) if blocks else ""


def _block(account: KeyOnly) -> list[str]:
    condition = f"Match User {account.name}"
    settings = [f"    {keyword} {value}" for keyword, value in _AS_WRITTEN.items()]
    if not account.sources:
        return [condition, *settings]
    outside = ",".join(("*", *(f"!{source}" for source in account.sources)))
    return [
        f"{condition} Address {','.join(account.sources)}",
        *settings,
        f"{condition} Address {outside}",
        "    DenyUsers *",
    ]


def accounts() -> tuple[KeyOnly, ...] | None:
    """Return whom the file is about, as sshd reads it: () without a file; None: it was edited."""
    try:
        with open(FILE, encoding="utf-8", errors="replace") as file:
            return understood(file.read())
    except FileNotFoundError:
        return ()
    except OSError:
        return None


def understood(content: str) -> tuple[KeyOnly, ...] | None:
    """Return whom ``content`` is about; None if text() would not have written it."""
    found: list[KeyOnly] = []
    for line in content.splitlines():
        words = line.split()
        if words[:2] == ["Match", "User"] and len(words) in (3, 5) and "*" not in words[-1]:
            found.append(KeyOnly(words[2], tuple(words[4].split(",")) if words[4:] else ()))
    names = {account.name for account in found}
    is_ours = content == text(found) and len(names) == len(found) and all(map(is_plain, names))
    return tuple(found) if is_ours else None


def without(content: str, names: Sequence[str]) -> str:
    """Return ``content`` without the blocks of ``names``, also where somebody has edited it."""
    accounts = understood(content)
    if accounts is not None:
        return text(account for account in accounts if account.name not in names)
    left: list[str] = []
    is_gone = False
    for line in content.splitlines(keepends=True):
        if line.split()[:1] in (["Match"], ["match"]):
            block = _BLOCK_OF.fullmatch(line.strip())
            is_gone = block is not None and block[1] in names
        if not is_gone or line.strip() == END:
            left.append(line)
    return "".join(left)


def named(content: str, names: Sequence[str]) -> list[str]:
    """Return those of ``names`` that stand in a Match line, also where somebody has edited it."""
    lines = content.splitlines()
    matches = [line for line in lines if line.lstrip().lower().startswith("match")]
    listed = re.split(r"[\s,=\"]+", " ".join(matches))
    return [name for name in names if name in listed]
