"""What `totpctl export` writes: people with their secrets, sealed with a passphrase.

    pam_totp export 1       the format's version
    <32 hex digits>         a salt, new for each file
    <base64>                an envelope (see store/sealing.py) that is bound to both lines above

The key is that of Argon2id (RFC 9106, its second recommended option): nothing in a file says how
much memory or time opening it takes. Inside is JSON: a list of people, every value in text.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from pam_totp.core import otp, recovery, users
from pam_totp.core.users import Authenticator, UserRecord

FIRST_WORDS = "pam_totp export "
_VERSION_LINE = f"{FIRST_WORDS}1"
_SALT_BYTES = 16
_PASSES, _MEMORY_BYTES = 3, 64 * 1024 * 1024
_LINE = 76  # characters of base64
_HEAD, _PIECE = 1024, 64 * 1024  # bytes
_BLANKS = b" \t\r\n"


class WrongPassphrase(Exception):
    """The file was sealed with another passphrase, or it was changed."""


class NotSealed(Exception):
    """What is there is not of this format, or of a release to come: the problem, with a verb."""


class Carried(NamedTuple):
    """What a file says of a person: the fields of a record that mean the same anywhere."""

    name: str
    status: str
    failures: int
    throttled_until: int
    guesses_until: int
    recovery_salt: bytes
    recovery_digests: frozenset[bytes]
    authenticators: tuple[Authenticator, ...]


def seal(records: Iterable[UserRecord], passphrase: str) -> bytes:
    """Return the file. The records have their secrets."""
    from pam_totp.store.sealing import Sealer

    salt = os.urandom(_SALT_BYTES)
    people = [_person(record) for record in records]
    sealer = Sealer(_key(passphrase, salt), "")
    envelope = sealer.seal(json.dumps(people).encode("ascii"), _VERSION_LINE, salt.hex())
    text = base64.b64encode(envelope).decode("ascii")
    lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    return "\n".join((_VERSION_LINE, salt.hex(), *lines, "")).encode("ascii")


def unseal(data: bytes, passphrase: Callable[[], str]) -> list[Carried]:
    """Return the people of a file; it is asked for a passphrase only where it is whole.

    Raises NotSealed, WrongPassphrase, and what ``passphrase`` does.
    """
    from pam_totp.store.sealing import Sealer
    from pam_totp.system.errors import SealingError

    version, salt, envelope = _parts(data)
    sealer = Sealer(_key(passphrase(), bytes.fromhex(salt)), "")
    try:
        document = sealer.open(bytes(envelope), version, salt)
    except SealingError:
        raise WrongPassphrase from None
    try:
        return [_carried(person) for person in json.loads(document)]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        # Sealed with the right passphrase by something that is not pam_totp.
        raise NotSealed("holds something other than people") from None


def _parts(data: bytes) -> tuple[str, str, bytearray]:
    """Return the first line, the second, and the envelope."""
    lines = [line.strip() for line in data[:_HEAD].decode("ascii", "replace").split("\n")]
    version, salt = (*lines, "", "")[:2]
    if version != _VERSION_LINE:
        raise NotSealed("was written by a release of pam_totp that is newer than this one")
    if not re.fullmatch(f"[0-9a-f]{{{2 * _SALT_BYTES}}}", salt):
        raise NotSealed("is cut off or damaged: its second line is no salt")
    try:
        envelope = _envelope(data, data.index(b"\n", data.index(b"\n") + 1))
    except ValueError:  # no base64, or no third line
        envelope = bytearray()
    if not envelope:
        raise NotSealed("is cut off or damaged: it is not base64 from its third line on")
    return version, salt, envelope


def _envelope(data: bytes, begin: int) -> bytearray:
    """Return what the base64 from ``begin`` on stands for. Raises ValueError.

    Piece by piece: copies of all of it would stay in memory while the key takes 64 MiB.
    """
    envelope, left = bytearray(), b""
    for at in range(begin, len(data), _PIECE):
        piece = left + data[at : at + _PIECE].translate(None, _BLANKS)
        whole = len(piece) // 4 * 4
        decoded = base64.b64decode(piece[:whole], validate=True)
        if len(envelope) % 3 or base64.b64encode(decoded) != piece[:whole]:
            raise ValueError  # more behind the end, or a second text for the same
        envelope += decoded
        left = piece[whole:]
    if left:
        raise ValueError
    return envelope


def _key(passphrase: str, salt: bytes) -> bytes:
    from nacl import bindings

    return bindings.crypto_pwhash_alg(
        bindings.crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
        passphrase.encode("utf-8", "surrogateescape"),
        salt,
        _PASSES,
        _MEMORY_BYTES,
        bindings.crypto_pwhash_ALG_ARGON2ID13,
    )


def _person(record: UserRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "status": record.status,
        "failures": record.failures,
        "throttled_until": record.throttled_until,
        "guesses_until": record.guesses_until,
        "recovery_salt": (record.recovery_salt or b"").hex(),
        "recovery_digests": [digest.hex() for digest in sorted(record.recovery_digests)],
        "authenticators": [_device(a) for a in record.authenticators],
    }


def _device(authenticator: Authenticator) -> dict[str, Any]:
    assert authenticator.secret is not None
    fields = authenticator._asdict()
    del fields["id"]  # of a row in one store
    return fields | {"secret": authenticator.secret.hex()}


def _carried(person: dict[str, Any]) -> Carried:
    """Return what _person() was made of. Raises ValueError, TypeError or KeyError otherwise."""
    salt = bytes.fromhex(person["recovery_salt"])
    digests = frozenset(map(bytes.fromhex, person["recovery_digests"]))
    if len(salt) not in (0, recovery.SALT_BYTES):
        raise ValueError
    if any(len(digest) != recovery.DIGEST_BYTES for digest in digests) or (digests and not salt):
        raise ValueError
    if person["status"] not in users.STATUSES:
        raise ValueError
    return Carried(
        _text(person["name"]),
        person["status"],
        _number(person["failures"]),
        _number(person["throttled_until"]),
        _number(person["guesses_until"]),
        salt,
        digests,
        tuple(_authenticator(device) for device in person["authenticators"]),
    )


def _authenticator(device: dict[str, Any]) -> Authenticator:
    used = device["last_used_at"]
    if device["algorithm"] not in otp.ALGORITHMS or device["kind"] not in otp.KINDS:
        raise ValueError
    return Authenticator(
        id="",
        label=_text(device["label"]),
        secret=bytes.fromhex(device["secret"]),
        algorithm=device["algorithm"],
        digits=_number(device["digits"]),
        period=_number(device["period"]),
        drift=_number(device["drift"]),
        last_accepted_step=_number(device["last_accepted_step"]),
        created_at=_number(device["created_at"]),
        last_used_at=None if used is None else _number(used),
        kind=device["kind"],
        serial=_text(device["serial"]),
        learned=_learned(device["learned"]),
    )


def _learned(value: object) -> int:
    number = _number(value)
    if abs(number) > users.MOST_LEARNED:
        raise ValueError
    return number


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: object) -> int:
    if type(value) is not int or abs(value) >= 1 << 62:  # what the store holds; True is none
        raise TypeError
    return value
