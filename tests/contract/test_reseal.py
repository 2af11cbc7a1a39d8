"""Every secret sealed anew, in a store that others use meanwhile, and nothing old left of it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator

import pytest

from pam_totp.core.users import Authenticator
from pam_totp.store.sealing import new_sealer
from pam_totp.store.sqlite import database, resealing
from pam_totp.system.errors import SealingError, StoreCorrupt, StoreUnavailable
from tests.contract.raw import connect
from tests.support.kept import Keeper
from tests.support.place import Place
from tests.support.rotating import (
    PEOPLE,
    envelopes,
    keep_both,
    reseal,
    rotate,
    secrets,
)

pytestmark = pytest.mark.usefixtures("connections")


def everything(place: Place) -> bytes:
    """Return what is in the store's files, one after the other."""
    return b"".join(path.read_bytes() for path in place.store_path.parent.iterdir())


def test_every_secret_is_the_same_and_sealed_with_the_new_key(people: Place) -> None:
    before, sealed_before = secrets(people), envelopes(people)
    new = keep_both(people)
    with people.open() as opened:
        assert len(PEOPLE) + 1 == opened.reseal(new)
        assert [] == opened.check()
    sealed = envelopes(people)
    assert sealed_before.keys() == sealed.keys()
    assert {new.key_id} == {envelope[1:5] for envelope in sealed.values()}
    people.key_path.write_bytes(new.key_file())
    assert before == secrets(people)


def test_the_old_key_opens_the_store_no_more_and_the_right_one_is_named(people: Place) -> None:
    old = people.sealer()
    new = rotate(people)
    people.key_path.write_bytes(old.key_file())
    ids = f"is key {old.key_id.hex()}, .* is sealed with another: key {new.key_id.hex()}"
    with pytest.raises(SealingError, match=ids):
        people.open()
    people.key_path.write_bytes(new.key_file())
    assert len(PEOPLE) == len(secrets(people))


def test_nothing_else_of_the_store_changes(people: Place) -> None:
    def rest() -> list[tuple[object, ...]]:
        connection = connect(people.store_path)
        found = []
        for table in ("users", "recovery_codes", "group_rules", "decoys"):
            found += connection.execute(f"SELECT * FROM {table}").fetchall()
        found += connection.execute(
            "SELECT id, user, label, algorithm, digits, period, drift, last_accepted_step, "
            "created_at, last_used_at, clock_offset, clock_sightings, kind, serial, learned "
            "FROM authenticators"
        ).fetchall()
        connection.close()
        return found

    with people.open() as opened, opened.decoy_transaction("mallory") as transaction:
        transaction.save(transaction.record._replace(failures=3))
    before = rest()
    rotate(people)
    assert before == rest()


def test_nothing_that_was_sealed_before_is_left_in_the_files(people: Place) -> None:
    """After removals and exchanges too, which leave free room in the pages."""
    old = set(envelopes(people).values())
    for number in range(0, 20, 3):
        with people.open() as opened, opened.transaction(f"user{number}") as transaction:
            transaction.save(None)
        people.enrol(f"another{number}", os.urandom(60))
        old |= set(envelopes(people).values())
    with people.open():  # so that the log outlasts each connection
        rotate(people)
        found = everything(people)
    assert [] == [envelope.hex() for envelope in old if envelope[29:] in found]
    assert [] == [envelope.hex() for envelope in old if envelope[5:29] in found]
    assert all(envelope in found for envelope in envelopes(people).values())


def test_a_store_of_nobody_is_sealed_anew_as_well(place: Place) -> None:
    new = keep_both(place)
    with place.open() as opened:
        assert 0 == opened.reseal(new)
    place.key_path.write_bytes(new.key_file())
    with place.open() as opened:
        assert [] == opened.check()


def test_sealing_anew_again_and_again_ends_the_same(people: Place) -> None:
    before = secrets(people)
    assert [len(PEOPLE) + 1] * 3 == [reseal(people) for _ in range(3)]
    for _ in range(3):
        rotate(people)
    assert before == secrets(people)


