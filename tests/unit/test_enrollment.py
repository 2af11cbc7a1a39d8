"""The first code of a new authenticator: used up by the enrollment, and no login."""

from __future__ import annotations

from pam_totp.core import enrollment, otp, verifier
from pam_totp.core.users import Authenticator
from pam_totp.core.verifier import CODE, Answer, Policy

NOW = 1_800_000_000
SECRET = bytes(range(20))
NEW = Authenticator("id", enrollment.LABEL, SECRET, created_at=NOW)
STEP = otp.time_step(NOW, enrollment.PERIOD)


def judged(code: str) -> tuple[str, Authenticator]:
    verdict, found = enrollment.judge_first_code(NEW, Answer(CODE, code), NOW, Policy())
    return verdict.outcome, found


def test_first_code_is_used_up_and_counts_as_no_login() -> None:
    outcome, found = judged(otp.hotp(SECRET, STEP))
    assert verifier.ACCEPTED == outcome
    assert (STEP, None) == (found.last_accepted_step, found.last_used_at)
    assert NEW._replace(last_accepted_step=STEP) == found


def test_code_outside_the_window_is_not_taken() -> None:
    outcome, found = judged(otp.hotp(SECRET, STEP + 2))
    assert verifier.REJECTED == outcome
    assert -1 == found.last_accepted_step
