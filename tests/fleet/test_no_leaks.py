"""No secret and no key reaches a notice, an error or the server's log, whatever the caller sets."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from pam_totp.core import recovery
from pam_totp.core.users import Authenticator, UserRecord
from pam_totp.core.verifier import RECOVERY_CODE, Answer
from tests.fleet.asking import Host, insert
from tests.support.place import code_now, wrong_code
from tests.support.postgres import ADMIN_KEY, Cluster, Database

SECRET = b"A secret of 20 bytes"
NEW_KEY = bytes(range(100, 132))
ENROLLED = b"The one of 20 bytes!"
# Not log_parameter_max_length_on_error: with it, an error shows its caller what it sent itself,
# whichever statement it sends. Our client turns it off.
ALL_THAT_A_CALLER_MAY_SET = """
    SET client_min_messages = debug5;
    SET debug_print_parse = on;
    SET debug_print_rewritten = on;
    SET debug_print_plan = on;
    SET debug_pretty_print = off;
    SET trace_notify = on;
    SET trace_sort = on;
    SET plpgsql.print_strict_params = on;
    SET plpgsql.extra_warnings = 'all';
    SET plpgsql.extra_errors = 'all';
    SET plan_cache_mode = force_custom_plan;
    SET bytea_output = escape;
"""


class Heard:
    """All that a connection was told beside its rows."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.text: list[str] = []
        connection.add_notice_handler(self._note)

    def _note(self, found: psycopg.errors.Diagnostic) -> None:
        fields = [name for name in dir(found) if not name.startswith("_")]
        self.text += [str(getattr(found, name)) for name in fields if name != "encoding"]

    @contextmanager
    def failing(self, *sqlstates: str) -> Iterator[None]:
        with pytest.raises(psycopg.Error) as raised:
            yield
        assert raised.value.sqlstate in sqlstates
        self._note(raised.value.diag)


def shapes(secret: bytes) -> Iterator[str]:
    """Yield how a part of ``secret`` could be written."""
    for part in (secret[:8], secret[-8:], secret[6:14]):
        yield part.hex()
        yield base64.b64encode(part).decode()[:10]
        yield "".join(chr(byte) if 31 < byte < 127 else f"\\{byte:03o}" for byte in part)
        yield " ".join(
            str(byte - 256 if byte > 127 else byte) for byte in part
        )  # of a plan's Const


@pytest.fixture
def talkative() -> Iterator[Cluster]:
    """A server whose own log has all that a session may have it write."""
    cluster = Cluster(
        {
            "log_min_messages": "debug5",
            "log_error_verbosity": "verbose",
            "log_min_duration_statement": "0",  # which says what a statement was given, by default
        }
    )
    yield cluster
    cluster.remove()


def test_nothing_that_a_caller_sets_shows_a_secret(talkative: Cluster) -> None:
    with talkative.database() as database:
        host = Host(database)
        with database.connect() as owner:
            owner.execute("SELECT totp.rotate(%s, %s)", (ADMIN_KEY, NEW_KEY))
            phone = Authenticator("a", "phone", SECRET)
            broken = Authenticator("b", "phone", SECRET)
            codes = frozenset((bytes(32),))
            insert(
                owner,
                [
                    UserRecord("alice", authenticators=(phone,), recovery_salt=bytes(16))
                    .with_recovery_codes(bytes(16), codes),
                    UserRecord("bob", authenticators=(broken,)),
                ],
            )  # fmt: skip
            owner.execute(
                "UPDATE totp.authenticators SET sealed_secret = set_byte(sealed_secret, 40, 7) "
                "WHERE id = 'b'"
            )
            owner.execute("UPDATE totp.policy SET first_enrollment = true, offline_hours = 4")
            at_first = len((talkative.folder / "log").read_text())
        heard = Heard(host.connection)
        host.connection.execute(ALL_THAT_A_CALLER_MAY_SET)
        ask_everything(host, heard)
        fail_in_every_way(host, heard, database)
        host.close()
        log = (talkative.folder / "log").read_text()[at_first:]
    text = "\n".join(heard.text) + log
    assert "totp.judge" in text, "so errors were heard"
    assert "DETAIL:  {" in log, "so plans were printed"
    for secret in (SECRET, NEW_KEY, ENROLLED, host.key, ADMIN_KEY):
        assert [] == [shape for shape in shapes(secret) if shape in text]


def ask_everything(host: Host, heard: Heard) -> None:
    for _ in range(7):  # plans are made anew five times
        host.verify("alice", wrong_code(SECRET))
        host.ask("admission", "alice", "")
    with_salt = Answer(RECOVERY_CODE, "X" * 16, bytes(recovery.SALT_BYTES), bytes(32))
    host.verify("alice", with_salt)
    host.verify("alice", code_now(secret=SECRET))
    host.verify("nobody", code_now(secret=SECRET))
    host.ask("codes_ahead", ["alice"])
    host.ask("merge_offline", '[{"number": 1, "user": "alice", "outcome": "rejected"}]')
    host.connection.execute("CALL totp.have_told(%s, %s, 'alice', 1)", (host.name, host.key))
    assert enroll(host, "carol", ENROLLED)


def enroll(host: Host, user: str, secret: bytes, label: str = "phone", digits: int = 6) -> object:
    return host.ask(
        *("enroll_first", bytes(16), user, None, label, "SHA1", digits, 30, secret, 5),
        *(bytes(16), [bytes(32)]),
    )


def fail_in_every_way(host: Host, heard: Heard, database: Database) -> None:
    host.connection.execute("SET standard_conforming_strings = off")
    key = host.key
    with heard.failing("TP003"):
        host.verify("bob", code_now(secret=SECRET))
    with heard.failing("TP003"):
        database_rotate(database)
    for of_another in (bytes(32), key[:31], b""):
        host.key = of_another
        with heard.failing("TP001"):
            host.verify("alice", code_now(secret=SECRET))
        with heard.failing("TP001"):
            enroll(host, "dora", ENROLLED)
    host.key = key
    with heard.failing("22023"):
        host.verify("alice", "123456", request=b"short")
    with heard.failing("22023"):
        enroll(host, "dora", ENROLLED[:3])
    with heard.failing("23514"):
        enroll(host, "dora", ENROLLED, digits=7)
    with heard.failing("23514"):
        enroll(host, "dora", ENROLLED, label="")
    with heard.failing("23514"):
        enroll(host, "", ENROLLED)
    host.connection.execute("SET default_transaction_read_only = on")
    with heard.failing("25006"):
        host.verify("alice", wrong_code(SECRET))
    host.connection.execute("SET statement_timeout = 1")
    with heard.failing("25006", "57014"):  # whichever comes first
        host.verify("alice", wrong_code(SECRET))


def database_rotate(database: Database) -> None:
    database.execute("SELECT totp.rotate(%s, %s)", (ADMIN_KEY, NEW_KEY[::-1]), user="test_admin")
