"""totpctl reset, remove and recovery-codes: what voids something."""

from __future__ import annotations

import itertools
import socket
import sqlite3
import time

import pytest

from pam_totp.core import recovery, users, verifier
from tests.cli.command import Totpctl
from tests.cli.terminal import PROMPT, Terminals, secret_of
from tests.support import thorough
from tests.support.place import RECOVERY_SALT, Place, code_now

OLD_CODE = "0000-0000-0000-0001"


def is_accepted(place: Place, text: str) -> bool:
    """Log alice in, without keeping what comes of it."""
    answer = verifier.classify(text, frozenset((6,)))
    with place.open() as store, store.transaction("alice") as transaction:
        record = transaction.record
    assert record is not None
    if answer.kind == verifier.RECOVERY_CODE:
        salt = record.recovery_salt or b""
        answer = answer._replace(salt=salt, digest=recovery.digest(answer.code, salt))
    verdict, _ = verifier.verify(record, answer, int(time.time()), verifier.Policy())
    return verdict.outcome in (verifier.ACCEPTED, verifier.RECOVERY_USED)


@pytest.fixture
def alice(place: Place) -> Place:
    """Alice has two devices, one of them with the secret of RFC 6238, and one recovery code."""
    place.enrol("alice", recovery_codes=(OLD_CODE,))
    place.enrol("alice", b"x" * 20, label="tablet")
    return place


def test_reset_gives_a_new_secret_and_ten_new_recovery_codes(
    totpctl: Totpctl, alice: Place
) -> None:
    document = totpctl.done("reset", "alice", "--yes", "--no-confirm", "--json").json()
    assert ["user", "label", "secret", "uri", "recovery_codes"] == list(document)[:5]
    assert ("alice", "phone") == (document["user"], document["label"])
    assert is_accepted(alice, code_now(secret=secret_of(document["uri"])))
    assert 10 == len(set(document["recovery_codes"]))
    assert all(is_accepted(alice, code) for code in document["recovery_codes"])


def test_reset_says_which_entry_of_the_app_to_delete(totpctl: Totpctl, alice: Place) -> None:
    alice.configure(issuer="web")
    result = totpctl.done("reset", "alice", "--yes", "--no-confirm", "--json")
    assert result.err.endswith(
        f"delete the void entry web: alice@{socket.gethostname()} from the app (phone, tablet); "
        "if it shows two of that name, keep the newer one\n"
    )
    assert f"alice@{socket.gethostname()}" == result.json()["account"]


def test_reset_voids_every_old_authenticator_and_recovery_code(
    totpctl: Totpctl, alice: Place
) -> None:
    old = (code_now(), code_now(secret=b"x" * 20), OLD_CODE)
    assert all(is_accepted(alice, answer) for answer in old)
    totpctl.done("reset", "alice", "--yes", "--no-confirm", "--label", "new phone")
    assert ["new phone"] == [a.label for a in alice.record("alice").authenticators]
    assert alice.record("alice").recovery_salt != RECOVERY_SALT
    assert not any(
        is_accepted(alice, answer) for answer in (code_now(), code_now(secret=b"x" * 20), OLD_CODE)
    )


def test_what_is_old_stays_good_until_the_new_code_is_confirmed(
    terminals: Terminals, alice: Place
) -> None:
    before = alice.record("alice")
    terminal = terminals.open("reset", "alice", "--yes")
    terminal.wait_for(PROMPT)
    assert before == alice.record("alice")
    assert is_accepted(alice, code_now())
    terminal.type(code_now(secret=terminal.secret))
    assert 0 == terminal.end(), terminal.shown
    assert not is_accepted(alice, code_now())


