"""The loop waits for nobody: whatever holds one login up, the others go on."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pam_totp.core import recovery
from pam_totp.login import hashing
from pam_totp.service import kept, kept_driver, local_accounts, loop
from pam_totp.service.helpers import Helpers
from pam_totp.store.sqlite.database import Database
from pam_totp.store.sqlite.questions import Questions
from pam_totp.system import config, marks
from tests.native import worker_side as side
from tests.support.logs import LogSocket
from tests.support.place import Place, code_now, wrong_code
from tests.unit.rounds import Gate, Rounds, has_news

CODES = tuple(f"ABCD-EFGH-JKMN-PQR{last}" for last in "STVW")


@pytest.fixture
def other(tmp_path: Path) -> Place:
    """Another store, with alice in it."""
    folder = tmp_path / "other"
    folder.mkdir()
    place = Place(folder, in_use=True)
    place.enrol("alice")
    return place


def others_are_served(rounds: Rounds, other: Place) -> bool:
    """Log in where nothing is held up."""
    code = rounds.log_in("alice", wrong_code(), b"attempts=1", place=other)
    return code == side.PAM_AUTH_ERR


# Helpers, and people


def test_a_directory_that_hangs_holds_up_only_those_it_is_asked_for(
    rounds: Rounds, other: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds.place.enrol("dora")
    before = set(threading.enumerate())  # those of other tests have not all gone yet
    gate = Gate(loop.KeptDriver.look_up_account)
    monkeypatch.setattr(loop.KeptDriver, "look_up_account", lambda *a: gate(*a))
    clients = [rounds.come("dora") for _ in range(3)]
    rounds.until(lambda: gate.waiting == 3)
    assert others_are_served(rounds, other)
    assert not any(has_news(client) for client in clients)
    gate.open()
    assert side.PAM_SUCCESS == rounds.result_of(clients[0], code_now()).code
    new = [thread.name for thread in threading.enumerate() if thread not in before]
    assert ["directory"] * 3 == [name for name in new if name == "directory"]


def test_a_person_who_never_answers_holds_nobody_up_and_is_given_up(
    rounds: Rounds, other: Place, log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds.place.enrol("alice")
    clients = [rounds.at_the_prompt() for _ in range(5)]
    assert others_are_served(rounds, other)
    monkeypatch.setattr(loop, "ANSWER_SECONDS", 0.05)
    late = rounds.at_the_prompt()
    assert side.PAM_CONV_ERR == rounds.result_of(late).code
    assert "nobody typed anything for too long" in log.text()
    assert not any(has_news(client) for client in clients)


def test_a_message_that_nobody_takes_is_given_up_and_the_login_goes_on(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds.place.enrol("alice", recovery_codes=CODES)
    client = rounds.at_the_prompt()
    monkeypatch.setattr(loop, "ANSWER_SECONDS", 0.05)
    client.send(side.answer(CODES[0]))
    assert side.MESSAGE == rounds.hear(client)[3]  # how many are left
    assert side.PAM_SUCCESS == rounds.hear(client)[4]


def test_a_logger_that_does_not_read_holds_nobody_up(
    rounds: Rounds, other: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        monkeypatch.setattr("pam_totp.system.audit.SYSLOG_SOCKET", str(tmp_path / "deaf"))
        monkeypatch.setattr("pam_totp.system.audit.SEND_SECONDS", side.TIMEOUT)
        monkeypatch.setattr("pam_totp.service.log.MAX_PENDING", 20)
        room = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text(encoding="ascii"))
        for _ in range(room + 30):
            client = rounds.connect()
            client.send(b"x")  # a line in the log
            assert side.WAS_REFUSED == rounds.result_of(client).code
        assert others_are_served(rounds, other)
        deaf.settimeout(side.TIMEOUT)
        for _ in range(room + 10):  # from here on it reads, and hears what there was room for
            assert deaf.recv(1000)


# Recovery codes


def test_recovery_codes_are_hashed_one_at_a_time_and_hold_up_nobody_else(
    rounds: Rounds, other: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes 19 MiB."""
    users = [f"user{number}" for number in range(4)]
    for user in users:
        rounds.place.enrol(user, recovery_codes=CODES)
    gate = Gate(recovery.digest)
    now, most = [0], [0]

    def watched(code: str, salt: bytes) -> bytes:
        now[0] += 1
        most[0] = max(most[0], now[0])
        try:
            return bytes(gate(code, salt))
        finally:
            now[0] -= 1

    monkeypatch.setattr(recovery, "digest", watched)
    clients = [rounds.at_the_prompt(user) for user in users]
    for client in clients:
        client.send(side.answer(CODES[0]))
    rounds.until(lambda: gate.waiting == 1)
    assert others_are_served(rounds, other)
    assert 1 == gate.waiting
    gate.open()
    assert [side.PAM_SUCCESS] * 4 == [rounds.result_of(client).code for client in clients]
    assert [1] == most


