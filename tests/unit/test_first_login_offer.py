"""Enrolment while somebody logs in: to whom it is offered, and to whom it must not be."""

from __future__ import annotations

import pytest

from pam_totp.core.admission import REQUIRED, GroupRule
from pam_totp.core.users import ACTIVE, EXEMPT, MUST_ENROLL, SUSPENDED, UserRecord
from tests.support.place import code_now, wrong_code
from tests.unit.fake_pam import CONSTANTS, PamException, not_utf_8
from tests.unit.front_door import CODE, FrontDoor, Person, enrol, is_offered


@pytest.mark.parametrize("authtok", [None, "", not_utf_8, PamException])
def test_who_gave_no_password_is_denied(front: FrontDoor, authtok: object) -> None:
    authtok = authtok() if callable(authtok) else authtok
    entered = front.log_in(wrong_code(), argv=["attempts=1"], authtok=authtok)
    assert ("PAM_AUTH_ERR", [CODE]) == (entered.result, entered.pamh.prompts)
    assert "enrollment was not offered: no password was given" in front.door.log.lines()[0]
    assert None is front.record()


@pytest.mark.parametrize("how", [{"flags": CONSTANTS["PAM_SILENT"]}, {"argv": ["quiet"]}], ids=str)
def test_where_messages_are_not_shown_nobody_enrols(
    front: FrontDoor, how: dict[str, object]
) -> None:
    entered = front.log_in("1", "2", "3", **how)
    assert ("PAM_AUTH_ERR", False) == (entered.result, is_offered(entered))
    assert "enrollment was not offered: messages are not shown" in front.door.log.lines()[0]


def test_a_file_that_says_quiet_offers_it_to_nobody(front: FrontDoor) -> None:
    front.configure(quiet="yes")
    assert not is_offered(front.log_in("1", "2", "3"))


UNPROVEN = {
    "the code first": "auth required pam_totp.so\nauth required pam_unix.so\n",
    "no password": "auth required pam_totp.so\n",
    "after a wrong password": "auth required pam_unix.so\nauth required pam_totp.so\n",
    "an optional password": "auth optional pam_unix.so\nauth required pam_totp.so\n",
    "a substack": "auth substack password\nauth required pam_totp.so\n",
    "not understood": "auth [nonsense pam_unix.so\nauth required pam_totp.so\n",
    "includes nothing": "auth include nothing\nauth required pam_totp.so\n",
    "a key after a password that may be wrong": (
        "auth optional pam_unix.so\n"
        "auth requisite pam_totp.so first_factor=key\n"
        "auth required pam_totp.so\n"
    ),
}


@pytest.mark.parametrize("text", UNPROVEN.values(), ids=UNPROVEN)
def test_where_the_pam_file_does_not_prove_the_password_nobody_enrols(
    front: FrontDoor, text: str
) -> None:
    front.pam_file("password", "auth sufficient pam_unix.so\nauth required pam_deny.so\n")
    front.pam_file("sshd", text)
    entered = front.log_in("1", argv=["attempts=1"])
    assert ("PAM_AUTH_ERR", [CODE]) == (entered.result, entered.pamh.prompts)
    assert "enrollment was not offered: the PAM file" in front.door.log.lines()[0]
    assert None is front.record()


@pytest.mark.parametrize("service", ["unknown", "unprivileged.sshd", "", None])
def test_a_service_without_a_pam_file_offers_it_to_nobody(
    front: FrontDoor, service: object
) -> None:
    assert not is_offered(front.log_in("1", argv=["attempts=1"], service=service))


def test_who_is_enrolled_is_asked_for_a_code(front: FrontDoor) -> None:
    entered = front.log_in(wrong_code(), code_now(), user="alice")
    assert ("PAM_SUCCESS", [CODE, CODE]) == (entered.result, entered.pamh.prompts)


@pytest.mark.parametrize("status", [ACTIVE, MUST_ENROLL, SUSPENDED])
def test_who_has_an_authenticator_never_enrols_here(front: FrontDoor, status: str) -> None:
    front.place.enrol("bob", status=status)
    before = front.record()
    assert not is_offered(front.log_in("1", argv=["attempts=1"]))
    assert before == front.record()


def test_who_is_suspended_without_an_authenticator_is_denied(front: FrontDoor) -> None:
    front.save(UserRecord("bob", SUSPENDED))
    assert not is_offered(front.log_in("1", argv=["attempts=1"]))


@pytest.mark.parametrize("unenrolled", ["deny", "skip"])
def test_who_need_not_enrol_is_not_offered_it(front: FrontDoor, unenrolled: str) -> None:
    front.configure(unenrolled=unenrolled)
    entered = front.log_in(*["1"] * (unenrolled == "deny"), argv=["attempts=1"])
    assert ("PAM_AUTH_ERR" if unenrolled == "deny" else "PAM_IGNORE") == entered.result
    assert not is_offered(entered)


def test_an_account_that_is_not_there_is_not_offered_it(front: FrontDoor) -> None:
    assert not is_offered(front.log_in("1", argv=["attempts=1"], user="mallory"))


@pytest.mark.parametrize("unenrolled", ["deny", "skip", "enroll"])
def test_who_must_enrol_enrols_whatever_holds_for_others(
    front: FrontDoor, bob: Person, unenrolled: str
) -> None:
    front.configure(unenrolled=unenrolled)
    front.save(UserRecord("bob", MUST_ENROLL, created_at=5))
    assert "PAM_SUCCESS" == enrol(front, bob).result
    record = front.record()
    assert record is not None
    assert (ACTIVE, 5, 1) == (record.status, record.created_at, len(record.authenticators))


def test_members_of_a_required_group_enrol(front: FrontDoor, bob: Person) -> None:
    front.configure(unenrolled="deny")
    with front.place.open() as store:
        store.save_group_rule(GroupRule("staff", REQUIRED))
    assert "PAM_SUCCESS" == enrol(front, bob).result
    assert "group=staff" in front.door.log.lines()[0]


def test_who_was_exempt_until_yesterday_enrols_and_is_exempt_no_more(
    front: FrontDoor, bob: Person
) -> None:
    until = int(front.door.clock.now) - 1
    front.save(UserRecord("bob", EXEMPT, exempt_until=until))
    assert "PAM_SUCCESS" == enrol(front, bob).result
    record = front.record()
    assert record is not None
    assert (ACTIVE, 0) == (record.status, record.exempt_until)
