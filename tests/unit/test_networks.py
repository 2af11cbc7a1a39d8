"""Networks as an administrator writes them; ipaddress is the oracle, which no login loads."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pam_totp.core import addresses, networks
from tests.support.each import each


def packed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bytes:
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).packed


@st.composite
def some_networks(draw: st.DrawFn) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    address = draw(st.ip_addresses())
    least, most = (8, 32) if address.version == 4 else (16, 128)
    bits = draw(st.integers(least, most))
    return ipaddress.ip_network(f"{address}/{bits}", strict=False)


@given(some_networks(), st.ip_addresses())
def test_a_network_holds_what_ipaddress_says(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    read = networks.parse(str(network))
    inside = (network.network_address, network.broadcast_address)
    for tried in (address, *inside):
        if getattr(tried, "ipv4_mapped", None) is None:
            assert (tried in network) is read.holds(packed(tried))
    assert read == networks.parse(str(read))


@each(
    ("text", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7/32", "192.0.2.7"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0::/32", "2001:db8::/32"),
        ("::1", "::1"),
        ("fc00::/7", "fc00::/7"),
        ("fe80::/10", "fe80::/10"),
    ],
)
def test_each_network_has_one_spelling(text: str, expected: str) -> None:
    assert expected == str(networks.parse(text))


@each(
    ("text", "problem"),
    [
        ("", "is no address"),
        ("office.example", "is no address"),
        ("10.0.0.0/255.0.0.0", "how many bits"),
        ("10.0.0.0/", "how many bits"),
        ("10.0.0.0/08", "how many bits"),
        ("10.0.0.0/33", "how many bits"),
        ("10.0.0.0/-1", "how many bits"),
        ("10.0.0.0/\u0668", "how many bits"),
        ("10.0.0.0/8/8", "how many bits"),
        ("::ffff:10.0.0.0/8", "how many bits"),
        ("fe80::1%eth0", "is no address"),
        ("fe80::%eth0/64", "is no address"),
        ("10.1.2.3/8", "is 10.0.0.0/8 meant"),
        ("2001:db8::1/32", "is 2001:db8::/32 meant"),
        ("0.0.0.0/0", "as good as everywhere"),
        ("128.0.0.0/1", "as good as everywhere"),
        ("::/0", "as good as everywhere"),
        ("2000::/3", "as good as everywhere"),
        ("fc00::/6", "as good as everywhere"),
        ("*", "is no address"),
        ("!10.0.0.0/8", "is no address"),
        ("10.0.0.0/8 ", "how many bits"),
    ],
)
def test_what_is_no_network_is_refused_with_the_reason(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        networks.parse(text)


def test_an_address_of_the_other_family_is_never_held() -> None:
    address = addresses.parse("10.0.0.1")
    assert address is not None
    assert networks.parse("fc00::/7").holds(address) is False
    assert networks.parse("10.0.0.0/8").holds(address + bytes(12)) is False


def test_networks_that_overlap_are_told() -> None:
    ten, part, other = (networks.parse(t) for t in ("10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/24"))
    assert ten.overlaps(part)
    assert part.overlaps(ten)
    assert not ten.overlaps(other)
    assert ten == networks.holding((other, ten, part), b"\x0a\x01\x00\x01")
