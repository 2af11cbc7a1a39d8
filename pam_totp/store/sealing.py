"""Authenticated encryption of secrets at rest: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha).

An envelope is: version (1 byte), key id (4), nonce (24), ciphertext and tag. The associated data
binds it to its row, so that a secret copied to another user, or with its digits or period
changed, does not open.
"""

from __future__ import annotations

import os

try:
    from _blake2 import blake2b
except ImportError:  # an interpreter without it
    from hashlib import blake2b

from nacl import bindings
from nacl.exceptions import CryptoError

from ..system import trusted_files
from ..system.errors import SealingError

KEY_BYTES = 32
DECOY_KEY = ("decoy key",)  # what the envelope of the key for decoys is bound to
KEY_ID_BYTES = 4
_VERSION = b"\x01"
_NONCE_BYTES = 24
_TAG_BYTES = 16
_HEADER_BYTES = len(_VERSION) + KEY_ID_BYTES + _NONCE_BYTES


class Sealer:
    """Seals with one key of KEY_BYTES bytes, read from ``path``; ``others`` only open.

    A key file holds two keys while they are being rotated, the old one first.
    """

    def __init__(self, key: bytes, path: str, others: tuple[Sealer, ...] = ()) -> None:
        if len(key) != KEY_BYTES:
            raise SealingError(path, f"does not hold {KEY_BYTES} bytes", _restore_hint(path))
        self._key = key
        self.path = path
        self.others = others
        self.key_id = _derive(key, b"key id", b"")[:KEY_ID_BYTES]

    def __repr__(self) -> str:
        return f"<Sealer {self.key_id.hex()}>"

    def named(self, key_id: object) -> Sealer | None:
        """Return the one with the key of that id: this, or one of the others."""
        if key_id == self.key_id:
            return self
        return next((other for other in self.others if other.key_id == key_id), None)

    def seal(self, plaintext: bytes, *fields: str) -> bytes:
        """Return an envelope of ``plaintext`` bound to ``fields``, under a fresh random nonce."""
        nonce = os.urandom(_NONCE_BYTES)
        header = _VERSION + self.key_id + nonce
        data = _associated_data(fields)
        ciphertext = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
            plaintext, data, nonce, self._key
        )
        return header + ciphertext

    def open(self, envelope: bytes, *fields: str) -> bytes:
        """Return what was sealed with the same ``fields``.

        Raises SealingError if the envelope was made with another key, or altered, or moved.
        """
        if len(envelope) < _HEADER_BYTES + _TAG_BYTES or envelope[:1] != _VERSION:
            raise SealingError("sealed secret", "is not an envelope of this release", _BACKUP_HINT)
        key_id = key_id_of(envelope)
        sealer = self.named(key_id)
        if sealer is None:
            raise SealingError(
                self.path,
                f"is key {self.key_id.hex()}, but the secret is sealed with key {key_id.hex()}",
                _restore_hint(self.path),
            )
        nonce = envelope[1 + KEY_ID_BYTES : _HEADER_BYTES]
        ciphertext = envelope[_HEADER_BYTES:]
        data = _associated_data(fields)
        try:
            return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
                ciphertext, data, nonce, sealer._key
            )
        except CryptoError:
            problem = "was altered, or moved from its row"
            raise SealingError("sealed secret", problem, _BACKUP_HINT) from None

    def key_file(self) -> bytes:
        """Return what a key file with this key holds, and with the others, if there are any."""
        keys = (self, *self.others)
        return b"".join(sealer._key.hex().encode("ascii") + b"\n" for sealer in keys)


def new_sealer(path: str) -> Sealer:
    """Return one with a new random key, for the file ``path``."""
    return Sealer(os.urandom(KEY_BYTES), path)


def key_id_of(envelope: bytes) -> bytes:
    """Return the id of the key that ``envelope`` says it was made with."""
    return envelope[len(_VERSION) : len(_VERSION) + KEY_ID_BYTES]


def decoy(key: bytes, purpose: bytes, name: str) -> bytes:
    """Return 32 bytes that look random without ``key``, the same for the same name."""
    return _derive(key, b"decoy " + purpose, name.encode("utf-8", "surrogatepass"))


def read_sealer(path: str) -> Sealer:
    """Read the key file: 64 hexadecimal digits, or twice as many. Raises SealingError or
    InsecureFile.

    Two keys are those of a rotation in progress, or interrupted: see totpctl rotate-key.
    """
    try:
        content = trusted_files.read_trusted(path, 256, secret=True)
    except FileNotFoundError:
        raise SealingError(path, "there is no sealing key", _restore_hint(path)) from None
    try:
        keys = bytes.fromhex(content.decode("ascii"))
    except ValueError:
        raise SealingError(path, "is not a sealing key", _restore_hint(path)) from None
    old, new = keys[:KEY_BYTES], keys[KEY_BYTES:]
    if len(new) != KEY_BYTES:
        return Sealer(keys, path)
    if old == new:
        raise SealingError(path, "is not a sealing key", _restore_hint(path))
    return Sealer(old, path, (Sealer(new, path),))


def generate_key_file() -> bytes:
    """Return the content of a new key file."""
    return new_sealer("").key_file()


_BACKUP_HINT = "enroll this user again: totpctl reset USER"


def _derive(key: bytes, purpose: bytes, data: bytes) -> bytes:
    """What libsodium's crypto_generichash_blake2b_salt_personal() returns, six times as fast."""
    return blake2b(data, digest_size=32, key=key, person=purpose).digest()


def _restore_hint(path: str) -> str:
    return f"restore {path} from the backup it was in; on a new machine run: totpctl init"


def _associated_data(fields: tuple[str, ...]) -> bytes:
    encoded = [field.encode("utf-8", "surrogatepass") for field in fields]
    return b"".join(len(field).to_bytes(4, "big") + field for field in encoded)
