"""What a login asks of the file: the same statements for everybody, and none too many."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from pam_totp.core import verifier
from pam_totp.core.admission import REQUIRED, GroupRule
from pam_totp.core.users import EXEMPT, MUST_ENROLL, SUSPENDED, UserRecord
from pam_totp.core.verifier import Answer, Policy
from pam_totp.store import LoginAttempt
from pam_totp.store.sealing import new_sealer
from pam_totp.store.sqlite import schema
from pam_totp.store.sqlite.opening import open_database
from pam_totp.store.sqlite.store import SQLiteStore
from pam_totp.system.errors import SchemaTooNew, SealingError, StoreCorrupt
from tests.contract.questions import SOURCE, WRONG, code, judged, ready
from tests.contract.sample_records import NOW, phone
from tests.support.place import Place

HASHED = Answer(verifier.RECOVERY_CODE, "0" * 16, bytes(16), bytes(32))
OTHER_CODE = HASHED._replace(digest=b"\1" * 32)
# Of who is accepted, the place is known from now on, where there is room to note it.
NEW_PLACE = ["PRAGMA page_count", "PRAGMA freelist_count", "INSERT INTO users"]
KEY = "(SELECT value FROM meta WHERE key = 'sealing_key_id')"


@pytest.fixture(autouse=True)
def _time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW + 0.9)


def record_of(kind: str) -> UserRecord | None:
    own = phone("id of this one")._replace(last_accepted_step=-1)
    enrolled = ready()._replace(authenticators=(own,))
    return {
        "enrolled": enrolled,
        "without recovery codes": enrolled._replace(recovery_digests=frozenset()),
        "suspended": enrolled._replace(status=SUSPENDED),
        "exempt": enrolled._replace(status=EXEMPT),
        "unenrolled": UserRecord("alice", MUST_ENROLL),
        "unknown": None,
    }[kind]


KINDS = ("enrolled", "without recovery codes", "suspended", "exempt", "unenrolled", "unknown")


def summary(statement: str) -> str:
    """Return what ``statement`` does to which table, without values."""
    words = " ".join(statement.split())
    if words.startswith(f"SELECT {KEY}"):
        return "read"
    return words.split(" SET ")[0].split(" WHERE ")[0].split(" (")[0]


@pytest.fixture
def traced(place: Place) -> Iterator[Callable[[str], tuple[SQLiteStore, list[str]]]]:
    """Open the store of ``place`` with a user of one kind; list the statements from then on."""
    opened: list[SQLiteStore] = []

    def make(kind: str) -> tuple[SQLiteStore, list[str]]:
        record = record_of(kind)
        with place.open() as store, store.transaction("alice") as transaction:
            transaction.save(record)
        store = place.open()
        assert isinstance(store, SQLiteStore)
        opened.append(store)
        judged(store, WRONG, "somebody", is_decoy=True)  # the first write of a connection
        store.admission("somebody")
        statements: list[str] = []

        def note(statement: str) -> None:
            if not statement.startswith("--"):  # inside another one
                statements.append(summary(statement))

        store.database.connection.set_trace_callback(note)
        return store, statements

    yield make
    for store in opened:
        store.close()


Traced = Callable[[str], tuple[SQLiteStore, list[str]]]


@pytest.mark.parametrize("kind", KINDS)
def test_admission_is_one_statement_for_everybody(traced: Traced, kind: str) -> None:
    store, statements = traced(kind)
    assert (record_of(kind) is None) == (store.admission("alice").record is None)
    assert ["read"] == statements


@pytest.mark.parametrize("kind", KINDS)
def test_under_group_rules_everybody_takes_one_more_in_the_same_snapshot(
    traced: Traced, place: Place, kind: str
) -> None:
    with place.open() as store:
        store.save_group_rule(GroupRule("staff", REQUIRED))
    store, statements = traced(kind)
    assert (GroupRule("staff", REQUIRED),) == store.admission("alice").rules
    rules = ["SELECT name, rule, until FROM group_rules ORDER BY name"]
    assert ["BEGIN DEFERRED", "read", *rules, "COMMIT"] == statements


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answer", [code(), WRONG, HASHED, OTHER_CODE], ids=lambda a: a.kind)
def test_an_answer_is_one_read_and_one_write_for_everybody(
    traced: Traced, kind: str, answer: Answer
) -> None:
    store, statements = traced(kind)
    before = record_of(kind)
    is_decoy = before is None or not before.authenticators
    verdict = judged(store, answer, is_decoy=is_decoy, account=None)
    assert verdict is not None
    of_users, of_decoys = "INSERT INTO users", "INSERT OR REPLACE INTO decoys"
    writes = {
        verifier.ACCEPTED: [*NEW_PLACE, "UPDATE authenticators"],
        verifier.RECOVERY_USED: [*NEW_PLACE, "DELETE FROM recovery_codes"],
        verifier.REJECTED: [of_decoys if is_decoy else of_users],
    }[verdict.outcome]
    reads = [statement for statement in writes if statement.startswith("PRAGMA")]
    writes = ["UPDATE meta", *writes[len(reads) :]]
    assert ["BEGIN IMMEDIATE", "read", *reads, *writes, "COMMIT"] == statements


def test_from_a_known_place_only_the_code_is_noted(traced: Traced) -> None:
    store, statements = traced("enrolled")
    judged(store, code(), account=None)
    statements.clear()
    verdict = judged(store, HASHED, account=None)
    assert verdict is not None
    assert verifier.RECOVERY_USED == verdict.outcome
    writes = ["UPDATE meta", "DELETE FROM recovery_codes"]
    assert ["BEGIN IMMEDIATE", "read", *writes, "COMMIT"] == statements


def test_in_a_batch_only_reading_and_writing_are_repeated(traced: Traced) -> None:
    store, statements = traced("enrolled")
    with store.batch():
        for answer in (WRONG, WRONG, code()):
            judged(store, answer, account=None)
            judged(store, answer, "mallory", is_decoy=True)
    decoy = ["read", "INSERT OR REPLACE INTO decoys"]
    wrong = ["read", "INSERT INTO users", *decoy]
    first = ["read", "UPDATE meta", "INSERT INTO users", *decoy]
    right = ["read", *NEW_PLACE, "UPDATE authenticators", *decoy]
    assert ["BEGIN IMMEDIATE", *first, *wrong, *right, "COMMIT"] == statements


@pytest.mark.parametrize("kind", ["enrolled", "unknown"])
def test_a_locked_user_costs_one_read(traced: Traced, kind: str) -> None:
    store, statements = traced(kind)
    for _ in range(2):
        statements.clear()
        verdict = store.verify(
            LoginAttempt(
                "alice",
                WRONG,
                Policy(max_failures=1),
                is_decoy=kind == "unknown",
                source=SOURCE,
            )
        )
    assert verdict is not None
    assert verifier.LOCKED == verdict.outcome
    assert ["BEGIN IMMEDIATE", "read", "COMMIT"] == statements


# What is kept is not believed longer than it is true


def in_the_file(place: Place, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(place.store_path, isolation_level=None)) as connection:
        connection.execute(statement, values)


QUESTIONS: dict[str, Callable[[SQLiteStore], object]] = {
    "admission": lambda store: store.admission("alice"),
    "verify": lambda store: judged(store, WRONG),
    "verify a decoy": lambda store: judged(store, WRONG, is_decoy=True),
    "have_told": lambda store: store.have_told("alice", 1),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_open_store_is_refused_from_the_moment_it_is_of_a_newer_release(
    traced: Traced, place: Place, question: str
) -> None:
    store, _ = traced("enrolled")
    in_the_file(place, f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")
    with pytest.raises(SchemaTooNew):
        QUESTIONS[question](store)
    in_the_file(place, f"PRAGMA user_version = {len(schema.MIGRATIONS)}")
    QUESTIONS[question](store)


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM meta WHERE key = 'sealing_key_id'",
        "DELETE FROM meta WHERE key = 'decoy_key'",
        "UPDATE meta SET value = x'00' WHERE key = 'decoy_key'",
    ],
)
def test_an_open_store_is_refused_from_the_moment_its_key_is_damaged(
    traced: Traced, place: Place, question: str, damage: str
) -> None:
    store, _ = traced("enrolled")
    in_the_file(place, damage)
    with pytest.raises(StoreCorrupt):
        QUESTIONS[question](store)


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_open_store_is_refused_from_the_moment_it_names_a_key_that_the_file_does_not_hold(
    traced: Traced, place: Place, question: str
) -> None:
    store, _ = traced("enrolled")
    in_the_file(place, "UPDATE meta SET value = x'01020304' WHERE key = 'sealing_key_id'")
    with pytest.raises(SealingError):
        QUESTIONS[question](store)


def test_decoys_outlast_a_rotation_in_a_store_that_stays_open(traced: Traced, place: Place) -> None:
    store, _ = traced("enrolled")
    judged(store, WRONG, "mallory", is_decoy=True)
    before = store.admission("mallory").decoy
    sealer = new_sealer(str(place.key_path))
    with place.open() as other:
        place.key_path.write_bytes(place.sealer().key_file() + sealer.key_file())
        other.reseal(sealer)
    place.key_path.write_bytes(sealer.key_file())
    assert before == store.admission("mallory").decoy
    verdict = judged(store, code())
    assert verdict is not None
    assert verifier.ACCEPTED == verdict.outcome
    judged(store, WRONG, "mallory", is_decoy=True)
    assert 2 == store.admission("mallory").decoy.failures


def test_another_store_read_into_the_open_file_has_its_own_decoys(
    traced: Traced, place: Place
) -> None:
    """As sqlite3's .restore does, of a backup under the same key."""
    store, _ = traced("enrolled")
    before = store.admission("mallory").decoy
    backup = place.folder / "backup" / "store.db"
    SQLiteStore.create(str(backup), place.sealer())
    with SQLiteStore(open_database(str(backup)), place.sealer()) as other:
        judged(other, WRONG, "mallory", is_decoy=True)
    with (
        closing(sqlite3.connect(backup)) as source,
        closing(sqlite3.connect(place.store_path)) as target,
    ):
        source.backup(target)
    for _ in range(2):
        known = store.admission("mallory")
        with place.open() as fresh:
            assert known == fresh.admission("mallory")
        assert before != known.decoy
        judged(store, WRONG, "mallory", is_decoy=True)
    assert store.admission("alice").record is None


