"""Logins through the worker in a process of its own, as pam_totp.so would lead them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.store.sqlite import lasting_files
from tests.native import worker_side as side
from tests.native.worker_side import Client, Outcome, Worker
from tests.support.logs import fields
from tests.support.place import Place, code_now, wrong_code

CODE = "ABCD-EFGH-JKMN-PQRS"


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with side.worker_in_a_folder(side.EVERYBODY) as worker:
        worker.listen()
        yield worker


def asked(place: Place, *arguments: bytes, **items: bytes | int) -> bytes:
    everything = side.of_place(place.config_path, *arguments)
    return side.request(arguments=everything, **items)  # type: ignore[arg-type]


def spawned(worker: Worker, packet: bytes, *texts: str) -> tuple[Outcome, int]:
    """Log in as the module does with a worker of its own; return its exit status too."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def inherit() -> None:
        os.dup2(theirs.fileno(), 3)

    process = worker.start("--connection", "3", before=inherit, pass_fds=(3,))
    theirs.close()
    with Client(connected=ours) as client:
        client.send(packet)
        outcome = client.answers(*texts)
    return outcome, process.wait(side.TIMEOUT)


def test_a_right_code_logs_in(worker: Worker, place: Place) -> None:
    place.enrol("alice")
    outcome = worker.log_in(asked(place, rhost=b"::1", tty=b"ssh"), code_now())
    assert (side.PAM_SUCCESS, 1) == (outcome.code, outcome.prompts)
    line = worker.log.wait_for("event=accepted", "user=alice", "rhost=::1", "tty=ssh")
    assert " pam_totp[" in line
    assert "sshd:auth" == fields(line)["module"]


def test_a_worker_of_one_login_answers_and_is_gone(worker: Worker, place: Place) -> None:
    place.enrol("carol")
    packet = asked(place, user=b"carol")
    code = code_now(1)  # good for as long as this takes, and only once
    outcome, status = spawned(worker, packet, wrong_code(), code)
    assert ((side.PAM_SUCCESS, 2), 0) == ((outcome.code, outcome.prompts), status)
    outcome, status = spawned(worker, packet, code)
    assert (side.NONE_CAME, 0) == (outcome.code, status)
    assert not lasting_files.has_content(f"{place.store_path}-wal")


def test_a_code_is_good_once(worker: Worker, place: Place) -> None:
    place.enrol("alice")
    code = code_now(1)
    assert side.PAM_SUCCESS == worker.log_in(asked(place), code).code
    assert side.PAM_AUTH_ERR == worker.log_in(asked(place, b"attempts=1"), code).code


def test_the_codes_of_pam_are_those_of_the_table(worker: Worker, place: Place) -> None:
    place.configure(attempts=1, throttle_after=2)
    place.enrol("alice")
    place.enrol("erin", status="exempt")
    outcomes = [
        worker.log_in(asked(place), wrong_code()).code,
        worker.log_in(asked(place), "no code").code,
        worker.log_in(asked(place), wrong_code()).code,
        worker.log_in(asked(place), code_now()).code,
        worker.log_in(asked(place, user=b"bob"), code_now()).code,
        worker.log_in(asked(place, b"nullok", user=b"bob")).code,
        worker.log_in(asked(place, user=b"erin")).code,
    ]
    expected = [7, 7, 7, side.PAM_MAXTRIES, 7, side.PAM_IGNORE, side.PAM_IGNORE]
    assert expected == outcomes


def test_a_recovery_code_is_good_once_even_at_the_same_moment(worker: Worker, place: Place) -> None:
    place.configure(attempts=1)
    place.enrol("alice", recovery_codes=(CODE,))
    outcomes = side.many(6, lambda _: worker.log_in(asked(place), CODE))
    assert [0, 7, 7, 7, 7, 7] == sorted(outcome.code for outcome in outcomes)


