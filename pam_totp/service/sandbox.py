"""Whether the unit's sandbox shows this process what a login is about, as it is outside.

A worker of systemd's can write only where its unit says, and of /var and the like it sees no more
than that. One that the module starts has no sandbox: a store or a key at another place, or a name
service that needs more, costs the sandbox, and nobody a login.
"""

from __future__ import annotations

import _socket
import os
import time
from typing import TYPE_CHECKING

from ..system import config, config_values
from ..system.errors import PamTotpError

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOK_SECONDS = 1.0  # how often the mounts are looked at

# In the environment of the units, with commas between them: name services that a drop-in lets work.
BOUND_SERVICES = "PAM_TOTP_NAME_SERVICES"
NSCD_SECONDS = 1.0

# With files in /etc and /usr, or with what the units bind. mymachines made names for containers.
_KNOWN_SERVICES = (
    *("files", "compat", "db", "systemd", "mymachines", "sss", "winbind", "ldap", "extrausers"),
    *("altfiles", "usrfiles", "cache", "cache_oslogin", "role"),
)
_DATABASES = (b"passwd", b"group", b"initgroups", b"passwd_compat", b"group_compat")
_NSLCD = "/run/nslcd"  # without it, "ldap" asks the network
_NSCD_SOCKET, _NSCD_FILE = "/run/nscd/socket", "/etc/nscd.conf"
_named: tuple[tuple[int, ...], tuple[str, ...]] | None = None  # as of a state of nsswitch.conf

_SHOWN = "/etc"
_roots: dict[str, str] | None = None
_looked_at = 0.0


class ShutOff(PamTotpError):
    """What the login needs is where this process cannot see it, or may only read it."""


def remember() -> None:
    """Keep in mind what is mounted where: a folder that is moved later leaves its mount behind."""
    global _roots
    _roots = _mounted()


def check_name_services() -> None:
    """Raise ShutOff where a name service may find nobody here: its users would seem unknown.

    Of everybody's login: no answer and no time may tell whose account is whose.
    """
    hidden = hidden_name_services(os.environ.get(BOUND_SERVICES, ""))
    if hidden:
        from ..login import membership

        names = ",".join(hidden)
        raise ShutOff(
            membership.SWITCH_FILE,
            f"names services that may not work in the sandbox: {names}",
            name_service_hint(names),
        )


def hidden_name_services(bound: str) -> list[str]:
    """Return the services of users and groups that may not work in the sandbox.

    ``bound``: the value of BOUND_SERVICES. nscd, where it answers for both, asks outside.
    """
    known = set(_KNOWN_SERVICES)
    if not os.path.isdir(_NSLCD):
        known.discard("ldap")
    known.update(bound.split(","))
    hidden = [name for name in _named_services() if name not in known]
    return [] if hidden and _nscd_answers() else hidden


def name_service_hint(names: str) -> str:
    return (
        "write a drop-in for pam_totp.service and one for pam_totp-worker@.service: [Service], "
        f"BindReadOnlyPaths= with their files and sockets, and Environment={BOUND_SERVICES}={names}"
    )


def check_files(arguments: Sequence[str]) -> None:
    """Raise ShutOff where the login's files are not here. ``arguments``: of the PAM line."""
    try:
        given = config.parse_arguments(arguments)
        _check_seen(given.path if given.path != config.DEFAULT_PATH else "/")
        settings = config.load(given.path, given.settings).config
        _check_seen(settings.sealing_key)
        if settings.is_fleet:
            _check_network(settings.store)
        folder = os.path.dirname(config_values.split_store_url(settings.of_this_machine().store)[1])
        _check_seen(folder)
        is_shut_off = os.statvfs(folder).f_flag & os.ST_RDONLY
    except ShutOff:
        raise
    except (PamTotpError, OSError, ValueError):
        return  # the login finds out, and says why
    if is_shut_off:
        from ..system import disks  # no other login needs it

        if disks.is_file_system_read_only(folder):  # no drop-in would help
            hint = "look at: dmesg; then remount it"
            raise ShutOff(folder, "is on a file system that is read-only", hint)
        raise ShutOff(folder, "is read-only in the sandbox", _drop_in(folder))
    if _was_moved(folder):
        raise ShutOff(
            folder,
            "was moved or replaced since this worker was started",
            "run: systemctl restart pam_totp.service",
        )


