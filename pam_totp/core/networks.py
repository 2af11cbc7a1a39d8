"""Networks that an administrator names: 10.0.0.0/8, 2001:db8::/32, or one address.

Pure. An IPv4 network in IPv6 is that IPv4 network, as addresses.py folds addresses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from . import addresses

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAPPED_BITS = 96
# What is larger is the Internet, or half of it.
_MIN_BITS_V4, _MIN_BITS_V6 = 8, 16
_NOT_GLOBAL = (("fc00::", 7), ("fe80::", 10))  # RFC 4193, RFC 4291: these may be larger


class Network(NamedTuple):
    """``first``: its first address, as addresses.parse() has it; ``bits``: how many tell it."""

    first: bytes
    bits: int

    def __str__(self) -> str:
        return addresses.network_as_text(self.first, self.bits)

    def holds(self, address: bytes) -> bool:
        return len(address) == len(self.first) and self.first == addresses.first_bits(
            address, self.bits
        )

    def overlaps(self, other: Network) -> bool:
        return self.holds(other.first) or other.holds(self.first)


def parse(text: str) -> Network:
    """Return the network that ``text`` names. Raises ValueError with what is wrong with it."""
    head, slash, tail = text.partition("/")
    first = addresses.parse(head)
    if first is None or "%" in head:
        raise ValueError(f"{text!r} is no address and no network")
    is_mapped = ":" in head and len(first) == 4
    written = 128 if ":" in head else 32
    bits = _bits(tail, written) if slash else written
    if bits is None or (is_mapped and bits < _MAPPED_BITS):
        raise ValueError(f"{text!r} is no network: how many bits?")
    bits -= _MAPPED_BITS if is_mapped else 0
    network = Network(first, bits)
    if first != addresses.first_bits(first, bits):
        start = Network(addresses.first_bits(first, bits), bits)
        raise ValueError(f"{text} is an address in a network: is {start} meant?")
    if _is_too_large(network):
        raise ValueError(f"{network} is as good as everywhere")
    return network


def holding(networks: Iterable[Network], address: bytes) -> Network | None:
    """Return the first of ``networks`` that ``address`` is in."""
    return next((network for network in networks if network.holds(address)), None)


def _bits(text: str, most: int) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) < 4) or text != str(int(text)):
        return None
    return int(text) if int(text) <= most else None


def _is_too_large(network: Network) -> bool:
    if len(network.first) == 4:
        return network.bits < _MIN_BITS_V4
    if network.bits >= _MIN_BITS_V6:
        return False
    wholes = (Network(addresses.parse(text) or b"", bits) for text, bits in _NOT_GLOBAL)
    return not any(w.holds(network.first) and network.bits >= w.bits for w in wholes)
