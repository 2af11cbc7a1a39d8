"""Store, key and configuration missing, damaged, or not to be believed: denied, with the reason.

Nobody is let past a damaged store because of ``unenrolled=skip``, not even who was not enrolled.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pam_totp.login.flow import PAM_AUTH_ERR, PAM_AUTHINFO_UNAVAIL, PAM_IGNORE, PAM_SUCCESS
from pam_totp.store import sealing
from pam_totp.system import config
from tests.faults.damage import PAGE, Damage, News, alices_place, noise, sql
from tests.faults.fake_pam import Clock, log_in
from tests.support.logs import fields
from tests.support.place import Place


@pytest.fixture
def place(tmp_path: Path, clock: Clock) -> Place:
    return alices_place(tmp_path / "place", clock)


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
    "without the key of its decoys": sql("DELETE FROM meta WHERE key = 'decoy_key'"),
    "with another key of its decoys": sql("UPDATE meta SET value = x'00' WHERE key = 'decoy_key'"),
    "from before the first release": sql("ALTER TABLE users DROP COLUMN uid"),
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


class Fixed:
    """Put everything of ``place`` back as it was when this was made."""

    def __init__(self, place: Place, backup: Path) -> None:
        self.place, self.backup = place, backup
        shutil.copytree(place.folder, backup)

    def fix(self) -> None:
        folder = self.place.folder
        folder.chmod(0o755)
        os.chown(folder, os.geteuid(), -1)
        shutil.rmtree(folder)
        shutil.copytree(self.backup, folder)


def assert_denied_until_mended(
    place: Place, clock: Clock, news: News, target: str, damage: Damage, backup: Path
) -> None:
    fixed = Fixed(place, backup)
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
    fixed.fix()
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
