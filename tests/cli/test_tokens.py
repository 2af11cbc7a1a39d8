"""Tokens that come with a secret, counters, and devices whose clock or counter is off."""

from __future__ import annotations

import json
import time

import pytest

from pam_totp.core import otp
from pam_totp.core.users import Authenticator
from pam_totp.core.verifier import ACCEPTED, CODE, REJECTED, Answer
from tests.cli.command import Result, Totpctl
from tests.cli.terminal import Terminals, early_in_a_step
from tests.support.logs import LogSocket
from tests.support.place import SECRET, Place, code_now, wrong_code
from tests.unit.judging import judged

HEX = SECRET.hex()


def hotp(counter: int) -> str:
    return otp.hotp(SECRET, counter)


def enroll(totpctl: Totpctl, secret: str, *options: str, code: str = "") -> Result:
    given = ("--secret-stdin", *options, *(() if code else ("--no-confirm",)))
    return totpctl("enroll", "alice", *given, answers=f"{secret}\n{code}\n")


def token_of(place: Place) -> Authenticator:
    """Return alice's first authenticator, with its secret."""
    with place.open() as store, store.transaction("alice") as transaction:
        assert transaction.record is not None
        return transaction.record.authenticators[0]


def log_in(place: Place, code: str) -> str:
    verdict = judged(place, "alice", Answer(CODE, code))
    return verdict.outcome


def test_a_token_with_a_button_is_enrolled_by_its_first_code(
    totpctl: Totpctl, place: Place, log: LogSocket
) -> None:
    result = enroll(
        totpctl, f"hex:{HEX}", "--hotp", "--counter", "7", "--serial", "2600-1", code=hotp(8)
    )
    assert 0 == result.code, result.err
    assert "Code shown by the token: " in result.err
    token = token_of(place)
    assert (SECRET, otp.HOTP, 9, "2600-1") == (
        token.secret,
        token.kind,
        token.counter,
        token.serial,
    )
    for text in (HEX, otp.hotp(SECRET, 8), "secret", "otpauth"):
        assert text not in result.out + result.err + "".join(log.lines())
    assert [REJECTED, ACCEPTED, "replayed"] == [log_in(place, hotp(n)) for n in (7, 9, 9)]


def test_a_counter_that_is_not_the_given_one_is_told(totpctl: Totpctl, place: Place) -> None:
    for shown, said in (
        (57, "the counter of phone is 50 codes ahead; start over with --counter 57\n"),
        (6, "the counter of phone has passed this code\n"),
    ):
        result = enroll(totpctl, f"hex:{HEX}", "--hotp", "--counter", "7", code=hotp(shown))
        assert 1 == result.code
        assert f"that code is not valid now: {said}" in result.err
    with place.open() as store:
        assert [] == list(store.records())


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (f"hex:{HEX}", ()),
        (HEX.upper(), ("--secret-format", "hex")),
        ("base32:GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", ()),
        ("gezd gnbv gy3t qojq gezd gnbv gy3t qojq", ("--secret-format", "base32")),
        (f"hex:{HEX}", ("--secret-format", "hex")),
    ],
)
def test_the_secret_says_how_it_is_written_or_an_option_does(
    totpctl: Totpctl, place: Place, given: str, options: tuple[str, ...]
) -> None:
    assert 0 == enroll(totpctl, given, *options).code
    assert b"12345678901234567890" == token_of(place).secret


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        ("ABCDEFABCDEFABCDEFABCDEFABCDEFAB", (), "it is not said whether the secret is base32"),
        (f"HEX:{HEX}", (), "it is not said"),
        (f"base32:{HEX}", (), "hexadecimal digits; base32 is expected"),
        (f"hex:{HEX}", ("--secret-format", "base32"), "the secret is not base32"),
        ("hex:abc", (), "odd number"),
        ("hex:abcd", (), "its secret has 16 bits; it must have between 80 and 1024"),
        ("hex:", (), "there is no secret"),
        ("", (), "it is not said"),
    ],
)
def test_a_secret_is_never_guessed_nor_repeated(
    totpctl: Totpctl, place: Place, given: str, options: tuple[str, ...], said: str
) -> None:
    result = enroll(totpctl, given, *options)
    assert (1, "") == (result.code, result.out)
    assert said in result.err
    secret = given.partition(":")[2] or given
    assert not secret or secret not in result.err
    with place.open() as store:
        assert [] == list(store.records())


