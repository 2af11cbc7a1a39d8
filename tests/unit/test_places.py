"""What a place is called, and which of them are known."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pam_totp.core import places
from pam_totp.core.places import AT_MOST, KEPT_SECONDS, NOWHERE, KnownPlace
from tests.support.each import each

NOW = 1_700_000_000
HOUR = NOW - NOW % 3600


@each(
    ("rhost", "ruser", "tty", "name"),
    [
        ("192.0.2.7", "", "ssh", "192.0.2.7"),
        ("::ffff:192.0.2.7", "", "ssh", "192.0.2.7"),
        ("192.0.2.7", "alice", "/dev/pts/1", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "", "ssh", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2:ffff::9", "", "ssh", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "", "ssh", "fe80::/64"),
        ("127.0.0.1", "", "ssh", "at loopback"),
        ("127.8.8.8", "", "ssh", "at loopback"),
        ("::ffff:127.0.0.1", "", "ssh", "at loopback"),
        ("::1", "", "ssh", "at loopback"),
        ("", "alice", "/dev/pts/1", "by alice"),
        ("", "alice", "", "by alice"),
        ("", "1000", "", "by 1000"),
        ("", "", "/dev/tty1", "at tty1"),
        ("", "", "tty1", "at tty1"),
        ("", "", ":0", "at :0"),
    ],
)
def test_a_place_has_one_name(rhost: str, ruser: str, tty: str, name: str) -> None:
    assert name == places.name_of(rhost, ruser, tty)


@each(
    ("rhost", "ruser", "tty"),
    [
        ("home.example", "", "ssh"),  # its owner decides which addresses have that name
        ("home.example", "alice", "/dev/tty1"),
        ("UNKNOWN", "", "ssh"),
        ("192.0.2.7 ", "", "ssh"),
        ("at loopback", "", ""),
        ("", "", ""),
        ("", "", "/dev/pts/1"),  # anybody gets one with that number
        ("", "", "ptyp0"),
        ("", "al\nice", ""),
        ("", "al\udcffice", ""),
        ("", "a" * 200, ""),
        ("", "", "tty\x1b[2J"),
    ],
)
def test_anything_else_is_no_place(rhost: str, ruser: str, tty: str) -> None:
    assert NOWHERE == places.name_of(rhost, ruser, tty)


def test_a_place_is_known_for_a_year_after_its_last_use() -> None:
    known = (KnownPlace("192.0.2.7", NOW),)
    assert known[0] == places.find(known, "192.0.2.7", NOW + KEPT_SECONDS)
    assert places.find(known, "192.0.2.7", NOW + KEPT_SECONDS + 1) is None
    assert () == places.used(known, NOWHERE, NOW + KEPT_SECONDS + 1)
    assert places.find(known, "192.0.2.8", NOW) is None
    assert places.find((KnownPlace(NOWHERE, NOW),), NOWHERE, NOW) is None


def test_a_use_is_noted_to_the_hour() -> None:
    known = places.used((), "192.0.2.7", NOW)
    assert (KnownPlace("192.0.2.7", HOUR),) == known
    assert known == places.used(known, "192.0.2.7", HOUR + 3599)
    assert (KnownPlace("192.0.2.7", HOUR + 3600),) == places.used(known, "192.0.2.7", HOUR + 3600)


def test_a_right_answer_ends_the_rows_of_all_places_and_no_slow_budget() -> None:
    known = (KnownPlace("a", HOUR, 3, NOW, 9), KnownPlace("b", HOUR, 1, 0, 5))
    after = (KnownPlace("a", HOUR, 0, 0, 9), KnownPlace("b", HOUR, 0, 0, 5))
    assert after == places.used(known, "a", NOW)


def test_the_place_that_was_used_the_longest_time_ago_makes_way() -> None:
    known = tuple(KnownPlace(str(n), HOUR - 3600 * ((n - 3) % AT_MOST)) for n in range(AT_MOST))
    after = places.used(known, "new", NOW)
    oldest = min(known, key=lambda place: place.used_at)
    assert [*(p for p in known if p is not oldest), KnownPlace("new", HOUR)] == list(after)


@given(
    st.lists(
        st.tuples(st.sampled_from([*"abcdefghijklm", NOWHERE]), st.integers(-4000, 10**7)),
        max_size=60,
    )
)
def test_there_are_never_more_than_that_and_the_last_one_is_among_them(
    uses: list[tuple[str, int]],
) -> None:
    known: tuple[KnownPlace, ...] = ()
    now = NOW
    for name, seconds in uses:
        now += seconds
        known = places.used(known, name, now)
        names = [place.name for place in known]
        assert len(names) <= AT_MOST
        assert sorted(set(names)) == sorted(names)
        assert NOWHERE not in names
        assert name == NOWHERE or places.find(known, name, now) is not None
