"""Damage inside the store: cut off, zeroed, bits flipped, rows that no release wrote."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pam_totp.core.admission import GroupRule
from pam_totp.core.users import Authenticator, UserRecord
from pam_totp.login.flow import PAM_AUTHINFO_UNAVAIL, PAM_IGNORE, PAM_SUCCESS
from pam_totp.store.sqlite import reserve
from pam_totp.system.errors import Unavailable
from tests.faults.damage import PAGE, SECTOR, News, alices_place, sql
from tests.faults.fake_pam import Clock, log_in
from tests.support import thorough
from tests.support.logs import fields
from tests.support.place import SECRET, Place


@pytest.fixture
def place(tmp_path: Path, clock: Clock) -> Place:
    return alices_place(tmp_path / "place", clock)


def test_a_store_that_lost_its_authenticators_lets_no_enrolled_user_past(
    place: Place, clock: Clock
) -> None:
    place.configure(unenrolled="skip")
    sql("DROP TABLE authenticators")(place.store_path)
    assert PAM_AUTHINFO_UNAVAIL == log_in(place, clock.code())


class Users:
    """A store of ``count`` users, the same bytes at every run, which can be damaged."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, count: int = 0) -> None:
        folder.mkdir()
        self._patch = monkeypatch
        self._patch.setattr(os, "urandom", random.Random(6238).randbytes)
        self._patch.setattr(reserve, "DECOY_PAGES", 0)  # or nearly all damage is to free pages
        self.place = Place(folder)
        self.place.configure(unenrolled="skip")
        self.names: list[str] = []
        self.add(count)

    def add(self, count: int, recovery_codes: int = 1) -> None:
        """Enrol so many more, in no order of their names."""
        with self.place.open() as opened:
            opened.database.execute("PRAGMA synchronous = OFF")
            for number in range(len(self.names), len(self.names) + count):
                name = f"user{37 * number % 1000:03d}"
                digests = frozenset(os.urandom(32) for _ in range(recovery_codes))
                phone = Authenticator(f"id of {name}", "phone", SECRET, created_at=1)
                with opened.transaction(name) as transaction:
                    transaction.save(
                        UserRecord(
                            name,
                            recovery_salt=bytes(16),
                            recovery_digests=digests,
                            authenticators=(phone,),
                        )
                    )
                self.names.append(name)
        self.content = self.place.store_path.read_bytes()

    def replace(self, content: bytes) -> None:
        for path in self.place.store_path.parent.iterdir():
            path.unlink()
        self.place.store_path.write_bytes(content)
        self.place.store_path.chmod(0o600)

    def log_in(self, content: bytes, clock: Clock, name: str) -> int:
        """Return the code of a login with the right code at a store of ``content``."""
        self.replace(content)
        return log_in(self.place, clock.code(), name)

    def damage_shows(self, content: bytes) -> bool:
        """Tell whether check() finds something wrong with a store of ``content``."""
        self.replace(content)
        try:
            with self.place.open() as opened:
                return opened.check() != []
        except Exception:  # which exceptions may come is another test's matter
            return True


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Users:
    return Users(tmp_path / "many", monkeypatch, 120)


def test_a_store_cut_off_anywhere_denies_or_works(users: Users, clock: Clock, news: News) -> None:
    assert 10 * PAGE < len(users.content)
    outcomes = set()
    for length in range(0, len(users.content), SECTOR):
        for name in (users.names[0], users.names[-1]):
            outcomes.add(log_of(users, users.content[:length], clock, name, news))
    assert outcomes <= {(PAM_SUCCESS, "accepted"), (PAM_AUTHINFO_UNAVAIL, "error")}
    assert (PAM_AUTHINFO_UNAVAIL, "error") in outcomes
    assert PAM_SUCCESS == users.log_in(users.content, clock, users.names[0])


def log_of(users: Users, content: bytes, clock: Clock, name: str, news: News) -> tuple[int, str]:
    """Return the code of a login, and the event of the one line about it."""
    code = users.log_in(content, clock, name)
    (line,) = news()
    return code, fields(line)["event"]


@pytest.mark.parametrize("unenrolled", ["deny", "skip"])
def test_an_enrolled_user_is_not_taken_for_another_when_the_end_of_the_store_is_cut_off(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unenrolled: str
) -> None:
    """Every time that the store has grown by a page, that page loses its end."""
    monkeypatch.setattr(reserve, "keep", lambda _: None)  # or the last pages are the free ones
    users, wrong, tried = Users(tmp_path / "many", monkeypatch), [], 0
    users.place.configure(unenrolled=unenrolled)
    for _ in range(120):
        size = len(users.content)
        users.add(1, recovery_codes=0)
        if len(users.content) == size:
            continue
        for lost in range(SECTOR, PAGE, SECTOR):
            for name in sorted(users.names)[::10]:
                tried += 1
                code = users.log_in(users.content[:-lost], clock, name)
                if code not in (PAM_SUCCESS, PAM_AUTHINFO_UNAVAIL):
                    wrong.append((code, len(users.content), lost, name))
        users.replace(users.content)
    assert tried > 100
    assert [] == wrong


