"""The identity of a host, or of an administrator, in the fleet: a file for root alone.

``key = value`` lines and ``#`` comments, as in pam_totp.conf, but the file holds secrets: it is
refused unless root alone can read it.
"""

from __future__ import annotations

from typing import NamedTuple

from . import trusted_files
from .errors import Unavailable

MAX_BYTES = 16 * 1024
KEY_BYTES = 32
DEFAULT_CA = "/etc/security/pam_totp.fleet-ca.pem"


class Identity(NamedTuple):
    """What such a file says. ``key``: the host's, or the administrator's; b"" for none.

    ``certificate`` and ``private_key`` are paths, and take the place of ``password``. ``store``,
    ``host_user`` and ``host_password`` are an administrator's: where the fleet is, and what hosts
    log in to its database with.
    """

    host: str = ""
    key: bytes = b""
    user: str = ""
    password: str = ""
    certificate: str = ""
    private_key: str = ""
    ca: str = DEFAULT_CA
    store: str = ""
    host_user: str = ""
    host_password: str = ""

    def __repr__(self) -> str:
        return f"<Identity {self.host or self.user!r}>"


def read(path: str) -> Identity:
    """Return what the file ``path`` says.

    Raises FileNotFoundError, InsecureFile, or Unavailable for what is no identity.
    """
    content = trusted_files.read_trusted(path, MAX_BYTES, secret=True)
    values: dict[str, str] = {}
    for number, line in enumerate(content.decode("utf-8", "replace").split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        key, separator, value = line.partition("=")
        key = key.strip()
        if not separator or key not in Identity._fields or key in values:
            raise Unavailable(path, f"line {number} is none of this release", HINT)
        values[key] = value.strip()
    try:
        key_bytes = bytes.fromhex(values.pop("key", ""))
    except ValueError:
        key_bytes = b"?"
    if len(key_bytes) not in (0, KEY_BYTES):
        raise Unavailable(path, "its key is not 64 hexadecimal digits", HINT)
    return Identity(**values, key=key_bytes)


def content(identity: Identity) -> bytes:
    """Return the content of a file that says ``identity``."""
    lines = ["# Written by totpctl fleet. Whoever reads this is this machine to the fleet."]
    for name, value in identity._asdict().items():
        if value:
            lines.append(f"{name} = {value.hex() if name == 'key' else value}")
    return "".join(f"{line}\n" for line in lines).encode()


HINT = "restore it from a backup, or let the machine join again: totpctl fleet add HOST"
