"""What totpctl leaves in the audit log, and that no secret is in it or anywhere else."""

from __future__ import annotations

import base64
import pwd
import re
from pathlib import Path

import click
import pytest

from admin_cli.main import totpctl as group
from pam_totp.core import users
from tests.cli.command import Totpctl
from tests.cli.terminal import PROMPT, Terminals, secret_of
from tests.support.logs import LogSocket, fields
from tests.support.place import SECRET, Place, code_now

RECOVERY = "7K2Q-0000-ABCD-WXYZ"
EVENTS = [
    (("enroll", "--no-confirm", "bob"), ["enrolled", "codes_issued"]),
    (("enroll", "--no-confirm", "--label=tablet", "alice"), ["enrolled"]),
    (("reset", "--yes", "--no-confirm", "alice"), ["reset"]),
    (("remove", "--yes", "alice"), ["removed"]),
    (("recovery-codes", "--yes", "alice"), ["codes_issued"]),
    (("unlock", "alice"), ["unlocked"]),
    (("suspend", "alice"), ["suspended"]),
    (("resume", "carol"), ["resumed"]),
    (("rename", "--yes", "alice", "bob"), ["renamed"]),
]
SILENT = [
    ("list",),
    ("show", "alice"),
    ("enroll", "--if-missing", "alice"),
    ("enroll", "--no-confirm", "alice"),  # the label is taken
    ("remove", "--yes", "--label=watch", "alice"),
    ("remove", "alice"),  # no terminal to ask on
    ("resume", "alice"),  # not suspended
    ("reset", "alice", "--yes"),  # no code is given
    ("verify", "alice"),
]


@pytest.fixture
def people(place: Place) -> Place:
    place.enrol("alice", recovery_codes=(RECOVERY,))
    place.enrol("carol", status=users.SUSPENDED)
    return place


@pytest.mark.parametrize(("arguments", "events"), EVENTS, ids=lambda x: x[0])
def test_every_change_is_logged_with_who_it_is_about_and_who_did_it(
    totpctl: Totpctl,
    people: Place,
    log: LogSocket,
    arguments: tuple[str, ...],
    events: list[str],
) -> None:
    totpctl.done(*arguments)
    lines = [fields(line) for line in log.lines()]
    assert events == [line["event"] for line in lines]
    assert {("totpctl", arguments[-1])} == {(line["module"], line["user"]) for line in lines}
    assert all(line["by"] for line in lines)


@pytest.mark.parametrize("arguments", SILENT, ids=" ".join)
def test_what_changes_nothing_logs_nothing(
    totpctl: Totpctl, people: Place, log: LogSocket, arguments: tuple[str, ...]
) -> None:
    totpctl(*arguments)
    assert [] == log.lines()


@pytest.mark.parametrize("verb", ["enroll", "reset"])
def test_the_device_is_in_the_line(
    totpctl: Totpctl, place: Place, log: LogSocket, verb: str
) -> None:
    if verb == "reset":
        place.enrol("alice")
    options = ("--yes",) if verb == "reset" else ()
    totpctl.done(verb, "alice", "--label", "new phone", "--no-confirm", *options)
    assert "new phone" == fields(log.lines()[0])["authenticator"]


def test_removing_one_of_two_names_the_device(
    totpctl: Totpctl, people: Place, log: LogSocket
) -> None:
    people.enrol("alice", b"x" * 20, label="tablet")
    totpctl.done("remove", "alice", "--label", "tablet", "--yes")
    assert "tablet" == fields(log.lines()[0])["authenticator"]


def test_an_issue_of_codes_says_how_many(totpctl: Totpctl, people: Place, log: LogSocket) -> None:
    totpctl.done("recovery-codes", "alice", "--yes")
    assert "10" == fields(log.lines()[0])["recovery_codes_left"]


def test_the_administrator_behind_sudo_is_named(
    totpctl: Totpctl, people: Place, log: LogSocket
) -> None:
    login_uid = int(Path("/proc/self/loginuid").read_text(encoding="ascii"))
    known_to_the_kernel = login_uid != 2**32 - 1
    expected = pwd.getpwuid(login_uid).pw_name if known_to_the_kernel else "x event=removed"
    totpctl("suspend", "alice", SUDO_USER="x event=removed")
    assert expected == fields(log.lines()[0])["by"]


def test_a_dead_logger_stops_no_command(totpctl: Totpctl, people: Place, log: LogSocket) -> None:
    log.path.unlink()
    assert 0 == totpctl("suspend", "alice").code


def spellings(secret: bytes) -> list[str]:
    base32 = base64.b32encode(secret).decode("ascii").rstrip("=")
    return [base32, base32.lower(), secret.hex(), base64.b64encode(secret).decode("ascii")]


def without_blanks(text: str) -> str:
    return re.sub(r"\s", "", text)


def test_nothing_that_was_issued_is_in_the_log_or_on_stderr(
    totpctl: Totpctl, people: Place, log: LogSocket
) -> None:
    for arguments in (
        ("enroll", "bob", "--no-confirm", "--json"),
        ("reset", "alice", "--yes", "--no-confirm", "--json"),
        ("recovery-codes", "alice", "--yes", "--json"),
    ):
        result = totpctl.done(*arguments)
        document = result.json()
        issued = list(document["recovery_codes"])
        issued += spellings(secret_of(document["uri"])) if "uri" in document else []
        assert not [text for text in issued if text in log.text() + result.err]
    assert log.lines()


def test_no_report_holds_a_secret(totpctl: Totpctl, people: Place, log: LogSocket) -> None:
    for arguments in (
        ("list",),
        ("list", "--json"),
        ("show", "alice"),
        ("show", "alice", "--json"),
    ):
        result = totpctl.done(*arguments)
        shown = without_blanks(result.out + result.err)
        assert not [text for text in spellings(SECRET) if text in shown]
    digests = people.record("alice").recovery_digests
    assert not [d for d in digests if d.hex() in totpctl.done("show", "alice", "--json").out]


@pytest.mark.parametrize("answer", [RECOVERY, "0000-0000-0000-0000", "135790", "a password?"])
def test_an_answer_is_never_repeated(
    totpctl: Totpctl, people: Place, log: LogSocket, answer: str
) -> None:
    result = totpctl("verify", "alice", answers=f"{answer}\n")
    assert answer not in result.out + result.err + log.text()


def test_no_secret_is_in_the_command_line_or_the_environment(
    terminals: Terminals, place: Place
) -> None:
    terminal = terminals.open("enroll", "alice", alone=True)
    terminal.wait_for(PROMPT)
    seen = terminal.process_files("cmdline", "environ")
    assert b"enroll" in seen
    assert not [text for text in spellings(terminal.secret) if text.encode("ascii") in seen]
    terminal.type(code_now(secret=terminal.secret))
    assert 0 == terminal.end()


def test_no_secret_can_be_given_as_an_argument() -> None:
    parameters = [p for c in group.commands.values() for p in c.params]
    texts = [p for p in parameters if not isinstance(p.type, (click.Choice, click.Path))]
    names = {name for p in texts if not getattr(p, "is_flag", False) for name in p.opts}
    names -= {"--without-code"}  # whose value is a name
    assert not {name for name in names if re.search("secret|code|key|pass", name)}


def test_no_core_file_is_written_once_secrets_are_in_memory(
    terminals: Terminals, place: Place
) -> None:
    terminal = terminals.open("enroll", "alice")
    terminal.wait_for(PROMPT)
    limits = terminal.process_files("limits").decode("ascii")
    assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)
