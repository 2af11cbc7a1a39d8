"""The one code that enroll and reset ask for, on a terminal."""

from __future__ import annotations

import time

import pytest

from pam_totp.core import otp, verifier
from tests.cli.terminal import PROMPT, Terminals, early_in_a_step
from tests.support.place import Place, code_now, wrong_code

POLICY = verifier.Policy()


def nothing_is_kept(place: Place) -> bool:
    with place.open() as store:
        return store.load("alice") is None


def login(place: Place, code: str, at: int) -> str:
    """Return the outcome of a login at unix time ``at``."""
    answer = verifier.classify(code, frozenset((6, 8)))
    with place.open() as store, store.transaction("alice") as transaction:
        assert transaction.record is not None
        verdict, changed = verifier.verify(transaction.record, answer, at, POLICY)
        transaction.save(changed)
    return verdict.outcome


def test_the_right_code_keeps_the_authenticator(terminals: Terminals, place: Place) -> None:
    terminal = terminals.enrol("enroll", "alice")
    assert "alice is enrolled with phone" in terminal.shown
    with place.open() as store, store.transaction("alice") as transaction:
        assert transaction.record is not None
        assert [terminal.secret] == [a.secret for a in transaction.record.authenticators]


def test_nothing_is_kept_before_the_code(terminals: Terminals, place: Place) -> None:
    terminals.open("enroll", "alice").wait_for(PROMPT)
    assert nothing_is_kept(place)


def test_recovery_codes_are_shown_once_the_code_was_right(terminals: Terminals) -> None:
    terminal = terminals.open("enroll", "alice")
    terminal.wait_for(PROMPT)
    assert "Recovery codes" not in terminal.shown
    terminal.type(code_now(secret=terminal.secret))
    terminal.wait_for("Recovery codes of alice")
    terminal.wait_for("They are not shown again")


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_the_confirming_code_is_used_up(terminals: Terminals, place: Place, offset: int) -> None:
    terminal = terminals.open("enroll", "alice")
    terminal.wait_for(PROMPT)
    early_in_a_step()
    code = code_now(offset, terminal.secret)
    terminal.type(code)
    assert 0 == terminal.end(), terminal.shown
    last = place.record("alice").authenticators[0].last_accepted_step
    assert code == otp.hotp(terminal.secret, last)
    assert verifier.REPLAYED == login(place, code, at=last * 30)


def test_the_code_after_the_confirming_one_logs_in(terminals: Terminals, place: Place) -> None:
    terminal = terminals.open("enroll", "alice")
    terminal.wait_for(PROMPT)
    terminal.type(code_now(secret=terminal.secret))
    assert 0 == terminal.end(), terminal.shown
    after = place.record("alice").authenticators[0].last_accepted_step + 1
    assert verifier.ACCEPTED == login(place, otp.hotp(terminal.secret, after), at=after * 30)


def test_three_wrong_codes_keep_nothing(terminals: Terminals, place: Place) -> None:
    terminal = terminals.open("enroll", "alice")
    for _ in range(3):
        terminal.wait_for(PROMPT)
        terminal.type(wrong_code(terminal.secret))
        terminal.wait_for("that code does not match")
    assert 1 == terminal.end()
    assert "totpctl: error: no correct code was entered; nothing was changed" in terminal.shown
    assert nothing_is_kept(place)


def test_a_right_code_at_the_third_try_is_enough(terminals: Terminals, place: Place) -> None:
    terminal = terminals.open("enroll", "alice")
    terminal.answer(PROMPT, "what code?")
    terminal.answer(PROMPT, "")
    terminal.wait_for(PROMPT)
    terminal.type(code_now(secret=terminal.secret))
    assert 0 == terminal.end(), terminal.shown
    assert not nothing_is_kept(place)


