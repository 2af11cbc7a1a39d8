"""A transaction is done whole or not at all, and what no login could judge is not saved."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from pam_totp.core.users import UserRecord
from pam_totp.system.errors import PamTotpError
from tests.contract.backend import Backend
from tests.contract.sample_records import NOW, full_record, phone, tablet, without_secrets


class KeepsTransactions:
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
