"""The URL of a fleet's database."""

from __future__ import annotations

import pytest

from pam_totp.store.postgresql.address import Address, parse


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://db/totp", Address("totp", (("db", 5432),))),
        ("postgresql://a:1,b/totp", Address("totp", (("a", 1), ("b", 5432)))),
        ("postgresql://[fd00::1]:7,[::1]/x", Address("x", (("fd00::1", 7), ("::1", 5432)))),
        ("postgresql:///totp?socket=/run/x", Address("totp", socket="/run/x")),
    ],
)
def test_servers_are_in_their_order(url: str, expected: Address) -> None:
    assert expected == parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db",
        "postgresql://db/",
        "postgresql:///totp",
        "postgres://db/totp",
        "postgresql://alice@db/totp",
        "postgresql://alice:secret@db/totp",
        "postgresql://db/totp?sslmode=disable",
        "postgresql:///totp?socket=run",
        "postgresql:///totp?socket=/a b",
        "postgresql://db:0/totp",
        "postgresql://db:65536/totp",
        "postgresql://db:/totp",
        "postgresql://db,/totp",
        "postgresql://d b/totp",
        "postgresql://db/to tp",
        "postgresql://db/totp'",
        "postgresql://[::1/totp",
        "postgresql://db/host=evil",
        "postgresql://dé/totp",
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse(url)
