"""How many logins of one user may wait at their prompts, and who cannot shut out whom."""

from __future__ import annotations

import pytest

from pam_totp.service import prompts
from pam_totp.service.prompts import (
    MAX_OF_ONE_CALLER,
    MAX_OF_ONE_NAME,
    MAX_OF_ONE_NETWORK,
    MAX_OF_ONE_PLACE,
    NEWS_SECONDS,
    TELL_SHARE,
    Prompts,
    groups_of,
)

THIEF = ("203.0.113.7", "", "ssh")
OWNER = ("198.51.100.1", "", "ssh")
SUDO = ("", "alice", "/dev/pts/1")


def fill(waiting: Prompts, *origins: str) -> int:
    """Open as many prompts of alice as there are places; return their number."""
    return sum(
        waiting.enter("alice", rhost, "", "ssh").may_ask
        for rhost in origins
        for _ in range(MAX_OF_ONE_PLACE + 1)
    )


def test_one_place_has_so_many_and_no_more() -> None:
    assert MAX_OF_ONE_PLACE == fill(Prompts(), "203.0.113.7")


def test_other_addresses_this_machine_and_other_users_keep_their_own() -> None:
    waiting = Prompts()
    fill(waiting, "203.0.113.7")
    assert waiting.enter("alice", *OWNER).may_ask
    assert waiting.enter("alice", *SUDO).may_ask
    assert waiting.enter("carol", *THIEF).may_ask
    assert not waiting.enter("alice", *THIEF).may_ask


def test_whoever_has_addresses_without_end_does_not_close_the_places_of_this_machine() -> None:
    waiting = Prompts()
    assert MAX_OF_ONE_NAME == fill(waiting, *(f"2001:db8:{number:x}::1" for number in range(30)))
    assert not waiting.enter("alice", *OWNER).may_ask
    assert waiting.enter("alice", *SUDO).may_ask
    assert waiting.enter("alice", "", "", "/dev/tty1").may_ask


@pytest.mark.parametrize(
    "addresses",
    [
        [f"203.0.113.{number}" for number in range(9)],
        [f"2001:db8:1:{number:x}::7" for number in range(9)],
    ],
)
def test_addresses_of_one_network_take_a_part_of_all_places(addresses: list[str]) -> None:
    waiting = Prompts()
    assert MAX_OF_ONE_NETWORK == fill(waiting, *addresses)
    assert waiting.enter("alice", *OWNER).may_ask


@pytest.mark.parametrize(
    ("rhost", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::"),
        ("203.0.113.7", "::ffff:203.0.113.7"),
        ("fe80::1", "fe80::1%eth0"),
        ("Laptop.example", "laptop.example"),
    ],
)
def test_one_client_is_one_place_however_its_address_is_written(rhost: str, other: str) -> None:
    assert groups_of(rhost, "", "ssh") == groups_of(other, "", "")


def test_names_that_are_no_address_are_places_too() -> None:
    for rhost in ("UNKNOWN", "a:b", "1.2.3", "h\0st", "höst"):
        assert [MAX_OF_ONE_PLACE, MAX_OF_ONE_NETWORK, MAX_OF_ONE_NAME] == [
            group.limit for group in groups_of(rhost, "", "")
        ]


def test_names_without_end_take_the_places_of_one_network() -> None:
    """Whoever owns a zone of the DNS has as many as they like, where sshd looks names up."""
    waiting = Prompts()
    assert MAX_OF_ONE_NETWORK == fill(waiting, *(f"h{number}.evil.example" for number in range(9)))
    assert waiting.enter("alice", *OWNER).may_ask


def test_on_this_machine_the_caller_counts_and_no_number_of_terminals() -> None:
    assert groups_of("", "bob", "/dev/pts/1") == groups_of("", "bob", "/dev/pts/2")
    assert groups_of("", "bob", "/dev/pts/1") != groups_of("", "alice", "/dev/pts/1")
    assert groups_of("", "", "/dev/tty1") != groups_of("", "", "/dev/tty2")


def test_one_caller_on_this_machine_has_so_many_and_no_more() -> None:
    waiting = Prompts()
    for _ in range(MAX_OF_ONE_CALLER):
        assert waiting.enter("alice", *SUDO).may_ask
    assert not waiting.enter("alice", *SUDO).may_ask
    assert waiting.enter("alice", "", "bob", "/dev/pts/1").may_ask  # by su


def test_caller_that_a_client_names_does_not_count() -> None:
    """As in rlogin, whose client says who its user is."""
    assert groups_of(*THIEF) == groups_of("203.0.113.7", "alice", "/dev/pts/1")


def test_a_place_that_is_left_is_free() -> None:
    waiting = Prompts()
    places = [waiting.enter("alice", *THIEF) for _ in range(MAX_OF_ONE_PLACE)]
    assert not waiting.enter("alice", *THIEF).may_ask
    waiting.leave(places[3])
    assert waiting.enter("alice", *THIEF).may_ask
    assert not waiting.enter("alice", *THIEF).may_ask


def test_some_of_those_turned_away_are_told_and_take_no_place_of_others() -> None:
    waiting = Prompts()
    asked = [waiting.enter("alice", *THIEF) for _ in range(MAX_OF_ONE_PLACE)]
    most = MAX_OF_ONE_PLACE // TELL_SHARE
    told = [waiting.enter("alice", *THIEF) for _ in range(most + 1)]
    assert [True] * most + [False] == [place.may_tell for place in told]
    waiting.leave(asked[0])
    assert waiting.enter("alice", *THIEF).may_ask
    waiting.leave(told[0])
    assert waiting.enter("alice", *THIEF).may_tell


def test_nothing_is_kept_of_who_has_left() -> None:
    waiting = Prompts()
    for place in [waiting.enter("bob", *THIEF) for _ in range(2 * MAX_OF_ONE_PLACE)]:
        waiting.leave(place)
    assert {} == waiting._of


def test_log_hears_of_a_full_place_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(prompts.time, "monotonic", lambda: now)
    waiting = Prompts()
    waiting.enter("alice", *SUDO)
    for _ in range(MAX_OF_ONE_PLACE):
        waiting.enter("alice", *THIEF)
    news = waiting.enter("alice", *THIEF).news
    assert news.startswith("10 logins wait from 203.0.113.7; also: 10 from 203.0.113.0/24, 10 over")
    assert "1 by alice" in news
    assert "" == waiting.enter("alice", *THIEF).news
    now += NEWS_SECONDS
    assert waiting.enter("alice", *THIEF).news
