"""The names by which an app lists what it was given: an issuer, and an account below it.

Apps that find both in their list already replace that entry. So no two that work at the same time
have the same: the account names the host, and a second device of a person its label.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pam_totp.core import enrollment
from pam_totp.core.users import Authenticator

from . import otpauth, qr

MAX_BYTES = 64  # of issuer, colon and account on a YubiKey, with a period that is not 30 s in front
_USUAL = Authenticator("", "", bytes(20))


class AppEntry(NamedTuple):
    """How an app lists an authenticator."""

    issuer: str
    account: str

    def __str__(self) -> str:
        return f"{self.issuer}: {self.account}"

    def size(self, period: int = enrollment.PERIOD) -> int:
        """Return its bytes on a YubiKey; ``period`` in seconds."""
        prefix = "" if period == enrollment.PERIOD else f"{period}/"
        return len(f"{prefix}{self.issuer}:{self.account}".encode("utf-8", "surrogateescape"))


def entry_of(user: str, host: str, issuer: str, label: str = "") -> AppEntry:
    """Return the entry of ``user`` on ``host``; ``label``: of a device that is not the first.

    Host names lose their domain only as far as the QR code would not fit a small screen, or the
    names a YubiKey. Depends on nothing else, so that a reset can name the old entry.
    """
    entries = list(_from_long_to_short(user, host, otpauth.without_colon(issuer), label))
    return next(filter(_fits, entries), entries[0])


def _from_long_to_short(user: str, host: str, issuer: str, label: str) -> Iterator[AppEntry]:
    labels = host.split(".")
    behind = f" {label}" if label else ""
    yield AppEntry(issuer, f"{user}@{host}{behind}")
    if issuer == host:
        issuer = labels[0]
    for count in range(len(labels), 0, -1):
        yield AppEntry(issuer, f"{user}@{'.'.join(labels[:count])}{behind}")


def _fits(entry: AppEntry) -> bool:
    uri = otpauth.provisioning_uri(_USUAL, entry.account, entry.issuer)
    return entry.size() <= MAX_BYTES and qr.fits_24_lines(uri)