# What does not open


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE authenticators SET sealed_secret = zeroblob(65) WHERE user = 'user7'",
        "UPDATE authenticators SET digits = 8 WHERE user = 'user7'",
        "UPDATE authenticators SET sealed_secret = (SELECT sealed_secret FROM authenticators "
        "WHERE user = 'user8') WHERE user = 'user7'",
    ],
)
def test_a_secret_that_does_not_open_is_named_and_nothing_is_changed(
    people: Place, damage: str
) -> None:
    connection = connect(people.store_path)
    connection.execute(damage)
    connection.close()
    sealed = envelopes(people)
    with pytest.raises(SealingError) as caught:
        reseal(people)
    assert "user7" == caught.value.subject
    assert sealed == envelopes(people)
    with people.open() as opened, opened.transaction("user8") as transaction:
        assert transaction.record is not None


def test_a_secret_of_a_third_key_is_named_and_nothing_is_changed(people: Place) -> None:
    (row,) = people.record("user7").authenticators
    foreign = new_sealer("k").seal(b"x" * 20, "user7", row.id, "SHA1", "6", "30")
    connection = connect(people.store_path)
    connection.execute(
        "UPDATE authenticators SET sealed_secret = ? WHERE id = ?", (foreign, row.id)
    )
    connection.close()
    sealed = envelopes(people)
    with pytest.raises(SealingError, match=f"user7: .*sealed with key {foreign[1:5].hex()}"):
        reseal(people)
    assert sealed == envelopes(people)


def test_who_has_a_damaged_secret_can_be_reset_and_removed(people: Place) -> None:
    connection = connect(people.store_path)
    connection.execute("UPDATE authenticators SET sealed_secret = x'00' WHERE user = 'user7'")
    connection.close()
    new = Authenticator(os.urandom(16).hex(), "phone", b"y" * 20)
    with people.open() as opened, opened.transaction("user7", unseal=False) as transaction:
        assert transaction.record is not None
        transaction.save(transaction.record._replace(authenticators=(new,)))
    assert {b"y" * 20} == secrets(people)["user7"]
    assert len(PEOPLE) + 1 == reseal(people)


DECOY_KEY_DAMAGE = {
    "too short": ("UPDATE meta SET value = x'00' WHERE key = 'decoy_key'", "does not open"),
    "another's": (
        "UPDATE meta SET value = (SELECT sealed_secret FROM authenticators) "
        "WHERE key = 'decoy_key'",
        "does not open",
    ),
    "gone": ("DELETE FROM meta WHERE key = 'decoy_key'", "holds no decoy key"),
}


@pytest.mark.parametrize("name", DECOY_KEY_DAMAGE)
def test_a_damaged_decoy_key_is_damage_of_the_store(people: Place, name: str) -> None:
    """For known and unknown users alike, or the answer would tell them apart."""
    statement, problem = DECOY_KEY_DAMAGE[name]
    connection = connect(people.store_path)
    connection.execute(statement)
    connection.close()

    def known() -> None:
        with people.open() as opened, opened.transaction("user7"):
            pass

    def unknown() -> None:
        with people.open() as opened, opened.decoy_transaction("mallory"):
            pass

    def check() -> None:
        with people.open() as opened:
            opened.check()

    for use in (known, unknown, check, lambda: reseal(people)):
        with pytest.raises(StoreCorrupt, match=problem) as refusal:
            use()
        assert refusal.value.hint.startswith(f"restore {people.store_path} from a backup")


# The log


@pytest.fixture
def reader(people: Place) -> Iterator[sqlite3.Connection]:
    """Somebody who reads the store, and does not come to an end."""
    connection = connect(people.store_path)
    connection.execute("BEGIN")
    connection.execute("SELECT * FROM users").fetchall()
    yield connection
    connection.close()


def test_who_reads_for_too_long_is_said_to_keep_what_is_old(
    people: Place, reader: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resealing, "LOG_ATTEMPTS", 2)
    before = secrets(people)
    with pytest.raises(StoreUnavailable, match="stays in its log"):
        reseal(people)
    assert before == secrets(people)
    reader.execute("ROLLBACK")
    assert len(PEOPLE) + 1 == reseal(people)


def test_a_connection_that_waited_for_a_reader_waits_for_writers_as_before(
    people: Place, connections: Keeper | None
) -> None:
    new = keep_both(people)
    milliseconds = 0 if connections else round(1000 * database.BUSY_TIMEOUT)
    with people.open() as opened:
        opened.reseal(new)
        execute = opened.database.execute  # type: ignore[attr-defined]
        assert [(milliseconds,)] == execute("PRAGMA busy_timeout")
