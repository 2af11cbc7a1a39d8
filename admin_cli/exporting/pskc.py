"""PSKC (RFC 6030): a key container whose secrets are encrypted with a passphrase.

The algorithms are those that the RFC has in its example of a passphrase (section 6.2), and that
every reader knows: PBKDF2 with HMAC-SHA-1, AES-128 in CBC mode, and a MAC of each value.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Iterable
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from pam_totp.core.users import Authenticator, UserRecord

from ..libraries import load

_PSKC = "urn:ietf:params:xml:ns:keyprov:pskc"
_ENC, _ENC_11 = "http://www.w3.org/2001/04/xmlenc#", "http://www.w3.org/2009/xmlenc11#"
_PKCS5 = "http://www.rsasecurity.com/rsalabs/pkcs/schemas/pkcs-5v2-0#"
_HMAC_SHA1 = "http://www.w3.org/2000/09/xmldsig#hmac-sha1"
_AES = f"{_ENC}aes128-cbc"
_KEY_BYTES, _BLOCK_BYTES, _SALT_BYTES = 16, 16, 16
_ROUNDS = 1_300_000  # OWASP's cheat sheet on storing passwords, for PBKDF2 with HMAC-SHA-1
_MASTER_KEY = "passphrase"
_ESCAPED = str.maketrans({c: f"\\{c}" for c in ',+"\\<>;='})  # RFC 4514 section 2.4


def written(records: Iterable[UserRecord], passphrase: str) -> bytes:
    """Return the file. Raises CommandFailed where the library that encrypts is missing."""
    for prefix, namespace in (
        *(("pskc", _PSKC), ("xenc", _ENC), ("xenc11", _ENC_11), ("pkcs5", _PKCS5)),
    ):
        ElementTree.register_namespace(prefix, namespace)
    salt = os.urandom(_SALT_BYTES)
    key = hashlib.pbkdf2_hmac(
        "sha1", passphrase.encode("utf-8", "surrogateescape"), salt, _ROUNDS, _KEY_BYTES
    )
    mac_key = os.urandom(_KEY_BYTES)
    root = Element(f"{{{_PSKC}}}KeyContainer", Version="1.0")
    _derivation(SubElement(root, f"{{{_PSKC}}}EncryptionKey"), salt)
    mac = SubElement(root, f"{{{_PSKC}}}MACMethod", Algorithm=_HMAC_SHA1)
    _put_encrypted(SubElement(mac, f"{{{_PSKC}}}MACKey"), _encrypted(key, mac_key))
    for record in records:
        for authenticator in record.authenticators:
            _package(root, record.name, authenticator, key, mac_key)
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="us-ascii", xml_declaration=True)
    return document + b"\n"


def _derivation(parent: Element, salt: bytes) -> None:
    derived = SubElement(parent, f"{{{_ENC_11}}}DerivedKey")
    method = SubElement(derived, f"{{{_ENC_11}}}KeyDerivationMethod", Algorithm=f"{_PKCS5}pbkdf2")
    parameters = SubElement(method, f"{{{_PKCS5}}}PBKDF2-params")
    specified = SubElement(SubElement(parameters, "Salt"), "Specified")
    specified.text = _base64(salt)
    SubElement(parameters, "IterationCount").text = str(_ROUNDS)
    SubElement(parameters, "KeyLength").text = str(_KEY_BYTES)
    SubElement(derived, f"{{{_ENC_11}}}MasterKeyName").text = _MASTER_KEY


def _package(
    root: Element, name: str, authenticator: Authenticator, key: bytes, mac_key: bytes
) -> None:
    assert authenticator.secret is not None
    package = SubElement(root, f"{{{_PSKC}}}KeyPackage")
    identity = f"{name}/{authenticator.label}"
    body = SubElement(
        package,
        f"{{{_PSKC}}}Key",
        Id=identity,
        Algorithm=f"urn:ietf:params:xml:ns:keyprov:pskc:{authenticator.kind}",
    )
    parameters = SubElement(body, f"{{{_PSKC}}}AlgorithmParameters")
    SubElement(parameters, f"{{{_PSKC}}}Suite").text = f"HMAC-{authenticator.algorithm}"
    length = str(authenticator.digits)
    SubElement(parameters, f"{{{_PSKC}}}ResponseFormat", Length=length, Encoding="DECIMAL")
    SubElement(body, f"{{{_PSKC}}}FriendlyName").text = authenticator.label
    data = SubElement(body, f"{{{_PSKC}}}Data")
    secret = SubElement(data, f"{{{_PSKC}}}Secret")
    value = _encrypted(key, authenticator.secret)
    _put_encrypted(SubElement(secret, f"{{{_PSKC}}}EncryptedValue"), value)
    mac = hmac.digest(mac_key, value, "sha1")
    SubElement(secret, f"{{{_PSKC}}}ValueMAC").text = _base64(mac)
    if authenticator.counter is None:
        _put_number(data, "Time", 0)
        _put_number(data, "TimeInterval", authenticator.period)
        learned = round(authenticator.learned / authenticator.period)
        _put_number(data, "TimeDrift", authenticator.drift + learned)
    else:
        _put_number(data, "Counter", authenticator.counter)
    SubElement(body, f"{{{_PSKC}}}UserId").text = f"UID={name.translate(_ESCAPED)}"


def _put_number(parent: Element, name: str, number: int) -> None:
    value = SubElement(parent, f"{{{_PSKC}}}{name}")
    SubElement(value, f"{{{_PSKC}}}PlainValue").text = str(number)


def _put_encrypted(parent: Element, value: bytes) -> None:
    SubElement(parent, f"{{{_ENC}}}EncryptionMethod", Algorithm=_AES)
    data = SubElement(parent, f"{{{_ENC}}}CipherData")
    SubElement(data, f"{{{_ENC}}}CipherValue").text = _base64(value)


def _encrypted(key: bytes, plain: bytes) -> bytes:
    """Return an initialization vector and the encrypted value, padded as XML Encryption has it."""
    ciphers: Any = load(
        "cryptography.hazmat.primitives.ciphers", "encrypted PSKC", "python3-cryptography"
    )
    vector = os.urandom(_BLOCK_BYTES)
    missing = _BLOCK_BYTES - len(plain) % _BLOCK_BYTES
    cipher = ciphers.Cipher(ciphers.algorithms.AES(key), ciphers.modes.CBC(vector))
    encryptor = cipher.encryptor()
    padded = plain + bytes([missing] * missing)
    return vector + bytes(encryptor.update(padded) + encryptor.finalize())


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
