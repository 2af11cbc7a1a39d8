"""What was changed behind the program's back is found, and does not open."""

from __future__ import annotations

import pytest

from pam_totp.core.users import UserRecord
from pam_totp.system.errors import SealingError
from tests.contract.backend import Backend
from tests.contract.sample_records import full_record, phone


class FindsDamage:
    def test_a_row_moved_to_another_user_is_found_and_does_not_open(self, backend: Backend) -> None:
        backend.save(full_record())
        backend.save(UserRecord("bob"))
        backend.tamper(f"UPDATE authenticators SET {backend.owner} = 'bob' WHERE label = 'phone'")
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
        ["digits = 6", "period = 3600", "algorithm = 'SHA1'", "id = 'another id'", "kind = 'totp'"],
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
        backend.tamper(f"UPDATE authenticators SET period = 31 WHERE {backend.owner} <> 'bob'")
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
