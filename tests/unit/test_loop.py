"""The loop: many logins in rounds, what it hears of whom, and what comes at the wrong moment."""

from __future__ import annotations

import inspect
import os
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pam_totp.core import recovery
from pam_totp.login import flow, steps
from pam_totp.service import connection, loop, wire
from pam_totp.service.kept_driver import KeptDriver
from pam_totp.service.worker import Peer
from pam_totp.store.sqlite.database import Database
from pam_totp.store.sqlite.store import SQLiteStore
from pam_totp.system.errors import StoreUnavailable
from tests.native import worker_side as side
from tests.native.worker_side import Client
from tests.support.logs import LogSocket
from tests.support.place import Place, code_now, wrong_code
from tests.unit.rounds import Gate, Rounds, has_news

STRANGER = 12345
CODES = tuple(f"ABCD-EFGH-JKMN-PQR{last}" for last in "STVW")
BEFORE_THE_LOGIN = {"check_name_services", "check_files", "admit"}


# Where each step is performed


def test_each_step_is_performed_in_one_place() -> None:
    tables = (
        *(loop.AT_ONCE, loop.ON_THE_DISK, loop.BY_A_HELPER),
        *(loop.BY_THE_PERSON, loop.TOGETHER, loop.IN_TURN),
    )
    places = Counter(name for table in tables for name in table)
    methods = {name for name, _ in inspect.getmembers(steps.Driver, inspect.isfunction)}
    methods = {name for name in methods if not name.startswith("_")}
    assert methods | BEFORE_THE_LOGIN == set(places)
    assert {1} == set(places.values())


def test_whoever_performs_a_step_has_it() -> None:
    of_the_driver = {
        *(*loop.AT_ONCE, *loop.BY_A_HELPER),
        *(*loop.ON_THE_DISK, *loop.ON_THE_DISK.values()),
        *(*loop.IN_TURN, *loop.IN_TURN.values()),
    }
    assert {name for name in of_the_driver if not hasattr(KeptDriver, name)} == set()
    assert {name for name in loop.TOGETHER if not hasattr(SQLiteStore, name)} == set()


# Rounds


def test_a_wrong_code_is_asked_again_and_a_right_one_is_a_success(
    rounds: Rounds, log: LogSocket
) -> None:
    rounds.place.enrol("alice")
    outcome = rounds.result_of(rounds.come("alice"), wrong_code(), code_now())
    assert (side.PAM_SUCCESS, 2) == (outcome.code, outcome.prompts)
    rounds.until(rounds.is_forgotten)
    assert ["rejected", "accepted"] == log.events()


def count_commits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    commits: list[int] = []
    commit = Database.commit

    def counted(self: Database) -> None:
        commits.append(1)
        commit(self)

    monkeypatch.setattr(Database, "commit", counted)
    return commits