def test_a_code_with_a_space_in_it_is_read(terminals: Terminals) -> None:
    terminal = terminals.open("enroll", "alice")
    terminal.wait_for(PROMPT)
    code = code_now(secret=terminal.secret)
    terminal.type(f" {code[:3]} {code[3:]} ")
    assert 0 == terminal.end(), terminal.shown


def test_a_code_of_eight_digits_is_asked_for_where_eight_were_chosen(
    terminals: Terminals, place: Place
) -> None:
    terminal = terminals.open("enroll", "alice", "--digits", "8", "--algorithm", "SHA512")
    terminal.wait_for(PROMPT)
    terminal.type(code_now(secret=terminal.secret))  # 6 digits, and SHA1
    terminal.wait_for(PROMPT)
    step = otp.time_step(int(time.time()), 30)
    terminal.type(otp.hotp(terminal.secret, step, "SHA512", 8))
    assert 0 == terminal.end(), terminal.shown
    assert 8 == place.record("alice").authenticators[0].digits


@pytest.mark.parametrize(("offset", "side"), [(-20, "behind"), (20, "ahead of")])
def test_the_code_of_a_phone_whose_clock_is_off_is_refused_and_explained(
    terminals: Terminals, place: Place, offset: int, side: str
) -> None:
    terminal = terminals.open("enroll", "alice", columns=200)
    terminal.wait_for(PROMPT)
    early_in_a_step()
    terminal.type(code_now(offset, terminal.secret))
    terminal.wait_for(f"the clock of phone is about 600 s {side} this machine's")
    assert nothing_is_kept(place)


def test_the_window_of_the_configuration_holds_here_too(terminals: Terminals, place: Place) -> None:
    place.configure(window=0)
    terminal = terminals.open("enroll", "alice")
    terminal.wait_for(PROMPT)
    early_in_a_step()
    terminal.type(code_now(-1, terminal.secret))
    terminal.wait_for("that code is not valid now: the clock of phone is about 30 s behind")


def test_ctrl_c_keeps_nothing(terminals: Terminals, place: Place) -> None:
    terminal = terminals.open("enroll", "alice")
    terminal.wait_for(PROMPT)
    terminal.press_ctrl_c()
    assert 1 == terminal.end()
    assert terminal.shown.endswith("\ntotpctl: error: interrupted; nothing was changed\n")
    assert nothing_is_kept(place)


def test_the_end_of_the_input_keeps_nothing(terminals: Terminals, place: Place) -> None:
    terminal = terminals.open("enroll", "alice")
    terminal.wait_for(PROMPT)
    terminal.press_ctrl_d()
    assert 1 == terminal.end()
    assert "\ntotpctl: error: no answer was given; nothing was changed\n" in terminal.shown
    assert nothing_is_kept(place)


def test_ctrl_c_at_a_reset_keeps_what_was(terminals: Terminals, place: Place) -> None:
    place.enrol("alice")
    before = place.record("alice")
    terminal = terminals.open("reset", "alice", "--yes")
    terminal.wait_for(PROMPT)
    terminal.press_ctrl_c()
    assert 1 == terminal.end()
    assert before == place.record("alice")


def test_no_lock_is_held_while_a_person_looks_for_the_phone(
    terminals: Terminals, place: Place
) -> None:
    place.enrol("bob")
    terminals.open("enroll", "alice").wait_for(PROMPT)
    with place.open() as store, store.transaction("bob") as transaction:
        assert transaction.record is not None
        transaction.save(transaction.record._replace(failures=1))
    assert 1 == place.record("bob").failures


def test_a_label_taken_while_the_person_scanned_is_refused(
    terminals: Terminals, place: Place
) -> None:
    terminal = terminals.open("enroll", "alice")
    terminal.wait_for(PROMPT)
    place.enrol("alice")
    before = place.record("alice")
    terminal.type(code_now(secret=terminal.secret))
    assert 1 == terminal.end()
    assert "totpctl: error: alice already has an authenticator phone" in terminal.shown
    assert before == place.record("alice")
