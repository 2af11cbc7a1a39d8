"""Remembered places: what totpctl shows of them, and what ends them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from pam_totp.core.remembering import ADDRESS, LOGIN, Remembered
from pam_totp.core.users import Authenticator
from tests.cli.command import Totpctl
from tests.support.logs import LogSocket, fields
from tests.support.place import SECRET, Place

SESSION = "51e6369c:700:9000"


def remembered() -> tuple[Remembered, ...]:
    """Two that count, one that is over, and one of a clock that was set back."""
    now = int(time.time())
    return (
        Remembered("sshd", ADDRESS, "192.0.2.7", now - 60, now + 3600, "-"),
        Remembered("sshd", LOGIN, SESSION, now - 60, now + 3600, "-"),
        Remembered("sshd", ADDRESS, "198.51.100.9", now - 90, now - 1, "-"),
        Remembered("sshd", ADDRESS, "198.51.100.8", now + 3000, now + 3600, "-"),
    )


def test_show_lists_the_places_that_count_now(totpctl: Totpctl, place: Place) -> None:
    home, session, *_ = remembered()
    place.enrol("alice", remembered=remembered())
    until, since = (
        datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for at in (home.until, home.since)
    )
    lines = totpctl.done("show", "alice").out.splitlines()
    first = lines.index(f"remembered      login {SESSION}, by sshd, until {until}")
    assert f"                address 192.0.2.7, by sshd, until {until}" == lines[first + 1]
    assert "authenticator" == lines[first + 2].split()[0]
    shown = totpctl.done("show", "alice", "--json").json()["remembered"]
    expected = {"service": "sshd", "host": None, "since": since, "until": until}
    assert [
        {"place": session.place, "kind": LOGIN, **expected},
        {"place": home.place, "kind": ADDRESS, **expected},
    ] == shown


def test_forget_asks_again_everywhere(totpctl: Totpctl, place: Place, log: LogSocket) -> None:
    place.enrol("alice", remembered=remembered(), failures=3)
    before = place.record("alice")
    place.enrol("bob", remembered=remembered())
    result = totpctl.done("forget", "alice")
    names = "192.0.2.7, 198.51.100.8, 198.51.100.9, " + SESSION
    assert ("", f"alice: forgotten: {names}\n") == (result.out, result.err)
    after = place.record("alice")
    assert before._replace(remembered=(), updated_at=after.updated_at) == after
    assert 4 == len(place.record("bob").remembered)
    (line,) = log.lines()
    event = fields(line)
    assert ("forgotten", names.replace(",", "")) == (event["event"], event["place"])
    assert "alice: no place is remembered\n" == totpctl.done("forget", "alice").err


@pytest.mark.parametrize("spelled", ["192.0.2.7", "::ffff:192.0.2.7"])
def test_forget_may_name_one_place(totpctl: Totpctl, place: Place, spelled: str) -> None:
    place.enrol("alice", remembered=remembered())
    totpctl.done("forget", "alice", spelled)
    left = [one.place for one in place.record("alice").remembered]
    assert [SESSION, "198.51.100.9", "198.51.100.8"] == left


def test_forget_changes_nothing_where_a_place_is_not_remembered(
    totpctl: Totpctl, place: Place
) -> None:
    place.enrol("alice", remembered=remembered())
    before = place.record("alice")
    result = totpctl("forget", "alice", "192.0.2.7", "192.0.2.8")
    assert (1, "") == (result.code, result.out)
    error = (
        "totpctl: error: alice: no place 192.0.2.8 is remembered\nhint: see: totpctl show alice\n"
    )
    assert error == result.err
    assert before == place.record("alice")


@pytest.mark.parametrize(
    "command",
    [
        ("suspend", "alice"),
        ("reset", "alice", "--yes", "--no-confirm"),
        ("enroll", "alice", "--label", "tablet", "--no-confirm"),
        ("remove", "alice", "--label", "second", "--yes"),
    ],
    ids=lambda command: command[0],
)
def test_what_decides_about_somebody_forgets_as_well(
    totpctl: Totpctl, place: Place, command: tuple[str, ...]
) -> None:
    place.enrol("alice", remembered=remembered())
    with place.open() as store, store.transaction("alice") as transaction:
        assert transaction.record is not None
        second = Authenticator("2", "second", SECRET)
        held = (*transaction.record.authenticators, second)
        transaction.save(transaction.record._replace(authenticators=held))
    assert place.record("alice").remembered
    totpctl.done(*command)
    assert () == place.record("alice").remembered
