"""Whether sshd lets in by a key alone whom key_only.FILE says, and what else is said of them."""

from __future__ import annotations

import pwd
from collections.abc import Iterable, Iterator, Sequence

from pam_totp.core import addresses, networks

from .. import directory, key_only, sshd
from ..key_only import SETTINGS, KeyOnly
from . import files as sshd_files
from . import process as sshd_process
from .access import matches
from .drop_in_text import NAMES
from .files import Setting

_HERE = "127.0.0.1"
# Some of these are in none of the networks that anybody names.
_ELSEWHERE = ("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1", "100.64.0.1")


def problems(accounts: Iterable[KeyOnly]) -> list[str]:
    """Say of whom something else is in force than the file says, and which line put it there.

    Raises CommandFailed.
    """
    found: list[str] = []
    for account in accounts:
        for address in [source.partition("/")[0] for source in account.sources] or [_HERE]:
            found += _inside(account, address)
        elsewhere = _address_outside(account.sources) if account.sources else None
        if elsewhere is not None:
            denied = sshd.effective(account.name, address=elsewhere).get("denyusers", "")
            if "*" not in denied.split():
                found.append(f"sshd does not turn {account.name} away at {elsewhere}")
    return list(dict.fromkeys(found))


def other_names(name: str) -> list[str]:
    """Return names that NSS takes for the account ``name``: spelled in capitals, or without.

    sshd compares a Match line with the name that a client gives, not with the account's.
    """
    spelled = dict.fromkeys((name.upper(), name.lower(), name.capitalize()))
    others = ((each, directory.person(each)) for each in spelled if each != name)
    return [each for each, entry in others if entry is not None and entry.pw_name == name]


def conflicts(entry: pwd.struct_passwd) -> list[Setting]:
    """Return lines in Match blocks of others that our blocks would win over, or lose to.

    Those that may be for the account, and set something else than ours.
    """
    return [
        line
        for line in sshd.settings_of_files()
        if line.match
        and line.file != key_only.FILE
        and SETTINGS.get(line.keyword, line.value.lower()) != line.value.lower()
        and all(_may_be_for(entry, condition) for condition in line.match)
    ]


def _inside(account: KeyOnly, address: str) -> Iterator[str]:
    settings = sshd.effective(account.name, address=address)
    for keyword, value in SETTINGS.items():
        said = settings.get(keyword, "")
        if said != value:
            yield (
                f"{NAMES[keyword]} {said} is in force for {account.name}, not {value}"
                f"{_place_of(keyword, said)}"
            )


def _place_of(keyword: str, value: str) -> str:
    for line in sshd.settings_of_files():
        if line.match and (line.keyword, line.value.lower()) == (keyword, value):
            return f": {line.place}"
    main = sshd_process.options().file or sshd_files.MAIN
    if key_only.FILE not in sshd_files.files_read(main):
        return f": {main} does not include {key_only.FILE}"
    return ""


def _address_outside(sources: Sequence[str]) -> str | None:
    inside = [networks.parse(source) for source in sources]
    for text in _ELSEWHERE:
        address = addresses.parse(text)
        if address is not None and networks.holding(inside, address) is None:
            return text
    return None


def _may_be_for(entry: pwd.struct_passwd, condition: str) -> bool:
    """Return whether a Match with ``condition`` may hold for the account; if in doubt, yes."""
    words = condition.replace("=", " ").split()
    for criterion, pattern in zip(words[::2], words[1::2], strict=False):
        if criterion.lower() == "user" and not _listed(pattern, (entry.pw_name,)):
            return False
        if criterion.lower() == "group" and not _listed(pattern, directory.group_names(entry)):
            return False
    return True


def _listed(patterns: str, names: Iterable[str]) -> bool:
    """Match a pattern-list of ssh_config(5): one with "!" before it takes out what it matches."""
    names = list(names)
    listed = patterns.split(",")
    taken_out = [pattern[1:] for pattern in listed if pattern.startswith("!")]
    return any(
        any(matches(pattern, name) for pattern in listed if not pattern.startswith("!"))
        and not any(matches(pattern, name) for pattern in taken_out)
        for name in names
    )
