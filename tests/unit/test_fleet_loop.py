"""The service on a host of a fleet: while the database does not answer, nobody else waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.login import fleet, messages
from pam_totp.service import kept_fleet, sandbox
from pam_totp.service.kept import Kept
from pam_totp.service.kept_fleet import KeptFleet
from pam_totp.store.postgresql.client import MAX_CONNECTIONS
from pam_totp.store.postgresql.kept_kit import KeptKit
from pam_totp.store.postgresql.offline import OfflineStore
from pam_totp.system import config, fleet_file
from pam_totp.system.errors import StoreBusy
from tests.fleet.outage import ALICE, FakeFleet
from tests.native import worker_side as side
from tests.support.logs import LogSocket
from tests.support.place import Place, code_now, wrong_code
from tests.unit.engine import URL, Engine, join
from tests.unit.rounds import Rounds

OTHERS = [f"user{number}" for number in range(MAX_CONNECTIONS)]
RECOVERY_CODE = "ABCD-EFGH-JKMN-PQRS"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, rounds: Rounds) -> Iterator[Engine]:
    """Alice is local; bob and user0 ... are enrolled in the fleet."""
    rounds.place.enrol("alice", recovery_codes=(RECOVERY_CODE,))
    join(rounds.place)
    engine = Engine(monkeypatch)
    for user in ("bob", *OTHERS):
        engine.enroll(user)
    yield engine
    engine.answers.set()


def test_a_login_asks_twice_and_never_by_the_thread_that_leads(
    rounds: Rounds, engine: Engine, log: LogSocket
) -> None:
    assert side.PAM_SUCCESS == rounds.log_in("bob", code_now())
    rounds.until(rounds.is_forgotten)
    assert [("admission", "fleet"), ("verify", "fleet")] == [
        (question.name, question.thread) for question in engine.asked
    ]
    assert ["accepted"] == log.events()


def test_what_has_to_be_told_is_noted_by_a_helper_as_well(rounds: Rounds, engine: Engine) -> None:
    engine.enroll("bob", untold=2)
    assert side.PAM_SUCCESS == rounds.log_in("bob", code_now())
    assert {"fleet"} == {question.thread for question in engine.asked}
    assert 0 == engine.people["bob"].untold


def test_a_recovery_code_of_the_fleet_is_looked_at_and_hashed_in_turn(
    rounds: Rounds, engine: Engine
) -> None:
    rounds.log_in("bob", RECOVERY_CODE, b"attempts=1")
    assert ["admission", "admission", "verify"] == engine.names()
    assert {"fleet"} == {question.thread for question in engine.asked}


def stuck(rounds: Rounds, engine: Engine) -> list[side.Client]:
    """Have as many logins wait for the database as may."""
    engine.answers.clear()
    clients = [rounds.come(user) for user in OTHERS]
    rounds.until(lambda: len(engine.asked) == MAX_CONNECTIONS)
    return clients


def test_while_the_database_is_a_black_hole_others_log_in_at_once(
    rounds: Rounds, engine: Engine, tmp_path: Path
) -> None:
    """A local person, one of another store, with a code as well as with a recovery code."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = Place(elsewhere)
    other.enrol("carol")
    stuck(rounds, engine)
    began = time.monotonic()
    assert side.PAM_SUCCESS == rounds.log_in("carol", code_now(), place=other)
    assert side.PAM_SUCCESS == rounds.log_in("alice", code_now())
    assert side.PAM_SUCCESS == rounds.log_in("alice", RECOVERY_CODE)
    assert time.monotonic() - began < 10  # they waited for nobody's patience
    assert not engine.answers.is_set()
    assert MAX_CONNECTIONS == len(engine.asked)


def test_a_recovery_code_that_waits_for_the_database_holds_up_nobody_elses(
    rounds: Rounds, engine: Engine
) -> None:
    client = rounds.at_the_prompt("bob")
    engine.answers.clear()
    client.send(side.answer(RECOVERY_CODE))
    rounds.until(lambda: len(engine.asked) == 2)
    assert side.PAM_SUCCESS == rounds.log_in("alice", RECOVERY_CODE)
    assert not engine.answers.is_set()


