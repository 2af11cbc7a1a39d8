"""Every secret sealed anew, in a store that others use meanwhile, and nothing old left of it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pam_totp import store
from pam_totp.errors import SealingError, StoreUnavailable
from pam_totp.sealing import Sealer, new_sealer
from pam_totp.store import database, resealing
from pam_totp.store.pool import Pool
from pam_totp.verifier import Authenticator, UserRecord
from tests.contract.raw import connect
from tests.contract.store_contract import SHARED
from tests.support.place import Place

PEOPLE = {f"user{number}": bytes([number]) * 20 for number in range(20)}


@pytest.fixture(params=["of a login alone", "kept open"], autouse=True)
def connections(request: pytest.FixtureRequest) -> None:
    if request.param == "kept open":
        request.getfixturevalue("keeper")


@pytest.fixture
def people(place: Place) -> Place:
    for name, secret in PEOPLE.items():
        place.enrol(name, secret)
    place.enrol("user0", b"of a tablet of user0", label="tablet")
    return place


def keep_both(place: Place) -> Sealer:
    """Do the first step of a rotation; return the new key."""
    sealer = place.sealer()
    new = sealer.others[0] if sealer.others else new_sealer(str(place.key_path))
    place.key_path.write_bytes(
        sealer.key_file() if sealer.others else sealer.key_file() + new.key_file()
    )
    return new


def reseal(place: Place) -> int:
    """Do the second step of a rotation."""
    new = keep_both(place)
    with place.open() as opened:
        return opened.reseal(new)


def rotate(place: Place) -> Sealer:
    """Do all three steps; return the new key."""
    new = keep_both(place)
    with place.open() as opened:
        opened.reseal(new)
    place.key_path.write_bytes(new.key_file())
    return new


def secrets(place: Place) -> dict[str, set[bytes | None]]:
    found = {}
    with place.open() as opened:
        for record in opened.records():
            with opened.transaction(record.name) as transaction:
                assert transaction.record is not None
                found[record.name] = {a.secret for a in transaction.record.authenticators}
    return found


def envelopes(place: Place) -> dict[str, bytes]:
    connection = connect(place.store_path)
    rows = connection.execute("SELECT id, sealed_secret FROM authenticators").fetchall()
    rows += connection.execute("SELECT key, value FROM meta WHERE key = 'decoy_key'").fetchall()
    connection.close()
    return dict(rows)


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


def test_the_old_key_opens_the_store_no_more(people: Place) -> None:
    old = people.sealer()
    new = rotate(people)
    people.key_path.write_bytes(old.key_file())
    with pytest.raises(SealingError, match="is sealed with another"):
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
            "created_at, last_used_at FROM authenticators"
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
        log = people.store_path.with_name("store.db-wal")
        assert 0 == log.stat().st_size
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


def test_a_damaged_key_of_decoys_denies_nobody_and_is_mended(people: Place) -> None:
    connection = connect(people.store_path)
    connection.execute("UPDATE meta SET value = x'00' WHERE key = 'decoy_key'")
    connection.close()
    with people.open() as opened:
        before = opened.load_decoy("mallory")
    assert len(PEOPLE) == len(secrets(people))
    rotate(people)
    with people.open() as opened:
        assert before == opened.load_decoy("mallory")


# Decoys


@pytest.mark.parametrize("of_its_own", [True, False], ids=["new store", "store of before"])
def test_decoys_outlast_the_key(people: Place, of_its_own: bool) -> None:
    """Else an unknown user's wrong codes were forgotten, and a known user's were not."""
    if not of_its_own:
        connection = connect(people.store_path)
        connection.execute("DELETE FROM meta WHERE key = 'decoy_key'")
        connection.close()
    with people.open() as opened:
        with opened.decoy_transaction("mallory") as transaction:
            transaction.save(transaction.record._replace(failures=4, throttled_until=99))
        before = opened.load_decoy("mallory")
    for _ in range(2):
        rotate(people)
        with people.open() as opened:
            assert before == opened.load_decoy("mallory")


def test_stores_with_the_same_key_have_decoys_of_their_own(people: Place) -> None:
    path = people.folder / "other" / "store.db"
    store.create_store(str(path), people.sealer())
    with people.open() as opened, store.open_store(str(path), people.sealer()) as other:
        assert opened.load_decoy("mallory") != other.load_decoy("mallory")


# Who had read the key before


def whole_rotation(place: Place) -> None:
    rotate(place)


def two_rotations(place: Place) -> None:
    rotate(place)
    rotate(place)


STEPS = (keep_both, reseal, whole_rotation, two_rotations)


@pytest.mark.parametrize("step", STEPS)
def test_who_has_read_the_key_before_opens_the_store_after(
    people: Place, step: Callable[[Place], object]
) -> None:
    sealer = people.sealer()
    step(people)
    with store.open_store(str(people.store_path), sealer) as opened:
        assert [] == opened.check()
        with opened.transaction("user3") as transaction:
            assert transaction.record is not None
            assert PEOPLE["user3"] == transaction.record.authenticators[0].secret


@pytest.mark.parametrize("step", STEPS)
def test_who_has_opened_the_store_before_reads_and_writes_after(
    people: Place, step: Callable[[Place], object]
) -> None:
    with people.open() as opened:
        decoy = opened.load_decoy("mallory")
        step(people)
        assert decoy == opened.load_decoy("mallory")
        with opened.transaction("user3") as transaction:
            assert transaction.record is not None
            assert PEOPLE["user3"] == transaction.record.authenticators[0].secret
            transaction.save(transaction.record._replace(failures=2))
        new = Authenticator(os.urandom(16).hex(), "phone", b"of a racing enrolment")
        with opened.transaction("racer") as transaction:
            transaction.save(UserRecord("racer", authenticators=(new,)))
    assert 2 == people.record("user3").failures
    rotate(people)
    assert {b"of a racing enrolment"} == secrets(people)["racer"]


def test_an_enrolment_inside_the_two_keys_is_sealed_with_what_the_store_names(
    people: Place,
) -> None:
    """In either order of key file and store: whoever has opened it before, or after."""
    old, new = people.sealer(), keep_both(people)
    people.enrol("early", b"e" * 20)
    with people.open() as opened:
        opened.reseal(new)
    people.enrol("late", b"l" * 20)
    with store.open_store(str(people.store_path), old) as opened:
        record = UserRecord("stale", authenticators=(Authenticator("s" * 32, "phone", b"s" * 20),))
        with opened.transaction("stale") as transaction:
            transaction.save(record)
    assert {new.key_id} == {envelope[1:5] for envelope in envelopes(people).values()}
    people.key_path.write_bytes(new.key_file())
    found = secrets(people)
    assert [{b"e" * 20}, {b"l" * 20}, {b"s" * 20}] == [found[n] for n in ("early", "late", "stale")]


def test_a_key_that_was_never_the_store_s_is_refused_however_it_changes(
    people: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []

    def read(path: str) -> Sealer:
        reads.append(path)
        return new_sealer(path)

    monkeypatch.setattr("pam_totp.sealing.read_sealer", read)
    with pytest.raises(SealingError, match="is sealed with another"):
        store.open_store(str(people.store_path), new_sealer(str(people.key_path)))
    assert 0 < len(reads) < 10


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
    people: Place, keeper: Pool
) -> None:
    new = keep_both(people)
    with people.open() as opened:
        opened.reseal(new)
        execute = opened.database.execute  # type: ignore[attr-defined]
        assert [(round(1000 * database.BUSY_TIMEOUT),)] == execute("PRAGMA busy_timeout")


# Any order of steps


@given(st.lists(st.sampled_from(["keep both", "reseal", "finish", "enrol"]), max_size=12))
@settings(max_examples=25, deadline=None, suppress_health_check=SHARED)
def test_after_any_steps_in_any_order_every_secret_opens(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    place, expected = Place(tmp_path_factory.mktemp("any")), {}
    for number, step in enumerate(steps):
        if step == "keep both":
            keep_both(place)
        elif step == "reseal":
            reseal(place)
        elif step == "finish":
            rotate(place)
        else:
            secret = bytes([number]) * 20
            place.enrol(f"user{number}", secret)
            expected[f"user{number}"] = {secret}
        assert expected == secrets(place)
