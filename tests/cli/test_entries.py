"""The names that an app shows: unlike any other of the person, and short enough."""

from __future__ import annotations

import socket

import pytest

from admin_cli.commands.enrollment import entries, otpauth, qr
from admin_cli.commands.enrollment.entries import AppEntry, entry_of
from pam_totp.core.users import Authenticator
from tests.cli.command import Totpctl
from tests.support.place import SECRET, Place

HOST = socket.gethostname()
LONG_HOST = "production-database-03.internal.example.com"


def account(totpctl: Totpctl, *arguments: str) -> str:
    done = totpctl.done(*arguments, "--no-confirm", "--json")
    return str(done.json()["account"])


def test_the_first_account_is_the_person_at_this_host(totpctl: Totpctl) -> None:
    assert f"alice@{HOST}" == account(totpctl, "enroll", "alice", "--label", "tablet")


def test_another_device_has_its_label_in_the_account(totpctl: Totpctl) -> None:
    account(totpctl, "enroll", "alice")
    assert f"alice@{HOST} tablet" == account(totpctl, "enroll", "alice", "--label", "tablet")


def test_after_a_reset_the_account_is_that_of_a_first_device(totpctl: Totpctl) -> None:
    account(totpctl, "enroll", "alice")
    account(totpctl, "enroll", "alice", "--label", "tablet")
    assert f"alice@{HOST}" == account(totpctl, "reset", "alice", "--yes", "--label", "new")


def test_two_hosts_have_two_entries_with_one_issuer() -> None:
    assert entry_of("alice", "web", "Example Ltd") != entry_of("alice", "mail", "Example Ltd")


def test_the_issuer_in_json_is_the_one_of_the_address(totpctl: Totpctl, place: Place) -> None:
    place.configure(issuer="Example: Ltd")
    document = totpctl.done("enroll", "alice", "--no-confirm", "--json").json()
    assert "Example  Ltd" == document["issuer"]
    assert document["uri"].endswith("&issuer=Example%20%20Ltd")


def test_a_host_name_that_fits_is_whole() -> None:
    expected = AppEntry("web.example.com", "alice@web.example.com")
    assert expected == entry_of("alice", "web.example.com", "web.example.com")


def test_a_long_host_name_loses_what_its_domain_shares_with_others() -> None:
    short = "production-database-03"
    assert AppEntry(short, f"alice@{short}") == entry_of("alice", LONG_HOST, LONG_HOST)


def test_a_long_host_name_keeps_as_much_of_its_domain_as_fits() -> None:
    expected = AppEntry("Example Ltd", "alice@production-database-03.internal.example.com")
    assert expected == entry_of("alice", LONG_HOST, "Example Ltd")
    expected = AppEntry("Example Limited", "alice@production-database-03.internal")
    assert expected == entry_of("alice", LONG_HOST, "Example Limited")


def test_an_issuer_of_the_configuration_is_never_shortened() -> None:
    assert "alice.example" == entry_of("alice", LONG_HOST, "alice.example").issuer
    issuer = "x.y" * 30
    assert AppEntry(issuer, f"alice@{LONG_HOST}") == entry_of("alice", LONG_HOST, issuer)


@pytest.mark.parametrize(
    ("host", "label"),
    [
        ("web", "tablet"),
        ("web.example.com", "tablet"),
        (LONG_HOST, ""),
        (f"db.{'a' * 63}.example", "tablet"),
    ],
)
def test_the_code_of_any_usual_host_and_a_prompt_fit_24_lines(host: str, label: str) -> None:
    entry = entry_of("alice", host, host, label)
    uri = otpauth.provisioning_uri(Authenticator("", "", SECRET), entry.account, entry.issuer)
    rows = qr.modules(uri)
    assert len(qr.half_blocks(rows, qr.COLOURS_8)) + 1 <= 24
    assert len(qr.plain_half_blocks(rows)) + 2 <= 24
    assert entry.size() <= 64


@pytest.mark.parametrize("length", range(20, 120))
def test_what_fits_is_what_the_code_needs(length: int) -> None:
    secret = "A" * (32 if length % 2 else 52)
    uri = f"otpauth://totp/{'h' * length}?secret={secret}&issuer=web"
    assert qr.fits_24_lines(uri) == (len(qr.half_blocks(qr.modules(uri), qr.COLOURS_8)) <= 23)


def test_names_that_a_yubikey_does_not_take_are_warned_about(
    totpctl: Totpctl, place: Place
) -> None:
    place.configure(issuer="x" * (entries.MAX_BYTES - len(f":alice@{HOST}")))
    enroll = ("enroll", "alice", "--no-confirm", "--json")
    assert "" == totpctl.done(*enroll).err
    warned = totpctl.done(*enroll, "--label", "tablet").err
    assert "has 71 bytes, and a YubiKey takes 64: choose a shorter --label" in warned


def test_a_period_that_is_not_30_s_counts_on_a_yubikey() -> None:
    assert len("60/web:alice") == AppEntry("web", "alice").size(60)
    assert len("web:älice") + 1 == AppEntry("web", "älice").size()
