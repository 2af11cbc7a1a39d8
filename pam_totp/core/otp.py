"""HOTP (RFC 4226) and TOTP (RFC 6238), computed here and not by a library.

A login needs these few lines; integers only, so that no time zone and no
floating point can move a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .hashes import ALGORITHMS as ALGORITHMS
from .hashes import compare_digest, hmac_digests

if TYPE_CHECKING:
    from collections.abc import Iterable

DIGITS = (6, 7, 8)

# What an authenticator's codes come from: of TOTP the time, of HOTP a counter.
TOTP, HOTP = "totp", "hotp"
KINDS = (TOTP, HOTP)


_COUNTERS = 2**64


def hotp(secret: bytes, counter: int, algorithm: str = "SHA1", digits: int = 6) -> str:
    """Return the one-time code of ``counter``: ``digits`` ASCII digits (RFC 4226 section 5.3).

    ``counter`` is an unsigned 64-bit integer, ``algorithm`` one of ALGORITHMS (RFC 6238
    section 1.2). Raises KeyError for another algorithm, OverflowError for a counter below
    zero or of more than 64 bits.
    """
    (code,) = hotps(secret, (counter,), algorithm, digits)
    return code.decode("ascii")


def hotps(secret: bytes, counters: Iterable[int], algorithm: str, digits: int) -> list[bytes]:
    """Return the one-time code of each counter: see hotp()."""
    messages = [counter.to_bytes(8, "big") for counter in counters]
    codes = []
    for mac in hmac_digests(secret, messages, algorithm):
        offset = mac[-1] & 0x0F
        truncated = int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFFFFFF
        codes.append(b"%0*d" % (digits, truncated % 10**digits))
    return codes


def time_step(now: int, period: int) -> int:
    """Return the whole periods, in seconds, since the epoch (RFC 6238 section 4.2)."""
    return now // period


def matching_steps(
    code: str, secret: bytes, steps: Iterable[int], algorithm: str = "SHA1", digits: int = 6
) -> list[int]:
    """Return those of ``steps`` whose code is ``code``, oldest first.

    Every step is computed and compared in constant time, so that how long it takes
    tells nothing about which one matched. Steps below 0 are computed, and match nothing.
    """
    given = code.encode("ascii")
    compared = sorted(steps)
    codes = hotps(secret, [step % _COUNTERS for step in compared], algorithm, digits)
    found = []
    for step, code_of_step in zip(compared, codes, strict=True):
        if compare_digest(code_of_step, given) and step >= 0:
            found.append(step)
    return found
