"""Several users are enrolled by one commit, or none of them is."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from pam_totp.core.users import ACTIVE, MUST_ENROLL, UserRecord
from pam_totp.system.errors import PamTotpError
from tests.contract.backend import Backend
from tests.contract.sample_records import NOW, full_record, phone, tablet, without_secrets


def enrolled(name: str, **fields: object) -> UserRecord:
    """Return a new record with a phone and two recovery codes, every field set."""
    record = full_record(name)._replace(status=ACTIVE, authenticators=(phone(f"id of {name}"),))
    return record._replace(
        recovery_digests=frozenset((b"1" * 32, name[:1].encode() * 32)), **fields
    )


class KeepsJointTransactions:
    def test_what_several_users_get_comes_back_field_by_field(self, backend: Backend) -> None:
        new = [enrolled(name) for name in ("carol", "alice", "zoë")]
        with backend.open() as store:
            with store.joint_transaction([record.name for record in new]) as transaction:
                assert {} == transaction.records
                for record in new:
                    transaction.save(record)
                assert {record.name: record for record in new} == transaction.records
                assert [] == list(self.seen(backend))
            assert [] == store.check()
        for record in new:
            assert record == backend.load_with_secrets(record.name)

    def seen(self, backend: Backend) -> list[UserRecord]:
        with backend.open() as other:
            return list(other.records())

    def test_records_that_are_there_are_handed_out_without_secrets(self, backend: Backend) -> None:
        backend.save(full_record())
        backend.save(full_record("bob")._replace(authenticators=()))
        with backend.open() as store, store.joint_transaction(["bob", "dave", "alice"]) as joint:
            assert {
                "alice": without_secrets(full_record()),
                "bob": full_record("bob")._replace(authenticators=()),
            } == joint.records

    def test_a_user_who_had_to_enroll_gets_an_authenticator_and_other_codes(
        self, backend: Backend
    ) -> None:
        before = full_record()._replace(status=MUST_ENROLL, authenticators=())
        backend.save(before)
        after = enrolled("alice", created_at=before.created_at, updated_at=NOW, untold=1)
        with backend.open() as store, store.joint_transaction(["alice", "bob"]) as transaction:
            transaction.save(after)
            transaction.save(enrolled("bob"))
        assert [after, enrolled("bob")] == [
            backend.load_with_secrets("alice"),
            backend.load_with_secrets("bob"),
        ]
        assert [2, 2, 4] == [
            backend.count(table) for table in ("users", "authenticators", "recovery_codes")
        ]

    def test_a_second_device_leaves_the_first_one_alone(self, backend: Backend) -> None:
        before = full_record()._replace(authenticators=(phone(),))
        backend.save(before)
        with backend.open() as store, store.joint_transaction(["alice"]) as transaction:
            found = transaction.records["alice"]
            transaction.save(found._replace(authenticators=(*found.authenticators, tablet())))
        assert full_record() == backend.load_with_secrets("alice")

    def test_with_secrets_what_is_there_may_change_as_in_a_transaction_of_one(
        self, backend: Backend
    ) -> None:
        backend.save(full_record())
        backend.save(full_record("bob")._replace(authenticators=(phone("bob's"),)))
        with (
            backend.open() as store,
            store.joint_transaction(["alice", "bob"], unseal=True) as joint,
        ):
            found = joint.records["alice"]
            assert full_record() == found
            first, second = found.authenticators
            first = first._replace(drift=-2, last_accepted_step=99, last_used_at=98, learned=1)
            changed = found._replace(authenticators=(first, second), failures=4).changed_at(NOW)
            joint.save(changed)
            joint.save(joint.records["bob"]._replace(failures=5))
            assert without_secrets(full_record()) == self.seen(backend)[0]
        assert changed == backend.load_with_secrets("alice")
        bob = backend.load_with_secrets("bob")
        assert bob is not None
        assert (5, (phone("bob's"),)) == (bob.failures, bob.authenticators)

    @pytest.mark.parametrize(
        "fields",
        [{"secret": b"another secret of 20"}, {"digits": 8}, {"label": "renamed"}, None],
        ids=str,
    )
    def test_with_secrets_a_secret_still_never_changes_and_nothing_is_removed(
        self, backend: Backend, fields: dict[str, object] | None
    ) -> None:
        backend.save(full_record())
        first, second = full_record().authenticators
        left = (second,) if fields is None else (first._replace(**fields), second)
        changed = (enrolled("bob"), full_record()._replace(authenticators=left))
        with backend.open() as store:
            with (
                pytest.raises((ValueError, PamTotpError)),
                store.joint_transaction(["alice", "bob"], unseal=True) as joint,
            ):
                list(map(joint.save, changed))
            assert ["alice"] == [record.name for record in store.records()]
        assert full_record() == backend.load_with_secrets("alice")

    def test_users_of_whom_nothing_is_saved_stay_as_they_are(self, backend: Backend) -> None:
        backend.save(full_record())
        with backend.open() as store:
            with store.joint_transaction(["alice", "bob", "carol"]) as transaction:
                transaction.save(enrolled("carol"))
            with store.joint_transaction(["alice", "dave"]):
                pass
            assert ["alice", "carol"] == [record.name for record in store.records()]
        assert full_record() == backend.load_with_secrets("alice")

    def test_an_exception_keeps_nothing_of_anybody(self, backend: Backend) -> None:
        backend.save(full_record()._replace(authenticators=()))
        before = self.seen(backend)
        with backend.open() as store:
            for error in (KeyboardInterrupt, ZeroDivisionError):
                with suppress(error), store.joint_transaction(["alice", "bob"]) as transaction:
                    transaction.save(enrolled("alice"))
                    transaction.save(enrolled("bob"))
                    raise error
                assert before == list(store.records())
            with store.transaction("bob") as single:  # and the connection is of use
                single.save(enrolled("bob"))

    @pytest.mark.parametrize(
        "record",
        [
            enrolled("mallory"),
            enrolled("bob", authenticators=(phone("another id", secret=None),)),
            enrolled("bob", authenticators=()),
            enrolled("bob", authenticators=(phone()._replace(drift=1), tablet())),
            enrolled("carol", authenticators=(phone(),)),
            enrolled("carol", authenticators=(phone("1"), phone("2"))),
            enrolled("carol", failures=-1),
            enrolled("carol", status="superuser"),
        ],
        ids=[
            *("another name", "no secret", "one less", "one changed", "somebody else's"),
            *("a label twice", "failures", "status"),
        ],
    )
    def test_what_is_refused_of_one_is_kept_of_nobody(
        self, backend: Backend, record: UserRecord
    ) -> None:
        backend.save(full_record("bob"))
        before = self.seen(backend)
        with backend.open() as store:
            with (
                pytest.raises((ValueError, PamTotpError)),
                store.joint_transaction(["alice", "bob", "carol"]) as transaction,
            ):
                list(map(transaction.save, (enrolled("alice"), record)))
            assert before == list(store.records())

    def test_a_renamed_user_keeps_all_but_the_name_and_is_asked_again(
        self, backend: Backend
    ) -> None:
        backend.save(full_record())
        expected = full_record("alicia")._replace(remembered=())
        backend.save(enrolled("bob"))
        with backend.open() as store:
            with store.joint_transaction(["alice", "alicia"], unseal=True) as joint:
                joint.rename("alice", "alicia")
                assert {"alicia": expected} == joint.records
                assert ["alice", "bob"] == [record.name for record in self.seen(backend)]
            assert store.load("alice") is None
            assert [] == store.check()  # each secret is sealed for the name
        assert expected == backend.load_with_secrets("alicia")
        assert enrolled("bob") == backend.load_with_secrets("bob")
        assert [2, 3, 12] == [
            backend.count(table) for table in ("users", "authenticators", "recovery_codes")
        ]

    def test_a_renamed_user_may_be_changed_in_the_same_commit(self, backend: Backend) -> None:
        backend.save(full_record())
        with (
            backend.open() as store,
            store.joint_transaction(["alice", "alicia"], unseal=True) as joint,
        ):
            joint.rename("alice", "alicia")
            changed = joint.records["alicia"].changed_at(NOW + 1)
            joint.save(changed)
        assert changed == backend.load_with_secrets("alicia")

    def test_a_user_without_an_authenticator_is_renamed_and_back(self, backend: Backend) -> None:
        waiting = UserRecord("alice", MUST_ENROLL, uid=1005)
        backend.save(waiting)
        with backend.open() as store:
            for old, new in (("alice", "alicia"), ("alicia", "alice")):
                with store.joint_transaction([old, new], unseal=True) as joint:
                    joint.rename(old, new)
                assert [new] == [record.name for record in store.records()]
        assert waiting == backend.load_with_secrets("alice")

    @pytest.mark.parametrize(
        ("old", "new", "unseal"),
        [
            ("alice", "bob", True),
            ("carol", "dave", True),
            ("alice", "mallory", True),
            ("alice", "alice", True),
            ("alice", "carol", False),
        ],
    )
    def test_nobody_is_renamed_over_another_or_without_secrets(
        self, backend: Backend, old: str, new: str, unseal: bool
    ) -> None:
        names = ("alice", "bob", "carol", "dave")
        before = [full_record(), enrolled("bob")]
        list(map(backend.save, before))
        with backend.open() as store:
            with (
                pytest.raises(ValueError, match="renamed"),
                store.joint_transaction(names, unseal=unseal) as joint,
            ):
                joint.rename(old, new)
            assert ["alice", "bob"] == [record.name for record in store.records()]
        assert before == list(map(backend.load_with_secrets, ("alice", "bob")))

    def test_an_exception_after_a_rename_leaves_the_old_name(self, backend: Backend) -> None:
        backend.save(full_record())
        with backend.open() as store:
            with (
                suppress(ZeroDivisionError),
                store.joint_transaction(["alice", "alicia"], unseal=True) as joint,
            ):
                joint.rename("alice", "alicia")
                raise ZeroDivisionError
            assert ["alice"] == [record.name for record in store.records()]
        assert full_record() == backend.load_with_secrets("alice")

    def test_two_administrators_who_enroll_the_same_people_enroll_each_once(
        self, backend: Backend
    ) -> None:
        names = [f"user {number}" for number in range(12)]
        start, problems = threading.Barrier(3), []
        counts = []

        def enroll(number: int) -> None:
            try:
                with backend.open() as store:
                    start.wait(60)
                    count = 0
                    for begin in range(0, 12, 4):
                        some = names[begin : begin + 4]
                        with store.joint_transaction(some[:: 1 - 2 * (number % 2)]) as joint:
                            for name in set(some) - set(joint.records):
                                device = phone(f"id {number} of {name}")
                                joint.save(UserRecord(name, authenticators=(device,)))
                                count += 1
                    counts.append(count)
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=enroll, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [] == problems
        assert 12 == sum(counts)
        assert [1] * 12 == [len(record.authenticators) for record in self.seen(backend)]