def as_damage_may_leave_it(place: Place, table: str, columns: str, order: str = "") -> None:
    """Give ``table`` other content, to which types, constraints and order are nothing."""
    in_the_file(place, "PRAGMA foreign_keys = OFF")
    in_the_file(place, f"CREATE TABLE damaged AS SELECT {columns} FROM {table} {order}")
    in_the_file(place, f"DROP TABLE {table}")
    in_the_file(place, f"ALTER TABLE damaged RENAME TO {table}")


def test_a_decoy_that_no_release_wrote_is_damage(traced: Traced, place: Place) -> None:
    store, _ = traced("enrolled")
    judged(store, WRONG, "mallory", is_decoy=True)
    columns = "bucket, 'many' AS failures, throttled_until, guesses_until"
    as_damage_may_leave_it(place, "decoys", columns)
    with pytest.raises(StoreCorrupt, match="did not write"):
        store.admission("mallory")
    assert store.admission("trent").decoy.failures == 0


@pytest.mark.parametrize("key", ["sealing_key_id", "decoy_key"])
def test_a_key_that_no_release_wrote_is_damage(traced: Traced, place: Place, key: str) -> None:
    store, _ = traced("enrolled")
    columns = f"key, CASE key WHEN '{key}' THEN 'text' ELSE value END AS value"
    as_damage_may_leave_it(place, "meta", columns)
    with pytest.raises(StoreCorrupt, match="did not write"):
        store.admission("alice")
    with pytest.raises(StoreCorrupt, match="did not write"):
        place.open()


def test_authenticators_come_by_label_however_they_lie_in_the_file(place: Place) -> None:
    labels = ("a", "b", "c")
    three = tuple(phone(f"id of {label}", label) for label in labels)
    with place.open() as store, store.transaction("alice") as transaction:
        transaction.save(ready()._replace(authenticators=three))
    as_damage_may_leave_it(place, "authenticators", "*", "ORDER BY label DESC")
    with place.open() as store:
        record = store.load("alice")
    assert record is not None
    assert labels == tuple(authenticator.label for authenticator in record.authenticators)