def test_answers_of_one_round_are_durable_by_one_commit(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [f"user{number}" for number in range(16)]
    for user in users:
        rounds.place.enrol(user)
    clients = [rounds.at_the_prompt(user) for user in users]
    commits = count_commits(monkeypatch)
    for client in clients:
        client.send(side.answer(code_now()))
    rounds.round()
    assert [1] == commits
    assert [side.PAM_SUCCESS] * 16 == [rounds.result_of(client).code for client in clients]


def test_whoever_is_told_success_has_it_on_the_disk(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds.place.enrol("alice")
    client = rounds.at_the_prompt()
    told: list[bool] = []
    commit = Database.commit

    def watched(self: Database) -> None:
        told.append(has_news(client))
        commit(self)
        told.append(has_news(client))

    monkeypatch.setattr(Database, "commit", watched)
    client.send(side.answer(code_now()))
    rounds.round()
    assert [False, False] == told
    assert side.PAM_SUCCESS == rounds.result_of(client).code


def test_of_many_who_give_one_code_in_one_round_one_is_let_in(rounds: Rounds) -> None:
    rounds.place.enrol("alice")
    clients = [rounds.at_the_prompt("alice", b"attempts=1") for _ in range(40)]
    code = code_now()
    for client in clients:
        client.send(side.answer(code))
    rounds.round()
    codes = Counter(rounds.result_of(client).code for client in clients)
    assert {side.PAM_SUCCESS: 1, side.PAM_AUTH_ERR: 39} == codes


def test_no_more_than_so_many_are_judged_in_one_transaction(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 64 == loop.MAX_BATCH
    monkeypatch.setattr(loop, "MAX_BATCH", 3)
    for number in range(7):
        rounds.place.enrol(f"user{number}")
    clients = [rounds.at_the_prompt(f"user{number}") for number in range(7)]
    commits = count_commits(monkeypatch)
    for client in clients:
        client.send(side.answer(code_now()))
    assert [side.PAM_SUCCESS] * 7 == [rounds.result_of(client).code for client in clients]
    assert 3 == len(commits)


def test_answers_for_two_stores_are_judged_each_in_its_own(rounds: Rounds, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    other = Place(folder, in_use=True)
    rounds.place.enrol("alice")
    other.enrol("alice")
    clients = [rounds.at_the_prompt(place=place) for place in (rounds.place, other)]
    for client in clients:
        client.send(side.answer(code_now()))
    rounds.round()
    assert [side.PAM_SUCCESS] * 2 == [rounds.result_of(client).code for client in clients]
    used = [p.record("alice").authenticators[0].last_accepted_step for p in (rounds.place, other)]
    assert None not in used


def test_a_change_between_prompt_and_answer_counts(rounds: Rounds) -> None:
    rounds.place.enrol("alice")
    client = rounds.at_the_prompt()
    rounds.place.key_path.chmod(0o644)
    client.send(side.answer(code_now()))
    assert side.PAM_AUTHINFO_UNAVAIL == rounds.result_of(client).code
    rounds.place.key_path.chmod(0o600)
    assert side.PAM_SUCCESS == rounds.log_in("alice", code_now())


# One that fails


def test_a_commit_that_fails_denies_all_and_uses_up_no_code(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = ["alice", "bob", "carol"]
    for user in users:
        rounds.place.enrol(user)
    clients = [rounds.at_the_prompt(user) for user in users]

    def fail(_: Database) -> None:
        raise StoreUnavailable("store", "no space left")

    with monkeypatch.context() as patched:
        patched.setattr(Database, "commit", fail)
        for client in clients:
            client.send(side.answer(code_now()))
        rounds.round()
    denied = [rounds.result_of(client).code for client in clients]
    assert [side.PAM_AUTHINFO_UNAVAIL] * 3 == denied
    assert [side.PAM_SUCCESS] * 3 == [rounds.log_in(user, code_now()) for user in users]


def test_one_whose_answer_cannot_be_judged_is_denied_alone(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = ["alice", "bob", "carol"]
    for user in users:
        rounds.place.enrol(user)
    clients = [rounds.at_the_prompt(user) for user in users]
    verify = flow.verifier.verify

    def damaged(record, *more, **place):  # type: ignore[no-untyped-def]
        if record.name == "bob":
            raise MemoryError
        return verify(record, *more, **place)

    monkeypatch.setattr(flow.verifier, "verify", damaged)
    for client in clients:
        client.send(side.answer(code_now()))
    rounds.round()
    codes = [rounds.result_of(client).code for client in clients]
    assert [side.PAM_SUCCESS, side.PAM_SERVICE_ERR, side.PAM_SUCCESS] == codes


@pytest.mark.parametrize("found", [False, True, None, 4711, -1, 1, 0.0, "0"])
def test_anything_but_a_code_of_the_table_is_no_success(
    rounds: Rounds, log: LogSocket, monkeypatch: pytest.MonkeyPatch, found: object
) -> None:
    def login(_: steps.Request) -> steps.Flow[object]:
        yield steps.Step("issue_codes", (), {})
        return found

    monkeypatch.setattr(loop.flow, "login", login)
    assert side.PAM_SERVICE_ERR == rounds.result_of(rounds.come()).code
    assert 'reason="unexpected TypeError"' in log.text()


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, MemoryError])
def test_what_a_login_raises_is_a_service_error_logged_without_its_text(
    rounds: Rounds, log: LogSocket, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def login(_: steps.Request) -> steps.Flow[int]:
        yield steps.Step("issue_codes", (), {})
        raise error("hunter2")

    monkeypatch.setattr(loop.flow, "login", login)
    assert side.PAM_SERVICE_ERR == rounds.result_of(rounds.come()).code
    rounds.until(rounds.is_forgotten)
    assert ["error"] == log.events()
    assert "hunter2" not in log.text()


@pytest.mark.parametrize("where", ["parse_request", "message"])
def test_a_login_that_breaks_the_loop_ends_and_the_others_go_on(
    rounds: Rounds, log: LogSocket, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    rounds.place.enrol("alice")
    monkeypatch.setattr(loop, "ERROR_SECONDS", 0.0)
    waiting = rounds.at_the_prompt()
    with monkeypatch.context() as patched:

        def broken(*_: object) -> bytes:
            raise MemoryError

        patched.setattr(wire, where, broken)
        client = rounds.come()
        code = rounds.result_of(client).code
        assert code == (side.NONE_CAME if where == "parse_request" else side.PAM_SERVICE_ERR)
    waiting.send(side.answer(code_now()))
    assert side.PAM_SUCCESS == rounds.result_of(waiting).code
    rounds.until(rounds.is_forgotten)
    assert "unexpected MemoryError" in log.text()


def test_what_breaks_before_the_login_leaves_it_to_a_worker_of_its_own(
    rounds: Rounds, log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a service ends the connection without a word, a module of root's starts one."""

    def out_of_files(*_: object) -> None:
        raise OSError(24, "Too many open files")

    rounds.loop._is_sandboxed = True
    monkeypatch.setattr(loop.KeptDriver, "check_name_services", out_of_files)
    assert side.NONE_CAME == rounds.result_of(rounds.come()).code
    assert "unexpected OSError" in log.text()


def test_a_service_whose_name_is_not_text_is_denied_with_a_line_in_the_log(
    rounds: Rounds, log: LogSocket
) -> None:
    client = rounds.connect()
    client.send(side.request(service=b"\xff"))
    assert side.PAM_SERVICE_ERR == rounds.result_of(client).code
    assert "service: its name is not text" in log.text()


def test_a_success_that_nobody_hears_is_told(
    rounds: Rounds, log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds.place.enrol("alice")
    client = rounds.at_the_prompt()
    judge = loop.batch.judge

    def judge_and_go(*given: Any) -> Any:
        done = judge(*given)
        client.socket.close()
        return done

    monkeypatch.setattr(loop.batch, "judge", judge_and_go)
    client.send(side.answer(code_now()))
    rounds.until(rounds.is_forgotten)
    assert "was gone before it heard that the code was right" in log.text()


def test_whoever_has_gone_before_the_code_is_judged_has_used_up_nothing(
    rounds: Rounds, log: LogSocket
) -> None:
    rounds.place.enrol("alice")
    client = rounds.at_the_prompt()
    client.send(side.answer(code_now()))
    client.socket.close()
    rounds.until(rounds.is_forgotten)
    assert ["aborted"] == log.events()
    assert side.PAM_SUCCESS == rounds.log_in("alice", code_now())


# What comes at the wrong moment

REQUEST = side.request()
NO_REQUESTS = [
    b"x",
    side.packet(side.REQUEST, version=9),
    side.packet(side.REQUEST, magic=b"HT"),
    REQUEST[:-1],  # the half of one: packets keep their bounds
    REQUEST[: len(REQUEST) // 2],
    REQUEST + b"\0",
    side.answer("123456"),
    side.packet(side.RESULT, b"\0"),
    bytes(wire.MAX_PACKET + 1),
]
NO_ANSWERS = [
    b"x",
    REQUEST,
    side.packet(side.RESULT, b"\0"),
    side.packet(side.ANSWER),
    side.packet(side.ANSWER, b"\7"),
    side.packet(side.ANSWER, b"\0a\0b"),
    side.packet(side.ANSWER, b"\0" + b"1" * 513),
    side.packet(side.ANSWER, b"\2hunter2"),
    side.packet(side.ANSWER, b"\0", version=2),
]


@pytest.mark.parametrize("sent", NO_REQUESTS)
def test_what_is_no_request_is_refused_and_told(
    rounds: Rounds, log: LogSocket, sent: bytes
) -> None:
    client = rounds.connect()
    client.send(sent)
    assert side.WAS_REFUSED == rounds.result_of(client).code
    rounds.until(rounds.is_forgotten)
    assert ["error"] == log.events()
    assert "peer_uid=" in log.text()


@pytest.mark.parametrize("sent", NO_ANSWERS)
def test_what_is_no_answer_ends_the_login(rounds: Rounds, log: LogSocket, sent: bytes) -> None:
    rounds.place.enrol("alice")
    client = rounds.at_the_prompt()
    client.send(sent)
    assert side.PAM_CONV_ERR == rounds.result_of(client).code
    rounds.until(rounds.is_forgotten)
    assert ["error"] == log.events()
    assert 0 == rounds.place.record("alice").failures


@pytest.mark.parametrize("sent", NO_ANSWERS)
def test_what_is_no_answer_to_a_message_changes_nothing(rounds: Rounds, sent: bytes) -> None:
    rounds.place.enrol("alice")
    client = rounds.at_the_prompt()
    client.send(side.answer(wrong_code()))
    assert side.MESSAGE == rounds.hear(client)[3]  # that it was wrong
    client.send(sent)
    assert side.PAM_SUCCESS == rounds.result_of(client, code_now()).code


def test_a_flood_of_answers_is_heard_one_for_each_prompt(rounds: Rounds) -> None:
    """What nobody asked for is left where it is: the loop does not turn for it."""
    for user in ("alice", "bob"):
        rounds.place.enrol(user)
    client = rounds.at_the_prompt("alice")
    client.socket.setblocking(False)
    sent = 0
    try:
        while sent < 1000:
            client.send(side.answer(wrong_code()))
            sent += 1
    except BlockingIOError:
        pass
    client.socket.settimeout(side.TIMEOUT)
    assert side.PAM_SUCCESS == rounds.log_in("bob", code_now())
    received = rounds.hear(client)
    while received[3:4] == bytes([side.MESSAGE]):
        received = rounds.hear(client)
    assert received in (b"", wire.result(side.PAM_AUTH_ERR))  # unread answers overtake a result
    rounds.until(rounds.is_forgotten)
    assert 3 == rounds.place.record("alice").failures  # one for each prompt; others to messages


def test_who_says_nothing_is_given_up_and_told(
    rounds: Rounds, log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop.worker, "REQUEST_SECONDS", 0.05)
    assert b"" == rounds.hear(rounds.connect())
    rounds.until(rounds.is_forgotten)
    assert 'reason="no request came: timed out"' in log.text()


# Whoever hangs up

Moment = Callable[[Rounds, pytest.MonkeyPatch], Client]


def before_the_request(rounds: Rounds, _: pytest.MonkeyPatch) -> Client:
    client = rounds.connect()
    rounds.round()
    return client


def at_the_prompt(rounds: Rounds, _: pytest.MonkeyPatch) -> Client:
    return rounds.at_the_prompt()


def with_an_answer_unread(rounds: Rounds, _: pytest.MonkeyPatch) -> Client:
    client = rounds.at_the_prompt()
    client.send(side.answer(wrong_code()))
    return client


def at_a_message(rounds: Rounds, _: pytest.MonkeyPatch) -> Client:
    client = with_an_answer_unread(rounds, _)
    rounds.hear(client)
    return client


def while_a_directory_is_asked(rounds: Rounds, monkeypatch: pytest.MonkeyPatch) -> Client:
    gate = Gate(loop.KeptDriver.look_up_account)
    monkeypatch.setattr(loop.KeptDriver, "look_up_account", lambda *a: gate(*a))
    client = rounds.come("dora")
    rounds.until(lambda: gate.waiting)
    gate.open()
    return client


def while_a_code_is_hashed(rounds: Rounds, monkeypatch: pytest.MonkeyPatch) -> Client:
    gate = Gate(recovery.digest)
    monkeypatch.setattr(recovery, "digest", gate)
    client = rounds.at_the_prompt()
    client.send(side.answer(CODES[0]))
    rounds.until(lambda: gate.waiting)
    gate.open()
    return client


def while_others_write(rounds: Rounds, monkeypatch: pytest.MonkeyPatch) -> Client:
    client = rounds.at_the_prompt()
    with rounds.place.open() as store, store.transaction("bob"):
        client.send(side.answer(wrong_code()))
        rounds.until(lambda: rounds.loop._later)
    return client


MOMENTS: tuple[Moment, ...] = (
    *(before_the_request, at_the_prompt, with_an_answer_unread, at_a_message),
    *(while_a_directory_is_asked, while_a_code_is_hashed, while_others_write),
)


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)
def test_whoever_hangs_up_is_forgotten(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch, log: LogSocket, moment: Moment
) -> None:
    rounds.place.enrol("alice")
    moment(rounds, monkeypatch).socket.close()
    rounds.until(rounds.is_forgotten)
    assert "unexpected" not in log.text()
    assert side.PAM_SUCCESS == rounds.log_in("alice", code_now())


def test_whoever_hangs_up_while_nothing_is_asked_does_not_turn_the_loop(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(loop.KeptDriver.look_up_account)
    monkeypatch.setattr(loop.KeptDriver, "look_up_account", lambda *a: gate(*a))
    client = rounds.come("dora")
    rounds.until(lambda: gate.waiting)
    client.socket.close()
    rounds.round()
    began = time.monotonic()
    rounds.loop._wait(0.2)
    assert time.monotonic() - began >= 0.2
    gate.open()


# Refused


def test_one_too_many_is_refused_and_counted_no_longer(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds.place.enrol("alice")
    monkeypatch.setattr(loop.Crowd, "enter", lambda *_: "too many connections")
    monkeypatch.setattr(loop.Crowd, "leave", lambda *_: None)
    outcome = rounds.result_of(rounds.come())
    assert (side.WAS_REFUSED, ["too many connections"]) == outcome[:2]
    monkeypatch.undo()


def test_a_program_without_root_keeps_its_place_for_a_moment(
    rounds: Rounds, log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "PAUSE_SECONDS", 60.0)
    monkeypatch.setattr(loop.worker, "peer_of", lambda _: Peer(1, STRANGER))
    for _ in range(8):
        assert side.WAS_REFUSED == rounds.result_of(rounds.come()).code
    assert 8 == rounds.loop.crowd.count
    outcome = rounds.result_of(rounds.come())
    assert ["too many connections of one user"] == outcome.shown
    rounds.loop._give_up(time.monotonic() + 61)
    rounds.until(rounds.is_forgotten)


def test_a_connection_that_cannot_be_taken_is_told_and_the_next_one_is(
    rounds: Rounds, log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds.place.enrol("alice")

    class Scarce(socket.socket):
        """Another name for the listener, where files and memory are short."""

        fails = [OSError(24, "Too many open files"), MemoryError()]

        def accept(self) -> tuple[socket.socket, object]:
            if self.fails:
                raise self.fails.pop(0)
            return super().accept()

    monkeypatch.setattr(loop, "RETRY_SECONDS", 0.01)
    with Scarce(fileno=os.dup(rounds.loop._listener.fileno())) as scarce:
        rounds.loop._listener = scarce
        assert side.PAM_SUCCESS == rounds.log_in("alice", code_now())
    assert "cannot take a connection: Too many open files" in log.text()
    assert "cannot take a connection: MemoryError" in log.text()


def test_the_seconds_that_a_person_has_are_those_of_a_worker() -> None:
    assert 600 == connection.ANSWER_SECONDS == loop.ANSWER_SECONDS