def _check_network(url: str) -> None:
    """Raise ShutOff where the database that ``url`` names cannot be reached from here."""
    from ..system import postgresql_url  # few hosts have one

    folder = postgresql_url.parse(url).socket
    if folder:
        if not os.path.lexists(folder):
            raise ShutOff(
                folder,
                "is not there in the sandbox",
                f"write BindReadOnlyPaths=-{folder} into a drop-in",
            )
        return
    try:
        _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM).close()
    except OSError:  # RestrictAddressFamilies= of the unit
        raise ShutOff(
            "store",
            "is a database, and the sandbox has no network",
            "write a drop-in for pam_totp.service and one for pam_totp-worker@.service: [Service], "
            "PrivateNetwork=no, IPAddressDeny=, RestrictAddressFamilies=AF_INET AF_INET6",
        ) from None


def _named_services() -> tuple[str, ...]:
    """Return the services that nsswitch.conf(5) names for users and groups. () if unknown.

    Without that file, glibc asks "files" alone.
    """
    from ..login import membership  # a worker without a sandbox asks for none of this

    global _named
    try:
        status = os.stat(membership.SWITCH_FILE)
    except OSError:
        return ()
    state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if _named is None or _named[0] != state:
        names: dict[str, None] = {}
        for services in membership.services_of(*_DATABASES):
            first, *others = services.decode("utf-8", "replace").split("[")
            rest = [other.partition("]")[2] for other in others]  # [NOTFOUND=return] and the like
            names |= dict.fromkeys(" ".join((first, *rest)).split())
        _named = (state, tuple(names))
    return _named[1]


def _nscd_answers() -> bool:
    """Return whether nscd listens, and nscd.conf(5) lets it answer for users and groups."""
    cached = set()
    try:
        with open(_NSCD_FILE, encoding="utf-8", errors="replace") as file:
            for line in file:
                words = line.partition("#")[0].split()
                if words[:1] == ["enable-cache"] and words[2:] == ["yes"]:
                    cached.add(words[1])
        if not cached.issuperset(("passwd", "group")):
            return False
        return _is_answered(_NSCD_SOCKET)
    except OSError:
        return False


def _is_answered(path: str) -> bool:
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        probe.settimeout(NSCD_SECONDS)
        probe.connect(path)
    except OSError:
        return False
    finally:
        probe.close()
    return True


def _was_moved(folder: str) -> bool:
    global _looked_at
    now = time.monotonic()
    if _roots is None or now - _looked_at < LOOK_SECONDS:
        return False
    if _mounted().get(folder) != _roots.get(folder):
        return True
    _looked_at = now
    return False


def _check_seen(path: str) -> None:
    """Raise ShutOff where ``path`` may be there for others: something else hides its folder.

    What is missing beside the files of /etc is missing for everybody.
    """
    if os.path.lexists(path):
        return
    folder = os.path.dirname(path)
    while folder and not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    if os.stat(folder).st_dev != os.stat(_SHOWN).st_dev:
        raise ShutOff(path, "is not there in the sandbox", _drop_in(path))


def _drop_in(path: str) -> str:
    return f"write BindPaths=-{path} into a drop-in"


def _mounted() -> dict[str, str]:
    """Return which folder of its file system each mount shows; of those at one place, the last.

    A folder that was moved, or deleted, is shown under its new name: proc_pid_mountinfo(5). Nothing
    is known where it cannot be read: that denies nobody.
    """
    from ..system import disks

    try:
        return {mount.point: mount.folder for mount in disks.mounts()}
    except OSError:
        return {}
