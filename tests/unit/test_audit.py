from __future__ import annotations

import io
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pam_totp.system import audit
from pam_totp.system.audit import Source, format_line
from tests.support.each import each
from tests.support.logs import LogSocket
from tests.unit.logfmt import read

SOURCE = Source("sshd:auth", "alice", "198.51.100.7", "ssh")
anything = st.text(st.characters(), max_size=60)


def test_a_line_is_logfmt() -> None:
    expected = (
        "pam_totp(sshd:auth): event=accepted user=alice rhost=198.51.100.7 tty=ssh "
        "authenticator=phone"
    )
    assert expected == format_line("accepted", SOURCE, {"authenticator": "phone"})


def test_empty_values_are_left_out() -> None:
    source = Source("sudo:auth", "alice")
    expected = "pam_totp(sudo:auth): event=rejected user=alice wait=0"
    assert expected == format_line("rejected", source, {"wait": 0, "reason": "", "hint": None})


@each(
    ("value", "written"),
    [
        ("phone", "phone"),
        ("my phone", '"my phone"'),
        ('a"b', r'"a\"b"'),
        ("a\\b", r'"a\\b"'),
        ("a=b", '"a=b"'),
        ("a]b", '"a]b"'),
        ("a\nb", r'"a\u{a}b"'),
        ("a\0b", r'"a\u{0}b"'),
        ("\x1b[2J", r'"\u{1b}[2J"'),
        ("\x7f\x9b", r'"\u{7f}\u{9b}"'),
        ("\u202egpj", r'"\u{202e}gpj"'),  # right-to-left override
        ("\u2066\u2069", r'"\u{2066}\u{2069}"'),
        ("\u2028\u2029\x85", r'"\u{2028}\u{2029}\u{85}"'),
        ("\u200b\ufeff", r'"\u{200b}\u{feff}"'),
        ("\ud800", r'"\u{d800}"'),
        ("J\u00fcrgen", '"J\u00fcrgen"'),
        ("\U0001f511", '"\U0001f511"'),
        ("-._:/@+%", "-._:/@+%"),
    ],
)
def test_whatever_could_end_a_value_is_quoted(value: str, written: str) -> None:
    line = format_line("error", Source("sshd:auth", value), {"reason": value})
    assert f"pam_totp(sshd:auth): event=error user={written} reason={written}" == line


INJECTIONS = [
    "bob event=accepted",
    'bob" event=accepted user="root',
    "bob\npam_totp(sshd:auth): event=accepted user=root",
    "x]: pam_totp(sshd:auth): event=accepted",
    "bob\\",
    'bob\\" event=accepted',
    "bob\r\n<84>Jan  1 00:00:00 sshd[1]: Accepted",
    "): event=accepted",
]


@each("text", INJECTIONS)
def test_a_line_has_one_event_whatever_the_user_is_called(text: str) -> None:
    source = Source("sshd:auth", text, text, text, text)
    line = format_line("rejected", source, {"authenticator": text})
    assert 1 == len(line.splitlines())
    expected = {"user": text, "rhost": text, "tty": text, "ruser": text, "authenticator": text}
    assert {"event": "rejected", **expected} == read(line)


@each("text", INJECTIONS)
def test_the_service_s_name_is_quoted_as_well(text: str) -> None:
    line = format_line("rejected", Source(f"{text}:auth"), {})
    assert 1 == len(line.splitlines())
    assert line.startswith('pam_totp("')
    assert line.endswith('"): event=rejected')


@given(anything, anything, anything)
@example('"', "\\", "\n")
def test_quoting_can_be_undone_and_leaves_one_printable_line(a: str, b: str, c: str) -> None:
    line = format_line("error", Source("login:auth", a, rhost=b), {"reason": c})
    assert line.isprintable()
    expected = {"event": "error", "user": a, "rhost": b, "reason": c}
    assert {key: value for key, value in expected.items() if value} == read(line)


def test_a_value_is_cut_at_256_characters() -> None:
    line = format_line("error", Source("sshd:auth", "x" * 10**6), {"reason": "\0" * 10**6})
    assert {"event": "error", "user": "x" * 256, "reason": "\0" * 256} == read(line)


def test_a_quoted_value_is_cut_before_it_is_quoted() -> None:
    line = format_line("error", Source("sshd:auth"), {"reason": "x" * 255 + '"' + "y"})
    assert line.endswith(r'x\""')


# The datagram


@pytest.mark.parametrize(
    ("event", "priority"),
    [
        ("accepted", 86),
        ("recovery_used", 86),
        ("skipped", 86),
        ("enrolled", 86),
        ("rejected", 85),
        ("replayed", 85),
        ("malformed", 85),
        ("unenrolled", 85),
        ("aborted", 85),
        ("throttled", 84),
        ("locked", 84),
        ("error", 83),
        ("debug", 87),
    ],
)
def test_an_event_goes_to_authpriv_with_its_priority(
    log: LogSocket, event: str, priority: int
) -> None:
    audit.record(event, SOURCE)
    assert log.lines()[0].startswith(f"<{priority}>")


