"""What every store backend keeps to. A backend's tests inherit StoreContract.

class TestSQLiteStore(StoreContract):
    @pytest.fixture
    def backend(self, tmp_path): ...
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pam_totp import otp, verifier
from pam_totp.admission import EXEMPT, REQUIRED, GroupRule
from pam_totp.errors import PamTotpError, SealingError, Unavailable
from pam_totp.sealing import Sealer
from pam_totp.verifier import Answer, Authenticator, Policy, UserRecord

if TYPE_CHECKING:
    from pam_totp.store import Store

NOW = 1_900_000_000
ODD_NAMES = (
    "alice",
    "Alice",
    "ALICE",
    "DOMAIN\\user",
    "user@example.org",
    "/",
    "..",
    "../../etc/passwd",
    "with space",
    " leading and trailing ",
    "new\nline",
    "tab\tcarriage\r",
    "\x1b[31m",
    "%",
    "_lice",
    "*",
    "?",
    "'",
    '"',
    "`",
    "''",
    "'; DROP TABLE users; --",
    "x' OR '1'='1",
    "alice'--",
    '"users"',
    "NULL",
    "-1",
    "0",
    "jürgen",
    "ju\u0308rgen",
    "İstanbul",
    "ελένη",
    "山田",
    "\U0001f511",
    "\u202etxet",
    "n" * 300,
)

names = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=80
)
times = st.integers(0, 2**40)


@st.composite
def authenticators(draw: st.DrawFn) -> tuple[Authenticator, ...]:
    """Draw up to three, labels all different, in the order a store gives them back."""
    labels = sorted(draw(st.sets(names, max_size=3)))
    return tuple(
        Authenticator(
            id=draw(st.uuids()).hex,
            label=label,
            secret=draw(st.binary(min_size=1, max_size=64)),
            algorithm=draw(st.sampled_from(otp.ALGORITHMS)),
            digits=draw(st.sampled_from(otp.DIGITS)),
            period=draw(st.integers(1, 3600)),
            drift=draw(st.integers(-100, 100)),
            last_accepted_step=draw(st.integers(-1, 2**40)),
            created_at=draw(times),
            last_used_at=draw(st.none() | times),
        )
        for label in labels
    )


@st.composite
def records(draw: st.DrawFn, name: str = "alice", created_at: int = NOW) -> UserRecord:
    return UserRecord(
        name,
        status=draw(
            st.sampled_from(
                (verifier.ACTIVE, verifier.SUSPENDED, verifier.EXEMPT, verifier.MUST_ENROLL)
            )
        ),
        failures=draw(st.integers(0, 10_000)),
        throttled_until=draw(times),
        recovery_salt=draw(st.none() | st.binary(min_size=16, max_size=16)),
        recovery_digests=draw(st.frozensets(st.binary(min_size=32, max_size=32), max_size=10)),
        authenticators=draw(authenticators()),
        created_at=created_at,
        updated_at=draw(times),
        exempt_until=draw(times),
    )


def phone(identity: str = "id of the phone", label: str = "phone", **fields: object):
    return Authenticator(identity, label, b"12345678901234567890", created_at=NOW)._replace(
        **fields
    )


def tablet(**fields: object) -> Authenticator:
    every_field_of_its_own = {
        "algorithm": "SHA512",
        "digits": 8,
        "period": 60,
        "drift": -2,
        "last_accepted_step": 63_333_333,
        "created_at": NOW - 5,
        "last_used_at": NOW - 1,
    }
    return phone("id of the tablet", "tablet", **{**every_field_of_its_own, **fields})


def full_record(name: str = "alice") -> UserRecord:
    """A record none of whose fields has its default, nor the value of another."""
    return UserRecord(
        name,
        status=verifier.SUSPENDED,
        failures=3,
        throttled_until=NOW + 30,
        recovery_salt=b"sixteen bytes of",
        recovery_digests=frozenset(bytes([number]) * 32 for number in range(10)),
        authenticators=(phone(), tablet()),
        created_at=NOW - 100,
        updated_at=NOW - 7,
        exempt_until=NOW + 86_400,
    )


def without_secrets(record: UserRecord) -> UserRecord:
    return record._replace(
        authenticators=tuple(a._replace(secret=None) for a in record.authenticators)
    )


# One contract for several stores, each with a fixture of its own; older hypothesis knows not all.
SHARED = [c for c in HealthCheck if c.name in ("function_scoped_fixture", "differing_executors")]


class Backend(ABC):
    """One empty store of the backend under test, in a place of its own."""

    sealer: Sealer

    @abstractmethod
    def open(self) -> Store:
        """Open the store once more, over a connection of its own."""

    @abstractmethod
    def tamper(self, statement: str) -> None:
        """Run ``statement`` behind the program's back, without the checks of a foreign key."""

    @abstractmethod
    def count(self, table: str) -> int:
        """Return the number of rows of ``table``."""

    def save(self, record: UserRecord) -> None:
        with self.open() as store, store.transaction(record.name) as transaction:
            transaction.save(record)

    def load(self, name: str) -> UserRecord | None:
        with self.open() as store:
            return store.load(name)

    def load_with_secrets(self, name: str) -> UserRecord | None:
        with self.open() as store, store.transaction(name) as transaction:
            return transaction.record


