"""totpctl enroll."""

from __future__ import annotations

import base64
import re
import socket

import pytest

from pam_totp.core import recovery, users
from tests.cli.command import ME, Totpctl
from tests.cli.terminal import PROMPT, Terminals, secret_of, uri_in
from tests.support.place import Place, code_now

RECOVERY_CODE = re.compile(r"\b(?:[0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}\b")


def test_json_holds_user_label_secret_address_and_ten_recovery_codes(
    totpctl: Totpctl, place: Place
) -> None:
    place.configure(issuer="web")
    document = totpctl.done("enroll", "alice", "--no-confirm", "--json").json()
    assert ["user", "label", "secret", "uri", "recovery_codes"] == list(document)[:5]
    assert ("alice", "phone") == (document["user"], document["label"])
    secret = document["secret"]
    account = f"alice@{socket.gethostname()}"
    assert f"otpauth://totp/web:{account}?secret={secret}&issuer=web" == document["uri"]
    assert {"issuer": "web", "account": account}.items() <= document.items()
    assert {"algorithm": "SHA1", "digits": 6, "period": 30}.items() <= document.items()
    assert 160 == 8 * len(base64.b32decode(secret))
    assert 10 == len(set(document["recovery_codes"]))
    assert all(RECOVERY_CODE.fullmatch(code) for code in document["recovery_codes"])


def test_what_json_shows_is_what_the_store_keeps(totpctl: Totpctl, place: Place) -> None:
    document = totpctl.done("enroll", "alice", "--no-confirm", "--json").json()
    with place.open() as store, store.transaction("alice") as transaction:
        record = transaction.record
    assert record is not None
    assert [secret_of(document["uri"])] == [a.secret for a in record.authenticators]
    assert record.recovery_salt is not None
    shown = {
        recovery.digest(recovery.normalise(code) or "", record.recovery_salt)
        for code in document["recovery_codes"]
    }
    assert shown == record.recovery_digests


def test_without_json_the_same_is_shown_as_text(totpctl: Totpctl, place: Place) -> None:
    result = totpctl.done("enroll", "alice", "--no-confirm")
    secret = base64.b32encode(secret_of(uri_in(result.out))).decode("ascii").rstrip("=")
    assert secret in re.sub(r"\s", "", result.out.split("secret: ")[1])
    assert "SHA1, 6 digits, 30 seconds" in result.out
    assert 10 == len(set(RECOVERY_CODE.findall(result.out)))
    assert "alice is enrolled with phone\n" == result.err


def test_secrets_and_recovery_codes_are_never_the_same_twice(totpctl: Totpctl) -> None:
    first = totpctl.done("enroll", "alice", "--no-confirm", "--json").json()
    second = totpctl.done("enroll", "bob", "--no-confirm", "--json").json()
    assert first["secret"] != second["secret"]
    assert not set(first["recovery_codes"]) & set(second["recovery_codes"])


@pytest.mark.parametrize(
    ("option", "value", "parameter", "size"),
    [
        ("--algorithm", "SHA256", "algorithm=SHA256", 32),
        ("--algorithm", "SHA512", "algorithm=SHA512", 64),
        ("--digits", "8", "digits=8", 20),
        ("--period", "60", "period=60", 20),
    ],
)
def test_what_apps_often_misread_is_kept_shown_and_warned_about(
    totpctl: Totpctl, place: Place, option: str, value: str, parameter: str, size: int
) -> None:
    result = totpctl.done("enroll", "alice", "--no-confirm", "--json", option, value)
    assert result.json()["uri"].endswith(f"&{parameter}")
    assert size == len(secret_of(result.json()["uri"]))
    kept = place.record("alice").authenticators[0]
    assert value in (kept.algorithm, str(kept.digits), str(kept.period))
    assert result.err.startswith("totpctl: warning: some apps ignore ")


@pytest.mark.parametrize("algorithm", ["sha256", "Sha512"])
def test_an_algorithm_may_be_written_in_lower_case(
    totpctl: Totpctl, place: Place, algorithm: str
) -> None:
    document = totpctl.done("enroll", "alice", "--no-confirm", "--json", "--algorithm", algorithm)
    assert algorithm.upper() == document.json()["algorithm"]
    assert algorithm.upper() == place.record("alice").authenticators[0].algorithm


def test_the_usual_parameters_are_not_warned_about(totpctl: Totpctl) -> None:
    assert "" == totpctl.done("enroll", "alice", "--no-confirm", "--json").err


def test_the_issuer_is_this_host_unless_configured(totpctl: Totpctl) -> None:
    uri = totpctl.done("enroll", "alice", "--no-confirm", "--json").json()["uri"]
    assert uri.endswith(f"&issuer={socket.gethostname()}")


