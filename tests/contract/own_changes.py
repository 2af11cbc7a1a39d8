"""What people change of their own enrollment, in a store that takes it from them."""

from __future__ import annotations

import time

import pytest

from pam_totp.core import own_changes, verifier
from pam_totp.core.own_changes import ADD, NEW_PHONE, RECOVERY_CODES, REMOVE, OwnChange
from pam_totp.core.users import SUSPENDED, UserRecord
from pam_totp.system.errors import Unavailable
from tests.contract.backend import Backend
from tests.contract.questions import ACCOUNT, code, judged, ready
from tests.contract.sample_records import NOW, phone, tablet, without_secrets

WHERE = "198.51.100.7, pts/3"
NEW = phone("id of the new one", "phone", secret=b"another secret of 20")
CHANGES = {
    ADD: OwnChange(ADD, "spare", WHERE, NEW._replace(label="spare")),
    NEW_PHONE: OwnChange(NEW_PHONE, "phone", WHERE, NEW),
    REMOVE: OwnChange(REMOVE, "tablet", WHERE),
    RECOVERY_CODES: OwnChange(
        RECOVERY_CODES, "", WHERE, salt=b"n" * 16, digests=frozenset((b"d" * 32,))
    ),
}


def holder() -> UserRecord:
    """Somebody with a phone, a tablet and one recovery code."""
    return ready()._replace(authenticators=(*ready().authenticators, tablet()))


class KeepsOwnChanges:
    @pytest.fixture(autouse=True)
    def _now(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(time, "time", lambda: NOW + 0.9)

    @pytest.mark.parametrize("kind", CHANGES)
    def test_a_change_is_kept_with_its_secret_and_noted(self, backend: Backend, kind: str) -> None:
        backend.save(holder())
        with backend.open() as store:
            assert store.change_own("alice", CHANGES[kind], without_secrets(holder()))
        kept = backend.load_with_secrets("alice")
        assert kept is not None
        expected = own_changes.changed(holder(), CHANGES[kind], NOW)
        by_label = sorted(expected.authenticators, key=lambda held: held.label)
        assert expected._replace(authenticators=tuple(by_label)) == kept
        assert [(NOW, kind, CHANGES[kind].label, WHERE)] == own_changes.notes_of(kept.own_changes)

    @pytest.mark.parametrize("kind", CHANGES)
    def test_what_was_decided_meanwhile_is_not_overruled(self, backend: Backend, kind: str) -> None:
        meanwhile = (
            holder()._replace(status=SUSPENDED),
            holder()._replace(recovery_salt=b"z" * 16),
            holder()._replace(uid=77),
            ready(),
        )
        for record in meanwhile:
            backend.save(record)
            with backend.open() as store:
                assert not store.change_own("alice", CHANGES[kind], holder())
            assert record == backend.load_with_secrets("alice")

    @pytest.mark.parametrize("kind", CHANGES)
    def test_nobody_enrolls_by_a_change(self, backend: Backend, kind: str) -> None:
        with backend.open() as store:
            assert not store.change_own("alice", CHANGES[kind], holder())
        assert backend.load("alice") is None

    def test_a_login_meanwhile_is_no_reason_against_it(self, backend: Backend) -> None:
        backend.save(holder()._replace(uid=ACCOUNT.uid))
        with backend.open() as store:
            assert verifier.ACCEPTED == judged(store, code()).outcome
            assert store.change_own("alice", CHANGES[NEW_PHONE], holder()._replace(uid=ACCOUNT.uid))
            assert verifier.REJECTED == judged(store, code()).outcome

    def test_the_last_authenticator_is_not_removed(self, backend: Backend) -> None:
        backend.save(ready())
        with backend.open() as store:
            assert not store.change_own("alice", OwnChange(REMOVE, "phone"), ready())
        assert ready() == backend.load_with_secrets("alice")

    def test_a_change_that_cannot_be_kept_changes_nothing(self, backend: Backend) -> None:
        """With the id of somebody else's: the row is refused, and all else with it."""
        backend.save(holder())
        backend.save(UserRecord("bob", authenticators=(phone("of bob"),)))
        clashing = OwnChange(NEW_PHONE, "phone", authenticator=phone("of bob"))
        with backend.open() as store, pytest.raises(Unavailable):
            store.change_own("alice", clashing, holder())
        assert holder() == backend.load_with_secrets("alice")
