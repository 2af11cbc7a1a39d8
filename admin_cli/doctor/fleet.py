"""What a machine of a fleet needs beside its store: certificates, a clock, codes for an outage."""

from __future__ import annotations

import calendar
import re
import ssl
import time
from collections.abc import Iterator

from pam_totp.stack.pam_ways import NATIVE_MODULE
from pam_totp.system import fleet_file, trusted_files
from pam_totp.system.config_values import CACHE
from pam_totp.system.errors import Unavailable

from .facts import CannotTell, Facts
from .finding import NOTE, WRONG, Found, check

SOON = 30 * 86400  # seconds: time enough to have a certificate made
OFF, FAR_OFF = 3, 15  # seconds; the latter is half a step of a code
MAX_BYTES = 256 * 1024
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_VERSION, _UTC_TIME, _GENERALIZED_TIME = 0xA0, 0x17, 0x18  # tags of DER
_NEW = "have a new one made, and put it there"
_NEW_CA = "copy the new CA of the database to all machines of the fleet, as this file"


@check("fleet-certificate", WRONG, "nobody of the fleet can log in with a code")
def certificate(facts: Facts) -> Iterator[Found]:
    for path, ends, fix in _ends(facts):
        if ends <= facts.now:
            yield f"{path}: the certificate expired on {_day(ends)}", fix


@check("fleet-certificate-ends", NOTE, "then nobody of the fleet can log in with a code")
def certificate_ends(facts: Facts) -> Iterator[Found]:
    for path, ends, fix in _ends(facts):
        if facts.now < ends <= facts.now + SOON:
            yield f"{path}: the certificate expires on {_day(ends)}", fix


_WHY = "by this host's clock, certificates are valid or not, and codes good while it is on its own"


@check("fleet-clock", WRONG, _WHY)
def clock(facts: Facts) -> Iterator[Found]:
    if abs(_ahead(facts)) > FAR_OFF:
        yield _of_clock(_ahead(facts))


@check("fleet-clock-off", NOTE, _WHY)
def clock_off(facts: Facts) -> Iterator[Found]:
    if OFF < abs(_ahead(facts)) <= FAR_OFF:
        yield _of_clock(_ahead(facts))


@check("fleet-cache", NOTE, "while the database is away, this host has no codes to judge by")
def cache(facts: Facts) -> Iterator[Found]:
    """Find that only pam_python.so asks for codes: it fetches none of the next hours."""
    settings = facts.config
    is_kept = settings.is_fleet and settings.offline == CACHE
    if is_kept and facts.modules and NATIVE_MODULE not in facts.modules:
        yield (
            "offline = cache, but no PAM file has pam_totp.so, which alone fetches codes",
            "use pam_totp.so in place of pam_python.so, or set offline = deny",
        )


def _ends(facts: Facts) -> Iterator[tuple[str, int, str]]:
    """Yield until when this machine's certificates are good, each path once, with the fix.

    Of several CAs in one file, the one that is good for longest counts: they follow each other.
    What cannot be read is left to ``store``.
    """
    settings = facts.config
    if not settings.is_fleet:
        return
    found: dict[str, tuple[int, str]] = {}
    for path in (settings.fleet_host, settings.fleet_admin):
        try:
            identity = fleet_file.read(path)
        except (OSError, Unavailable):
            continue
        for file, fix, is_ca in ((identity.ca, _NEW_CA, True), (identity.certificate, _NEW, False)):
            try:
                ends = _ends_of(file) if file else []
            except (OSError, ValueError, Unavailable):
                continue
            if ends:  # in a file with several, the first one is for this machine, and CAs follow
                found[file] = max(ends) if is_ca else ends[0], fix
    for file, (moment, fix) in found.items():
        yield file, moment, fix


def _ends_of(path: str) -> list[int]:
    """Return until when each certificate of a file is good. Raises ValueError, and as it reads."""
    text = trusted_files.read_trusted(path, MAX_BYTES).decode("ascii", "replace")
    return [not_after(ssl.PEM_cert_to_DER_cert(pem)) for pem in _PEM.findall(text)]


def not_after(certificate: bytes) -> int:
    """Return the last second of a certificate (DER, RFC 5280). Raises ValueError."""
    try:
        ((_, whole),) = _parts(certificate)
        fields = _parts(_parts(whole)[0][1])
        # Serial number, algorithm and issuer come before it.
        (_, (tag, moment)) = _parts(fields[4 if fields[0][0] == _VERSION else 3][1])
    except (IndexError, ValueError):
        raise ValueError("is no certificate") from None
    said = moment.decode("ascii", "replace")
    if tag == _UTC_TIME:  # 50 and more: of the century before
        said = ("19" if said >= "50" else "20") + said
    elif tag != _GENERALIZED_TIME:
        raise ValueError("is no certificate")
    return calendar.timegm(time.strptime(said, "%Y%m%d%H%M%SZ"))


def _parts(content: bytes) -> list[tuple[int, bytes]]:
    """Return the values that follow each other in DER, each with its tag. Raises IndexError."""
    found: list[tuple[int, bytes]] = []
    while content:
        tag, length, start = content[0], content[1], 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(content[2:start], "big")
        if len(content) < start + length:
            raise IndexError
        found.append((tag, content[start : start + length]))
        content = content[start + length :]
    return found


def _ahead(facts: Facts) -> int:
    """Return by how many seconds this host's clock is ahead of the database's."""
    if not facts.is_host_of_fleet:
        raise CannotTell
    try:
        return facts.ahead_of_fleet()
    except Unavailable:
        raise CannotTell from None  # see store


def _of_clock(ahead: int) -> Found:
    which = "ahead of" if ahead > 0 else "behind"
    return (
        f"the clock of this host is {abs(ahead)} s {which} the database's",
        "correct the one that is wrong: look at timedatectl here and on the server",
    )


def _day(moment: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))


CHECKS = (certificate, certificate_ends, clock, clock_off, cache)
