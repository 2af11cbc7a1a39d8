"""Places where nobody is asked for a code, as an administrator names them: networks, and consoles.

Pure. A login is at such a place by what its application says, so only what nobody but root decides
counts: the address from sshd, which has it from the kernel, and the terminal from login(1), which
getty starts. sudo and su are used by somebody who is here already, from anywhere: sudo gives this
machine's name for an address (``pam_rhost``), and both give their caller's terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import addresses, networks

if TYPE_CHECKING:
    from collections.abc import Iterable

TTY = "tty"  # a virtual console of this machine
_CONSOLES = frozenset(f"tty{number}" for number in range(1, 64))  # MAX_NR_CONSOLES of linux/vt.h
_BY_ADDRESS, _AT_CONSOLE = "sshd", "login"  # a prefix; a name
# Every user of this machine is there.
_LOOPBACK = (networks.parse("127.0.0.0/8"), networks.parse("::1"))


def parse(text: str) -> tuple[str, ...]:
    """Return the rules in ``text``, each in one spelling. Raises ValueError with what is wrong."""
    rules = (_rule(word) for word in text.replace(",", " ").split())
    return tuple(dict.fromkeys(rules))


def counts_in(service: str) -> bool:
    """Tell whether a login of ``service`` can be at any place."""
    return service == _AT_CONSOLE or service.startswith(_BY_ADDRESS)


def rule_for(rules: Iterable[str], service: str, rhost: str, tty: str, *, is_root: bool) -> str:
    """Return the first of ``rules`` that a login is at the place of; "": there is none.

    No network is one for root, whose password is tried from everywhere. An address that came as a
    name (``UseDNS yes``) is none: its owner says which names it has.
    """
    if service == _AT_CONSOLE:
        at_console = not rhost and tty.removeprefix("/dev/") in _CONSOLES
        return TTY if at_console and TTY in rules else ""
    address = addresses.parse(rhost) if service.startswith(_BY_ADDRESS) and not is_root else None
    if address is None:
        return ""
    named = [networks.parse(rule) for rule in rules if rule != TTY]
    found = networks.holding(named, address)
    return str(found) if found else ""


def _rule(word: str) -> str:
    if word == TTY:
        return TTY
    try:
        network = networks.parse(word)
    except ValueError as error:
        if any(c.isalpha() for c in word) and ":" not in word:
            raise ValueError(f"{error}: names are not looked up, write the address") from None
        raise
    if any(network.overlaps(loopback) for loopback in _LOOPBACK):
        raise ValueError(f"{network}: every user of this machine can come from there")
    return str(network)
