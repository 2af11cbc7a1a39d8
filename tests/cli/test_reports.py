"""totpctl list and show."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

import pytest

from pam_totp.core import users
from pam_totp.core.places import KnownPlace
from tests.cli.command import Totpctl
from tests.support.place import Place

RFC_TIME = 1_111_111_109  # RFC 6238 appendix B: 2005-03-18 01:58:29 UTC


def is_utc_time(text: str) -> bool:
    return bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text))


def used_at(place: Place, user: str, moment: int) -> None:
    with place.open() as store, store.transaction(user) as transaction:
        assert transaction.record is not None
        used = tuple(a._replace(last_used_at=moment) for a in transaction.record.authenticators)
        transaction.save(transaction.record._replace(authenticators=used))


def test_list_json_is_a_list_of_what_the_design_names(totpctl: Totpctl, place: Place) -> None:
    place.enrol("bob", recovery_codes=("0000-0000-0000-0001",))
    used_at(place, "bob", RFC_TIME)
    place.enrol("alice", failures=7, throttled_until=RFC_TIME, status=users.SUSPENDED)
    phone = {
        "label": "phone",
        "type": "totp",
        "algorithm": "SHA1",
        "digits": 6,
        "period": 30,
        "counter": None,
        "serial": None,
    }
    assert [
        {
            "user": "alice",
            "status": "suspended",
            "exempt_until": None,
            "authenticators": [{**phone, "last_used_at": None}],
            "recovery_codes_left": 0,
            "failures": 7,
            "throttled_until": "2005-03-18T01:58:29Z",
        },
        {
            "user": "bob",
            "status": "active",
            "exempt_until": None,
            "authenticators": [{**phone, "last_used_at": "2005-03-18T01:58:29Z"}],
            "recovery_codes_left": 1,
            "failures": 0,
            "throttled_until": None,
        },
    ] == totpctl.done("list", "--json").json()


def test_times_are_utc_whatever_the_time_zone(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice", throttled_until=RFC_TIME)
    result = totpctl("list", "--json", TZ="Asia/Kolkata")
    assert "2005-03-18T01:58:29Z" == result.json()[0]["throttled_until"]


def test_list_of_nobody_is_empty_on_stdout_and_says_what_to_do(totpctl: Totpctl) -> None:
    assert [] == totpctl.done("list", "--json").json()
    result = totpctl.done("list")
    assert "" == result.out
    assert "nobody is enrolled; begin with: totpctl enroll USER\n" == result.err


def test_list_is_a_table_with_a_line_a_user(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice")
    place.enrol("alice", b"x" * 20, label="tablet")
    place.enrol("bob", failures=100)
    used_at(place, "alice", RFC_TIME)
    heading, alice, bob = totpctl.done("list").out.splitlines()
    columns = re.split(r" {2,}", heading)
    assert ["USER", "STATUS", "AUTHENTICATORS", "RECOVERY CODES", "LAST CODE"] == columns
    assert ["alice", "active", "phone, tablet", "0", "2005-03-18T01:58:29Z"] == re.split(
        r" {2,}", alice
    )
    assert ["bob", "active, locked", "phone", "0", "never"] == re.split(r" {2,}", bob)


def test_a_wait_is_shown_while_it_lasts(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice", failures=6, throttled_until=int(time.time()) + 800)
    place.enrol("bob", failures=6, throttled_until=int(time.time()) - 1)
    _, alice, bob = totpctl.done("list").out.splitlines()
    assert re.search(r"active, throttled for (7\d\d|800) s", alice)
    assert "throttled" not in bob


def test_show_json_has_all_of_list_and_more(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice", created_at=RFC_TIME, updated_at=RFC_TIME)
    listed = totpctl.done("list", "--json").json()[0]
    shown = totpctl.done("show", "alice", "--json").json()
    assert listed == {key: shown[key] for key in listed} | {
        "authenticators": [
            {key: a[key] for key in listed["authenticators"][0]} for a in shown["authenticators"]
        ]
    }
    more = {key: shown[key] for key in shown.keys() - listed.keys()}
    moment = datetime.fromtimestamp(RFC_TIME, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    none = {"wrong_codes_not_told": 0, "wrong_codes_of_30_days": 0, "key_only": None}
    times = {"created_at": moment, "updated_at": moment}
    assert {"locked": False, "known_places": [], "remembered": [], **times, **none} == more
    (phone,) = shown["authenticators"]
    assert (0, 0, False) == (phone["drift"], phone["learned"], phone["clock_is_behind"])
    assert is_utc_time(phone["created_at"])


@pytest.mark.parametrize(
    ("drift", "learned", "words"),
    [
        (-3, 0, "is about 90 s behind this machine's"),
        (0, 200, "is about 200 s ahead of this machine's"),
        (0, 20, ""),
        (2, -50, ""),
    ],
)
def test_show_tells_how_far_a_clock_is_off(
    totpctl: Totpctl, place: Place, drift: int, learned: int, words: str
) -> None:
    place.enrol("alice")
    with place.open() as store, store.transaction("alice") as transaction:
        assert transaction.record is not None
        (phone,) = transaction.record.authenticators
        changed = phone._replace(drift=drift, learned=learned)
        transaction.save(transaction.record.with_changed(changed))
    out = totpctl.done("show", "alice").out
    assert [f"the clock of phone {words}"] * bool(words) == re.findall("the clock of .*", out)
    (shown,) = totpctl.done("show", "alice", "--json").json()["authenticators"]
    assert (drift, learned) == (shown["drift"], shown["learned"])


def test_show_tells_where_somebody_logs_in_from(totpctl: Totpctl, place: Place) -> None:
    known = (
        KnownPlace("192.0.2.7", RFC_TIME),
        KnownPlace("by alice", int(time.time())),
        KnownPlace("198.51.100.9", int(time.time()) - 86_400),
    )
    place.enrol("alice", known_places=known)
    told = totpctl.done("show", "alice", "--json").json()["known_places"]
    assert ["by alice", "198.51.100.9"] == [one["place"] for one in told], "one has ended"
    lines = [
        line for line in totpctl.done("show", "alice").out.splitlines() if "last used 2" in line
    ]
    assert [f"known places    by alice, last used {told[0]['last_used_at']}"] == lines[:1]
    assert [f"                198.51.100.9, last used {told[1]['last_used_at']}"] == lines[1:2]


def test_show_tells_a_locked_user(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice", failures=100)
    assert totpctl.done("show", "alice", "--json").json()["locked"]
    out = totpctl.done("show", "alice").out
    assert "status          active, locked\n" in out
    assert "wrong codes     100 in a row\n" in out


def test_show_counts_locked_by_the_configuration(totpctl: Totpctl, place: Place) -> None:
    place.configure(max_failures=10)
    place.enrol("alice", failures=10)
    assert totpctl.done("show", "alice", "--json").json()["locked"]


def test_show_lists_each_device(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice", recovery_codes=("0000-0000-0000-0001",))
    place.enrol("alice", b"x" * 20, label="tablet")
    lines = totpctl.done("show", "alice").out.splitlines()
    assert "recovery codes  1 left" in lines
    assert "authenticator   phone: SHA1, 6 digits, 30 s" in lines
    assert "authenticator   tablet: SHA1, 6 digits, 30 s" in lines


def test_show_warns_of_a_clock_that_was_set_back(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice")
    with place.open() as store, store.transaction("alice") as transaction:
        assert transaction.record is not None
        (phone,) = transaction.record.authenticators
        ahead = phone._replace(last_accepted_step=10**9)
        transaction.save(transaction.record._replace(authenticators=(ahead,)))
    result = totpctl.done("show", "alice")
    assert (
        "totpctl: warning: the last accepted code of phone lies in the future: "
        "was the clock set back?\n"
        "hint: look at: timedatectl; then run: totpctl unlock alice\n"
    ) == result.err
    shown = totpctl.done("show", "alice", "--json").json()
    assert shown["authenticators"][0]["clock_is_behind"]


def test_no_warning_where_the_clock_is_right(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice")
    assert "" == totpctl.done("show", "alice").err


def test_show_knows_an_account_that_is_gone(totpctl: Totpctl, place: Place) -> None:
    place.enrol("gone")
    assert "gone" == totpctl.done("show", "gone", "--json").json()["user"]