def test_a_secret_is_not_shown_while_it_is_typed(terminals: Terminals, place: Place) -> None:
    terminal = terminals.open("enroll", "alice", "--secret-stdin", "--no-confirm")
    terminal.answer("Secret of the token: ", f"hex:{HEX}")
    assert 0 == terminal.end(), terminal.shown
    assert HEX not in terminal.shown
    assert SECRET == token_of(place).secret


@pytest.mark.parametrize(
    "options",
    [
        ("--counter", "1"),
        ("--hotp", "--counter", "-1"),
        ("--hotp", "--counter", str(10**15 + 1)),
        ("--hotp", "--period", "60"),
        ("--period", "14"),
        ("--period", "121"),
        ("--digits", "9"),
        ("--secret-format", "hex"),
        ("--serial", "x" * 65),
        ("--serial", "a\x1b[2J"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(
    totpctl: Totpctl, options: tuple[str, ...]
) -> None:
    assert 2 == totpctl("enroll", "alice", "--no-confirm", *options).code


@pytest.mark.parametrize(("digits", "period", "algorithm"), [(7, 15, "SHA256"), (8, 120, "SHA512")])
def test_any_digits_and_periods_log_in(
    totpctl: Totpctl, place: Place, digits: int, period: int, algorithm: str
) -> None:
    chosen = ("--digits", str(digits), "--period", str(period), "--algorithm", algorithm)
    totpctl.done("enroll", "alice", "--no-confirm", "--json", *chosen)
    token = token_of(place)
    assert token.secret is not None
    early_in_a_step()
    step = token.current_step(int(time.time()))
    assert ACCEPTED == log_in(place, otp.hotp(token.secret, step, algorithm, digits))


def test_a_new_secret_for_a_counter_has_an_address_of_its_kind(
    totpctl: Totpctl, place: Place
) -> None:
    made = json.loads(
        totpctl.done("enroll", "alice", "--hotp", "--counter", "3", "--no-confirm", "--json").out
    )
    assert made["uri"].startswith("otpauth://hotp/")
    assert "&counter=3" in made["uri"]
    assert ("hotp", 3, None) == (made["type"], made["counter"], made["period"])


def test_type_counter_and_serial_are_shown(totpctl: Totpctl) -> None:
    enroll(totpctl, f"hex:{HEX}", "--hotp", "--counter", "5", "--serial", "26001")
    assert "alice  active  phone (HOTP, counter 5, serial 26001)  " in totpctl.done("list").out
    shown = totpctl.done("show", "alice").out
    assert "authenticator   phone: SHA1, 6 digits, HOTP, counter 5, serial 26001\n" in shown
    for document in (
        json.loads(totpctl.done("list", "--json").out)[0],
        json.loads(totpctl.done("show", "alice", "--json").out),
    ):
        (token,) = document["authenticators"]
        expected = ("hotp", 5, "26001", None)
        assert expected == tuple(token[key] for key in ("type", "counter", "serial", "period"))


@pytest.mark.parametrize(
    ("counter", "code", "said"),
    [
        (5, 0, "this code of phone is good"),
        (9, 0, "this code of phone is good"),
        (4, 6, "this code was used already"),
        (10, 6, "the counter of phone is 5 codes ahead\n"),
        (900, 6, "the counter of phone is 895 codes ahead"),
        (3, 6, "this is not the code of any authenticator"),
    ],
)
def test_verify_says_where_a_counter_is(
    totpctl: Totpctl, place: Place, counter: int, code: int, said: str
) -> None:
    enroll(totpctl, f"hex:{HEX}", "--hotp", "--counter", "5")
    result = totpctl("verify", "alice", answers=f"{hotp(counter)}\n")
    assert code == result.code
    assert said in result.out + result.err
    assert 5 == token_of(place).counter


def resync(totpctl: Totpctl, first: str, second: str, *options: str) -> Result:
    return totpctl("resync", "alice", *options, answers=f"{first}\n{second}\n")


def test_a_token_that_was_pressed_too_often_is_found_by_two_codes(
    totpctl: Totpctl, place: Place, log: LogSocket
) -> None:
    enroll(totpctl, f"hex:{HEX}", "--hotp")
    assert REJECTED == log_in(place, hotp(200))
    assert 200 == token_of(place).clock_offset
    result = resync(totpctl, hotp(301), hotp(302))
    assert (0, "") == (result.code, result.out)
    assert "the next code of phone is that of counter 303\n" in result.err
    assert ["resynchronised"] == log.events()[-1:]
    assert (303, 0) == (token_of(place).counter, token_of(place).clock_offset)
    outcomes = [log_in(place, hotp(number)) for number in (301, 302, 303)]
    assert [REJECTED, "replayed", ACCEPTED] == outcomes


def test_a_clock_that_is_off_is_found_by_two_codes(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice")
    early_in_a_step()
    assert REJECTED == log_in(place, code_now(-2880))
    result = resync(totpctl, code_now(-2880), code_now(-2879), "--json")
    assert {
        "user": "alice",
        "label": "phone",
        "type": "totp",
        "drift": -2879,
        "counter": None,
    } == json.loads(result.out)
    assert "the clock of phone is about 24 h behind" in result.err
    outcomes = [log_in(place, code_now(offset)) for offset in (-2879, -2878, 0)]
    assert ["replayed", ACCEPTED, REJECTED] == outcomes


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (302, 301, "no two codes in a row"),
        (301, 303, "no two codes in a row"),
        (301, 301, "no two codes in a row"),
        (1005, 1006, "no two codes in a row"),
        (4, 5, ""),
    ],
)
def test_resync_takes_only_two_codes_in_a_row(
    totpctl: Totpctl, place: Place, first: int, second: int, said: str
) -> None:
    enroll(totpctl, f"hex:{HEX}", "--hotp", "--counter", "5")
    before = token_of(place)
    result = resync(totpctl, hotp(first), hotp(second))
    assert (6 if said else 0) == result.code
    assert said in result.err
    assert (before == token_of(place)) == bool(said)


def test_codes_that_were_used_move_nothing(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice")
    early_in_a_step()
    assert ACCEPTED == log_in(place, code_now(1))
    before = place.record("alice")
    result = resync(totpctl, code_now(0), code_now(1))
    assert 6 == result.code
    assert "these codes were used already; nothing was changed" in result.err
    assert "hint: try again in 30 s\n" in result.err
    assert before == place.record("alice")


def test_of_a_clock_that_was_far_ahead_the_way_back_is_a_reset(
    totpctl: Totpctl, place: Place
) -> None:
    place.enrol("alice")
    early_in_a_step()
    assert 0 == resync(totpctl, code_now(100), code_now(101)).code
    result = resync(totpctl, code_now(0), code_now(1))  # the device was set right
    assert 6 == result.code
    assert "hint: run: totpctl reset alice\n" in result.err


def test_after_a_resync_what_still_denies_the_user_is_told(totpctl: Totpctl, place: Place) -> None:
    """Whoever needs it has often been locked out by codes that were wrong."""
    enroll(totpctl, f"hex:{HEX}", "--hotp")
    with place.open() as store, store.transaction("alice") as transaction:
        assert transaction.record is not None
        transaction.save(transaction.record._replace(failures=100))
    result = resync(totpctl, hotp(301), hotp(302))
    assert 0 == result.code
    assert "alice is active, locked: see totpctl unlock" in result.err
    assert "locked" == log_in(place, hotp(303))
    totpctl.done("unlock", "alice")
    assert ACCEPTED == log_in(place, hotp(303))
    assert "unlock" not in resync(totpctl, hotp(304), hotp(305)).err


@pytest.mark.parametrize("answers", ["junk\njunk\n", "\n\n", "123456\n", ""])
def test_junk_is_no_code(totpctl: Totpctl, place: Place, answers: str) -> None:
    place.enrol("alice")
    before = place.record("alice")
    result = totpctl("resync", "alice", answers=answers)
    assert result.code in (1, 6)
    assert before == place.record("alice")


def test_resync_looks_at_all_devices_or_at_the_one_that_is_named(
    totpctl: Totpctl, place: Place
) -> None:
    place.enrol("alice")
    other = b"another secret of 20"
    place.enrol("alice", other, label="tablet")
    early_in_a_step()
    codes = code_now(-100, other), code_now(-99, other)
    assert 6 == resync(totpctl, *codes, "--label", "phone").code
    assert 3 == resync(totpctl, *codes, "--label", "nothing").code
    assert 0 == resync(totpctl, *codes).code
    assert [0, -99] == [a.drift for a in place.record("alice").authenticators]


# Codes that were used stay used


@pytest.mark.parametrize("options", [("--hotp",), ("--hotp", "--counter", "3"), ()])
@pytest.mark.parametrize("command", ["enroll", "reset"])
def test_a_secret_that_somebody_has_is_not_given_to_them_again(
    totpctl: Totpctl, place: Place, command: str, options: tuple[str, ...]
) -> None:
    """Under another label it would begin with a counter of its own, and used codes be good."""
    enroll(totpctl, f"hex:{HEX}", *options)
    before = token_of(place)
    given = (*options, "--label", "other", "--secret-stdin", "--no-confirm")
    sure = ("--yes",) if command == "reset" else ()
    result = totpctl(command, "alice", *given, *sure, answers=f"hex:{HEX}\n")
    assert (1, "") == (result.code, result.out)
    assert "error: alice already has the token with this secret: phone\n" in result.err
    assert "hint: if its codes are refused, run: totpctl resync alice\n" in result.err
    assert (before,) == (token_of(place),)


def test_where_the_counter_of_a_token_was_is_told_when_it_is_taken_away(
    totpctl: Totpctl, place: Place
) -> None:
    token = (f"hex:{HEX}", "--hotp", "--label", "fob")
    told = (
        "if the token of fob is enrolled again, give it --counter 5, so that no used code is "
        "good again\n"
    )
    for taken_away in (("remove", "alice"), ("reset", "alice", "--no-confirm")):
        enroll(totpctl, *token)
        assert ACCEPTED == log_in(place, hotp(4))
        assert told in totpctl.done(*taken_away, "--yes").err
        totpctl("remove", "alice", "--yes")
    enroll(totpctl, *token, "--counter", "5")
    assert [REJECTED, ACCEPTED] == [log_in(place, hotp(n)) for n in (3, 5)]
    place.enrol("alice", b"another secret of 20", label="phone")
    assert "--counter" not in totpctl.done("remove", "alice", "--label", "phone", "--yes").err
    assert "--counter 6," in totpctl.done("remove", "alice", "--yes").err
    enroll(totpctl, *token)
    assert "--counter" not in totpctl.done("remove", "alice", "--yes").err, "none was used"


def test_a_reset_may_give_a_token_as_well(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice")
    options = ("--yes", "--no-confirm", "--hotp", "--secret-stdin", "--json")
    result = totpctl("reset", "alice", *options, answers=f"hex:{HEX}\n")
    made = json.loads(result.out)
    assert (None, None, "hotp", 0) == tuple(
        made[key] for key in ("secret", "uri", "type", "counter")
    )
    assert [ACCEPTED, REJECTED] == [log_in(place, hotp(0)), log_in(place, wrong_code())]
