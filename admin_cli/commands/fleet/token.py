"""What a host joins with: where the database is, who the host will be, and a one-time key.

It is one word of URL-safe base64, short enough for a line of a terminal: a JSON document, a zero
byte, and the CA's certificates in DER.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import NamedTuple

_PEM = re.compile(
    r"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----", flags=re.S
)
_SEQUENCE, _LONG = 0x30, 0x80  # of DER


class JoinToken(NamedTuple):
    """``password``, or the paths of ``certificate`` and ``private_key`` on the host."""

    url: str
    host: str
    one_time_key: bytes
    user: str
    password: str
    certificate: str
    private_key: str
    ca: str  # PEM

    def __repr__(self) -> str:
        return f"<JoinToken of {self.host}>"


def encode(token: JoinToken) -> str:
    """Return ``token`` as one word. Raises ValueError where its CA is no PEM certificate."""
    document = token._asdict()
    document["one_time_key"] = token.one_time_key.hex()
    del document["ca"]
    certificates = [base64.b64decode(found) for found in _PEM.findall(token.ca)]
    if not certificates:
        raise ValueError("holds no certificate in PEM form")
    told = json.dumps({key: value for key, value in document.items() if value}).encode()
    return base64.urlsafe_b64encode(b"\0".join([told, b"".join(certificates)])).decode()


def decode(text: bytes) -> JoinToken:
    """Return what ``text`` says. Raises ValueError for what encode() has not made."""
    try:
        told, _, certificates = base64.b64decode(text, b"-_", validate=True).partition(b"\0")
        document = json.loads(told)
        fields = dict.fromkeys(JoinToken._fields, "") | document
        fields["one_time_key"] = bytes.fromhex(fields["one_time_key"])
        fields["ca"] = "".join(map(_pem, _split(certificates)))
        token = JoinToken(**fields)
    except (binascii.Error, IndexError, TypeError, ValueError):
        raise ValueError("is no token of totpctl fleet add, or not all of one") from None
    if not all(isinstance(value, str) for value in fields.values() if value is not token[2]):
        raise ValueError("is no token of totpctl fleet add, or not all of one")
    return token


def _split(certificates: bytes) -> list[bytes]:
    """Part certificates that follow each other: each begins with its length."""
    found = []
    while certificates:
        length, header = certificates[1], 2
        if length & _LONG:
            header += length & ~_LONG
            length = int.from_bytes(certificates[2:header], "big")
        end = header + length
        if certificates[0] != _SEQUENCE or end > len(certificates):
            raise ValueError
        found.append(certificates[:end])
        certificates = certificates[end:]
    return found


def _pem(der: bytes) -> str:
    text = base64.b64encode(der).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])