def test_a_recovery_code_whose_turn_does_not_come_is_told_and_not_used_up(
    rounds: Rounds, log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user in ("alice", "bob"):
        rounds.place.enrol(user, recovery_codes=CODES)
    gate = Gate(recovery.digest)
    monkeypatch.setattr(recovery, "digest", gate)
    first, second = rounds.at_the_prompt("alice"), rounds.at_the_prompt("bob")
    first.send(side.answer(CODES[0]))
    rounds.until(lambda: gate.waiting)
    second.send(side.answer(CODES[0]))
    rounds.until(lambda: rounds.loop._to_hash)
    monkeypatch.setattr(hashing, "PATIENCE", 0.0)
    time.sleep(0.01)
    gate.open()
    assert side.PAM_AUTHINFO_UNAVAIL == rounds.result_of(second).code
    assert "too many logins are before this one" in log.text()
    assert side.PAM_SUCCESS == rounds.result_of(first).code
    assert len(CODES) == len(rounds.place.record("bob").recovery_digests)


def test_a_code_of_somebody_throttled_meanwhile_is_not_hashed(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or one user with many prompts could hold up the recovery codes of all others."""
    rounds.place.enrol("alice")
    hashed: list[str] = []

    def digest(code: str, salt: bytes) -> bytes:
        hashed.append(code)
        return bytes(32)

    def slow_to_say(work: Callable[[], object]) -> loop.Outcome:
        outcome = outcome_of(work)
        time.sleep(0.01)  # whoever asks for the next one now has not heard of this one
        return outcome

    outcome_of = loop._outcome_of
    monkeypatch.setattr(loop, "_outcome_of", slow_to_say)
    monkeypatch.setattr(recovery, "digest", digest)
    clients = [rounds.at_the_prompt("alice", b"attempts=1") for _ in range(8)]
    for client in clients:
        client.send(side.answer(CODES[0]))
    codes = sorted(rounds.result_of(client).code for client in clients)
    assert [side.PAM_AUTH_ERR] * 5 + [side.PAM_MAXTRIES] * 3 == codes
    assert 5 == len(hashed)


def test_without_a_thread_to_hash_with_the_login_is_denied_and_the_next_one_served(
    rounds: Rounds, log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds.place.enrol("alice", recovery_codes=CODES)
    with monkeypatch.context() as patched:
        patched.setattr(Helpers, "_start", lambda _: False)
        client = rounds.at_the_prompt()
        client.send(side.answer(CODES[0]))
        assert side.PAM_AUTHINFO_UNAVAIL == rounds.result_of(client).code
        assert side.WAS_REFUSED == rounds.result_of(rounds.come("dora")).code
    assert "no thread could be started" in log.text()
    assert side.PAM_SUCCESS == rounds.log_in("alice", CODES[0])


# A store that another process writes


@pytest.fixture
def busy(rounds: Rounds) -> Iterator[Callable[[], None]]:
    """Somebody else writes to the store until this is called."""
    rounds.place.enrol("alice")
    store = rounds.place.open()
    transaction = store.transaction("bob")
    transaction.__enter__()
    ended: list[bool] = []

    def end() -> None:
        if not ended:
            ended.append(True)
            transaction.__exit__(None, None, None)
            store.close()

    yield end
    end()


def test_a_busy_store_holds_up_its_own_answers_and_they_are_judged_when_it_is_free(
    rounds: Rounds, other: Place, busy: Callable[[], None]
) -> None:
    clients = [rounds.at_the_prompt("alice", b"attempts=1") for _ in range(3)]
    for client in clients:
        client.send(side.answer(code_now()))
    rounds.until(lambda: len(rounds.loop._later) == 3)
    assert others_are_served(rounds, other)
    rounds.at_the_prompt()  # reading goes on, too
    assert not any(has_news(client) for client in clients)
    busy()
    codes = [rounds.result_of(client).code for client in clients]
    assert [side.PAM_SUCCESS, *[side.PAM_AUTH_ERR] * 2] == sorted(codes)


def test_a_store_that_stays_busy_denies_in_the_end_and_uses_up_nothing(
    rounds: Rounds, log: LogSocket, busy: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 5.0 == loop.BUSY_SECONDS
    monkeypatch.setattr(loop, "BUSY_SECONDS", 0.1)
    client = rounds.at_the_prompt()
    client.send(side.answer(code_now()))
    assert side.PAM_AUTHINFO_UNAVAIL == rounds.result_of(client).code
    assert "has been locked by another process for too long" in log.text()
    busy()
    assert side.PAM_SUCCESS == rounds.log_in("alice", code_now())


# A disk that hangs


class Disk:
    """One that hangs for a store or file; rounds are led by threads then."""

    def __init__(self, rounds: Rounds, monkeypatch: pytest.MonkeyPatch) -> None:
        self._rounds = rounds
        self._monkeypatch = monkeypatch

    def hang_in(self, where: Any, name: str, only: Callable[..., bool] | None = None) -> Gate:
        """Have whoever calls ``name`` wait, and count who does."""
        gate = Gate(getattr(where, name), only=only)
        self._monkeypatch.setattr(where, name, lambda *a, **options: gate(*a, **options))
        return gate


@pytest.fixture
def disk(rounds: Rounds, monkeypatch: pytest.MonkeyPatch) -> Disk:
    rounds.place.enrol("alice")
    return Disk(rounds, monkeypatch)


def held_up(rounds: Rounds, gate: Gate, other: Place) -> None:
    """Wait until a thread is in it, have another one lead, and see that that one serves others."""
    side.wait_until(lambda: gate.waiting)
    rounds.replace()
    assert others_are_served(rounds, other)


def test_a_commit_that_hangs_is_waited_for_by_its_own_login_and_counts_once(
    rounds: Rounds, other: Place, disk: Disk, log: LogSocket
) -> None:
    client = rounds.at_the_prompt()
    mine = rounds.place
    others_are_served(rounds, other)
    gate = disk.hang_in(Database, "commit", only=only_once())
    rounds.lead()
    client.send(side.answer(code_now()))
    held_up(rounds, gate, other)
    assert not has_news(client)
    gate.open()
    assert side.PAM_SUCCESS == rounds.result_of(client).code
    assert 1 == log.events().count("accepted")
    assert mine.record("alice").authenticators[0].last_accepted_step
    side.wait_until(lambda: rounds.outcomes == [False])  # the one that came back leads no more


def test_whoever_hangs_up_or_talks_while_a_disk_holds_their_login_breaks_no_round(
    rounds: Rounds, other: Place, disk: Disk, log: LogSocket
) -> None:
    others_are_served(rounds, other)
    clients = [rounds.at_the_prompt() for _ in range(2)]
    gate = disk.hang_in(Database, "commit", only=only_once())
    for client in clients:
        client.send(side.answer(wrong_code()))
    rounds.lead()
    side.wait_until(lambda: gate.waiting)
    clients[0].socket.close()
    clients[1].send(side.answer(b"", side.NONE))  # to the message that is to come
    rounds.replace()
    assert others_are_served(rounds, other)
    gate.open()
    assert side.MESSAGE == rounds.hear(clients[1])[3]
    rounds.prompt_of(clients[1])
    clients[1].socket.close()
    rounds.until(rounds.is_forgotten)
    assert "unexpected" not in log.text()


def only_once() -> Callable[..., bool]:
    """Say yes to the first call alone."""
    calls: list[int] = []

    def is_first(*_: object) -> bool:
        calls.append(1)
        return len(calls) == 1

    return is_first


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (config, "load"),
        (Questions, "admission"),
        (kept.sealing, "read_sealer"),
        (local_accounts.LocalAccounts, "has"),
    ],
    ids=lambda value: str(value).rpartition(".")[2],
)
def test_each_step_on_a_disk_that_hangs_is_gone_on_with_once(
    rounds: Rounds, other: Place, disk: Disk, log: LogSocket, where: Any, name: str
) -> None:
    assert others_are_served(rounds, other)
    gate = disk.hang_in(where, name, only=only_once())
    rounds.lead()
    client = rounds.come("alice", b"attempts=1")
    held_up(rounds, gate, other)
    assert not has_news(client)
    gate.open()
    assert side.PAM_SUCCESS == rounds.result_of(client, code_now()).code
    assert 1 == log.events().count("accepted")


def test_somebody_of_a_directory_is_served_after_a_slow_look_into_the_files(
    rounds: Rounds, other: Place, disk: Disk
) -> None:
    rounds.place.enrol("dora")
    gate = disk.hang_in(local_accounts.LocalAccounts, "has", only=only_once())
    rounds.lead()
    client = rounds.come("dora")
    held_up(rounds, gate, other)
    gate.open()
    assert side.PAM_SUCCESS == rounds.result_of(client, code_now()).code


def test_answers_that_have_come_do_not_wait_for_the_disk_of_another_login(
    rounds: Rounds, other: Place, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were to be judged in the round in which the thread was held up."""
    waiting = rounds.at_the_prompt(place=other)
    gate = disk.hang_in(config, "load", only=lambda path, *_: path == str(rounds.place.config_path))
    waiting.send(side.answer(code_now()))
    client = rounds.come()
    rounds.lead()
    side.wait_until(lambda: gate.waiting)
    rounds.replace()
    assert side.PAM_SUCCESS == rounds.result_of(waiting).code
    gate.open()
    rounds.prompt_of(client)


HANGS: dict[str, tuple[Any, str]] = {
    "commit": (Database, "commit"),
    "admission": (Questions, "admission"),
    "read_sealer": (kept.sealing, "read_sealer"),
    "load": (config, "load"),
}


@pytest.mark.parametrize("name", HANGS)
def test_a_disk_that_hangs_holds_up_one_thread_however_many_log_in(
    rounds: Rounds, other: Place, disk: Disk, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whoever comes later does not go where another thread is; nor looks there for a reason."""
    monkeypatch.setattr(marks, "YOUNG_NS", 1)
    monkeypatch.setattr(kept_driver.sandbox, "check_files", lambda *_: None)
    rounds.loop._is_sandboxed = True
    time.sleep(0.01)
    clients = [rounds.at_the_prompt("alice", b"attempts=1") for _ in range(5)]
    assert others_are_served(rounds, other)
    lstat = disk.hang_in(marks.os, "lstat", only=lambda path, *_: is_shut and in_place(path))
    is_shut: list[bool] = []

    def in_place(path: object) -> bool:
        place = rounds.place
        places = [place.key_path, place.store_path.parent]
        places = [place.config_path] if name == "load" else places
        return str(path).startswith(tuple(map(str, places)))

    where, method = HANGS[name]
    gate = disk.hang_in(where, method, only=only_once())
    rounds.lead()
    if name == "commit":
        clients[0].send(side.answer(wrong_code()))
    else:
        rounds.place.key_path.touch()
        rounds.place.configure(window=1)
        clients.append(rounds.come("alice", b"attempts=1"))
    side.wait_until(lambda: gate.waiting)
    is_shut.append(True)
    rounds.replace()
    for client in clients[1:4]:
        client.send(side.answer(wrong_code()))
    late = [rounds.come("alice", b"attempts=1") for _ in range(3)]
    assert others_are_served(rounds, other)
    assert 0 == lstat.waiting
    is_shut.clear()
    gate.open()
    lstat.open()
    for client in late:
        rounds.prompt_of(client)
