"""totpctl verify: it tells everything and changes nothing."""

from __future__ import annotations

import time

import pytest

from pam_totp.core import otp, users, verifier
from tests.cli.command import Result, Totpctl
from tests.cli.terminal import Terminals, early_in_a_step
from tests.support.place import Place, code_now, wrong_code
from tests.unit.judging import judged

RECOVERY = "7K2Q-0000-ABCD-WXYZ"


def verify(totpctl: Totpctl, answer: str, *options: str) -> Result:
    return totpctl("verify", "alice", *options, answers=f"{answer}\n")


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_a_code_within_the_window_is_good(totpctl: Totpctl, place: Place, offset: int) -> None:
    place.enrol("alice")
    early_in_a_step()
    result = verify(totpctl, code_now(offset))
    assert (0, "this code of phone is good\n") == (result.code, result.out)


def test_a_code_is_asked_for_on_the_terminal(terminals: Terminals, place: Place) -> None:
    place.enrol("alice")
    terminal = terminals.open("verify", "alice")
    terminal.answer("Code: ", code_now())
    assert 0 == terminal.end(), terminal.shown


def test_a_code_is_good_however_it_was_pasted(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice", recovery_codes=(RECOVERY,))
    early_in_a_step()
    wide = "".join(chr(ord(digit) + 0xFEE0) for digit in code_now())
    for pasted in (f"\u200b{wide[:3]}\u202f{wide[3:]}", f"\t{code_now()}\r"):
        result = verify(totpctl, pasted)
        assert (0, "this code of phone is good\n") == (result.code, result.out)
    assert 0 == verify(totpctl, RECOVERY.replace("-", "\u2011")).code


def test_no_answer_changes_the_record(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice", recovery_codes=(RECOVERY,), failures=3)
    before = place.record("alice")
    for answer in (code_now(), wrong_code(), RECOVERY, "0000-0000-0000-0000", "junk", ""):
        verify(totpctl, answer)
    assert before == place.record("alice")


def test_a_code_that_was_verified_logs_in_afterwards(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice")
    early_in_a_step()
    code = code_now()
    assert 0 == verify(totpctl, code).code
    with place.open() as store, store.transaction("alice") as transaction:
        record = transaction.record
    assert record is not None
    answer = verifier.classify(code, frozenset((6,)))
    verdict, _ = verifier.verify(record, answer, int(time.time()), verifier.Policy())
    assert verifier.ACCEPTED == verdict.outcome


def test_a_wrong_code_exits_with_6(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice")
    known = {code_now(offset) for offset in range(-125, 126)}
    wrong = next(code for code in map("{:06d}".format, range(10**6)) if code not in known)
    result = verify(totpctl, wrong)
    assert (6, "") == (result.code, result.out)
    assert "totpctl: error: this is not the code of any authenticator\n" in result.err


@pytest.mark.parametrize(
    ("offset", "words"),
    [
        (-10, "the clock of phone is about 300 s behind this machine's"),
        (10, "the clock of phone is about 300 s ahead of this machine's"),
        (-2, "the clock of phone is about 60 s behind this machine's"),
    ],
)
def test_a_clock_that_is_off_is_told_from_a_wrong_code(
    totpctl: Totpctl, place: Place, offset: int, words: str
) -> None:
    place.enrol("alice")
    early_in_a_step()
    result = verify(totpctl, code_now(offset), "--json")
    assert 6 == result.code
    assert f"totpctl: error: {words}\n" in result.err
    assert {
        "user": "alice",
        "valid": False,
        "reason": words,
        "authenticator": "phone",
        "offset_steps": offset,
    } == result.json()


def test_a_chance_match_far_away_does_not_hide_the_right_device(
    totpctl: Totpctl, place: Place
) -> None:
    early_in_a_step()
    step = otp.time_step(int(time.time()), 30)
    far = {otp.hotp(b"a" * 20, step + offset) for offset in (*range(-115, -5), *range(5, 116))}
    secret = next(
        secret
        for secret in (number.to_bytes(20, "big") for number in range(10**6))
        if otp.hotp(secret, step) in far
    )
    place.enrol("alice", b"a" * 20, label="a device before")
    place.enrol("alice", secret, label="phone")
    assert "this code of phone is good\n" == verify(totpctl, otp.hotp(secret, step)).out


def test_a_code_that_was_used_is_not_good(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice")
    code, step = code_now(), otp.time_step(int(time.time()), 30)
    with place.open() as store, store.transaction("alice") as transaction:
        assert transaction.record is not None
        (phone,) = transaction.record.authenticators
        used = phone._replace(last_accepted_step=step + 1)
        transaction.save(transaction.record._replace(authenticators=(used,)))
    result = verify(totpctl, code)
    assert 6 == result.code
    assert "totpctl: error: this code was used already\n" in result.err


@pytest.mark.parametrize("written", [RECOVERY, "7k2q 0000 abcd wxyz", "7K2QOOOOABCDWXYZ"])
def test_a_recovery_code_is_good_and_not_used_up(
    totpctl: Totpctl, place: Place, written: str
) -> None:
    place.enrol("alice", recovery_codes=(RECOVERY,))
    result = verify(totpctl, written)
    assert (0, "this recovery code is good\n") == (result.code, result.out)
    assert 1 == len(place.record("alice").recovery_digests)


def test_an_unknown_recovery_code_exits_with_6(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice", recovery_codes=(RECOVERY,))
    result = verify(totpctl, "0000-0000-0000-0000", "--json")
    assert 6 == result.code
    assert ["user", "valid", "reason"] == list(result.json())
    assert result.json()["valid"] is False


@pytest.mark.parametrize("answer", ["", "junk", "12345", "\udcff\udcfe", "\u0661" * 6])
def test_what_is_no_code_at_all_exits_with_6(totpctl: Totpctl, place: Place, answer: str) -> None:
    place.enrol("alice")
    result = verify(totpctl, answer)
    assert (6, "") == (result.code, result.out)
    assert "totpctl: error: this is neither a code nor a recovery code\n" in result.err


def test_the_end_of_the_input_is_no_answer(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice")
    result = totpctl("verify", "alice")
    assert 1 == result.code
    assert "totpctl: error: no answer was given; nothing was changed\n" in result.err


def test_a_good_code_of_somebody_suspended_comes_with_a_warning(
    totpctl: Totpctl, place: Place
) -> None:
    place.enrol("alice", status=users.SUSPENDED)
    result = verify(totpctl, code_now())
    assert 0 == result.code
    assert "totpctl: warning: alice is suspended: no code lets them in\n" in result.err


def test_a_good_code_of_somebody_locked_comes_with_a_warning(
    totpctl: Totpctl, place: Place
) -> None:
    place.enrol("alice", failures=100)
    result = verify(totpctl, code_now())
    assert 0 == result.code
    assert "totpctl: warning: alice is active, locked: see totpctl unlock\n" in result.err


@pytest.mark.parametrize(("half_hours", "named"), [(-11, "5.5 h behind"), (28, "14 h ahead of")])
def test_a_wrong_time_zone_is_named(
    totpctl: Totpctl, place: Place, half_hours: int, named: str
) -> None:
    place.enrol("alice")
    early_in_a_step()
    result = verify(totpctl, code_now(half_hours * 60))
    assert 6 == result.code
    told = f"the clock of phone is about {named} this machine's: is its time zone right?"
    assert told in result.err


def test_show_warns_of_a_clock_that_a_login_has_seen_wrong(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice")
    early_in_a_step()
    for offset in (120, 121):
        answer = verifier.Answer(verifier.CODE, code_now(offset))
        verdict = judged(place, "alice", answer)
        assert verifier.REJECTED == verdict.outcome
    shown = totpctl.done("show", "alice")
    assert "the clock of phone is about 1 h ahead of this machine's" in shown.err
    assert "(seen in 2 of its last codes)" in shown.err
    (phone,) = totpctl.done("show", "alice", "--json").json()["authenticators"]
    assert (121, 2) == (phone["clock_offset"], phone["clock_sightings"])
