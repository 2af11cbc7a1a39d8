"""The worker in this process: one login on a socketpair, and who may ask for what."""

from __future__ import annotations

import os
import pwd
import resource
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from pam_totp.core import recovery
from pam_totp.login.driver import BlockingDriver
from pam_totp.service import program, wire, worker
from pam_totp.service.worker import Peer
from pam_totp.system import audit, config
from pam_totp.system.errors import PamTotpError, StoreRefused
from tests.native import worker_side as side
from tests.native.worker_side import Client, Outcome
from tests.support.logs import LogSocket, fields
from tests.support.place import Place, code_now, wrong_code

ROOT, STRANGER = 0, 12345
CODE = "ABCD-EFGH-JKMN-PQRS"


class Town:
    """Where alice, whose user id is STRANGER, and whoever calls as ``peer`` log in."""

    def __init__(self, place: Place, log: LogSocket) -> None:
        self.place = place
        self.log = log

    def log_in(self, request: bytes, *texts: str, uid: int = ROOT) -> Outcome:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with Client(connected=ours) as client:
            thread = threading.Thread(target=worker.serve, args=(theirs, Peer(77, uid)))
            thread.start()
            client.send(request)
            outcome = client.answers(*texts)
        thread.join(side.TIMEOUT)
        assert not thread.is_alive()
        return outcome

    def asks(self, *arguments: bytes, **items: object) -> bytes:
        """Ask as root does, whose arguments lead to the place."""
        everything = side.of_place(self.place.config_path, *arguments)
        return side.request(arguments=everything, **items)  # type: ignore[arg-type]


@pytest.fixture
def town(place: Place, log: LogSocket, monkeypatch: pytest.MonkeyPatch) -> Town:
    def getpwnam(name: str) -> pwd.struct_passwd:
        if name.lower() != "alice":
            raise KeyError(name)
        return pwd.struct_passwd(("alice", "x", STRANGER, STRANGER, "", "/", "/bin/sh"))

    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    monkeypatch.setattr(config, "DEFAULT_PATH", str(place.config_path))
    # What it remembers of arguments has the path in it: of this place for other tests, or theirs.
    monkeypatch.setattr(config, "_parse_arguments", config._parse_arguments.__wrapped__)
    place.enrol("alice", recovery_codes=(CODE,))
    return Town(place, log)


def test_a_right_code_is_a_success_and_a_wrong_one_asks_again(town: Town) -> None:
    outcome = town.log_in(town.asks(), wrong_code(), code_now())
    assert (side.PAM_SUCCESS, 2) == (outcome.code, outcome.prompts)
    assert ["rejected", "accepted"] == town.log.events()


def test_a_module_that_says_nothing_or_goes_is_forgotten(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "REQUEST_SECONDS", 0.05)
    for reason in (["error"], []):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if not reason:
            ours.close()
        worker.serve(theirs, Peer(77, ROOT))
        ours.close()
        assert -1 == theirs.fileno()
    assert ["error"] == town.log.events()
    assert 'reason="no request came: timed out" peer_uid=0 peer_pid=77' in town.log.text()


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"hello", "packet: is not of pam_totp.so"),
        (side.packet(1, b"", version=9), "packet: is of version 9, not 1"),
    ],
)
def test_what_is_no_request_is_refused_and_told(town: Town, packet: bytes, reason: str) -> None:
    assert (side.WAS_REFUSED, [reason]) == town.log_in(packet)[:2]
    assert (
        f'pam_totp(worker): event=error reason="{reason}" peer_uid=0 peer_pid=77' in town.log.text()
    )


def test_a_module_that_does_not_wait_for_the_reason_is_no_matter(town: Town) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.send(b"x")
    ours.close()
    worker.serve(theirs, Peer(77, ROOT))
    assert ["error"] == town.log.events()


