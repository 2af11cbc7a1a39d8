"""Make what is handed out, and warn of what some apps do not take."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pam_totp.core import enrollment, otp
from pam_totp.core.users import Authenticator
from pam_totp.system import issuing

from ... import output
from ...session import now
from . import given_secret

if TYPE_CHECKING:
    from .hashing import NewCodes


def new_recovery_codes() -> NewCodes:
    """Return the codes to show, and the salt and digests to keep."""
    from . import hashing  # with threads, which Tab at an option does not need

    return hashing.new_recovery_codes()


class Wanted(NamedTuple):
    """What somebody asked for: a device's name, and how its codes are made."""

    label: str
    algorithm: str
    digits: int
    period: int  # seconds
    counter: int | None = None  # the first of HOTP; None: of TOTP
    serial: str = ""
    has_secret: bool = False  # it was made elsewhere, with a secret that standard input says
    secret_format: str | None = None  # of given_secret.FORMATS; None: the secret says so itself


def new_authenticator(wanted: Wanted) -> Authenticator:
    """Return it, with a new secret or the one it has. Raises CommandFailed."""
    parameters = (wanted.label, wanted.algorithm, wanted.digits, wanted.period)
    new = issuing.new_authenticator(*parameters, now())._replace(serial=wanted.serial)
    if wanted.counter is not None:
        new = new._replace(kind=otp.HOTP, last_accepted_step=wanted.counter - 1)
    if wanted.has_secret:
        return new._replace(secret=given_secret.read(wanted.secret_format))
    return new


def label_refusal(label: str) -> str:
    """Return what a device's name has to have; "" for a good one."""
    if enrollment.is_label(label):
        return ""
    return f"1 to {enrollment.MOST_LABEL} printable characters"


def serial_refusal(serial: str) -> str:
    if serial.isprintable() and len(serial) <= enrollment.MOST_SERIAL:
        return ""
    return f"at most {enrollment.MOST_SERIAL} printable characters"


def warn_of_unusual(wanted: Wanted) -> None:
    """Warn of what some apps do not take; a device that has a secret was made for it."""
    if wanted.has_secret:
        return
    unusual = [
        text
        for text, is_unusual in (
            (wanted.algorithm, wanted.algorithm != enrollment.ALGORITHM),
            (f"{wanted.digits} digits", wanted.digits != enrollment.DIGITS),
            (f"{wanted.period} s", wanted.period != enrollment.PERIOD),
        )
        if is_unusual
    ]
    if unusual:
        output.warning(f"some apps ignore {', '.join(unusual)} and show wrong codes: try it first")