def test_reset_forgets_wrong_codes(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice", failures=100, throttled_until=2**40)
    totpctl.done("reset", "alice", "--yes", "--no-confirm")
    record = place.record("alice")
    assert (0, 0) == (record.failures, record.throttled_until)


def test_reset_keeps_a_suspension_and_says_so(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice", status=users.SUSPENDED)
    result = totpctl.done("reset", "alice", "--yes", "--no-confirm")
    assert users.SUSPENDED == place.record("alice").status
    assert result.err.endswith("totpctl: warning: alice is suspended\n")


def test_reset_of_somebody_not_enrolled_is_refused(totpctl: Totpctl) -> None:
    result = totpctl("reset", "alice", "--yes", "--no-confirm")
    assert (3, "") == (result.code, result.out)
    assert (
        "totpctl: error: alice is not enrolled\nhint: run: totpctl enroll alice\n"
    ) == result.err


def test_remove_takes_the_whole_enrolment_away(totpctl: Totpctl, alice: Place) -> None:
    result = totpctl.done("remove", "alice", "--yes")
    assert ("", "removed the enrollment of alice\n") == (result.out, result.err)
    with alice.open() as store:
        assert store.load("alice") is None


def test_remove_with_a_label_keeps_the_other_device_and_the_recovery_codes(
    totpctl: Totpctl, alice: Place
) -> None:
    result = totpctl.done("remove", "alice", "--label", "phone", "--yes")
    assert "removed phone of alice\n" == result.err
    assert ["tablet"] == [a.label for a in alice.record("alice").authenticators]
    assert 1 == len(alice.record("alice").recovery_digests)
    assert not is_accepted(alice, code_now())


def test_remove_of_the_last_device_takes_the_whole_enrolment_away(
    totpctl: Totpctl, place: Place
) -> None:
    place.enrol("alice", recovery_codes=(OLD_CODE,))
    result = totpctl.done("remove", "alice", "--label", "phone", "--yes")
    assert "removed the enrollment of alice\n" == result.err
    with place.open() as store:
        assert store.load("alice") is None


def test_remove_of_an_unknown_label_names_the_known_ones(totpctl: Totpctl, alice: Place) -> None:
    before = alice.record("alice")
    result = totpctl("remove", "alice", "--label", "watch", "--yes")
    assert 3 == result.code
    assert (
        "totpctl: error: alice has no authenticator watch\nhint: there are: phone, tablet\n"
    ) == result.err
    assert before == alice.record("alice")


def test_an_account_that_is_gone_can_still_be_removed(totpctl: Totpctl, place: Place) -> None:
    place.enrol("nobody-here-any-more")
    totpctl.done("remove", "nobody-here-any-more", "--yes")
    with place.open() as store:
        assert store.load("nobody-here-any-more") is None


def test_remove_asks_with_what_may_come_of_it(terminals: Terminals, alice: Place) -> None:
    terminal = terminals.open("remove", "alice")
    terminal.answer("Remove the whole enrollment of alice?", "n")
    assert 1 == terminal.end()
    assert alice.record("alice").authenticators


def test_remove_does_not_lift_a_suspension(totpctl: Totpctl, alice: Place) -> None:
    totpctl.done("suspend", "alice")
    result = totpctl("remove", "alice", "--yes")
    assert 1 == result.code
    assert "totpctl resume alice" in result.err
    assert "suspended" == alice.record("alice").status


def test_recovery_codes_voids_the_old_and_keeps_the_devices(totpctl: Totpctl, alice: Place) -> None:
    before = alice.record("alice")
    document = totpctl.done("recovery-codes", "alice", "--yes", "--json").json()
    assert ["user", "recovery_codes"] == list(document)
    assert 10 == len(set(document["recovery_codes"]))
    assert all(is_accepted(alice, code) for code in document["recovery_codes"])
    assert not is_accepted(alice, OLD_CODE)
    assert before.authenticators == alice.record("alice").authenticators


def test_recovery_codes_are_shown_as_text_on_stdout(totpctl: Totpctl, alice: Place) -> None:
    result = totpctl.done("recovery-codes", "alice", "--yes")
    assert result.out.startswith("Recovery codes of alice, each good for one login")
    shown = [word for word in result.out.split() if recovery.normalise(word)]
    assert 10 == len(shown)
    assert all(is_accepted(alice, code) for code in shown)
    assert "" == result.err


def test_recovery_codes_of_somebody_not_enrolled_are_refused(totpctl: Totpctl) -> None:
    assert 3 == totpctl("recovery-codes", "alice", "--yes").code


DESTRUCTIVE = [
    ("reset", "--no-confirm"),
    ("remove",),
    ("remove", "--label=phone"),
    ("recovery-codes",),
]


def answered(answers: list[str]) -> list[tuple[tuple[str, ...], str]]:
    """By day, each verb with the first of ``answers``, and one verb with each of them."""
    every = itertools.product(DESTRUCTIVE, answers)
    return [
        (verb, answer)
        for verb, answer in every
        if thorough.NIGHTLY or verb == DESTRUCTIVE[0] or answer == answers[0]
    ]


@pytest.mark.parametrize(("verb", "answer"), answered(["", "n", "no", "x", "yesterday"]))
def test_a_destructive_verb_asks_and_anything_but_yes_changes_nothing(
    terminals: Terminals, alice: Place, verb: tuple[str, ...], answer: str
) -> None:
    before = alice.record("alice")
    terminal = terminals.open(*verb, "alice")
    terminal.answer("[y/N]: ", answer)
    assert 1 == terminal.end()
    assert "totpctl: error: nothing was changed" in terminal.shown
    assert before == alice.record("alice")


@pytest.mark.parametrize(("verb", "answer"), answered(["y", "Y", "yes", "YES "]))
def test_a_destructive_verb_goes_on_after_yes(
    terminals: Terminals, alice: Place, verb: tuple[str, ...], answer: str
) -> None:
    terminal = terminals.open(*verb, "alice")
    terminal.answer("[y/N]: ", answer)
    assert 0 == terminal.end(), terminal.shown
    assert not was_left_alone(alice)


def was_left_alone(place: Place) -> bool:
    with place.open() as store:
        record = store.load("alice")
    return record is not None and (2, 1) == (
        len(record.authenticators),
        len(record.recovery_digests),
    )


@pytest.mark.parametrize("verb", DESTRUCTIVE, ids=" ".join)
def test_a_destructive_verb_refuses_where_it_cannot_ask(
    totpctl: Totpctl, alice: Place, verb: tuple[str, ...]
) -> None:
    before = alice.record("alice")
    result = totpctl(*verb, "alice", answers="y\n")
    assert (1, "") == (result.code, result.out)
    assert (
        "totpctl: error: this needs a confirmation\nhint: confirm it in advance with --yes\n"
    ) == result.err
    assert before == alice.record("alice")


@pytest.mark.parametrize("verb", DESTRUCTIVE, ids=" ".join)
def test_ctrl_c_at_the_question_changes_nothing(
    terminals: Terminals, alice: Place, verb: tuple[str, ...]
) -> None:
    before = alice.record("alice")
    terminal = terminals.open(*verb, "alice")
    terminal.wait_for("[y/N]: ")
    terminal.press_ctrl_c()
    assert 1 == terminal.end()
    assert terminal.shown.endswith("\ntotpctl: error: interrupted; nothing was changed\n")
    assert before == alice.record("alice")


# A secret that does not open


@pytest.mark.parametrize(
    "arguments",
    [
        ("reset", "alice", "--yes", "--no-confirm"),
        ("reset", "alice", "--yes", "--no-confirm", "--secret-stdin"),
        ("remove", "alice", "--yes"),
        ("remove", "alice", "--yes", "--label=phone"),
        ("recovery-codes", "alice", "--yes"),
        ("enroll", "alice", "--label=watch", "--no-confirm"),
        ("enroll", "alice", "--label=watch", "--no-confirm", "--secret-stdin"),
        ("suspend", "alice"),
        ("unlock", "alice"),
        ("exempt", "alice"),
    ],
    ids=" ".join,
)
def test_who_has_a_damaged_secret_can_be_looked_after(
    totpctl: Totpctl, alice: Place, arguments: tuple[str, ...]
) -> None:
    """Resetting is what fixes it: the error at a login says so."""
    with sqlite3.connect(alice.store_path) as connection:
        connection.execute("UPDATE authenticators SET sealed_secret = x'00' WHERE label = 'phone'")
    connection.close()
    result = totpctl.done(*arguments, answers=f"hex:{bytes(range(20)).hex()}\n")
    told = "nobody can tell whether alice has this token already" in result.err
    assert ("--secret-stdin" in arguments) == told
    with alice.open() as store:
        is_mended = store.check() == []
    assert (arguments[0] in ("reset", "remove")) == is_mended
