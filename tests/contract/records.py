"""What was saved comes back, field by field, whatever the name is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from pam_totp.core.users import UserRecord
from tests.contract.backend import SHARED, Backend
from tests.contract.sample_records import (
    ODD_NAMES,
    full_record,
    names,
    phone,
    records,
    tablet,
    without_secrets,
)
from tests.support import thorough
from tests.support.each import each

if TYPE_CHECKING:
    from tests.contract.backend import BothFaces


class KeepsRecords:
    # Round trips

    def test_a_new_store_knows_nobody(self, store: BothFaces) -> None:
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

    def test_snapshots_of_many_are_those_of_each(self, backend: Backend) -> None:
        backend.save(full_record())
        backend.save(UserRecord("bob"))
        backend.save(UserRecord("carol"))
        with backend.open() as store:
            assert {} == store.load_all([])
            assert {
                "alice": without_secrets(full_record()),
                "carol": UserRecord("carol"),
            } == store.load_all(["dave", "carol", "\udcff", "alice"])

    def test_defaults_come_back_as_they_were(self, backend: Backend) -> None:
        backend.save(UserRecord("alice"))
        assert UserRecord("alice") == backend.load("alice")

    @settings(
        max_examples=thorough.examples(20),
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

    def test_a_transaction_shows_what_it_has_saved(self, store: BothFaces) -> None:
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

    @each("name", ODD_NAMES)
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
        max_examples=thorough.examples(20),
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
