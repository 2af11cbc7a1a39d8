"""PSKC (RFC 6030): the XML in which hardware tokens are delivered.

python3-pskc is not used. Tried with 1.2, of Debian 12: a value whose MAC has been removed is taken,
although the file names a MAC method; there is no limit to the rounds of PBKDF2 (2,000,000,000 of
them run for an hour); and what it does not know of a key, such as check digits, is easily missed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from . import xml_encryption
from .sources import TokenFile
from .texts import algorithm_in, from_base64, moment_in, number_in, refuse_outside, uid_in
from .tokens import HOTP, TOTP, Contents, Token, Unreadable, Unusable, read_each
from .xml_documents import child, children, parse, text_at
from .xml_encryption import Cryptography, Unlocking

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

ROOT = "KeyContainer"
_PIN_ON_THE_DEVICE = ("", "Local")
_TRUE = ("true", "1")
_OLD = "is encrypted with triple DES, which is old"


def read(source: TokenFile, unlocking: Unlocking) -> Contents:
    """Return the tokens of ``source``. Every MAC is checked. Raises Unreadable, CommandFailed."""
    root = parse(source.data, "PSKC")
    is_signed = child(root, "Signature") is not None
    remark = ("the signature of its file is not checked",) if is_signed else ()
    cryptography = xml_encryption.of_container(root, unlocking)
    packages = list(children(root, "KeyPackage"))
    if not packages and child(root, "Device") is not None:
        raise Unreadable("is of a draft of PSKC, older than RFC 6030", "ask for a file of RFC 6030")
    if not packages:
        raise Unreadable("has no keys")
    places = [_place(number, package) for number, package in enumerate(packages, 1)]

    def token(place: str, package: Element) -> Token:
        user, serial = _user(package), _serial(package)
        try:
            read = _token(place, package, cryptography)
        except Unusable as error:
            raise Unusable(str(error), user, serial) from None
        return read._replace(user=user, serial=serial, remarks=read.remarks + remark)

    return read_each(zip(places, packages, strict=True), token)


def _place(number: int, package: Element) -> str:
    serial = _serial(package)
    return f"serial {serial}" if serial else f"key {number}"


def _serial(package: Element) -> str:
    key = child(package, "Key")
    return text_at(package, "DeviceInfo", "SerialNo") or ("" if key is None else key.get("Id", ""))


def _user(package: Element) -> str:
    name = text_at(package, "Key", "UserId") or text_at(package, "DeviceInfo", "UserId")
    return uid_in(name)


def _token(place: str, package: Element, cryptography: Cryptography) -> Token:
    key, *others = [*children(package, "Key"), None]
    data = child(key, "Data")
    if key is None:
        raise Unusable("there is no key")
    if len(others) > 1:
        raise Unusable("it has more than one key")
    kind = _kind(key)
    _check_policy(child(key, "Policy"))
    _check_dates(child(package, "DeviceInfo"))
    secret = _bytes_at(data, "Secret", cryptography)
    if not secret:
        raise Unusable("there is no secret")
    if _integer_at(data, "Time", cryptography, 0):
        raise Unusable("its time does not begin at 0")
    return Token(
        place,
        secret,
        kind=kind,
        algorithm=_algorithm(text_at(key, "AlgorithmParameters", "Suite")),
        digits=_digits(child(key, "AlgorithmParameters", "ResponseFormat")),
        period=_integer_at(data, "TimeInterval", cryptography, 30),
        drift=_integer_at(data, "TimeDrift", cryptography, 0),
        next_counter=_integer_at(data, "Counter", cryptography, 0),
        remarks=(_OLD,) if cryptography.used_triple_des else (),
    )


def _kind(key: Element) -> str:
    name = re.split(r"[:#/]", key.get("Algorithm", "").lower())[-1]
    if name in (TOTP, HOTP):
        return name
    if name.startswith("ocra"):
        raise Unusable("it is for challenges (OCRA), not for one-time codes")
    if "yubikey" in name:
        raise Unusable("it makes Yubico OTPs, which are not OATH")
    raise Unusable("its algorithm is neither TOTP nor HOTP")


def _algorithm(suite: str) -> str:
    found = re.search(r"SHA-?[0-9]+", suite.upper())
    if suite and not found:
        raise Unusable("its suite is not known")
    return algorithm_in(found[0] if found else "")


def _digits(response: Element | None) -> int:
    if response is None:
        return 6
    encoding = response.get("Encoding", "DECIMAL").upper()
    if encoding != "DECIMAL":
        name = encoding.lower() if encoding.isalnum() else "other"
        raise Unusable(f"its codes are not decimal but {name}")
    if response.get("CheckDigits", response.get("CheckDigit", "")).lower() in _TRUE:
        raise Unusable("its codes have check digits")
    return number_in(response.get("Length", "6"), "the number of digits")


def _check_policy(policy: Element | None) -> None:
    """Raise Unusable for a key that is not to be used as we would."""
    _check_dates(policy)
    usages = [(usage.text or "").strip() for usage in children(policy, "KeyUsage")]
    if usages and "OTP" not in usages:
        raise Unusable("it is not for one-time passwords")
    pin = child(policy, "PINPolicy")
    if pin is not None and pin.get("PINUsageMode", "") not in _PIN_ON_THE_DEVICE:
        raise Unusable("its codes come with a PIN, which pam_totp does not ask for")


def _check_dates(element: Element | None) -> None:
    begin, end = text_at(element, "StartDate"), text_at(element, "ExpiryDate")
    refuse_outside(
        moment_in(begin, "the start date") if begin else None,
        moment_in(end, "the expiry date") if end else None,
    )


def _bytes_at(data: Element | None, name: str, cryptography: Cryptography) -> bytes | None:
    """Return the plain or decrypted value; None where there is none. Raises Unreadable."""
    value = child(data, name)
    encrypted = child(value, "EncryptedValue")
    if encrypted is not None:
        return cryptography.decrypted(encrypted, text_at(value, "ValueMAC"))
    plain = text_at(value, "PlainValue")
    return from_base64(plain, f"the {name}") if plain else None


def _integer_at(data: Element | None, name: str, cryptography: Cryptography, default: int) -> int:
    value = child(data, name)
    if child(value, "EncryptedValue") is None:
        plain = text_at(value, "PlainValue")
        return number_in(plain, f"the {name}") if plain else default
    content = _bytes_at(data, name, cryptography) or b""
    # RFC 6030 says a number in network byte order; others encrypt its digits.
    return int(content) if content.isdigit() else int.from_bytes(content, "big")