def test_a_second_device_keeps_the_recovery_codes(totpctl: Totpctl, place: Place) -> None:
    totpctl.done("enroll", "alice", "--no-confirm")
    before = place.record("alice")
    result = totpctl.done("enroll", "alice", "--label", "tablet", "--no-confirm", "--json")
    after = place.record("alice")
    assert [] == result.json()["recovery_codes"]
    assert "the recovery codes are unchanged: 10 left\n" == result.err
    assert before.recovery_digests == after.recovery_digests
    assert ["phone", "tablet"] == [a.label for a in after.authenticators]


def test_a_second_device_brings_recovery_codes_where_none_are_left(
    totpctl: Totpctl, place: Place
) -> None:
    place.enrol("alice")
    result = totpctl.done("enroll", "alice", "--label", "tablet", "--no-confirm", "--json")
    assert 10 == len(result.json()["recovery_codes"])
    assert 10 == len(place.record("alice").recovery_digests)


def test_a_label_that_is_taken_is_refused_and_nothing_changes(
    totpctl: Totpctl, place: Place
) -> None:
    totpctl.done("enroll", "alice", "--no-confirm")
    before = place.record("alice")
    result = totpctl("enroll", "alice", "--no-confirm")
    assert (1, "") == (result.code, result.out)
    assert (
        "totpctl: error: alice already has an authenticator phone\n"
        "hint: name the second device with --label, or start over with: totpctl reset alice\n"
    ) == result.err
    assert before == place.record("alice")


def test_if_missing_does_nothing_for_whoever_is_enrolled(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice")
    before = place.record("alice")
    result = totpctl.done("enroll", "alice", "--if-missing", "--label", "tablet")
    assert ("", "alice is already enrolled\n") == (result.out, result.err)
    assert before == place.record("alice")


def test_if_missing_with_json_names_the_user_and_no_secret(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice", label="tablet")
    result = totpctl.done("enroll", "alice", "--if-missing", "--json")
    assert {
        "user": "alice",
        "label": "tablet",
        "secret": None,
        "uri": None,
        "recovery_codes": [],
        "type": "totp",
        "algorithm": "SHA1",
        "digits": 6,
        "period": 30,
        "counter": None,
        "serial": None,
        "issuer": None,
        "account": None,
    } == result.json()


def test_if_missing_enrols_whoever_is_not(totpctl: Totpctl, place: Place) -> None:
    totpctl.done("enroll", "alice", "--if-missing", "--no-confirm")
    assert 1 == len(place.record("alice").authenticators)


def test_who_must_enrol_is_active_afterwards(totpctl: Totpctl, place: Place) -> None:
    with place.open() as store, store.transaction("alice") as transaction:
        transaction.save(users.UserRecord("alice", status=users.MUST_ENROLL))
    totpctl.done("enroll", "alice", "--if-missing", "--no-confirm")
    assert users.ACTIVE == place.record("alice").status


def test_whoever_is_suspended_stays_so_and_it_is_said(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice", status=users.SUSPENDED)
    result = totpctl.done("enroll", "alice", "--label", "tablet", "--no-confirm")
    assert users.SUSPENDED == place.record("alice").status
    assert result.err.endswith("totpctl: warning: alice is suspended\n")


def test_the_name_is_kept_as_the_system_has_it(totpctl: Totpctl, place: Place) -> None:
    totpctl.canonical = {"ALICE": "alice"}
    assert "alice" == totpctl.done("enroll", "ALICE", "--no-confirm", "--json").json()["user"]
    assert "alice" == place.record("alice").name


def test_whoever_runs_the_tests_can_be_enrolled(totpctl: Totpctl, place: Place) -> None:
    totpctl.done("enroll", ME, "--no-confirm")
    assert "phone" == place.record(ME).authenticators[0].label


@pytest.mark.parametrize("label", ["", " ", "a\nb", "\x1b[2J", "x" * 65, "\u202e"])
def test_a_label_that_cannot_be_shown_is_a_usage_error(
    totpctl: Totpctl, place: Place, label: str
) -> None:
    result = totpctl("enroll", "alice", "--label", label, "--no-confirm")
    assert (2, "") == (result.code, result.out)
    assert "invalid value for '--label': 1 to 64 printable characters\n" in result.err
    with place.open() as store:
        assert store.load("alice") is None


def test_a_code_on_standard_input_confirms_too(terminals: Terminals, place: Place) -> None:
    terminal = terminals.open_command(terminals.shell("cat | {} enroll alice"))
    terminal.wait_for(PROMPT)
    terminal.type(code_now(secret=terminal.secret))
    terminal.wait_for("alice is enrolled with phone")
    assert 1 == len(place.record("alice").authenticators)


def test_without_a_terminal_or_an_answer_the_hint_is_no_confirm(
    totpctl: Totpctl, place: Place
) -> None:
    result = totpctl("enroll", "alice")
    assert 1 == result.code
    assert result.err.endswith(
        "totpctl: error: no answer was given; nothing was changed\n"
        "hint: if nobody can answer, use --no-confirm\n"
    )
    with place.open() as store:
        assert store.load("alice") is None
