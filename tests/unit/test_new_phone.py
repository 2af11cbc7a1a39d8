"""The offer of a new phone after a login with a recovery code."""

from __future__ import annotations

import pwd
from collections.abc import Mapping

import pytest

from pam_totp.core import own_changes, users
from pam_totp.core.users import Account, UserRecord
from pam_totp.core.verifier import Policy
from pam_totp.login import flow, messages
from pam_totp.login.steps import AccountEntry, Request, Told
from pam_totp.system.errors import LoginAborted, StoreUnavailable
from tests.support.each import each
from tests.unit.alice import TABLET
from tests.unit.script import ALICE, DIGEST, REQUEST, Script, code

CODE = "ABCD-EFGH-JKMN-PQRS"
ON: Mapping[str, object] = {"self_service": True}
AFTER_A_PASSWORD = REQUEST._replace(password_given=True)
WITH_A_KEY = REQUEST._replace(ssh_auth_info="publickey ssh-ed25519 AAAA")
OWNER = ALICE._replace(
    recovery_salt=bytes(16),
    recovery_digests=frozenset((DIGEST, b"another".ljust(32))),
    uid=1000,
)


def script(
    *answers: object,
    record: UserRecord = OWNER,
    request: Request = AFTER_A_PASSWORD,
    settings: Mapping[str, object] = ON,
    **how: object,
) -> Script:
    return Script(*answers, record=record, request=request, settings=settings, **how)  # type: ignore[arg-type]


def labels(record: UserRecord | None) -> list[tuple[str, str]]:
    assert record is not None
    return [(held.id, held.label) for held in record.authenticators]


@pytest.mark.parametrize("request_", [AFTER_A_PASSWORD, WITH_A_KEY])
def test_a_new_phone_is_set_up_in_the_login(request_: Request) -> None:
    login = script(CODE, "yes", code, request=request_)
    assert flow.PAM_SUCCESS == login.log_in()
    assert [("new", "phone")] == labels(login.record)
    assert ["recovery_used", "replaced"] == login.events
    assert login.record is not None
    (note,) = own_changes.notes_of(login.record.own_changes)
    assert ("new-phone", "phone", "198.51.100.7, sshd") == note[1:]
    assert frozenset((b"another".ljust(32),)) == login.record.recovery_digests
    assert messages.changed("new-phone", "phone") == login.shown[-1]


@pytest.mark.parametrize("answer", ["", "no", "yesterday", "123456"])
def test_whoever_does_not_want_one_is_logged_in(answer: str) -> None:
    login = script(CODE, answer)
    assert flow.PAM_SUCCESS == login.log_in()
    assert [("1", "phone")] == labels(login.record)
    assert "issue_authenticator" not in login.names


@each(
    "how",
    [
        {"settings": {}},
        {"request": REQUEST},
        {"proves_password": False},
        {"request": AFTER_A_PASSWORD._replace(is_silent=True)},
        {"request": AFTER_A_PASSWORD._replace(answer_kept=True)},
        {"settings": {**ON, "quiet": True}},
        {"policy": Policy()},
        {"record": OWNER._replace(uid=None)},
    ],
    ids=str,
)
def test_it_is_not_offered_where_it_cannot_be_or_a_recovery_code_would_be_enough(
    how: dict[str, object],
) -> None:
    login = script(CODE, "", **how)
    before = login.record
    assert flow.PAM_SUCCESS == login.log_in()
    is_offered = messages.OFFER_OF_A_NEW_PHONE in login.prompts
    assert ("uid=None" in str(how) or how.get("record") is not None) == is_offered
    assert labels(before) == labels(login.record)


def test_root_gets_no_offer() -> None:
    class Root(Script):
        def look_up_account(self, user: str) -> AccountEntry | None:
            entry = super().look_up_account(user)
            assert entry is not None
            passwd = pwd.struct_passwd(("root", "x", 0, 0, "", "/", "/bin/sh"))
            return entry._replace(account=Account(0, is_local=True), passwd=passwd)

    login = Root(CODE, record=OWNER._replace(uid=0), request=AFTER_A_PASSWORD, settings=ON)
    assert flow.PAM_SUCCESS == login.log_in()
    assert 1 == len(login.prompts)


