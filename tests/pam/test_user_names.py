"""Names that somebody makes up to fool the log, the store, or the lookup."""

from __future__ import annotations

import pytest

from tests.support import hosts
from tests.support.logs import LogSocket, fields
from tests.support.pam_stack import ME, PAM_AUTH_ERR, PAM_IGNORE, Stack
from tests.support.place import Place, code_now

FORGED = 'x" event=accepted user=root rhost="192.0.2.1'
NAMES = {
    "a path": "/etc/passwd",
    "a way up": "../../../etc/shadow",
    "two dots": "..",
    "a space": "some body",
    "a space at the end": f"{ME} ",
    "a line feed": f"nobody-here\npam_totp(sshd:auth): event=accepted user={ME}",
    "a carriage return": f"nobody-here\rpam_totp(sshd:auth): event=accepted user={ME}",
    "a line separator": "nobody\u2028here",
    "a domain": "DOMAIN\\user",
    "three hundred characters": "x" * 300,
    "ten thousand characters": "x" * 10000,
    "quotes": FORGED,
    "an equals sign": "user=root",
    "escape sequences": "\x1b[2K\x1b[1A",
    "SQL": "' OR name LIKE '%",
    "a wildcard": "%",
    "a format string": "%s%n%d",
    "a number": "0123456789",
    "a leading hyphen and colon": ":-:",
    "full width": "\uff52\uff4f\uff4f\uff54",
}


@hosts.mostly_service("name", NAMES)
@pytest.mark.parametrize("argument", ["unenrolled=deny", "unenrolled=skip"])
def test_odd_name_is_refused_and_stays_inside_its_own_log_field(
    stack: Stack, place: Place, log: LogSocket, name: str, argument: str
) -> None:
    stack.probe("attempts=1", argument)
    place.enrol(ME)
    assert PAM_AUTH_ERR == stack.authenticate(code_now(), user=name).code
    lines = log.lines()
    assert ["unenrolled", "rejected"] == [fields(line)["event"] for line in lines]
    assert all(line.isprintable() for line in lines)
    assert {"module", "event", "user"} == fields(lines[0]).keys()
    assert fields(lines[0])["user"][:5] == fields(lines[1])["user"][:5]
    assert 5 < max(map(len, lines)) < 700
    assert -1 == place.record(ME).authenticators[0].last_accepted_step


def test_name_that_is_not_utf_8_is_refused(stack: Stack, place: Place, log: LogSocket) -> None:
    stack.probe("attempts=1", "nullok")
    place.enrol(ME)
    assert PAM_AUTH_ERR == stack.authenticate(code_now(), user="\udcff\udcfe").code
    assert ["unenrolled", "rejected"] == log.events()


def test_hostile_items_stay_inside_their_own_log_fields(
    stack: Stack, place: Place, log: LogSocket
) -> None:
    place.enrol(ME)
    items = {"rhost": FORGED, "tty": "pts/0\nnew line", "ruser": "some body"}
    stack.authenticate(code_now(), items=items)
    (line,) = log.lines()
    assert line.isprintable()
    assert {
        "module": "login:auth",
        "event": "accepted",
        "user": ME,
        "rhost": FORGED.replace('"', '\\"'),
        "tty": "pts/0\\u{a}new line",
        "ruser": "some body",
        "authenticator": "phone",
    } == fields(line)


def test_items_that_are_not_utf_8_stop_nobody(stack: Stack, place: Place, log: LogSocket) -> None:
    place.enrol(ME)
    stack.authenticate(code_now(), items={"rhost": "\udcff", "tty": "\udcfe"})
    line = fields(log.lines()[0])
    assert ("accepted", "?", "?") == (line["event"], line["rhost"], line["tty"])


def test_log_line_says_who_came_from_where(
    stack: Stack, place: Place, log: LogSocket, host: str
) -> None:
    place.enrol(ME)
    stack.authenticate(code_now(), items={"rhost": "198.51.100.7", "tty": "ssh"})
    assert log.lines()[0].endswith(
        f"pam_totp(login:auth): event=accepted user={ME} rhost=198.51.100.7 tty=ssh "
        "authenticator=phone"
    )
    program = "pamtester" if host == hosts.PAM_PYTHON else "pam_totp"
    assert f" {program}[" in log.lines()[0]


def test_skipping_is_for_users_that_exist(stack: Stack, log: LogSocket) -> None:
    stack.probe("nullok", "attempts=1")
    known = stack.authenticate("000000")
    unknown = stack.authenticate("000000", user=f"{ME}-not")
    assert (PAM_IGNORE, PAM_AUTH_ERR) == (known.code, unknown.code)
    assert ["skipped", "unenrolled", "rejected"] == log.events()
