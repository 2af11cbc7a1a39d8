"""Addresses in one form each; ipaddress is the oracle, which no login loads."""

from __future__ import annotations

import ipaddress

from hypothesis import example, given
from hypothesis import strategies as st

from pam_totp.core import addresses
from tests.support.each import each

any_address = st.ip_addresses()


def canonical(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bytes:
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).packed


@given(any_address)
@example(ipaddress.ip_address("::ffff:192.0.2.7"))
def test_each_spelling_of_an_address_is_the_same_bytes(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    spellings = {str(address), address.exploded, address.exploded.upper()}
    assert {canonical(address)} == {addresses.parse(text) for text in spellings}
    text = addresses.as_text(canonical(address))
    assert canonical(address) == addresses.parse(text)


@each(
    ("text", "expected"),
    [
        ("192.0.2.7", bytes([192, 0, 2, 7])),
        ("::ffff:192.0.2.7", bytes([192, 0, 2, 7])),
        ("0:0:0:0:0:FFFF:c000:0207", bytes([192, 0, 2, 7])),
        ("::192.0.2.7", bytes(12) + bytes([192, 0, 2, 7])),  # RFC 4291 has given that up
        ("fe80::1%eth0", bytes.fromhex("fe80") + bytes(13) + b"\1"),
        ("::1", bytes(15) + b"\1"),
    ],
)
def test_an_address_is_folded(text: str, expected: bytes) -> None:
    assert expected == addresses.parse(text)


@each(
    "text",
    [
        "", "localhost", "host.example", "192.0.2", "192.0.2.07", "192.0.2.256", "0xc0000207",
        "3221225991", "192.0.2.7 ", " 192.0.2.7", "192.0.2.7%eth0", "192.0.2.7:22", "[::1]",
        "::1/128", "1::2::3", ":", "%", "192.0.2.7\0", "192.0.2.\udc37", "\uff1192.0.2.7",
        "a" * 5000,
    ],
)  # fmt: skip
def test_anything_else_is_no_address(text: str) -> None:
    assert addresses.parse(text) is None


@given(any_address, st.data())
def test_a_network_has_the_first_bits(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, data: st.DataObject
) -> None:
    packed = canonical(address)
    bits = data.draw(st.integers(0, 8 * len(packed)))
    network = ipaddress.ip_network((packed, bits), strict=False)
    assert network.network_address.packed == addresses.first_bits(packed, bits)
    text = addresses.network_of(packed, ipv4=bits, ipv6=bits)
    alone = bits == 8 * len(packed)
    assert text.endswith(f"/{bits}") != alone
    assert network == ipaddress.ip_network(text)


def test_a_network_takes_the_bits_of_its_family() -> None:
    four, six = addresses.parse("192.0.2.7"), addresses.parse("2001:db8:1:2:3::4")
    assert four is not None
    assert six is not None
    assert "192.0.2.7" == addresses.network_of(four, ipv4=32, ipv6=64)
    assert "2001:db8:1:2::/64" == addresses.network_of(six, ipv4=32, ipv6=64)
