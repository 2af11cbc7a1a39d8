"""Addresses of the network, each in one form: four bytes of IPv4, sixteen of IPv6.

Pure: nobody is asked for a name, and a name is no address.
"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton

_MAPPED = bytes(10) + b"\xff\xff"  # an IPv4 address in an IPv6 one: RFC 4291, 2.5.5.2
_LOOPBACK = bytes(15) + b"\x01"


def parse(text: str) -> bytes | None:
    """Return the address that ``text`` is, or None.

    An IPv4 address in an IPv6 one is that IPv4 address: which of the two an application shows
    depends on its socket. The interface of a link-local address (``fe80::1%eth0``) is left out.
    """
    family = AF_INET6 if ":" in text else AF_INET
    if family == AF_INET6:
        text = text.partition("%")[0]
    try:
        address = inet_pton(family, text)
    except (OSError, ValueError):
        return None
    return address[len(_MAPPED) :] if address.startswith(_MAPPED) else address


def as_text(address: bytes) -> str:
    """Return the shortest spelling of ``address``."""
    family = AF_INET if len(address) == 4 else AF_INET6
    return inet_ntop(family, address)


def is_loopback(address: bytes) -> bool:
    """Tell whether ``address`` leads to the machine that uses it."""
    return address == _LOOPBACK or (len(address) == 4 and address[0] == 127)


def is_link_local(address: bytes) -> bool:
    """Tell whether other machines may have ``address`` in other networks of this one."""
    bits = first_bits(address, 16 if len(address) == 4 else 10)
    return bits[:2] in (b"\xfe\x80", b"\xa9\xfe")


def first_bits(address: bytes, bits: int) -> bytes:
    """Return ``address`` with zeros behind its first ``bits``: the network that it is in."""
    behind = 8 * len(address) - bits
    number = int.from_bytes(address, "big") >> behind << behind
    return number.to_bytes(len(address), "big")


def network_as_text(first: bytes, bits: int) -> str:
    """Return the network that begins with ``first``; an address alone where all bits count."""
    text = as_text(first)
    return text if bits == 8 * len(first) else f"{text}/{bits}"


def network_of(address: bytes, *, ipv4: int, ipv6: int) -> str:
    """Return the network of ``address`` in words: so many bits of IPv4, or of IPv6."""
    bits = ipv4 if len(address) == 4 else ipv6
    return network_as_text(first_bits(address, bits), bits)