def test_a_datagram_names_the_time_the_program_and_its_number(
    log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = time.struct_time((2024, 2, 3, 4, 5, 6, 5, 34, 0))
    monkeypatch.setattr(audit.time, "localtime", lambda: moment)
    audit.record("accepted", SOURCE, authenticator="phone")
    program = Path("/proc/self/comm").read_text(encoding="utf-8").rstrip("\n")
    assert [
        f"<86>Feb  3 04:05:06 {program}[{os.getpid()}]: pam_totp(sshd:auth): event=accepted "
        "user=alice rhost=198.51.100.7 tty=ssh authenticator=phone"
    ] == log.lines()


@pytest.mark.parametrize(
    ("number", "name"),
    enumerate(
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 1
    ),
)
def test_every_month_has_its_english_name(
    log: LogSocket, monkeypatch: pytest.MonkeyPatch, number: int, name: str
) -> None:
    moment = time.struct_time((2024, number, 28, 0, 0, 0, 0, 1, 0))
    monkeypatch.setattr(audit.time, "localtime", lambda: moment)
    audit.record("accepted", SOURCE)
    assert log.lines()[0].startswith(f"<86>{name} 28 00:00:00 ")


@pytest.mark.parametrize(
    ("comm", "ident"),
    [
        ("sshd", "sshd"),
        ("sshd-session", "sshd-session"),
        ("a b]: evil", "a_b_:_evil"),
        ("x\nroot", "x_root"),
        ("\u00e9\ufffd", "__"),
        ("", "pam_totp"),
    ],
)
def test_a_program_that_names_itself_oddly_cannot_forge_the_line(
    log: LogSocket, monkeypatch: pytest.MonkeyPatch, comm: str, ident: str
) -> None:
    monkeypatch.setattr("builtins.open", lambda *_, **__: io.StringIO(comm))
    audit.record("accepted", SOURCE)
    monkeypatch.undo()
    assert f" {ident}[{os.getpid()}]: pam_totp(" in log.lines()[0]


def test_without_proc_the_program_is_called_pam_totp(
    log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_proc(*arguments: object, **options: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", no_proc)
    audit.record("accepted", SOURCE)
    monkeypatch.undo()
    assert f" pam_totp[{os.getpid()}]: " in log.lines()[0]


def test_a_record_with_any_text_is_written(log: LogSocket) -> None:
    audit.record("error", Source("\ud800:auth", "\0\udfff"), reason="\ufffe" * 10**5)
    assert ["error"] == log.events()


# A logger that is not well locks nobody out


def test_a_missing_socket_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "SYSLOG_SOCKET", str(tmp_path / "absent"))
    audit.record("accepted", SOURCE)


def test_a_socket_that_nobody_reads_any_more_is_no_error(log: LogSocket) -> None:
    log.close()
    audit.record("accepted", SOURCE)


@pytest.mark.parametrize("path", ["/dev/null", "/", "x" * 500])
def test_something_else_in_the_socket_s_place_is_no_error(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "SYSLOG_SOCKET", path)
    audit.record("accepted", SOURCE)


@pytest.fixture
def full_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A logger that has stopped reading, and whose queue is full."""
    path = str(tmp_path / "full")
    monkeypatch.setattr(audit, "SYSLOG_SOCKET", path)
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(path)
        sender.setblocking(False)
        sender.connect(path)
        try:
            while True:
                sender.send(b"x")
        except BlockingIOError:
            yield


@pytest.mark.usefixtures("full_socket")
def test_a_logger_that_does_not_read_hangs_nobody() -> None:
    writing = threading.Thread(target=audit.record, args=("accepted", SOURCE), daemon=True)
    writing.start()
    writing.join(timeout=60)
    assert not writing.is_alive()


def test_no_descriptor_is_left_open(log: LogSocket) -> None:
    before = len(os.listdir("/proc/self/fd"))
    audit.record("accepted", SOURCE)
    assert before == len(os.listdir("/proc/self/fd"))


def test_every_field_of_a_source_has_a_name_in_the_line() -> None:
    line = format_line("error", Source("m", "u", "h", "t", "r"), {})
    assert "pam_totp(m): event=error user=u rhost=h tty=t ruser=r" == line


def test_a_worker_logs_under_the_product_s_name(
    log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "program", "pam_totp")
    audit.record("accepted", SOURCE)
    assert f" pam_totp[{os.getpid()}]: pam_totp(" in log.lines()[0]


def test_a_service_cannot_end_the_brackets_around_its_name() -> None:
    line = format_line("rejected", Source("x): event=accepted user=root (y:auth"), {})
    expected = 'pam_totp("x\\u{29}: event=accepted user=root \\u{28}y:auth"): event=rejected'
    assert expected == line
