"""Remembered places: where a code was accepted a while ago, so that none is asked for again.

    address    the whole address that a login by ssh comes from
    terminal   one session of a terminal on this machine, and for the service that asked
    login      all that runs under one login by ssh or at a console, whichever service asks there

Pure. What the kernel says of the processes comes in as text, which only root can have written:
a user can neither choose the leader of a session, nor who started it, nor when. Times are unix
times in seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from . import addresses

if TYPE_CHECKING:
    from collections.abc import Iterable

# Kinds.
ADDRESS, TERMINAL, LOGIN = "address", "terminal", "login"
KINDS = (ADDRESS, TERMINAL, LOGIN)

AT_MOST = 12  # of one user, on one host; the oldest one makes way
MAX_LENGTH = 64  # of the name of a service
UNSEEN = "-"  # of a password that this machine does not keep: nobody sees it change

_BY_ADDRESS = "sshd"  # others may have it from a proxy, or from the person
# Of which login the process lives on, above all that is started in it.
_BEGIN_A_LOGIN = ("sshd", "login")


class Remembered(NamedTuple):
    """A code was accepted for ``service`` at ``place`` at the time ``since``.

    ``password``: the state of the password then, see system/password_change.py.
    """

    service: str
    kind: str
    place: str
    since: int
    until: int
    password: str
    host: str = ""  # of a store that hosts share


class Origin(NamedTuple):
    """Where one login comes from, as pairs of kind and place.

    ``notes``: what a code that it gives is remembered by. ``known_by``: what it is known by.
    """

    notes: tuple[tuple[str, str], ...] = ()
    known_by: tuple[tuple[str, str], ...] = ()


class Wish(NamedTuple):
    """What is to be remembered if the code is right: for ``seconds``, by each of ``notes``."""

    service: str
    notes: tuple[tuple[str, str], ...]
    seconds: int
    password: str


def origin_of(service: str, rhost: str, processes: str) -> Origin:
    """Return where a login comes from. ``processes``: see processes_of()."""
    if not _is_name_of_a_service(service):
        return Origin()
    found = processes_of(processes)
    begins = service.startswith(_BEGIN_A_LOGIN)
    login: tuple[tuple[str, str], ...] = ()
    if found is not None and found.leads and begins:
        login = ((LOGIN, found.named(found.leader)),)
    if rhost:
        place = _address(rhost) if service.startswith(_BY_ADDRESS) else ""
        by_address = ((ADDRESS, place),) if place else ()
        return Origin((*by_address, *login), by_address)
    if found is None or begins or not found.is_setuid:
        return Origin(login)
    terminal: tuple[tuple[str, str], ...] = ()
    if found.terminal and not found.leads:
        terminal = ((TERMINAL, f"{found.named(found.leader)}:{found.terminal}"),)
    ancestors = tuple((LOGIN, found.named(process)) for process in found.ancestors)
    return Origin(terminal, (*terminal, *ancestors))


def find(
    remembered: Iterable[Remembered],
    origin: Origin,
    service: str,
    password: str,
    now: int,
    seconds: int,
) -> Remembered | None:
    """Return what makes a login known that comes from ``origin`` at ``now``; None: nothing.

    ``seconds``: for how long it may be remembered, by the login's own settings. One that begins in
    the future is of a clock that was set back. ``password``: its state now.
    """
    for one in remembered:
        is_meant = one.kind == LOGIN or one.service == service
        is_there = is_meant and (one.kind, one.place) in origin.known_by
        is_now = one.since <= now < min(one.until, one.since + seconds)
        if is_there and is_now and one.password == password:
            return one
    return None


def noted(remembered: Iterable[Remembered], wish: Wish, now: int) -> tuple[Remembered, ...]:
    """Return what is remembered once a code was accepted at ``now``. What has ended goes."""
    new = tuple(
        Remembered(wish.service, kind, place, now, now + wish.seconds, wish.password)
        for kind, place in wish.notes
    )
    keys = {one[:3] for one in new}
    kept = [one for one in remembered if one.since <= now < one.until and one[:3] not in keys]
    return (*kept[max(len(kept) + len(new) - AT_MOST, 0) :], *new)


class Processes(NamedTuple):
    """The session and the ancestors of a process, each as "PID:START", in ticks since ``boot``.

    ``terminal``: the number of the controlling one, 0 for none. ``leads``: the process that asks
    leads its session, or one of the same program does that has started it. ``is_setuid``: it has
    more rights than its caller, as su and sudo have. So whoever it asks is in its session: a
    daemon that somebody has started in a terminal asks people who are elsewhere.
    """

    boot: str
    leader: str
    terminal: int
    leads: bool
    is_setuid: bool
    ancestors: tuple[str, ...]

    def named(self, process: str) -> str:
        """Return a name that no other process has, nor one after a restart of the machine."""
        return f"{self.boot[:8]}:{process}"


def processes_of(text: str) -> Processes | None:
    """Read "BOOT LEADER TERMINAL LEADS SETUID ANCESTOR...", as processes.c writes it.

    None: it is none.
    """
    boot, *rest = text.split(" ")
    if len(rest) < 4 or len(boot) < 8 or not _are_hexadecimal(boot):
        return None
    leader, terminal, leads, is_setuid, *ancestors = rest
    is_sound = all(map(_is_process, (leader, *ancestors))) and {leads, is_setuid} <= {"0", "1"}
    if not is_sound or not _is_number(terminal):
        return None
    said = leads == "1", is_setuid == "1"
    return Processes(boot, leader, int(terminal), *said, tuple(ancestors))


def _address(rhost: str) -> str:
    """Return the whole address; "" of one that others have as well.

    Through a loopback address comes whatever this machine forwards; a link-local one is anybody's
    in some other network.
    """
    address = addresses.parse(rhost)
    if address is None or addresses.is_loopback(address) or addresses.is_link_local(address):
        return ""
    return addresses.as_text(address)


def _is_name_of_a_service(service: str) -> bool:
    plain = service.replace("-", "").replace("_", "").replace(".", "")
    return plain.isascii() and plain.isalnum() and len(service) <= MAX_LENGTH


def _are_hexadecimal(text: str) -> bool:
    return set(text) <= set("0123456789abcdef-")


def _is_process(text: str) -> bool:
    pid, separator, start = text.partition(":")
    return bool(separator) and _is_number(pid) and _is_number(start)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20
