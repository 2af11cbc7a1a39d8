"""totpctl unlock, suspend, resume, rebind."""

from __future__ import annotations

import time

import pytest

from pam_totp.core import otp, users, verifier
from tests.cli.command import Totpctl
from tests.support.place import Place, code_now


def with_last_accepted_step(place: Place, step: int) -> None:
    with place.open() as store, store.transaction("alice") as transaction:
        assert transaction.record is not None
        (only,) = transaction.record.authenticators
        changed = only._replace(last_accepted_step=step)
        transaction.save(transaction.record._replace(authenticators=(changed,)))


def current_step() -> int:
    return otp.time_step(int(time.time()), 30)


@pytest.mark.parametrize("failures", [1, 5, 100])
def test_unlock_forgets_wrong_codes_and_the_wait(
    totpctl: Totpctl, place: Place, failures: int
) -> None:
    place.enrol("alice", failures=failures, throttled_until=int(time.time()) + 900)
    result = totpctl.done("unlock", "alice")
    assert ("", f"alice: {failures} wrong codes forgotten\n") == (result.out, result.err)
    record = place.record("alice")
    assert (0, 0) == (record.failures, record.throttled_until)


def test_after_unlock_a_code_logs_in_again(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice", failures=100, throttled_until=int(time.time()) + 900)
    totpctl.done("unlock", "alice")
    with place.open() as store, store.transaction("alice") as transaction:
        record = transaction.record
    assert record is not None
    answer = verifier.classify(code_now(), frozenset((6,)))
    verdict, _ = verifier.verify(record, answer, int(time.time()), verifier.Policy())
    assert verifier.ACCEPTED == verdict.outcome


def test_unlock_mends_a_last_accepted_step_in_the_future(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice")
    with_last_accepted_step(place, current_step() + 10_000)
    before = current_step()
    result = totpctl.done("unlock", "alice")
    assert "alice: the last accepted code of phone is no longer ahead\n" == result.err
    fixed = place.record("alice").authenticators[0].last_accepted_step
    assert before + 1 <= fixed <= current_step() + 1


def test_unlock_reopens_no_code_that_was_shown_so_far(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice")
    with_last_accepted_step(place, current_step() + 10_000)
    codes = [code_now(offset) for offset in (-1, 0, 1)]
    totpctl.done("unlock", "alice")
    with place.open() as store, store.transaction("alice") as transaction:
        record = transaction.record
    assert record is not None
    for code in codes:
        answer = verifier.classify(code, frozenset((6,)))
        verdict, _ = verifier.verify(record, answer, int(time.time()), verifier.Policy())
        assert verifier.ACCEPTED != verdict.outcome


def test_unlock_reopens_no_code_that_a_wider_line_took_early(
    totpctl: Totpctl, place: Place
) -> None:
    """window=10 on the line of one service, and the file says 1."""
    place.enrol("alice")
    early = current_step() + 8
    with_last_accepted_step(place, early)
    totpctl.done("unlock", "alice")
    assert early == place.record("alice").authenticators[0].last_accepted_step


def test_unlock_leaves_a_last_accepted_step_of_now_alone(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice")
    step = current_step()
    with_last_accepted_step(place, step)
    result = totpctl.done("unlock", "alice")
    assert "alice: nothing to unlock\n" == result.err
    assert step == place.record("alice").authenticators[0].last_accepted_step


def test_unlock_keeps_a_suspension(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice", status=users.SUSPENDED, failures=3)
    totpctl.done("unlock", "alice")
    assert users.SUSPENDED == place.record("alice").status


def test_suspend_then_resume_brings_the_user_back(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice")
    before = place.record("alice")
    assert "alice is suspended\n" == totpctl.done("suspend", "alice").err
    assert users.SUSPENDED == place.record("alice").status
    assert "alice is active\n" == totpctl.done("resume", "alice").err
    after = place.record("alice")
    assert before == after._replace(updated_at=before.updated_at)


def test_resume_forgets_the_wrong_codes_of_the_suspension(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice", status=users.SUSPENDED, failures=100, throttled_until=2**40)
    totpctl.done("resume", "alice")
    record = place.record("alice")
    assert (users.ACTIVE, 0, 0) == (record.status, record.failures, record.throttled_until)


@pytest.mark.parametrize("status", [users.ACTIVE, users.EXEMPT, users.MUST_ENROLL])
def test_resume_refuses_whoever_is_not_suspended(
    totpctl: Totpctl, place: Place, status: str
) -> None:
    place.enrol("alice", status=status)
    before = place.record("alice")
    result = totpctl("resume", "alice")
    assert 1 == result.code
    assert f"totpctl: error: alice is not suspended: the status is {status}\n" == result.err
    assert before == place.record("alice")


@pytest.mark.parametrize("verb", ["unlock", "suspend", "resume"])
def test_an_account_that_is_gone_keeps_its_record_within_reach(
    totpctl: Totpctl, place: Place, verb: str
) -> None:
    place.enrol("gone", status=users.SUSPENDED)
    assert 0 == totpctl(verb, "gone").code


def test_rebind_accepts_the_account_that_has_the_name_now(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice", uid=3999, bound_at=1)
    before = int(time.time())
    result = totpctl("rebind", "alice")
    assert (1, 3999) == (result.code, place.record("alice").uid)  # nobody can be asked
    result = totpctl.done("rebind", "alice", "--yes")
    told = "alice was enrolled as uid 3999; the account has uid 4000 now"
    assert [told, "alice keeps the enrollment"] == result.err.splitlines()
    record = place.record("alice")
    assert 4000 == record.uid
    assert before <= record.bound_at


def test_rebind_wants_an_account_and_a_record(totpctl: Totpctl, place: Place) -> None:
    place.enrol("ghost", uid=1)
    for name in ("ghost", "bob"):
        assert 3 == totpctl("rebind", name, "--yes").code
    assert 1 == place.record("ghost").uid
