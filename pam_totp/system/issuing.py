"""Make what is handed out: secrets and recovery codes, from the OS random source."""

from __future__ import annotations

import os

from ..core import recovery
from ..core.users import Authenticator

# RFC 4226 section 4 asks for 160 bits; RFC 6238 section 5.1 for as many as the hash has.
SECRET_BYTES = {"SHA1": 20, "SHA256": 32, "SHA512": 64}


def new_authenticator(
    label: str, algorithm: str, digits: int, period: int, now: int
) -> Authenticator:
    """Return one with a new secret, made at unix time ``now``; ``period`` in seconds."""
    return Authenticator(
        id=os.urandom(16).hex(),
        label=label,
        secret=os.urandom(SECRET_BYTES[algorithm]),
        algorithm=algorithm,
        digits=digits,
        period=period,
        created_at=now,
    )


def new_recovery_codes() -> list[str]:
    """Return the codes to show."""
    numbers = range(recovery.CODES_IN_A_SET)
    return [recovery.format_code(os.urandom(recovery.RANDOM_BYTES)) for _ in numbers]


def salt_and_digests(codes: list[str]) -> tuple[bytes, frozenset[bytes]]:
    """Return what is kept of recovery codes; with a new salt."""
    salt = new_salt()
    return salt, frozenset(digest(code, salt) for code in codes)


def new_salt() -> bytes:
    """Return the salt of a set of recovery codes."""
    return os.urandom(recovery.SALT_BYTES)


def digest(code: str, salt: bytes) -> bytes:
    """Return the digest of a recovery code as it is shown: see recovery.digest()."""
    return recovery.digest(code.replace("-", ""), salt)


def base32(secret: bytes) -> str:
    """Return the unpadded base32 text of a secret (RFC 4648 section 6).

    base64 would load re, which takes longer than all else that an enrollment at a login loads.
    """
    bits = int.from_bytes(secret, "big") << -8 * len(secret) % 5
    length = (8 * len(secret) + 4) // 5
    return "".join(_BASE32[bits >> 5 * place & 31] for place in reversed(range(length)))


def to_type(text: str) -> str:
    """Return ``text`` as ``ABCD EFGH ...``, to be read and typed in."""
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
