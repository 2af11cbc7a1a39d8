"""The service's way to the logger: lines in order, and nobody waits."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.service import log as log_module
from pam_totp.service.helpers import Helpers
from pam_totp.service.log import MAX_PENDING, Log
from pam_totp.system import audit
from tests.native.worker_side import TIMEOUT, wait_until
from tests.support.logs import LogSocket


@pytest.fixture
def lines(log: LogSocket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    monkeypatch.setattr("pam_totp.service.helpers.IDLE_SECONDS", 0.05)
    lines = Log()
    yield lines
    lines.close()


class Deaf:
    """A logger that does not read, until it does."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(TIMEOUT)

    def read(self, count: int) -> list[int]:
        return [int(self.socket.recv(100)) for _ in range(count)]


@pytest.fixture
def deaf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deaf]:
    monkeypatch.setattr(audit, "SYSLOG_SOCKET", str(tmp_path / "deaf"))
    monkeypatch.setattr(audit, "SEND_SECONDS", TIMEOUT)
    monkeypatch.setattr(log_module, "MAX_PENDING", 50)
    deaf = Deaf(tmp_path / "deaf")
    yield deaf
    deaf.socket.close()


def room() -> int:
    """Return how many datagrams wait for one who does not read."""
    return int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text(encoding="ascii")) + 1


def test_lines_go_over_one_socket_in_order(lines: Log, log: LogSocket) -> None:
    before = {*threading.enumerate()}  # of other tests
    for number in range(5):
        lines.deliver(b"%d" % number)
    kept = lines._socket
    lines.deliver(b"5")
    assert kept is lines._socket
    assert ["0", "1", "2", "3", "4", "5"] == log.lines()
    assert not [thread for thread in {*threading.enumerate()} - before if thread.name == "log"]


def test_a_logger_that_was_restarted_gets_the_next_line(
    lines: Log, log: LogSocket, tmp_path: Path
) -> None:
    lines.deliver(b"before")
    log.close()
    os.unlink(log.path)
    lines.deliver(b"lost")
    again = LogSocket(log.path)
    lines.deliver(b"after")
    assert ["after"] == again.lines()
    again.close()


def test_without_a_logger_nothing_is_raised_and_no_file_is_left_open(
    lines: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "SYSLOG_SOCKET", str(tmp_path / "nobody"))
    before = os.listdir("/proc/self/fd")
    for _ in range(20):
        lines.deliver(b"x")
    assert before == os.listdir("/proc/self/fd")


def test_whoever_does_not_read_is_not_waited_for_and_gets_all_of_it_in_order(
    lines: Log, deaf: Deaf
) -> None:
    sent = room() + 40
    for number in range(sent):
        lines.deliver(b"%d" % number)  # and none of these waits
    assert 40 == lines._pending
    assert list(range(sent)) == deaf.read(sent)
    wait_until(lambda: not lines._pending)
    lines.deliver(b"%d" % sent)
    assert [sent] == deaf.read(1)


def test_what_comes_when_too_much_waits_is_lost(lines: Log, deaf: Deaf) -> None:
    assert 1000 == MAX_PENDING
    sent = room() + 50
    for number in range(sent + 20):
        lines.deliver(b"%d" % number)
    assert 50 == lines._pending
    assert list(range(sent)) == deaf.read(sent)
    wait_until(lambda: not lines._pending)


def test_without_a_thread_what_cannot_be_sent_at_once_is_lost(
    lines: Log, deaf: Deaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Helpers, "_start", lambda _: False)
        for number in range(room() + 20):
            lines.deliver(b"%d" % number)
    assert 0 == lines._pending
    assert list(range(room())) == deaf.read(room())


def test_a_socket_that_another_thread_closes_meanwhile_raises_nothing(
    log: LogSocket,
) -> None:
    class Raced(Log):
        """Whose socket another thread takes away after each look at it."""

        @property
        def _socket(self) -> socket.socket | None:
            found, self.kept = self.kept, None
            if found is not None:
                taken.append(found)
            return found

        @_socket.setter
        def _socket(self, new: socket.socket | None) -> None:
            self.kept = new

        kept: socket.socket | None = None

    taken: list[socket.socket] = []
    raced = Raced()
    for number in range(4):
        raced.deliver(b"%d" % number)
    assert ["0", "1", "2", "3"] == log.lines()
    for one in taken:
        one.close()
