"""Time: codes are made of it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

from pam_totp import verifier

from .facts import Facts
from .finding import NOTE, WRONG, Found, check

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


_WHY = "codes are of the moment: with a clock that is a minute off, none is right"
_MEND = "install and start one of chrony and systemd-timesyncd; look at: timedatectl"


@check("clock", WRONG, _WHY)
def clock(_facts: Facts) -> Iterator[Found]:
    if is_synchronised() is False and not os.path.exists(CONTAINER):
        yield "nothing keeps the clock of this machine right", _MEND


@check("clock-of-host", NOTE, _WHY)
def clock_of_host(_facts: Facts) -> Iterator[Found]:
    if is_synchronised() is False and os.path.exists(CONTAINER):
        yield "nothing keeps the clock of this container's host right", f"on the host, {_MEND}"


@check("last-step", WRONG, "until that moment comes, every code of that device is refused as used")
def last_step(facts: Facts) -> Iterator[Found]:
    for record in facts.records:
        for authenticator in record.authenticators:
            if verifier.clock_is_behind(authenticator, facts.now, facts.config.window):
                yield (
                    f"the last accepted code of {record.name}, {authenticator.label}, "
                    "lies in the future",
                    f"look at: timedatectl; then run: totpctl unlock {record.name}",
                )


CHECKS = (clock, clock_of_host, last_step)