@pytest.mark.filterwarnings("error")
class StoreContract:
    @pytest.fixture
    def backend(self) -> Backend:
        raise NotImplementedError("a backend's tests give their own")

    @pytest.fixture
    def store(self, backend: Backend) -> Iterator[Store]:
        with backend.open() as opened:
            yield opened

    # Round trips

    def test_a_new_store_knows_nobody(self, store: Store) -> None:
        assert [] == list(store.records())
        assert store.load("alice") is None
        with store.transaction("alice") as transaction:
            assert transaction.record is None
        assert [] == store.check()

    def test_every_field_comes_back_in_a_transaction_of_another_connection(
        self, backend: Backend
    ) -> None:
        backend.save(full_record())
        assert full_record() == backend.load_with_secrets("alice")

    def test_load_gives_every_field_but_the_secrets(self, backend: Backend) -> None:
        backend.save(full_record())
        assert without_secrets(full_record()) == backend.load("alice")

    def test_defaults_come_back_as_they_were(self, backend: Backend) -> None:
        backend.save(UserRecord("alice"))
        assert UserRecord("alice") == backend.load("alice")

    @settings(
        max_examples=40,
        deadline=None,
        database=None,
        suppress_health_check=SHARED,
    )
    @given(before=records(), after=records(), kept=st.integers(0, 3))
    def test_what_was_saved_last_is_what_is_there(
        self, backend: Backend, before: UserRecord, after: UserRecord, kept: int
    ) -> None:
        """Whatever of the former record stays, goes or changes."""
        stay = tuple(
            authenticator._replace(drift=7, last_accepted_step=8, last_used_at=9)
            for authenticator in before.authenticators[:kept]
        )
        labels = {authenticator.label for authenticator in stay}
        new = tuple(a for a in after.authenticators if a.label not in labels)
        after = after._replace(authenticators=tuple(sorted(stay + new, key=lambda a: a.label)))
        with backend.open() as store, store.transaction("alice") as transaction:
            transaction.save(None)
            transaction.save(before)
        assert before == backend.load_with_secrets("alice")
        backend.save(after)
        assert after == backend.load_with_secrets("alice")
        with backend.open() as store:
            assert [] == store.check()

    def test_a_transaction_shows_what_it_has_saved(self, store: Store) -> None:
        with store.transaction("alice") as transaction:
            transaction.save(full_record())
            assert full_record() == transaction.record
            transaction.save(None)
            assert transaction.record is None

    def test_the_last_of_several_saves_in_a_transaction_counts(self, backend: Backend) -> None:
        with backend.open() as store, store.transaction("alice") as transaction:
            transaction.save(full_record())
            transaction.save(full_record()._replace(authenticators=(tablet(),), failures=9))
            transaction.save(full_record()._replace(authenticators=(phone(),), failures=8))
        expected = full_record()._replace(authenticators=(phone(),), failures=8)
        assert expected == backend.load_with_secrets("alice")

    def test_an_authenticator_removed_and_one_of_the_same_label_added_is_the_new_one(
        self, backend: Backend
    ) -> None:
        backend.save(full_record())
        new = phone("another id", secret=b"another secret")
        backend.save(full_record()._replace(authenticators=(new,)))
        saved = backend.load_with_secrets("alice")
        assert saved is not None
        assert (new,) == saved.authenticators

    def test_an_authenticator_can_be_renamed(self, backend: Backend) -> None:
        backend.save(full_record())
        renamed = full_record()._replace(authenticators=(phone(label="old phone"), tablet()))
        backend.save(renamed)
        assert renamed == backend.load_with_secrets("alice")

    def test_two_authenticators_can_exchange_their_labels(self, backend: Backend) -> None:
        backend.save(full_record())
        exchanged = (tablet()._replace(label="phone"), phone(label="tablet"))
        backend.save(full_record()._replace(authenticators=exchanged))
        saved = backend.load_with_secrets("alice")
        assert saved is not None
        assert exchanged == saved.authenticators

    def test_authenticators_come_in_the_order_of_their_labels(self, backend: Backend) -> None:
        made = [phone(f"id {label}", label) for label in ("zebra", "ape", "Yak", "10", "9", "é")]
        backend.save(UserRecord("alice", authenticators=tuple(made)))
        saved = backend.load("alice")
        assert saved is not None
        assert sorted(a.label for a in made) == [a.label for a in saved.authenticators]

    def test_a_used_recovery_code_is_gone_and_the_others_stay(self, backend: Backend) -> None:
        backend.save(full_record())
        used = bytes([4]) * 32
        left = full_record().recovery_digests - {used}
        backend.save(full_record()._replace(recovery_digests=left))
        saved = backend.load("alice")
        assert saved is not None
        assert left == saved.recovery_digests

    def test_the_same_digest_may_belong_to_two_users(self, backend: Backend) -> None:
        for name in ("alice", "bob"):
            backend.save(UserRecord(name, recovery_digests=frozenset((b"d" * 32,))))
        backend.save(UserRecord("alice"))
        bob = backend.load("bob")
        assert bob is not None
        assert frozenset((b"d" * 32,)) == bob.recovery_digests

    def test_a_removed_user_leaves_nothing_behind(self, backend: Backend) -> None:
        backend.save(full_record())
        with backend.open() as store, store.transaction("alice") as transaction:
            transaction.save(None)
        assert backend.load("alice") is None
        tables = ("users", "authenticators", "recovery_codes")
        assert [0, 0, 0] == [backend.count(table) for table in tables]

    def test_removing_a_user_nobody_knows_changes_nothing(self, backend: Backend) -> None:
        backend.save(full_record("bob"))
        with backend.open() as store, store.transaction("alice") as transaction:
            transaction.save(None)
        assert full_record("bob") == backend.load_with_secrets("bob")

    def test_a_user_enrolled_again_has_nothing_of_before(self, backend: Backend) -> None:
        backend.save(full_record())
        with backend.open() as store, store.transaction("alice") as transaction:
            transaction.save(None)
        backend.save(UserRecord("alice"))
        assert UserRecord("alice") == backend.load_with_secrets("alice")

    # Names

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_a_name_is_only_a_name(self, backend: Backend, name: str) -> None:
        backend.save(full_record("bystander")._replace(authenticators=()))
        backend.save(full_record(name))
        assert full_record(name) == backend.load_with_secrets(name)
        with backend.open() as store:
            assert sorted(("bystander", name)) == [record.name for record in store.records()]
            assert [] == store.check()
            with store.transaction(name) as transaction:
                transaction.save(None)
            assert ["bystander"] == [record.name for record in store.records()]

    @settings(
        max_examples=40,
        deadline=None,
        database=None,
        suppress_health_check=SHARED,
    )
    @given(name=names)
    def test_any_name_comes_back_and_goes(self, backend: Backend, name: str) -> None:
        backend.save(UserRecord(name, failures=1))
        assert UserRecord(name, failures=1) == backend.load(name)
        with backend.open() as store, store.transaction(name) as transaction:
            transaction.save(None)
        assert backend.load(name) is None

    def test_all_odd_names_are_different_users(self, backend: Backend) -> None:
        for number, name in enumerate(ODD_NAMES):
            backend.save(UserRecord(name, failures=number))
        found = [backend.load(name) for name in ODD_NAMES]
        assert list(range(len(ODD_NAMES))) == [record.failures for record in found if record]

    def test_records_come_ordered_by_name_without_secrets(self, backend: Backend) -> None:
        for number, name in enumerate(ODD_NAMES):
            kept = (phone(f"id {number}"),)
            backend.save(full_record(name)._replace(authenticators=kept))
        with backend.open() as store:
            listed = list(store.records())
        assert sorted(ODD_NAMES) == [record.name for record in listed]
        expected = without_secrets(full_record()._replace(authenticators=(phone(),)))
        for record in listed:
            (one,) = record.authenticators
            assert expected == record._replace(
                name="alice", authenticators=(one._replace(id="id of the phone"),)
            )

    # Rules for groups

    def test_a_new_store_has_no_rule_for_any_group(self, store: Store) -> None:
        assert () == store.group_rules()

    def test_rules_come_back_ordered_by_name_over_another_connection(
        self, backend: Backend
    ) -> None:
        rules = [
            GroupRule(name, EXEMPT if number % 2 else REQUIRED, number * NOW)
            for number, name in enumerate(ODD_NAMES)
        ]
        with backend.open() as store:
            for rule in rules:
                store.save_group_rule(rule)
            assert tuple(sorted(rules)) == store.group_rules()
        with backend.open() as store:
            assert tuple(sorted(rules)) == store.group_rules()
            assert [] == store.check()
            assert [] == list(store.records())

    def test_a_group_has_one_rule_the_last_that_was_saved(self, store: Store) -> None:
        for rule in (GroupRule("staff", EXEMPT, NOW), GroupRule("staff", REQUIRED)):
            store.save_group_rule(rule)
            assert (rule,) == store.group_rules()

    def test_a_rule_that_is_removed_leaves_the_others(self, backend: Backend) -> None:
        with backend.open() as store:
            for name in ODD_NAMES:
                store.save_group_rule(GroupRule(name, REQUIRED))
            for number, name in enumerate(ODD_NAMES, 1):
                store.remove_group_rule(name)
                assert len(ODD_NAMES) - number == len(store.group_rules())
                assert name not in [rule.name for rule in store.group_rules()]
        assert 0 == backend.count("group_rules")

    def test_removing_a_rule_that_no_group_has_changes_nothing(self, store: Store) -> None:
        store.save_group_rule(GroupRule("staff", REQUIRED))
        store.remove_group_rule("Staff")
        assert (GroupRule("staff", REQUIRED),) == store.group_rules()

    def test_rules_and_users_of_the_same_name_do_not_meet(self, backend: Backend) -> None:
        backend.save(full_record("staff"))
        with backend.open() as store:
            store.save_group_rule(GroupRule("staff", EXEMPT))
            store.remove_group_rule("staff")
        assert full_record("staff") == backend.load_with_secrets("staff")

    def test_a_rule_that_this_program_does_not_know_is_not_saved(self, backend: Backend) -> None:
        with backend.open() as store:
            store.save_group_rule(GroupRule("robots", EXEMPT))
            with pytest.raises(PamTotpError):
                store.save_group_rule(GroupRule("staff", "sometimes"))
            assert (GroupRule("robots", EXEMPT),) == store.group_rules()
            store.save_group_rule(GroupRule("staff", REQUIRED))  # nothing is left open

    def test_writers_of_rules_wait_for_each_other_and_for_logins(self, backend: Backend) -> None:
        backend.save(full_record())

        def change(number: int) -> None:
            for turn in range(5):
                with backend.open() as store:
                    store.save_group_rule(GroupRule(f"group{number}", EXEMPT, turn))
                    with store.transaction("alice") as transaction:
                        assert transaction.record is not None
                        failures = transaction.record.failures + 1
                        transaction.save(transaction.record._replace(failures=failures))

        threads = [threading.Thread(target=change, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        expected = tuple(GroupRule(f"group{number}", EXEMPT, 4) for number in range(4))
        with backend.open() as store:
            assert expected == store.group_rules()
        saved = backend.load("alice")
        assert saved is not None
        assert full_record().failures + 20 == saved.failures

    # Isolation

    def test_an_exception_in_a_transaction_writes_nothing(self, backend: Backend) -> None:
        backend.save(full_record())
        with backend.open() as store:
            for error in (KeyboardInterrupt, ZeroDivisionError):
                with suppress(error), store.transaction("alice") as transaction:
                    transaction.save(full_record()._replace(failures=99, authenticators=()))
                    raise error
                with suppress(error), store.transaction("alice") as transaction:
                    transaction.save(None)
                    raise error
            assert without_secrets(full_record()) == store.load("alice")
        assert full_record() == backend.load_with_secrets("alice")

    def test_nobody_sees_a_save_before_its_transaction_ends(self, backend: Backend) -> None:
        backend.save(full_record())
        with backend.open() as reader:
            with backend.open() as writer, writer.transaction("alice") as transaction:
                transaction.save(full_record()._replace(failures=77))
                assert without_secrets(full_record()) == reader.load("alice")
            after = reader.load("alice")
        assert after is not None
        assert 77 == after.failures

    def test_no_update_is_lost_among_many_writers(self, backend: Backend) -> None:
        backend.save(UserRecord("alice"))
        start, problems = threading.Barrier(4), []

        def count_up() -> None:
            try:
                with backend.open() as store:
                    start.wait(60)
                    for _ in range(25):
                        with store.transaction("alice") as transaction:
                            assert transaction.record is not None
                            more = transaction.record.failures + 1
                            transaction.save(transaction.record._replace(failures=more))
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=count_up) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [] == problems
        assert UserRecord("alice", failures=100) == backend.load("alice")

    def test_a_transaction_that_saves_nothing_changes_nothing(self, backend: Backend) -> None:
        backend.save(full_record())
        with backend.open() as store, store.transaction("alice"):
            pass
        assert full_record() == backend.load_with_secrets("alice")

    # What a save refuses

    def refused(self, backend: Backend, name: str, record: UserRecord) -> None:
        """Saving ``record`` raises, and what the store held before, it holds after."""
        with backend.open() as store:
            before = list(store.records())
            with (
                pytest.raises((ValueError, PamTotpError)),
                store.transaction(name) as transaction,
            ):
                transaction.save(record)
            assert before == list(store.records())
            with store.transaction(name):  # and the connection is of use
                pass

    def test_a_save_for_another_name_is_refused(self, backend: Backend) -> None:
        backend.save(full_record("bob"))
        self.refused(backend, "alice", full_record("bob")._replace(failures=50))
        self.refused(backend, "alice", UserRecord("bob", failures=50))
        self.refused(backend, "Bob", UserRecord("bob"))
        self.refused(backend, "alice", UserRecord("carol"))

    @pytest.mark.parametrize(
        "changed",
        [
            {"secret": b"another secret"},
            {"secret": None},
            {"algorithm": "SHA256"},
            {"digits": 8},
            {"period": 60},
            {"created_at": NOW + 1},
        ],
        ids=lambda changed: next(iter(changed)),
    )
    def test_a_fixed_field_of_an_authenticator_is_refused_to_change(
        self, backend: Backend, changed: dict[str, object]
    ) -> None:
        backend.save(full_record())
        altered = phone()._replace(**changed)
        self.refused(backend, "alice", full_record()._replace(authenticators=(altered, tablet())))
        assert full_record() == backend.load_with_secrets("alice")

    def test_a_duplicate_label_is_refused_and_leaves_nothing(self, backend: Backend) -> None:
        backend.save(full_record())
        second = phone("another id")
        record = full_record("bob")._replace(
            authenticators=(phone("third id"), second), recovery_digests=frozenset((b"d" * 32,))
        )
        self.refused(backend, "bob", record)
        self.refused(backend, "alice", full_record()._replace(authenticators=(phone(), second)))
        assert full_record() == backend.load_with_secrets("alice")
        assert [1, 2, 10] == [
            backend.count(table) for table in ("users", "authenticators", "recovery_codes")
        ]

    def test_an_authenticator_of_somebody_else_is_refused(self, backend: Backend) -> None:
        backend.save(full_record())
        self.refused(backend, "bob", UserRecord("bob", authenticators=(phone(),)))
        assert full_record() == backend.load_with_secrets("alice")

    def test_an_authenticator_without_a_secret_is_refused(self, backend: Backend) -> None:
        self.refused(backend, "alice", UserRecord("alice", authenticators=(phone(secret=None),)))

    @pytest.mark.parametrize(
        "record",
        [
            UserRecord("alice", status="superuser"),
            UserRecord("alice", failures=-1),
            UserRecord("alice", authenticators=(phone(algorithm="MD5"),)),
            UserRecord("alice", authenticators=(phone(digits=1),)),
            UserRecord("alice", authenticators=(phone(period=0),)),
        ],
        ids=["status", "failures", "algorithm", "digits", "period"],
    )
    def test_a_value_that_no_login_could_judge_is_refused(
        self, backend: Backend, record: UserRecord
    ) -> None:
        self.refused(backend, "alice", record)

    # Secrets

    def test_a_row_moved_to_another_user_is_found_and_does_not_open(self, backend: Backend) -> None:
        backend.save(full_record())
        backend.save(UserRecord("bob"))
        backend.tamper("UPDATE authenticators SET \"user\" = 'bob' WHERE label = 'phone'")
        with backend.open() as store:
            (problem,) = store.check()
            assert problem.startswith("bob: ")
            with pytest.raises(SealingError), store.transaction("bob"):
                pytest.fail("a moved secret opened")
            with store.transaction("alice") as transaction:
                assert transaction.record is not None
                assert ("tablet",) == tuple(a.label for a in transaction.record.authenticators)

    @pytest.mark.parametrize(
        "alteration",
        ["digits = 6", "period = 3600", "algorithm = 'SHA1'", "id = 'another id'"],
    )
    def test_a_weakened_row_is_found_and_does_not_open(
        self, backend: Backend, alteration: str
    ) -> None:
        backend.save(full_record())
        backend.tamper(f"UPDATE authenticators SET {alteration} WHERE label = 'tablet'")
        with backend.open() as store:
            (problem,) = store.check()
            assert problem.startswith("alice: ")
            with pytest.raises(SealingError), store.transaction("alice"):
                pytest.fail("an altered secret opened")

    def test_a_secret_copied_over_another_is_found(self, backend: Backend) -> None:
        backend.save(full_record())
        backend.save(UserRecord("bob", authenticators=(phone("id of bob's"),)))
        backend.tamper(
            "UPDATE authenticators SET sealed_secret = (SELECT sealed_secret FROM authenticators "
            "WHERE id = 'id of bob''s') WHERE id = 'id of the phone'"
        )
        with backend.open() as store:
            (problem,) = store.check()
            assert problem.startswith("alice: ")

    def test_every_user_in_trouble_is_named(self, backend: Backend) -> None:
        for name in ("alice", "bob", "carol"):
            backend.save(UserRecord(name, authenticators=(phone(f"id of {name}"),)))
        backend.tamper("UPDATE authenticators SET period = 31 WHERE \"user\" <> 'bob'")
        with backend.open() as store:
            assert ["alice", "carol"] == [problem.split(":")[0] for problem in store.check()]

    def test_rows_that_belong_to_no_user_are_found(self, backend: Backend) -> None:
        backend.save(full_record())
        backend.tamper("DELETE FROM users WHERE name = 'alice'")
        with backend.open() as store:
            problems = store.check()
        assert problems
        assert any("belong" in problem and "no user" in problem for problem in problems), problems

    def test_no_problem_ever_tells_a_secret(self, backend: Backend) -> None:
        backend.save(full_record())
        backend.tamper("UPDATE authenticators SET period = 31")
        with backend.open() as store:
            text = "\n".join(store.check())
        assert "12345678901234567890" not in text
        assert b"12345678901234567890".hex() not in text

    # Decoys

    def test_a_decoy_counts_failures_for_its_name_alone(self, backend: Backend) -> None:
        policy = Policy()
        with backend.open() as store:
            for number in range(1, 4):
                with store.decoy_transaction("mallory") as transaction:
                    verdict, changed = verifier.verify(
                        transaction.record, Answer(verifier.CODE, "nobody"), NOW, policy
                    )
                    transaction.save(changed)
                assert verifier.REJECTED == verdict.outcome
                assert number == store.load_decoy("mallory").failures
            assert 0 == store.load_decoy("trent").failures
        with backend.open() as store:
            assert 3 == store.load_decoy("mallory").failures
            assert store.load("mallory") is None
            assert [] == list(store.records())

    def test_a_decoy_is_throttled_as_a_user_is(self, store: Store) -> None:
        policy, outcomes = Policy(throttle_after=3), []
        for _ in range(4):
            with store.decoy_transaction("mallory") as transaction:
                answer = Answer(verifier.CODE, "nobody")
                verdict, changed = verifier.verify(transaction.record, answer, NOW, policy)
                transaction.save(changed)
            outcomes.append(verdict.outcome)
        assert [verifier.REJECTED] * 3 + [verifier.THROTTLED] == outcomes
        assert NOW + 30 == store.load_decoy("mallory").throttled_until

    def test_a_decoy_never_accepts_not_even_the_code_it_waits_for(self, store: Store) -> None:
        with store.decoy_transaction("mallory") as transaction:
            decoy = transaction.record
        (authenticator,) = decoy.authenticators
        assert authenticator.secret is not None
        code = otp.hotp(authenticator.secret, otp.time_step(NOW, authenticator.period))
        (digest,) = decoy.recovery_digests
        for answer in (
            Answer(verifier.CODE, code),
            Answer(verifier.RECOVERY_CODE, "", decoy.recovery_salt, digest),
        ):
            verdict, _ = verifier.verify(decoy, answer, NOW, Policy())
            assert verifier.REJECTED == verdict.outcome

    def test_a_decoy_is_the_same_for_the_same_name_and_differs_between_names(
        self, backend: Backend
    ) -> None:
        with backend.open() as one, backend.open() as other:
            assert one.load_decoy("mallory") == other.load_decoy("mallory")
            seen = {(d.recovery_salt, d.recovery_digests) for d in map(one.load_decoy, ODD_NAMES)}
        assert len(ODD_NAMES) == len(seen)

    def test_a_decoy_holds_as_many_bytes_of_salt_and_digest_as_a_user(self, store: Store) -> None:
        decoy = store.load_decoy("mallory")
        assert decoy.recovery_salt is not None
        assert 16 == len(decoy.recovery_salt)
        assert {32} == {len(digest) for digest in decoy.recovery_digests}

    def test_an_exception_in_the_transaction_of_a_decoy_writes_nothing(self, store: Store) -> None:
        with suppress(ZeroDivisionError), store.decoy_transaction("mallory") as transaction:
            transaction.save(transaction.record._replace(failures=5))
            raise ZeroDivisionError
        assert 0 == store.load_decoy("mallory").failures

    def test_a_decoy_cannot_be_removed(self, store: Store) -> None:
        with pytest.raises(ValueError, match="decoy"), store.decoy_transaction("x") as transaction:
            transaction.save(None)

    def test_decoys_of_any_name_can_be_had(self, store: Store) -> None:
        for name in (*ODD_NAMES, "", "not utf-8 \udcff"):
            with store.decoy_transaction(name) as transaction:
                transaction.save(transaction.record._replace(failures=1))
            assert 1 <= store.load_decoy(name).failures

    # Closing

    def test_a_store_that_was_left_is_closed(self, backend: Backend) -> None:
        with backend.open() as store:
            pass
        with pytest.raises(Unavailable):
            store.load("alice")