def test_when_nobody_is_left_to_ask_further_logins_are_denied_early_and_the_log_says_why(
    rounds: Rounds, engine: Engine, log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_fleet, "STUCK_SECONDS", 0.0)
    stuck(rounds, engine)
    outcome = rounds.result_of(rounds.come("bob"))
    assert (side.PAM_AUTHINFO_UNAVAIL, [messages.UNAVAILABLE]) == (outcome.code, outcome.shown)
    assert MAX_CONNECTIONS == len(engine.asked)
    (line,) = log.lines()
    assert f"{URL}: the database answers too slowly" in line


def test_when_nobody_is_left_to_ask_this_host_answers_by_what_it_keeps(
    rounds: Rounds, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = rounds.place
    join(place, offline="cache")
    kit = KeptKit(
        str(place.store_path.with_name("offline.db")), str(place.key_path), may_answer=True
    )
    OfflineStore(FakeFleet(ALICE._replace(name="bob")), kit).refresh(["bob"])
    kit.close()
    monkeypatch.setattr(kept_fleet, "STUCK_SECONDS", 0.0)
    stuck(rounds, engine)
    began = time.monotonic()
    assert side.PAM_SUCCESS == rounds.log_in("bob", code_now())
    assert side.PAM_AUTH_ERR == rounds.log_in("bob", code_now(), b"attempts=1")
    assert time.monotonic() - began < 10
    assert MAX_CONNECTIONS == len(engine.asked)


def test_who_waits_in_line_is_denied_when_the_patience_is_over(
    rounds: Rounds, engine: Engine, log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "PATIENCE", 0.3)
    began = time.monotonic()
    waiting = [*stuck(rounds, engine), *(rounds.come("bob") for _ in range(20))]
    codes = set()
    for client in waiting:
        codes.add(rounds.result_of(client).code)
        log.lines()  # its queue is short
    assert {side.PAM_AUTHINFO_UNAVAIL} == codes
    assert time.monotonic() - began < 10  # not 0.3 s for each in turn
    rounds.until(lambda: log.events().count("error") == len(waiting))


def test_a_database_that_dies_in_the_middle_denies_and_uses_up_nothing_here(
    rounds: Rounds, engine: Engine, log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = rounds.at_the_prompt("bob")
    monkeypatch.setattr(fleet, "PATIENCE", 0.3)
    engine.answers.clear()
    client.send(side.answer(code_now()))
    assert side.PAM_AUTHINFO_UNAVAIL == rounds.result_of(client).code
    engine.answers.set()
    assert ["error"] == log.events()


def test_what_a_login_has_waited_for_disks_it_does_not_have_for_the_database(
    rounds: Rounds, engine: Engine
) -> None:
    client = rounds.at_the_prompt("bob")
    (login,) = rounds.loop._logins
    login.has_waited = 7.0
    client.send(side.answer(code_now()))
    assert side.PAM_SUCCESS == rounds.result_of(client).code
    assert engine.asked[-1].patience <= fleet.PATIENCE - 7.0


def test_a_database_that_is_busy_is_asked_once(rounds: Rounds, engine: Engine) -> None:
    """Its client has asked again for as long as there was patience."""
    engine.problem = StoreBusy(URL, "deadlock")
    assert side.PAM_AUTHINFO_UNAVAIL == rounds.result_of(rounds.come("bob")).code
    assert ["admission"] == engine.names()


def test_nothing_is_used_up_for_a_module_that_is_gone(rounds: Rounds, engine: Engine) -> None:
    client = rounds.at_the_prompt("bob")
    client.send(side.answer(code_now()))
    client.socket.close()
    rounds.until(rounds.is_forgotten)
    assert ["admission"] == engine.names()


def test_a_hundred_logins_at_once_share_a_few_helpers(rounds: Rounds, engine: Engine) -> None:
    clients = [rounds.come(user, b"attempts=1") for user in OTHERS * 12]
    for client in clients:
        rounds.prompt_of(client)
        client.send(side.answer(wrong_code()))
    codes = [rounds.result_of(client).code for client in clients]
    assert {side.PAM_AUTH_ERR, side.PAM_MAXTRIES} >= set(codes)
    assert 1 == len(engine.clients)
    assert 1 <= engine.at_once <= MAX_CONNECTIONS


# What is kept


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch, place: Place) -> tuple[Engine, KeptFleet, Path]:
    path = join(place)
    settings = config.load(str(place.config_path)).config
    return Engine(monkeypatch), Kept().fleet(settings), path


def lend(kept: KeptFleet) -> None:
    with kept.lend():
        pass


def test_connections_are_kept_from_one_login_to_the_next(
    joined: tuple[Engine, KeptFleet, Path],
) -> None:
    engine, kept, _ = joined
    for _ in range(3):
        lend(kept)
    assert (1, 0) == (len(engine.clients), engine.closed)


@pytest.mark.parametrize("is_old", [True, False])
def test_whoever_asks_after_another_identity_was_written_is_that_one(
    joined: tuple[Engine, KeptFleet, Path], monkeypatch: pytest.MonkeyPatch, is_old: bool
) -> None:
    """Also within the second in which time stamps may not tell."""
    monkeypatch.setattr("pam_totp.system.marks.YOUNG_NS", -1 if is_old else 1 << 60)
    engine, kept, path = joined
    lend(kept)
    content = fleet_file.content(engine.clients[0]._replace(password="another"))
    path.write_bytes(content)
    lend(kept)
    lend(kept)
    assert ["", "another"] == [identity.password for identity in engine.clients]
    assert 1 == engine.closed


def test_another_ca_ends_all_connections(joined: tuple[Engine, KeptFleet, Path]) -> None:
    engine, kept, path = joined
    ca = path.with_name("ca.pem")
    ca.write_text("one")
    identity = fleet_file.read(str(path))._replace(ca=str(ca))
    path.write_bytes(fleet_file.content(identity))
    lend(kept)
    lend(kept)
    assert (1, 0) == (len(engine.clients), engine.closed)
    ca.write_text("two")
    lend(kept)
    assert (2, 1) == (len(engine.clients), engine.closed)


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.chmod(0o666)])
def test_without_an_identity_nothing_is_kept(
    joined: tuple[Engine, KeptFleet, Path], spoil: object
) -> None:
    engine, kept, path = joined
    lend(kept)
    spoil(path)  # type: ignore[operator]
    with pytest.raises(Exception, match=path.name):
        lend(kept)
    assert 1 == engine.closed
    assert not kept.is_open


