"""A login that a host judges on its own, while the store of the fleet cannot be reached."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pam_totp.core import otp, verifier
from pam_totp.core.admission import ENROLL, EXEMPT, NO_CODES_KEPT, SKIP, GroupRule
from pam_totp.core.users import Authenticator, UserRecord
from pam_totp.core.verifier import Verdict, verify
from pam_totp.login import messages
from pam_totp.login.flow import PAM_AUTH_ERR, PAM_SUCCESS
from pam_totp.store import Known, LoginAttempt
from tests.unit.alice import ALICE, NOW, PHONE, POLICY, SECRET, STEP, WRONG
from tests.unit.alice import code as answer_of
from tests.unit.script import Script, code


class Offline(Script):
    """A host that keeps codes of ``record``; None: of nobody."""

    def look_up_user(self, name: str, place: str) -> Known:
        return super().look_up_user(name, place)._replace(is_offline=True)

    def verify(self, attempt: LoginAttempt) -> Verdict | None:
        verdict = super().verify(attempt)
        return verdict and verdict._replace(is_offline=True)

    def fields_of(self, event: str) -> dict[str, object]:
        (found,) = (
            step.arguments[2]
            for step in self.steps
            if step.name == "log" and step.arguments[0] == event
        )
        assert isinstance(found, dict)
        return found


def test_a_code_that_is_accepted_offline_is_logged_and_told_as_such() -> None:
    login = Offline(code())
    assert PAM_SUCCESS == login.log_in()
    assert {"authenticator": "phone", "offline": "yes"} == login.fields_of("accepted")
    assert [messages.OFFLINE] == login.shown


def test_a_wrong_code_offline_is_logged_as_such_and_told_like_any_other() -> None:
    login = Offline("000000", settings={"attempts": 1})
    assert PAM_AUTH_ERR == login.log_in()
    assert "yes" == login.fields_of("rejected")["offline"]
    assert messages.OFFLINE not in login.shown


@pytest.mark.parametrize("unenrolled", [SKIP, ENROLL])
def test_what_the_host_does_not_keep_lets_nobody_in(unenrolled: str) -> None:
    """An enrolled user who never came to this host must not count as not enrolled."""
    login = Offline("000000", record=None, settings={"attempts": 1, "unenrolled": unenrolled})
    assert PAM_AUTH_ERR == login.log_in()
    assert NO_CODES_KEPT == login.fields_of("unenrolled")["reason"]
    assert 1 == len(login.prompts)


@pytest.mark.parametrize("record", [ALICE, None])
def test_no_rule_exempts_anybody_offline(record: UserRecord | None) -> None:
    """A group that requires may have been added since, and it would win."""
    login = Offline(
        "000000",
        record=record,
        settings={"attempts": 1, "exempt_groups": ("backup",)},
        rules=[GroupRule("ops", EXEMPT)],
        member_of=("backup", "ops"),
    )
    assert PAM_AUTH_ERR == login.log_in()
    assert "skipped" not in login.events


def test_codes_may_come_from_elsewhere_than_from_secrets() -> None:
    without_secret = ALICE._replace(authenticators=(PHONE._replace(secret=None),))

    def kept(_: Authenticator, given: str, steps: Iterable[int]) -> list[int]:
        return [step for step in steps if given == otp.hotp(SECRET, step)]

    by_secret, _ = verify(ALICE, answer_of(STEP + 1), NOW, POLICY)
    by_kept_codes, _ = verify(without_secret, answer_of(STEP + 1), NOW, POLICY, kept)
    assert verifier.ACCEPTED == by_secret.outcome
    assert by_secret == by_kept_codes
    verdict, record = verify(without_secret, answer_of(STEP + 9), NOW, POLICY, kept)
    assert (verifier.REJECTED, 9) == (verdict.outcome, verdict.clock_offset)
    assert 1 == record.failures
    with pytest.raises(ValueError, match="without its secrets"):
        verify(without_secret, WRONG, NOW, POLICY)