def test_a_success_that_nobody_hears_is_told(town: Town) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with Client(connected=ours) as client:
        thread = threading.Thread(target=worker.serve, args=(theirs, Peer(77, ROOT)))
        client.send(town.asks())
        thread.start()
        client.until_prompt()
        ours.shutdown(socket.SHUT_RD)  # before the answer: the worker may be quicker than a close
        client.send(side.answer(code_now()))
        thread.join(side.TIMEOUT)
    assert "was gone before it heard that the code was right" in town.log.text()
    assert town.place.record("alice").authenticators[0].last_accepted_step


def test_an_error_of_our_own_ends_one_login_and_is_told(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.wire, "parse_request", lambda _: 1 // 0)
    assert side.NONE_CAME == town.log_in(town.asks()).code
    assert 'reason="unexpected ZeroDivisionError"' in town.log.text()


@pytest.mark.parametrize("answer", [False, True, None, 4711, -1, 1, 0.0, "0"])
def test_anything_but_a_code_of_the_table_is_a_service_error(
    town: Town, monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    monkeypatch.setattr(worker.flow, "authenticate", lambda *_: answer)
    assert side.PAM_SERVICE_ERR == town.log_in(town.asks()).code
    assert 'reason="unexpected TypeError"' in town.log.text()


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, PamTotpError])
def test_what_a_login_raises_is_a_service_error_logged_without_its_text(
    town: Town, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def authenticate(*_: object) -> int:
        raise error("service", "odd") if error is PamTotpError else error("hunter2")

    monkeypatch.setattr(worker.flow, "authenticate", authenticate)
    assert side.PAM_SERVICE_ERR == town.log_in(town.asks()).code
    assert ["error"] == town.log.events()
    assert "worker.py:" in town.log.text()
    assert "hunter2" not in town.log.text()


def test_a_service_whose_name_is_not_text_is_denied_with_a_line_in_the_log(town: Town) -> None:
    asked = town.asks(service=b"\xff")
    assert side.PAM_SERVICE_ERR == town.log_in(asked).code
    assert "service: its name is not text" in town.log.text()


def test_recovery_codes_are_hashed_one_at_a_time(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes 19 MiB."""
    now, most = [0], [0]
    digest = recovery.digest

    def watched(code: str, salt: bytes) -> bytes:
        now[0] += 1
        most[0] = max(most[0], now[0])
        time.sleep(0.02)
        now[0] -= 1
        return digest(code, salt)

    monkeypatch.setattr(recovery, "digest", watched)
    outcomes = side.many(4, lambda _: town.log_in(town.asks(b"attempts=1"), CODE))
    assert [0, 7, 7, 7] == sorted(outcome.code for outcome in outcomes)
    assert [1] == most


# Without root


def test_a_program_without_root_is_refused(town: Town) -> None:
    refused = town.log_in(side.request(b"alice"), uid=STRANGER)
    assert side.WAS_REFUSED == refused.code
    assert "peer_uid=12345" in town.log.text()
    assert "does not say unprivileged = yes" in town.log.text()


def test_a_program_without_root_is_served_where_the_file_says_so(town: Town) -> None:
    town.place.configure(unprivileged="yes")
    asked = side.request(b"alice", b"locker", b"203.0.113.9", b"root", b"tty1")
    assert side.PAM_SUCCESS == town.log_in(asked, code_now(), uid=STRANGER).code
    expected = (
        "pam_totp(unprivileged.locker:auth): event=accepted user=alice tty=tty1 ruser=12345 "
        "authenticator=phone"
    )
    assert town.log.lines()[0].endswith(expected)


@pytest.mark.parametrize("user", [b"bob", b"", None, b"al\xffice"])
def test_a_program_without_root_asks_for_its_own_user(town: Town, user: bytes | None) -> None:
    town.place.configure(unprivileged="yes")
    assert side.WAS_REFUSED == town.log_in(side.request(user), uid=STRANGER).code
    assert side.WAS_REFUSED == town.log_in(side.request(b"alice"), uid=STRANGER + 1).code
    assert 2 == town.log.text().count("asks for somebody else")


def test_of_its_arguments_only_the_harmless_ones_count(town: Town) -> None:
    town.place.configure(unprivileged="yes", attempts=1)
    arguments = [b"nullok", b"config=/tmp/x", b"window=10", b"attempts=2", b"prompt=? ", b"debug"]
    asked = side.request(b"alice", ssh_auth_info=b"publickey x", arguments=arguments)
    outcome = town.log_in(asked, wrong_code(), wrong_code(), uid=STRANGER)
    assert (side.PAM_AUTH_ERR, 2, "? ") == (outcome.code, outcome.prompts, outcome.shown[0])
    assert "are ignored: put them into pam_totp.conf" in town.log.text()
    assert "event=debug" in town.log.text()


def test_what_a_program_without_root_says_of_where_it_is_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It could name the address, or the session, of a remembered place."""
    settings = config.Loaded(config.Config(unprivileged=True), ())
    monkeypatch.setattr(config, "load", lambda _: settings)
    entry = pwd.getpwuid(os.geteuid())
    name, said = entry.pw_name.encode(), (b"192.0.2.7", b"bob", b"/dev/tty1", b"publickey x", b"p")
    asked = wire.RequestPacket(0, name, b"sshd", *said, ())
    admitted = worker.admit(Peer(1, entry.pw_uid), asked)
    assert b"unprivileged.sshd" == admitted.service
    assert (None, None, None) == (admitted.rhost, admitted.ssh_auth_info, admitted.processes)


# The process


@pytest.fixture
def made_ready(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    """What make_ready() would do to this process."""
    done: dict[str, object] = {}
    monkeypatch.setattr(audit, "program", "")
    monkeypatch.setattr(os, "umask", lambda mask: done.update(umask=mask))
    monkeypatch.setattr(resource, "setrlimit", lambda *limit: done.update(limit=limit))
    monkeypatch.setattr("builtins.open", lambda *_, **__: (_ for _ in ()).throw(OSError()))
    yield done
    monkeypatch.undo()


def test_a_worker_keeps_what_it_writes_to_itself(made_ready: dict[str, object]) -> None:
    program.make_ready()
    assert {"umask": 0o077, "limit": (resource.RLIMIT_CORE, (0, 0))} == made_ready
    assert "pam_totp" == audit.program


def test_a_worker_for_one_login_serves_it_and_ends(
    town: Town, made_ready: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    monkeypatch.setattr(program, "INHERITED", theirs.detach())
    ours.send(b"x")
    assert 0 == program.main(["--connection", str(program.INHERITED)])
    assert b"PT\1\x13\1\1packet: is not of pam_totp.so" == ours.recv(100)
    ours.close()


def test_a_peer_is_who_the_kernel_says() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        assert Peer(os.getpid(), os.geteuid()) == worker.peer_of(theirs)
    assert Peer(1, 0).is_trusted()
    assert Peer(1, os.geteuid()).is_trusted()
    assert not Peer(1, STRANGER).is_trusted()


@pytest.mark.parametrize("arguments", [[], ["--connection"], ["--connection", "0"], ["-h"]])
def test_other_arguments_are_told_how(
    made_ready: dict[str, object], capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert 2 == program.main(arguments)
    assert capsys.readouterr().err.startswith("usage: worker ")


def test_a_service_that_cannot_begin_says_why(
    made_ready: dict[str, object], log: LogSocket, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 1 == program.main(["--activated"])
    assert 1 == program.main(["--listen", "/nonexistent/folder/socket"])
    first, second = capsys.readouterr().err.splitlines()
    assert "worker: error: systemd: handed over no socket" == first
    assert second.startswith("worker: error: ")
    assert ["error", "error"] == log.events()


def test_codes_for_an_outage_that_cannot_be_renewed_are_a_line_in_the_log(log: LogSocket) -> None:
    class Refused(BlockingDriver):
        def refresh_kit(self) -> None:
            raise StoreRefused("store", "this host has not joined", "run: totpctl doctor")

    worker.refresh_kit(Refused())
    (line,) = log.lines()
    said = fields(line)
    assert said["reason"].endswith("could not be renewed: store: this host has not joined")
    assert ("error", "run: totpctl doctor") == (said["event"], said["hint"])