def test_after_a_minute_without_a_question_nothing_is_open(
    joined: tuple[Engine, KeptFleet, Path],
) -> None:
    engine, kept, _ = joined
    assert kept.next_tidying is None
    lend(kept)
    due = kept.next_tidying
    assert due is not None
    kept.tidy(due - 1)
    assert kept.is_open
    kept.tidy(due)
    assert (1, False, None) == (engine.closed, kept.is_open, kept.next_tidying)


def test_a_helper_that_is_held_up_does_not_hold_up_who_tidies(
    joined: tuple[Engine, KeptFleet, Path],
) -> None:
    _, kept, _ = joined
    lend(kept)
    due = kept.next_tidying
    assert due is not None
    with kept._lock:
        kept.tidy(due)
    assert kept.next_tidying == due + kept_fleet.LINGER_SECONDS


def test_status_names_the_database(rounds: Rounds, engine: Engine) -> None:
    assert side.PAM_SUCCESS == rounds.log_in("bob", code_now())
    assert URL in rounds.loop.open_stores()


# The sandbox


def test_a_sandbox_without_network_is_none_for_a_host_of_a_fleet(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    join(place)
    arguments = [f"config={place.config_path}"]
    sandbox.check_files(arguments)

    class Restricted:
        AF_INET, SOCK_STREAM = sandbox._socket.AF_INET, sandbox._socket.SOCK_STREAM

        @staticmethod
        def socket(*_: object) -> None:
            raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(sandbox, "_socket", Restricted)
    with pytest.raises(sandbox.ShutOff, match="the sandbox has no network") as caught:
        sandbox.check_files(arguments)
    assert "RestrictAddressFamilies=AF_INET AF_INET6" in caught.value.hint


def test_a_socket_that_the_sandbox_hides_is_none(place: Place) -> None:
    join(place)
    shown = place.folder / "socket"
    url = f"postgresql:///totp?socket={shown}"
    place.configure(store=url, local_store=place.store_path)
    with pytest.raises(sandbox.ShutOff, match="not there in the sandbox") as caught:
        sandbox.check_files([f"config={place.config_path}"])
    assert f"BindReadOnlyPaths=-{shown}" in caught.value.hint
    shown.mkdir()
    sandbox.check_files([f"config={place.config_path}"])
