"""Make what is handed out, and warn of what some apps do not take."""

from __future__ import annotations

from typing import NamedTuple

from pam_totp.core import enrollment
from pam_totp.core.users import Authenticator
from pam_totp.system import issuing

from ... import output
from ...session import now


def new_recovery_codes() -> tuple[list[str], bytes, frozenset[bytes]]:
    """Return the codes to show, and the salt and digests to keep."""
    codes = issuing.new_recovery_codes()
    return codes, *issuing.salt_and_digests(codes)


class Wanted(NamedTuple):
    """What somebody asked for: a device's name, and how its codes are made."""

    label: str
    algorithm: str
    digits: int
    period: int  # seconds


def new_authenticator(wanted: Wanted) -> Authenticator:
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
    return issuing.new_authenticator(*wanted, now())
