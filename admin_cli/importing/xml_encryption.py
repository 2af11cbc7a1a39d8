"""What encrypts and authenticates the values of a PSKC file (RFC 6030 section 6, XML Encryption).

AES and triple DES are those of python3-cryptography, loaded where a file is encrypted; PBKDF2 and
HMAC are Python's. What is encrypted in CBC mode is taken only with a MAC that matches.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ..libraries import load
from .texts import from_base64, number_in
from .tokens import Unreadable, Unusable
from .xml_documents import child, text_at

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

# Of PBKDF2 with HMAC-SHA-1, for one block of the key: twice what is advised today (1,300,000).
MOST_ROUNDS = 2_700_000
_TIMES_AS_LONG = {"sha1": 1, "sha224": 2, "sha256": 2, "sha384": 3, "sha512": 3}
_CBC = {"aes128-cbc": 16, "aes192-cbc": 24, "aes256-cbc": 32, "tripledes-cbc": 24}
_KEY_WRAP = {"kw-aes128": 16, "kw-aes192": 24, "kw-aes256": 32}
_KEY_BYTES = sorted({*_CBC.values(), *_KEY_WRAP.values()})
_LIBRARY = ("encrypted PSKC", "python3-cryptography")
_WRONG_KEY = "does not open: the key or the passphrase is wrong, or the file was changed"


class Unlocking(NamedTuple):
    """How to get what opens a file, asked for only where it is needed."""

    key: Callable[[], bytes]
    passphrase: Callable[[], str]
    accepts_no_mac: bool = False


class Cryptography:
    """The key of a file, and the key and method of its MACs; without a key nothing is encrypted."""

    def __init__(self, key: bytes, *, accepts_no_mac: bool) -> None:
        self._key = key
        self._accepts_no_mac = accepts_no_mac
        self._mac: tuple[str, bytes] | None = None
        self.used_triple_des = False

    def authenticate(self, hash_name: str, encrypted_key: Element | None) -> None:
        """Check MACs from here on; with the file's own key where it has no other for them."""
        key = self._key
        if encrypted_key is not None:
            key = self._plain(encrypted_key)
        self._mac = hash_name, key

    def decrypted(self, encrypted: Element, mac: str) -> bytes:
        """Return the value, whose MAC is right. Raises Unreadable."""
        plain = self._plain(encrypted)
        if _algorithm_of(encrypted) in _KEY_WRAP:  # it authenticates itself
            return plain
        if self._mac is None and not mac:
            if self._accepts_no_mac:
                return plain
            raise Unreadable(
                "is encrypted without MACs, so that a change of it would not be noticed",
                "if you trust where it comes from, add: --no-mac",
            )
        if self._mac is None or not mac:
            raise Unreadable("has an encrypted value without its MAC, or a MAC without a method")
        hash_name, key = self._mac
        given = _decoded(mac)
        # RFC 6030 has the MAC of what is encrypted, its drafts that of the plain value.
        possible = (_cipher_value(encrypted), plain)
        if not any(hmac.compare_digest(hmac.digest(key, p, hash_name), given) for p in possible):
            raise Unreadable(_WRONG_KEY)
        return plain

    def _plain(self, encrypted: Element) -> bytes:
        algorithm, value = _algorithm_of(encrypted), _cipher_value(encrypted)
        size = _CBC.get(algorithm) or _KEY_WRAP.get(algorithm)
        if size is None:
            raise Unreadable("is encrypted in a way that is not supported: not with AES")
        if len(self._key) != size:
            have = f"{8 * len(self._key)} bits" if self._key else "not there"
            raise Unreadable(f"needs a key of {8 * size} bits for {algorithm}; the key is {have}")
        if algorithm in _KEY_WRAP:
            return _unwrapped(self._key, value)
        self.used_triple_des |= algorithm == "tripledes-cbc"
        return _cbc_decrypted(algorithm, self._key, value)


def of_container(root: Element, unlocking: Unlocking) -> Cryptography:
    """Return what opens the values of a KeyContainer. Raises Unreadable, CommandFailed."""
    encryption = child(root, "EncryptionKey")
    if encryption is None:
        return Cryptography(b"", accepts_no_mac=unlocking.accepts_no_mac)
    method = child(encryption, "DerivedKey", "KeyDerivationMethod")
    key = unlocking.key() if method is None else _derived(method, unlocking)
    cryptography = Cryptography(key, accepts_no_mac=unlocking.accepts_no_mac)
    mac = child(root, "MACMethod")
    if mac is not None:
        cryptography.authenticate(_hash_of(mac), child(mac, "MACKey"))
    return cryptography


