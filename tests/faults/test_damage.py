"""Store, key and configuration missing, damaged, or not to be believed: denied, with the reason.

Nobody is let past a damaged store because of ``unenrolled=skip``, not even who was not enrolled.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pam_totp import config, sealing
from pam_totp.admission import GroupRule
from pam_totp.errors import Unavailable
from pam_totp.login import (
    PAM_AUTH_ERR,
    PAM_AUTHINFO_UNAVAIL,
    PAM_IGNORE,
    PAM_SUCCESS,
)
from pam_totp.verifier import Authenticator, UserRecord
from tests.faults.fake_pam import Clock, log_in
from tests.faults.processes import Meet, Waiting
from tests.support.logs import fields
from tests.support.place import SECRET, Place

News = Callable[[], list[str]]
Damage = Callable[[Path], object]
PAGE, SECTOR = 4096, 512


def noise(length: int) -> bytes:
    return random.Random(length).randbytes(length)


def replaced_by(content: bytes) -> Damage:
    return lambda path: path.write_bytes(content)


def a_link_to_itself_elsewhere(path: Path) -> None:
    moved = path.with_name(f"{path.name}.moved")
    if path.exists():
        path.rename(moved)
    else:
        moved.write_bytes(b"")
        moved.chmod(0o600)
    path.symlink_to(moved)


def instead(make: Damage) -> Damage:
    def damage(path: Path) -> None:
        path.unlink(missing_ok=True)
        make(path)

    return damage


def mode(bits: int) -> Damage:
    def damage(path: Path) -> None:
        path.touch()
        path.chmod(bits)

    return damage


def given_away(path: Path) -> None:
    path.touch()
    os.chown(path, 12345, 0)


def sql(*statements: str) -> Damage:
    def damage(path: Path) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        for statement in statements:
            connection.execute(statement)
        connection.close()

    return damage


NOT_A_FILE_OF_OURS = {
    "a link": a_link_to_itself_elsewhere,
    "a link to nowhere": instead(lambda path: path.symlink_to("nowhere")),
    "a FIFO": instead(os.mkfifo),
    "a folder": instead(Path.mkdir),
    "a device": instead(lambda path: path.symlink_to("/dev/null")),
    "writable by a group": mode(0o620),
    "writable by all": mode(0o602),
}
BAD_KEYS = {
    "missing": Path.unlink,
    "empty": replaced_by(b""),
    "noise": replaced_by(noise(65)),
    "zeroed": replaced_by(bytes(65)),
    "too short": replaced_by(b"00" * 31 + b"\n"),
    "too long": replaced_by(b"00" * 33 + b"\n"),
    "endless": replaced_by(b"00" * 100_000),
    "not ASCII": replaced_by("é".encode() * 32),
    "readable by a group": mode(0o640),
    "readable by all": mode(0o604),
    "that of another store": replaced_by(sealing.generate_key_file()),
}
BAD_STORES = {
    "missing": Path.unlink,
    "empty": replaced_by(b""),
    "noise": replaced_by(noise(7 * PAGE)),
    "zeroed": replaced_by(bytes(7 * PAGE)),
    "a header and noise": replaced_by(b"SQLite format 3\0" + noise(7 * PAGE)),
    "text": replaced_by(b"alice:secret\n"),
    "an empty database": instead(sql("VACUUM")),
    "somebody else's database": instead(sql("CREATE TABLE t (a)", "PRAGMA user_version = 1")),
    "of a newer release": sql("PRAGMA user_version = 999"),
    "of a release before the first": sql("PRAGMA user_version = -1"),
    "without the name of its key": sql("DELETE FROM meta"),
    "without its users": sql("PRAGMA foreign_keys = OFF", "DROP TABLE users"),
    "with another idea of users": sql("DROP TABLE users", "CREATE TABLE users (name)"),
}
BAD_CONFIGURATIONS = {  # one that config= names: see below for the default one
    "missing": Path.unlink,
    "endless": replaced_by(b"#" * 100_000),
}
BAD_FOLDERS = {
    "missing": shutil.rmtree,
    "writable by a group": lambda path: path.chmod(0o770),
    "writable by all": lambda path: path.chmod(0o707),
}


def cases(target: str, *tables: dict[str, Damage]) -> list[object]:
    return [
        pytest.param(target, damage, id=f"{target}: {name}")
        for table in tables
        for name, damage in table.items()
    ]


DAMAGES = [
    *cases("store/store.db", NOT_A_FILE_OF_OURS, BAD_STORES),
    *cases("store/store.db-wal", NOT_A_FILE_OF_OURS),
    *cases("store/store.db-shm", NOT_A_FILE_OF_OURS),
    *cases("store/store.db-journal", NOT_A_FILE_OF_OURS),
    *cases("store", BAD_FOLDERS),
    *cases("pam_totp.key", NOT_A_FILE_OF_OURS, BAD_KEYS),
    *cases("pam_totp.conf", NOT_A_FILE_OF_OURS, BAD_CONFIGURATIONS),
    *cases(".", {"writable by all": lambda path: path.chmod(0o777)}),
]
OWNED_BY_SOMEBODY = [
    pytest.param(target, given_away, id=target)
    for target in (
        "store/store.db",
        "store/store.db-wal",
        "store/store.db-shm",
        "store/store.db-journal",
        "store",
        "pam_totp.key",
        "pam_totp.conf",
        ".",
    )
]


class Mended:
    """Put everything of ``place`` back as it was when this was made."""

    def __init__(self, place: Place, backup: Path) -> None:
        self.place, self.backup = place, backup
        shutil.copytree(place.folder, backup)

    def mend(self) -> None:
        folder = self.place.folder
        folder.chmod(0o755)
        os.chown(folder, os.geteuid(), -1)
        shutil.rmtree(folder)
        shutil.copytree(self.backup, folder)


@pytest.fixture
def place(tmp_path: Path, clock: Clock) -> Place:
    """Alice, who has logged in once."""
    (tmp_path / "place").mkdir()
    place = Place(tmp_path / "place")
    place.enrol("alice")
    assert PAM_SUCCESS == log_in(place, clock.code())
    clock.now += 30
    return place


def assert_denied_until_mended(
    place: Place, clock: Clock, news: News, target: str, damage: Damage, backup: Path
) -> None:
    mended = Mended(place, backup)
    damaged = place.folder if target == "." else place.folder / target
    damage(damaged)
    news()
    for user in ("alice", "mallory"):
        for answer in (clock.code(), "no code"):
            code = log_in(place, answer, user)
            (line,) = news()
            assert PAM_AUTHINFO_UNAVAIL == code, line
            found = fields(line)
            assert ("error", user) == (found["event"], found["user"])
            assert str(damaged) in found["reason"]
            assert len(found["hint"]) > 10
            assert "unexpected" not in line
    mended.mend()
    assert PAM_SUCCESS == log_in(place, clock.code())
    assert PAM_AUTH_ERR == log_in(place, clock.code())


@pytest.mark.parametrize("unenrolled", ["deny", "skip"])
@pytest.mark.parametrize(("target", "damage"), DAMAGES)
def test_what_cannot_be_believed_or_read_denies_every_login_until_it_is_mended(
    place: Place,
    clock: Clock,
    news: News,
    tmp_path: Path,
    target: str,
    damage: Damage,
    unenrolled: str,
) -> None:
    place.configure(unenrolled=unenrolled)
    assert_denied_until_mended(place, clock, news, target, damage, tmp_path / "backup")


@pytest.mark.root
@pytest.mark.parametrize("unenrolled", ["deny", "skip"])
@pytest.mark.parametrize(("target", "damage"), OWNED_BY_SOMEBODY)
def test_what_belongs_to_somebody_else_denies_every_login_until_it_is_mended(
    place: Place,
    clock: Clock,
    news: News,
    tmp_path: Path,
    target: str,
    damage: Damage,
    unenrolled: str,
) -> None:
    place.configure(unenrolled=unenrolled)
    assert_denied_until_mended(place, clock, news, target, damage, tmp_path / "backup")


@pytest.mark.parametrize(
    "target",
    ["store/store.db", "store/store.db-wal", "store/store.db-shm", "pam_totp.key", "pam_totp.conf"],
)
def test_a_link_is_called_a_link(place: Place, clock: Clock, news: News, target: str) -> None:
    a_link_to_itself_elsewhere(place.folder / target)
    news()
    assert PAM_AUTHINFO_UNAVAIL == log_in(place, clock.code())
    (line,) = news()
    assert f"{place.folder / target}: is a symbolic link" == fields(line)["reason"]


def test_a_missing_configuration_means_the_strict_defaults(
    place: Place, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "DEFAULT_PATH", str(place.config_path))
    place.configure(unenrolled="skip", window=10)
    paths = (f"store={place.store_path}", f"sealing_key={place.key_path}")
    assert PAM_IGNORE == log_in(place, "000000", "mallory", *paths)
    place.config_path.unlink()
    assert PAM_AUTH_ERR == log_in(place, "000000", "mallory", *paths)
    assert PAM_AUTH_ERR == log_in(place, clock.code(5), "alice", *paths)
    assert PAM_SUCCESS == log_in(place, clock.code(), "alice", *paths)


@pytest.mark.parametrize(
    "content",
    [noise(500), bytes(5000), b"\xff" * 100, b"unenrolled"],
    ids=["noise", "zeroed", "not UTF-8", "half a line"],
)
def test_a_configuration_of_noise_means_the_strict_defaults_and_is_reported(
    place: Place, clock: Clock, news: News, content: bytes
) -> None:
    place.config_path.write_bytes(content)
    paths = (f"store={place.store_path}", f"sealing_key={place.key_path}")
    news()
    assert PAM_AUTH_ERR == log_in(place, "000000", "mallory", *paths)
    assert any("reason=configuration" in line for line in news())
    assert PAM_AUTH_ERR == log_in(place, clock.code(5), "alice", *paths)
    assert PAM_SUCCESS == log_in(place, clock.code(), "alice", *paths)


def test_a_configuration_cut_off_anywhere_skips_nobody_it_did_not_name(place: Place) -> None:
    place.configure(unenrolled="skip")
    content = place.config_path.read_bytes()
    paths = (f"store={place.store_path}", f"sealing_key={place.key_path}")
    skipping = len(content.rstrip(b"\n"))
    for length in range(len(content)):
        place.config_path.write_bytes(content[:length])
        # The store of a configuration that is cut off may be another: the arguments win.
        expected = PAM_IGNORE if length >= skipping else PAM_AUTH_ERR
        assert expected == log_in(place, "000000", f"mallory{length}", *paths), content[:length]


# Damage inside the store


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
    for start in range(0, len(users.content), SECTOR):
        yield users.content[:start] + bytes(SECTOR) + users.content[start + SECTOR :]


def flipped_bits(users: Users) -> Iterator[bytes]:
    """Yield stores with one bit flipped, more often where a page describes itself."""
    chance = random.Random(6238)
    for number in range(500):
        content = bytearray(users.content)
        page = chance.randrange(len(content) // PAGE) * PAGE
        offset = chance.randrange(64) if number % 2 else chance.randrange(PAGE)
        content[page + offset] ^= 1 << chance.randrange(8)
        yield bytes(content)


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


# Beside the store


def leave_a_log_behind(place: Place, user: str, failures: int) -> None:
    """Let a process die with a commit that only the write-ahead log holds."""

    def die(pause: Meet) -> None:
        with place.open() as opened:
            with opened.transaction(user) as transaction:
                record = transaction.record or UserRecord(user)
                transaction.save(record._replace(failures=failures))
            pause()

    with Waiting(die):
        pass


def beside(place: Place, suffix: str) -> Path:
    return place.store_path.with_name(f"store.db{suffix}")


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("content", [b"", bytes(SECTOR), noise(32768), noise(70001)], ids=len)
def test_noise_beside_a_clean_store_changes_nothing(
    place: Place, clock: Clock, suffix: str, content: bytes
) -> None:
    beside(place, suffix).write_bytes(content)
    beside(place, suffix).chmod(0o600)
    assert PAM_AUTH_ERR == log_in(place, clock.code(-1))
    assert PAM_SUCCESS == log_in(place, clock.code())
    with place.open() as opened:
        assert [] == opened.check()


@pytest.mark.parametrize("content", [None, b"", bytes(32768), noise(32768)])
def test_the_log_of_a_killed_process_counts_whatever_its_index_says(
    place: Place, clock: Clock, content: bytes | None
) -> None:
    leave_a_log_behind(place, "alice", failures=100)
    assert beside(place, "-wal").stat().st_size > 0
    if content is None:
        beside(place, "-shm").unlink()
    else:
        beside(place, "-shm").write_bytes(content)
    assert 100 == place.record("alice").failures
    assert PAM_SUCCESS != log_in(place, clock.code())


def test_the_log_of_a_killed_process_cut_off_anywhere_is_whole_or_absent(
    place: Place, clock: Clock
) -> None:
    leave_a_log_behind(place, "alice", failures=3)
    folder, original = place.store_path.parent, place.folder / "original"
    folder.rename(original)
    wal = (original / "store.db-wal").read_bytes()
    found = []
    for length in range(0, len(wal) + 1, SECTOR - 4):
        shutil.copytree(original, folder)
        beside(place, "-wal").write_bytes(wal[:length])
        found.append(place.record("alice").failures)
        assert PAM_AUTH_ERR == log_in(place, clock.code(-1))
        assert PAM_SUCCESS == log_in(place, clock.code())
        with place.open() as opened:
            assert [] == opened.check()
        shutil.rmtree(folder)
    shutil.copytree(original, folder)
    assert 3 == place.record("alice").failures
    assert 0 == found[0]
    assert sorted(found) == found


@pytest.mark.parametrize("unenrolled", ["deny", "skip"])
def test_the_log_of_another_store_lets_nobody_past(
    place: Place, clock: Clock, news: News, tmp_path: Path, unenrolled: str
) -> None:
    """As where a store was restored and the log of the one before was left beside it."""
    place.configure(unenrolled=unenrolled)
    (tmp_path / "other").mkdir()
    other = Place(tmp_path / "other")
    leave_a_log_behind(other, "bob", failures=1)
    shutil.copy(beside(other, "-wal"), beside(place, "-wal"))
    beside(place, "-wal").chmod(0o600)
    news()
    assert PAM_AUTHINFO_UNAVAIL == log_in(place, clock.code())
    (line,) = news()
    assert str(place.store_path) in fields(line)["reason"]