@pytest.mark.parametrize(
    "alteration",
    [
        "users SET status = 'superuser'",
        "users SET failures = 'many'",
        "users SET failures = -1",
        "users SET throttled_until = NULL",
        "users SET throttled_until = x'00'",
        "users SET recovery_salt = 'text'",
        "users SET exempt_until = 'never'",
        "users SET exempt_until = NULL",
        "group_rules SET name = NULL",
        "group_rules SET rule = 'sometimes'",
        "group_rules SET rule = NULL",
        "group_rules SET until = 'never'",
        "recovery_codes SET digest = 'text'",
        "authenticators SET label = NULL",
        "authenticators SET sealed_secret = NULL",
        "authenticators SET sealed_secret = 'text'",
        "authenticators SET sealed_secret = x''",
        "authenticators SET algorithm = 'MD5'",
        "authenticators SET digits = 1",
        "authenticators SET period = 0",
        "authenticators SET kind = 'HOTP'",
        "authenticators SET learned = 'long'",
        "authenticators SET learned = 601",
        "authenticators SET period = 'long'",
        "authenticators SET drift = 0.5",
        "authenticators SET last_accepted_step = NULL",
        "authenticators SET last_accepted_step = 'none'",
        "authenticators SET last_used_at = 'never'",
    ],
)
@pytest.mark.parametrize("unenrolled", ["deny", "skip"])
def test_a_row_that_no_release_wrote_denies_the_login(
    place: Place, clock: Clock, news: News, alteration: str, unenrolled: str
) -> None:
    """As damage may leave it, to which types and constraints are nothing."""
    place.enrol("alice", b"another secret of 20", label="tablet", recovery_codes=("0" * 16,))
    with place.open() as opened:
        opened.save_group_rule(GroupRule("no-such-group", "required"))
    place.configure(unenrolled=unenrolled)
    table = alteration.split()[0]
    sql(
        "PRAGMA legacy_alter_table = ON",
        f"ALTER TABLE {table} RENAME TO strict_{table}",
        f"CREATE TABLE {table} AS SELECT * FROM strict_{table}",
        f"UPDATE {alteration}",
    )(place.store_path)
    news()
    assert PAM_AUTHINFO_UNAVAIL == log_in(place, clock.code())
    (line,) = news()
    assert "error" == fields(line)["event"]
    assert "hint" in fields(line)
    if table in ("users", "group_rules"):  # which a later write would find unlike itself, too
        assert "holds a row that pam_totp did not write" in fields(line)["reason"]


def test_a_store_with_a_zeroed_page_denies_or_works(users: Users, clock: Clock, news: News) -> None:
    outcomes = set()
    for start in range(0, len(users.content), PAGE):
        content = users.content[:start] + bytes(PAGE) + users.content[start + PAGE :]
        for name in (users.names[0], users.names[-1]):
            outcomes.add(log_of(users, content, clock, name, news))
    assert {(PAM_SUCCESS, "accepted"), (PAM_AUTHINFO_UNAVAIL, "error")} == outcomes


def zeroed_sectors(users: Users) -> Iterator[bytes]:
    for start in thorough.some(range(0, len(users.content), SECTOR), 3):
        yield users.content[:start] + bytes(SECTOR) + users.content[start + SECTOR :]


def flipped_bits(users: Users) -> Iterator[bytes]:
    """Yield stores with one bit flipped, more often where a page describes itself."""
    chance = random.Random(6238)
    for number in range(2000 if thorough.NIGHTLY else 150):
        content = bytearray(users.content)
        page = chance.randrange(len(content) // PAGE) * PAGE
        offset = chance.randrange(64) if number % 2 else chance.randrange(PAGE)
        content[page + offset] ^= 1 << chance.randrange(8)
        yield bytes(content)


def test_a_schema_that_is_no_text_denies_the_login(place: Place, clock: Clock, news: News) -> None:
    """SQLite quotes it in what it says, and Python cannot read that."""
    content = place.store_path.read_bytes()
    damaged = content.replace(b"STRICT, WITHOUT ROWID", b"STRICT, WITHOUT\xa0ROWID")
    place.store_path.write_bytes(damaged)
    assert PAM_AUTHINFO_UNAVAIL == log_in(place, clock.code())
    assert "is damaged or not a store" in fields(news()[-1])["reason"]


DAMAGED_INSIDE = [zeroed_sectors, flipped_bits]


@pytest.mark.parametrize("damaged", DAMAGED_INSIDE)
def test_damage_inside_the_store_is_never_unexpected(
    users: Users, clock: Clock, damaged: Callable[[Users], Iterator[bytes]]
) -> None:
    """A login at a damaged store returns a code of its own; check() and records() say so too."""
    unexpected = []
    for content in damaged(users):
        try:
            users.log_in(content, clock, users.names[30])
            with suppress(Unavailable), users.place.open() as opened:
                opened.check()
            with suppress(Unavailable), users.place.open() as opened:
                list(opened.records())
        except Exception as error:
            unexpected.append(repr(error))
    assert [] == unexpected


@pytest.mark.parametrize("damaged", DAMAGED_INSIDE)
def test_no_enrolled_user_is_skipped_because_of_damage_that_shows(
    users: Users, clock: Clock, damaged: Callable[[Users], Iterator[bytes]]
) -> None:
    skipped = 0
    for content in damaged(users):
        for name in (users.names[5], users.names[30]):
            with suppress(sqlite3.Error, UnicodeError):  # the test above tells of these
                if PAM_IGNORE == users.log_in(content, clock, name):
                    skipped += users.damage_shows(content)
    assert 0 == skipped
