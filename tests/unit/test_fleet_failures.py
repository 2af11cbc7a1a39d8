"""What may go offline, what is asked again, and what is a refusal: by SQLSTATE, and by words."""

from __future__ import annotations

import pytest

from pam_totp.store.postgresql import failures
from pam_totp.system.errors import (
    SealingError,
    StoreBusy,
    StoreRefused,
    StoreUnavailable,
    StoreUnreachable,
    Unavailable,
)
from tests.support.each import each

PASSING = {
    StoreUnreachable: "08000 08001 08003 08004 08006 08007 57P01 57P02 57P03",
    StoreBusy: "40001 40P01 55P03 57014",
    StoreUnavailable: "08P01 25006 53100 53200 53300 57P05 58000 58030 XX000 XX001",
}
# From Appendix A of PostgreSQL's manual, and what nobody has ever seen.
REFUSALS = (
    "0A000 21000 22001 22023 22P02 23505 25001 25P02 26000 28000 28P01 2D000 34000 38000 39000 "
    "3D000 3F000 42501 42601 42703 42804 42883 42P01 44000 54000 55000 55006 57000 57P04 72000 "
    "F0000 HV000 P0001 P0004 TP001 TP002 TP004 TP005 TP006 TP999 ZZZZZ"
)


@each(("sqlstate", "kind"), [(code, kind) for kind in PASSING for code in PASSING[kind].split()])
def test_what_passes_is_asked_again(sqlstate: str, kind: type[Unavailable]) -> None:
    failure = failures.by_sqlstate(sqlstate)
    assert (kind, True) == (failure.kind, failure.may_pass)
    assert sqlstate in failure.problem


@each("sqlstate", REFUSALS.split())
def test_everything_else_is_a_refusal_and_final(sqlstate: str) -> None:
    failure = failures.by_sqlstate(sqlstate)
    assert (StoreRefused, False) == (failure.kind, failure.may_pass)
    assert failure.hint


def test_a_secret_that_does_not_open_is_told_as_elsewhere() -> None:
    failure = failures.by_sqlstate("TP003")
    assert (SealingError, False) == (failure.kind, failure.may_pass)


@each(
    ("text", "kind"),
    [
        ("SASL authentication failed", StoreRefused),
        ("no such user: totp_login", StoreRefused),
        ("no such database: pam_totp", StoreRefused),
        ("login rejected, not allowed", StoreRefused),
        ("query_wait_timeout", StoreUnreachable),
        ("server login has been failing, try again later (server_login_retry)", StoreUnreachable),
        ("server conn crashed?", StoreUnreachable),
        ("pgbouncer cannot connect to server", StoreUnreachable),
        ("something new", StoreUnavailable),
    ],
)
def test_a_pooler_is_understood_by_its_words(text: str, kind: type[Unavailable]) -> None:
    failure = failures.by_sqlstate("08P01", f"FATAL:  08P01: {text}")
    assert (kind, kind is not StoreRefused) == (failure.kind, failure.may_pass)


@each(
    ("text", "kind"),
    [
        ("SSL SYSCALL error: EOF detected", StoreUnreachable),
        ("SSL SYSCALL error: Connection reset by peer", StoreUnreachable),
        ("SSL error: unexpected eof while reading", StoreUnreachable),
        ("server closed the connection unexpectedly", StoreUnreachable),
        ("could not receive data from server: Connection timed out", StoreUnreachable),
        ("server is in hot standby mode", StoreUnreachable),
        ("SSL error: certificate verify failed", StoreRefused),
        ("SSL error: tlsv1 alert unknown ca", StoreRefused),
        ("SSL-Fehler: Verbindung", StoreRefused),
        ("server does not support SSL, but SSL was required", StoreRefused),
        ("fe_sendauth: no password supplied", StoreRefused),
        ("something new", StoreRefused),
    ],
)
def test_what_libpq_finds_itself_is_a_refusal_unless_the_network_says_so(
    text: str, kind: type[Unavailable]
) -> None:
    before = 'connection to server at "localhost" (127.0.0.1), port 5432 failed: '
    failure = failures.of_connecting(f"{before}{text}\n", was_reached=True)
    assert (kind, kind is StoreUnreachable) == (failure.kind, failure.may_pass)


def test_before_a_server_was_reached_only_its_owner_is_a_refusal() -> None:
    for text, kind in (
        ("Connection refused", StoreUnreachable),
        ("Keine Route zum Zielrechner", StoreUnreachable),
        ('requirepeer specifies "root", but actual peer user name is "x"', StoreRefused),
    ):
        assert kind is failures.of_connecting(text, was_reached=False).kind


@pytest.mark.parametrize(
    "severity", ["FATAL", "\u0412\u0410\u0416\u041d\u041e", "\u81f4\u547d\u9519\u8bef"]
)
def test_a_server_may_speak_any_language(severity: str) -> None:
    for sqlstate, kind in (("28P01", StoreRefused), ("57P03", StoreUnreachable)):
        text = f"connection to server failed: {severity}:  {sqlstate}: \u00e9\nLOCATION:  x.c:1\n"
        assert kind is failures.of_connecting(text, was_reached=True).kind


def test_of_several_servers_a_refusal_counts_before_trouble_and_trouble_before_silence() -> None:
    def worst(*kinds: str) -> type[Unavailable]:
        made = {
            "silent": failures.unreachable("x"),
            "full": failures.by_sqlstate("53300"),
            "refuses": failures.refused("x"),
        }
        return failures.worst([made[kind] for kind in kinds]).kind

    assert StoreUnreachable is worst("silent", "silent")
    assert StoreUnavailable is worst("silent", "full", "silent")
    assert StoreRefused is worst("silent", "refuses", "full")