def test_a_code_of_the_phone_is_no_reason_to_offer_it() -> None:
    login = script(code)
    assert flow.PAM_SUCCESS == login.log_in()
    assert 1 == len(login.prompts)


def test_of_several_devices_nobody_can_tell_which_one_is_lost() -> None:
    login = script(CODE, record=OWNER._replace(authenticators=(*OWNER.authenticators, TABLET)))
    assert flow.PAM_SUCCESS == login.log_in()
    assert messages.NEW_PHONE_BY_COMMAND == login.shown[-1]


def test_wrong_codes_of_the_new_phone_change_nothing_and_deny_nobody() -> None:
    login = script(CODE, "yes", "000000", "000000", "000000")
    assert flow.PAM_SUCCESS == login.log_in()
    assert [("1", "phone")] == labels(login.record)
    assert messages.NO_NEW_PHONE == login.shown[-1]


def test_what_breaks_off_the_offer_denies_nobody_and_changes_nothing() -> None:
    whole = script(CODE, "yes", code)
    whole.log_in()
    begins = whole.names.index("look_up_user", whole.names.index("log recovery_used"))
    ends = whole.names.index("log replaced")
    for at in range(begins, ends):
        error: Exception = StoreUnavailable("store", "is full")
        if whole.names[at] in ("ask", "tell"):
            error = LoginAborted("conversation", "the application is gone")
        login = script(CODE, "yes", code, broken={at: error})
        assert flow.PAM_SUCCESS == login.log_in(), whole.names[at]
        assert [("1", "phone")] == labels(login.record), whole.names[at]


def test_who_was_shown_a_phone_that_cannot_be_kept_hears_that_all_else_stays() -> None:
    whole = script(CODE, "yes", code)
    whole.log_in()
    full = StoreUnavailable("store", "is full")
    login = script(CODE, "yes", code, broken={whole.names.index("change_own"): full})
    assert flow.PAM_SUCCESS == login.log_in()
    assert messages.NEW_PHONE_NOT_KEPT == login.shown[-1]
    before = script(CODE, broken={whole.names.index("judge_stack"): full})
    assert flow.PAM_SUCCESS == before.log_in()
    assert ["recovery_used", "error"] == before.events
    assert "saved" not in " ".join(map(str, before.shown))


def test_a_fault_in_the_offer_denies_nobody_whose_recovery_code_is_used_up() -> None:
    whole = script(CODE, "yes", code)
    whole.log_in()
    for at in range(whole.names.index("judge_stack"), whole.names.index("change_own") + 1):
        login = script(CODE, "yes", code, broken={at: RuntimeError("with a secret")})
        assert flow.PAM_SUCCESS == login.log_in(), whole.names[at]
        assert ["recovery_used", "error"] == login.events
        assert "secret" not in str(login.steps[-1])


def test_a_message_that_is_not_shown_ends_it() -> None:
    login = script(CODE, "yes", told=Told(is_shown=False))
    assert flow.PAM_SUCCESS == login.log_in()
    assert [("1", "phone")] == labels(login.record)


def test_what_an_administrator_did_meanwhile_is_not_overruled() -> None:
    login = script(CODE, "yes", lambda: suspended(login))
    assert flow.PAM_SUCCESS == login.log_in()
    assert login.record is not None
    assert users.SUSPENDED == login.record.status
    assert messages.OVERTAKEN == login.shown[-1]


def suspended(login: Script) -> str:
    assert login.record is not None
    login.record = login.record.suspended()
    return code()


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        (ON, "Get new ones with: totpctl me recovery-codes"),
        ({}, "Ask an administrator for new ones: totpctl recovery-codes"),
        (
            {**ON, "store": "postgresql://db1/totp"},
            "Ask an administrator for new ones: totpctl recovery-codes",
        ),
    ],
)
def test_people_with_few_codes_left_hear_where_new_ones_come_from(
    settings: Mapping[str, object], hint: str
) -> None:
    login = script(CODE, "", settings=settings)
    login.log_in()
    expected = f"Recovery code accepted. It is used up; 1 left. {hint}"
    assert expected == login.shown[0]