@pytest.mark.parametrize(
    ("service", "answered", "prompts", "reason"),
    [
        (b"sshd", side.answer(b"", side.TEXT), 1, "sshd_config"),
        (b"sshd", side.answer(b"", side.NONE), 3, "in place of the code"),
        (b"other", side.answer(b"", side.TEXT), 3, "in place of the code"),
    ],
)
def test_the_password_again_is_no_guess_and_is_explained(
    worker: Worker, place: Place, service: bytes, answered: bytes, prompts: int, reason: str
) -> None:
    """An answer to a message is what sshd's password method gives, and no person."""
    place.enrol("alice")
    asked_for = 0
    with Client(worker.socket) as client:
        client.send(asked(place, user=b"alice", service=service))
        while (received := client.receive())[3] == side.MESSAGE:
            is_prompt = received[4] == 1
            asked_for += is_prompt
            client.send(side.answer(b"", side.PASSWORD) if is_prompt else answered)
    assert side.packet(side.RESULT, bytes([side.PAM_AUTH_ERR])) == received
    assert prompts == asked_for
    worker.log.wait_for(f"{service.decode()}:auth", "event=malformed", reason)
    assert 0 == place.record("alice").failures


def test_a_conversation_that_fails_is_told(worker: Worker, place: Place) -> None:
    place.enrol("alice")
    with Client(worker.socket) as client:
        client.send(asked(place, service=b"failing"))
        client.until_prompt()
        client.send(side.answer(b"", side.FAILED))
        assert side.packet(side.RESULT, bytes([side.PAM_CONV_ERR])) == client.receive()
        assert b"" == client.receive()
    worker.log.wait_for("failing:auth", "the application did not ask")


def test_a_code_that_nobody_heard_of_is_used_up_and_told(worker: Worker, place: Place) -> None:
    place.enrol("alice")
    code = code_now()
    with Client(worker.socket) as client:
        client.send(asked(place, service=b"hasty"))
        client.until_prompt()
        client.socket.shutdown(socket.SHUT_RD)  # it is there until the code has been judged
        client.send(side.answer(code))
        worker.log.wait_for("the application was gone before it heard that the code was right")
    assert side.PAM_AUTH_ERR == worker.log_in(asked(place, b"attempts=1"), code).code


def test_no_store_denies_and_says_why(worker: Worker, place: Place) -> None:
    place.configure(store="/nonexistent/store.db")
    outcome = worker.log_in(asked(place, service=b"storeless"), code_now())
    assert side.PAM_AUTHINFO_UNAVAIL == outcome.code
    worker.log.wait_for("storeless:auth", "/nonexistent", "hint=")


def test_bytes_that_are_not_utf_8_are_nobody_s_login(worker: Worker, place: Place) -> None:
    place.enrol("alice")
    packet = asked(place, b"attempts=1", user=b"al\xffice", rhost=b"\xff", tty=b"\xfe")
    assert side.PAM_AUTH_ERR == worker.log_in(packet, code_now()).code
    worker.log.wait_for("event=unenrolled", 'rhost="?"')


def test_lines_of_the_log_cannot_be_forged(worker: Worker, place: Place) -> None:
    place.enrol("alice")
    evil = b'x" event=accepted user=root\nNov 22 00:00:00 sshd[1]: Accepted'
    packet = asked(place, rhost=evil, tty=evil, ruser=evil, service=evil[:20])
    assert side.PAM_AUTH_ERR == worker.log_in(packet, *[wrong_code()] * 3).code
    line = worker.log.wait_for("event=rejected", "Accepted")
    assert "\n" not in line
    assert 'rhost="x\\" event=accepted user=root\\u{a}Nov 22' in line
    assert line.index("event=rejected") < line.index("event=accepted user=root")


@pytest.mark.parametrize(
    "arguments", [[], ["--connection"], ["--connection", "4"], ["--listen", "a", "b"], ["serve"]]
)
def test_a_call_that_makes_no_sense_is_told_how(worker: Worker, arguments: list[str]) -> None:
    process = worker.start(*arguments)
    assert 2 == process.wait(side.TIMEOUT)
    assert process.stderr is not None
    assert process.stderr.read().startswith(
        "usage: worker --connection 3 | --accepted 3 | --me 3 | --activated | "
    )


def test_a_worker_can_write_no_core_file_and_is_called_by_its_name(
    worker: Worker, place: Place
) -> None:
    pid = worker.processes[0].pid
    limits = Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines()
    core = next(line for line in limits if line.startswith("Max core file size"))
    assert ["0", "0"] == core.split()[4:6]
    assert "pam_totp\n" == Path(f"/proc/{pid}/comm").read_text(encoding="ascii")
    assert 0o700 == worker.socket.stat().st_mode & 0o777