def _derived(method: Element, unlocking: Unlocking) -> bytes:
    """Return the key of a passphrase (PBKDF2, PKCS #5).

    The parameters stand in the namespace of PKCS #5 or in that of XML Encryption 1.1.
    """
    if not method.get("Algorithm", "").lower().endswith("pbkdf2"):
        raise Unreadable("derives its key in a way that is not supported: not by PBKDF2")
    parameters = child(method, "PBKDF2-params")
    try:
        salt = from_base64(text_at(parameters, "Salt", "Specified"), "the salt")
        rounds = number_in(text_at(parameters, "IterationCount"), "the number of rounds")
        length = number_in(text_at(parameters, "KeyLength"), "the length of the key")
    except Unusable as error:
        raise Unreadable(f"has no usable parameters of PBKDF2: {error}") from None
    if length not in _KEY_BYTES:
        raise Unreadable(f"asks for a key of {length:,} bytes; there are those of 16, 24 and 32")
    prf = child(parameters, "PRF")
    hash_name = "sha1" if prf is None else _hash_of(prf)
    blocks = -(-length // hashlib.new(hash_name).digest_size)
    most = MOST_ROUNDS // (_TIMES_AS_LONG[hash_name] * blocks)
    if not 0 < rounds <= most:
        raise Unreadable(
            f"asks for {rounds:,} rounds of PBKDF2; the limit is {most:,} of this kind",
            "ask for a file with fewer",
        )
    passphrase = unlocking.passphrase().encode("utf-8", "surrogateescape")
    return hashlib.pbkdf2_hmac(hash_name, passphrase, salt, rounds, length)


def _hash_of(method: Element) -> str:
    name = _last_word(method.get("Algorithm", "")).removeprefix("hmac").replace("-", "")
    if name not in _TIMES_AS_LONG:
        raise Unreadable("is authenticated in a way that is not supported: not by HMAC with SHA")
    return name


def _algorithm_of(encrypted: Element) -> str:
    method = child(encrypted, "EncryptionMethod")
    return "" if method is None else _last_word(method.get("Algorithm", ""))


def _last_word(address: str) -> str:
    return address.lower().rpartition("#")[2]


def _cipher_value(encrypted: Element) -> bytes:
    return _decoded(text_at(encrypted, "CipherData", "CipherValue"))


def _decoded(text: str) -> bytes:
    try:
        return from_base64(text)
    except Unusable:
        raise Unreadable("has an encrypted value or a MAC that is not base64") from None


def _cbc_decrypted(algorithm: str, key: bytes, value: bytes) -> bytes:
    """Return the plain value: the first block is the initialization vector, the rest is padded."""
    ciphers = load("cryptography.hazmat.primitives.ciphers", *_LIBRARY)
    cipher = _triple_des(key) if algorithm == "tripledes-cbc" else ciphers.algorithms.AES(key)
    size = cipher.block_size // 8
    if len(value) < 2 * size or len(value) % size:
        raise Unreadable(_WRONG_KEY)
    decryptor = ciphers.Cipher(cipher, ciphers.modes.CBC(value[:size])).decryptor()
    padded: bytes = decryptor.update(value[size:]) + decryptor.finalize()
    if not 0 < padded[-1] <= size:
        raise Unreadable(_WRONG_KEY)
    return padded[: -padded[-1]]


def _triple_des(key: bytes) -> Any:
    """Return the cipher, which newer releases of the library keep apart."""
    place = "cryptography.hazmat.decrepit.ciphers.algorithms"
    if importlib.util.find_spec("cryptography.hazmat.decrepit") is None:
        place = "cryptography.hazmat.primitives.ciphers.algorithms"
    return importlib.import_module(place).TripleDES(key)


def _unwrapped(key: bytes, value: bytes) -> bytes:
    wrapping = load("cryptography.hazmat.primitives.keywrap", *_LIBRARY)
    try:
        plain: bytes = wrapping.aes_key_unwrap(key, value)
    except (wrapping.InvalidUnwrap, ValueError):
        raise Unreadable(_WRONG_KEY) from None
    return plain
