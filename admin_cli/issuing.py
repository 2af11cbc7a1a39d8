"""Make what is handed out: secrets and recovery codes, from the OS random source."""

from __future__ import annotations

import os

from pam_totp import recovery
from pam_totp.verifier import Authenticator

from . import ui
from .session import now

# RFC 4226 section 4 asks for 160 bits; RFC 6238 section 5.1 for as many as the hash has.
SECRET_BYTES = {"SHA1": 20, "SHA256": 32, "SHA512": 64}


def new_authenticator(label: str, algorithm: str, digits: int, period: int) -> Authenticator:
    unusual = [
        text
        for text, is_unusual in (
            (algorithm, algorithm != "SHA1"),
            (f"{digits} digits", digits != 6),
            (f"{period} s", period != 30),
        )
        if is_unusual
    ]
    if unusual:
        ui.warning(f"some apps ignore {', '.join(unusual)} and show wrong codes: try it first")
    return Authenticator(
        id=os.urandom(16).hex(),
        label=label,
        secret=os.urandom(SECRET_BYTES[algorithm]),
        algorithm=algorithm,
        digits=digits,
        period=period,
        created_at=now(),
    )


def new_recovery_codes() -> tuple[list[str], bytes, frozenset[bytes]]:
    """Return the codes to show, and the salt and digests to keep."""
    salt = os.urandom(recovery.SALT_BYTES)
    codes = [
        recovery.format_code(os.urandom(recovery.RANDOM_BYTES))
        for _ in range(recovery.CODES_IN_A_SET)
    ]
    return codes, salt, frozenset(recovery.digest(code.replace("-", ""), salt) for code in codes)
