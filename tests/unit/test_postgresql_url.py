"""The URL of a fleet's store: what it may say, and that nothing of it weakens a connection."""

from __future__ import annotations

import pytest

from pam_totp.system import config
from pam_totp.system.postgresql_url import Address, parse
from tests.support.each import each
from tests.unit.configurations import DEFAULTS


@each(
    ("url", "expected"),
    [
        ("postgresql://db1/totp", Address("totp", (("db1", 5432),))),
        (
            "postgresql://db1.example.com,db2:5433/pam_totp",
            Address("pam_totp", (("db1.example.com", 5432), ("db2", 5433))),
        ),
        ("postgresql://192.0.2.7:6432/totp", Address("totp", (("192.0.2.7", 6432),))),
        ("postgresql://[2001:db8::7]/totp", Address("totp", (("2001:db8::7", 5432),))),
        ("postgresql://[2001:db8::7]:99/totp", Address("totp", (("2001:db8::7", 99),))),
        ("postgresql:///totp?socket=/run/pg", Address("totp", socket="/run/pg")),
    ],
)
def test_servers_and_database_are_read_from_the_url(url: str, expected: Address) -> None:
    assert expected == parse(url)


BAD = [
    "postgresql:",
    "postgresql://",
    "postgresql:///",
    "postgresql://db1",
    "postgresql://db1/",
    "postgresql:/db1/totp",
    "postgresql:///totp",
    "postgresql:///totp?socket=run",
    "postgresql:///totp?socket=",
    "postgresql:///totp?socket=/run,db2",
    "postgresql:///totp?host=/run",
    "postgresql:///totp?socket=/run&sslmode=disable",
    "postgresql://db1/totp?socket=/run",
    "postgresql://db1/totp?sslmode=disable",
    "postgresql://db1/totp?",
    "postgresql://user@db1/totp",
    "postgresql://user:secret@db1/totp",
    "postgresql://db1/totp/other",
    "postgresql://db1/totp sslmode=disable",
    "postgresql://db1/-totp",
    "postgresql://db1/" + "x" * 64,
    "postgresql://db1,/totp",
    "postgresql://d b/totp",
    "postgresql://db/totp'",
    "postgresql://db/host=evil",
    "postgresql://,db1/totp",
    "postgresql://-db1/totp",
    "postgresql://db_1/totp",
    "postgresql://db1:0/totp",
    "postgresql://db1:65536/totp",
    "postgresql://db1:/totp",
    "postgresql://db1:5432:1/totp",
    "postgresql://%2Frun/totp",
    "postgresql://b\u00fccher/totp",
    "postgresql://[::1/totp",
    "postgresql://[db1]/totp",
    "postgresql://[::1]5432/totp",
    "postgresql://" + ",".join(["db"] * 17) + "/totp",
]


@each("url", BAD)
def test_what_is_not_in_the_grammar_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="postgresql://HOST"):
        parse(url)


@each("url", BAD)
def test_a_bad_url_never_makes_the_local_store_the_one_of_everybody(url: str) -> None:
    loaded = config.parse(f"store = {url}\n".encode(), path="c")
    assert DEFAULTS._replace(store=url.strip()) == loaded.config
    assert loaded.config.is_fleet
    assert loaded.problems[0].startswith("c:1: store must be ")
    assert loaded.problems[0].endswith("; accounts of the fleet are denied")


def test_no_password_of_a_bad_url_is_repeated() -> None:
    loaded = config.parse(b"store = postgresql://user:secret@db1/totp\n")
    assert "secret" not in "".join(loaded.problems)


@pytest.mark.parametrize("store", ["/srv/store.db", "sqlite:/srv/store.db", "/srv/postgresql:x"])
def test_a_file_is_no_fleet(store: str) -> None:
    assert not config.Config(store=store).is_fleet


@pytest.mark.parametrize(
    ("store", "place"),
    [
        ("/var/lib/pam_totp/store.db", ""),
        ("postgresql://db1.example:5433,db2.example/pam_totp", "db1.example"),
        ("postgresql:///pam_totp?socket=/run/postgresql", ""),
        ("postgresql://not one", ""),
    ],
)
def test_apps_show_people_at_the_first_server_of_a_fleet(store: str, place: str) -> None:
    assert place == config.Config(store=store).place
