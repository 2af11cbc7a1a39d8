"""An account that was made again does not inherit the phone of the one before."""

from __future__ import annotations

from pathlib import Path

import pytest

from pam_totp.core import admission, users
from pam_totp.core.admission import Admission
from pam_totp.core.users import Account, Authenticator, UserRecord
from pam_totp.login import identity
from pam_totp.login.membership import Groups
from pam_totp.system.config import Config
from tests.support.place import code_now
from tests.unit.door import Door

UID = 1000  # of everybody here; see conftest.py
ENROLLED = UserRecord("alice", authenticators=(Authenticator("1", "phone", b"s"),), uid=1001)


def admit(record: UserRecord, account: Account | None) -> Admission:
    return admission.admit(record, (), Groups(), Config(unenrolled="skip"), 1, account)


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alice has her line in /etc/passwd; a name that begins like hers has one, too."""
    passwd = tmp_path / "passwd"
    passwd.write_text("alicex:x:1:1::/:/bin/sh\nalice:x:1000:1000::/:/bin/sh\n", "utf-8")
    monkeypatch.setattr(identity, "PASSWD_FILE", str(passwd))


def of_uid(door: Door, uid: int | None, **fields: object) -> None:
    with door.place.open() as store, store.transaction("alice") as transaction:
        assert transaction.record is not None
        transaction.save(transaction.record._replace(uid=uid, **fields))


@pytest.mark.parametrize(
    "record",
    [
        ENROLLED,
        ENROLLED._replace(status=users.EXEMPT),
        UserRecord("alice", users.EXEMPT, uid=1001),
        UserRecord("alice", uid=1001, recovery_digests=frozenset((b"d",))),
        ENROLLED._replace(status=users.SUSPENDED),
    ],
)
def test_a_record_that_grants_something_denies_a_local_account_of_another_uid(
    record: UserRecord,
) -> None:
    denied = Admission(admission.DENY, admission.OTHER_ACCOUNT)
    assert denied == admit(record, Account(1002, is_local=True))
    for same in (Account(1001, is_local=True), Account(1002, is_local=False), None):
        assert admission.OTHER_ACCOUNT != admit(record, same).reason


def test_a_duty_to_enroll_is_the_same_for_any_account() -> None:
    duty = UserRecord("alice", users.MUST_ENROLL, uid=1001)
    assert admission.ENROLL == admit(duty, Account(1002, is_local=True)).kind


def test_a_record_of_unknown_uid_stays_valid() -> None:
    assert admission.ASK == admit(ENROLLED._replace(uid=None), Account(1, is_local=True)).kind


@pytest.mark.usefixtures("local")
def test_a_local_account_of_another_uid_is_denied_with_the_right_code(door: Door) -> None:
    of_uid(door, 1001)
    assert "PAM_AUTH_ERR" == door.login(code_now(), argv=["attempts=1"]).result
    of_uid(door, UID)
    assert "PAM_SUCCESS" == door.login(code_now(), argv=["attempts=1"]).result


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize("option", ["unenrolled=skip", "unenrolled=enroll"])
def test_it_is_neither_skipped_nor_exempt_nor_offered_to_enroll(door: Door, option: str) -> None:
    of_uid(door, 1001, status=users.EXEMPT)
    entered = door.login(code_now(), argv=["attempts=1", option], authtok="hunter2")
    assert "PAM_AUTH_ERR" == entered.result
    assert [] != entered.pamh.prompts


def test_an_account_of_a_directory_may_be_renumbered(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwd = tmp_path / "passwd"
    passwd.write_text("root:x:0:0::/root:/bin/sh\n", "ascii")
    monkeypatch.setattr(identity, "PASSWD_FILE", str(passwd))
    of_uid(door, 1001)
    assert "PAM_SUCCESS" == door.login(code_now()).result
    assert 1001 == door.place.record("alice").uid  # for doctor


@pytest.mark.usefixtures("local")
def test_the_first_accepted_code_notes_the_uid_and_a_wrong_one_does_not(door: Door) -> None:
    door.login("000000", argv=["attempts=1"])
    record = door.place.record("alice")
    assert (None, 0) == (record.uid, record.bound_at)
    door.login(code_now(), argv=["attempts=1"])
    record = door.place.record("alice")
    assert (UID, int(door.clock.now)) == (record.uid, record.bound_at)


def test_an_account_counts_as_local_where_the_file_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, accounts: None
) -> None:
    monkeypatch.setattr(identity, "PASSWD_FILE", "/nonexistent")
    entry = identity.passwd_entry("alice")
    assert entry is not None
    assert Account(UID, is_local=True) == identity.account(entry)
