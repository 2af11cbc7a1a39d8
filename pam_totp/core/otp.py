"""HOTP (RFC 4226) and TOTP (RFC 6238), computed here and not by a library.

A login needs these few lines; integers only, so that no time zone and no
floating point can move a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .hashes import ALGORITHMS, compare_digest, hmac_digests

if TYPE_CHECKING:
    from collections.abc import Iterable

DIGITS = (6, 8)


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
    tells nothing about which one matched. Steps before the epoch match nothing.
    """
    given = code.encode("ascii")
    compared = sorted(step for step in steps if step >= 0)
    codes = hotps(secret, compared, algorithm, digits)
    return [step for step, code in zip(compared, codes, strict=True) if compare_digest(code, given)]


__all__ = ["ALGORITHMS", "DIGITS", "hotp", "hotps", "matching_steps", "time_step"]
