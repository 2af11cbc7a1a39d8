"""Time: codes are made of it."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator

from pam_totp.core import clock_skew
from pam_totp.core.users import MOST_LEARNED

from ..host import programs
from .facts import WORKER, CannotTell, Facts
from .finding import NOTE, WRONG, Found, check

FAR = 60  # seconds: further away, no code of a right clock is accepted with the default window
HARDWARE_CLOCK = "/sys/class/rtc/rtc0/since_epoch"
ADJTIME = "/etc/adjtime"
TIME_SERVICES = ("chrony", "systemd-timesyncd", "ntpsec", "ntp", "openntpd")
WRITTEN_IN_THE_PAST = (
    WORKER,
    "/usr/lib/clock-epoch",  # systemd's, of when it was made
    "/var/lib/systemd/timesync/clock",  # when a time server was reached
    "/var/lib/dpkg/status",
    "/var/log/wtmp",
)
CONTAINER = "/run/systemd/container"  # systemd says here that the clock is the host's
_STA_UNSYNC = 0x0040  # sys/timex.h
_SIZEOF_TIMEX = 256  # more than any has


class _Timex(ctypes.Structure):
    """The beginning of struct timex, of adjtimex(2)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * _SIZEOF_TIMEX),
    )


def is_synchronised() -> bool | None:
    """Ask the kernel whether something has set its clock in the last hours; None: it won't say."""
    timex = _Timex()
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex)) < 0:
        return None
    return not timex.status & _STA_UNSYNC


def is_hardware_clock_local() -> bool:
    """Return whether it keeps local time: the third line of adjtime(5)."""
    try:
        with open(ADJTIME, encoding="utf-8", errors="replace") as file:
            return file.read().split("\n")[2:3] == ["LOCAL"]
    except OSError:
        return False


_WHY = "codes depend on the time: with a clock that is a minute off, every code is wrong"
_FIX = "install and start one of chrony and systemd-timesyncd; look at: timedatectl"


@check("clock", WRONG, _WHY)
def clock(facts: Facts) -> Iterator[Found]:
    if is_synchronised() is False and not os.path.exists(CONTAINER):
        running = _time_service(facts)
        if running:
            look = "chronyc sources" if running == "chrony" else "timedatectl timesync-status"
            fix = f"find out why it reaches no server: journalctl -u {running}; {look}"
            yield f"{running} is running, but has not set the clock for hours", fix
        else:
            yield "no time service keeps the clock of this machine right", _FIX


@check("clock-of-host", NOTE, _WHY)
def clock_of_host(_facts: Facts) -> Iterator[Found]:
    if is_synchronised() is False and os.path.exists(CONTAINER):
        yield (
            "no time service keeps the clock of this container's host right",
            f"on the host, {_FIX}",
        )


@check("clock-behind", WRONG, _WHY)
def clock_behind(facts: Facts) -> Iterator[Found]:
    """Find a file that was written later than now: the clock is behind, or was ahead then.

    This is all that can be known of it without asking another clock; one that is ahead leaves no
    trace. The time server may be wrong, too, so it does not matter whether there is one.
    """
    latest, path = max(_moments(facts), default=(0, ""))
    if latest > facts.now + FAR:
        yield (
            f"the clock of this machine says {_iso(facts.now)}, but {path} is dated {_iso(latest)}",
            f"compare: date; if it is wrong, set it with timedatectl; if right, run: touch {path}",
        )


@check("clock-hardware", NOTE, "the next boot starts with that time: every code is wrong then")
def clock_hardware(facts: Facts) -> Iterator[Found]:
    """Compare it with the system's clock, unless that is the one that nothing keeps right."""
    if is_synchronised() is not True or os.path.exists(CONTAINER):
        return
    try:
        with open(HARDWARE_CLOCK, encoding="ascii") as file:
            shown = int(file.read())
    except (OSError, ValueError):
        return
    if is_hardware_clock_local():
        shown -= time.localtime(facts.now).tm_gmtoff
    away = shown - int(time.time())
    if abs(away) > FAR:
        which = "ahead of" if away > 0 else "behind"
        yield f"the hardware clock is {abs(away)} s {which} the system's", "run: hwclock --systohc"


@check("last-step", WRONG, "until that time, every code of that device is refused as already used")
def last_step(facts: Facts) -> Iterator[Found]:
    for record in facts.records:
        for authenticator in record.authenticators:
            if authenticator.clock_is_behind(facts.now, facts.login_policy.window):
                yield (
                    f"the last accepted code of {record.name}, {authenticator.label}, "
                    "lies in the future",
                    f"look at: timedatectl; then run: totpctl unlock {record.name}",
                )


def _moments(facts: Facts) -> Iterator[tuple[int, str]]:
    """Yield when each of some files was written that the system writes again and again."""
    files = [*WRITTEN_IN_THE_PAST]
    try:
        files.append(facts.store_path)
    except CannotTell:
        pass  # see configuration
    for path in files:
        try:
            yield int(os.lstat(path).st_mtime), path
        except OSError:
            continue


def _time_service(facts: Facts) -> str:
    """Return the unit of the running service that sets the clock, "" where none is known to."""
    if not facts.has_systemd:
        return ""
    for unit in TIME_SERVICES:
        done = programs.run(["systemctl", "is-active", "--quiet", unit], timeout=20)
        if done.returncode == 0:
            return unit
    return ""


def _iso(moment: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


@check("clock-of-phone", NOTE, "its codes are refused, and the user needs another way in")
def clock_of_phone(facts: Facts) -> Iterator[Found]:
    """Find clocks that two codes in a row told the same of: one code may be a guess."""
    for record in facts.records:
        for a in record.authenticators:
            if a.clock_sightings >= 2:
                fix = "set the phone to take its time and time zone from the network"
                if a.counts:
                    fix = f"run: totpctl resync {record.name}"
                yield f"{record.name}: {clock_skew.of_authenticator(a, a.clock_offset)}", fix


@check("clock-drift", NOTE, "logins follow a clock for 600 s; then its codes are refused")
def clock_drift(facts: Facts) -> Iterator[Found]:
    """Find clocks that logins have followed half of the way that they may."""
    for record in facts.records:
        for a in record.authenticators:
            if 2 * abs(a.learned) >= MOST_LEARNED:
                fix = f"have two of its codes read to you; then run: totpctl resync {record.name}"
                yield f"{record.name}: {clock_skew.of_authenticator(a, 0)}", fix


CHECKS = (
    clock,
    clock_of_host,
    clock_behind,
    clock_hardware,
    last_step,
    clock_of_phone,
    clock_drift,
)
