"""totpctl me, from a request to its end: what is asked, what is kept, and who gets nothing."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pam_totp.core import own_changes, users
from pam_totp.login import messages, own_refusals, self_service, steps
from pam_totp.login.self_service import Caller, Ended
from pam_totp.service import own_caller, own_service, own_wire, wire
from pam_totp.service.own_wire import End, Message, OwnRequest
from pam_totp.service.worker import Peer
from pam_totp.store import Known
from pam_totp.system.config import Arguments
from pam_totp.system.errors import StoreUnavailable, StoreUnreachable
from tests.support.logs import fields
from tests.support.place import Place, code_now, wrong_code
from tests.unit.engine import Engine, join
from tests.unit.own_person import CODE, TIMEOUT, UID, Person
from tests.unit.script import Script

if TYPE_CHECKING:
    from pam_totp.login.steps import Driver


def labels(place: Place) -> list[str]:
    return [authenticator.label for authenticator in place.record("alice").authenticators]


# What is shown


def test_ones_own_state_is_shown_without_a_secret(person: Person) -> None:
    person.place.enrol("alice", b"another secret of 20", label="spare")
    told = person.asks("state")
    assert told.state is not None
    assert ("alice", 2) == (told.state["user"], told.state["recovery_codes_left"])
    apps = told.state["authenticators"]
    assert isinstance(apps, list)
    assert ["phone", "spare"] == [app["label"] for app in apps]
    assert {"label", "type", "serial", "created_at", "last_used_at"} == set(apps[0])
    assert (End(0, "", ""), []) == (told.end, told.prompts)


# Changes


def test_a_new_phone_takes_the_place_of_the_old_one(person: Person) -> None:
    code = code_now()
    told = person.asks("new-phone", code, person.app)
    assert (End(0, "", ""), ["phone"]) == (told.end, labels(person.place))
    assert [messages.CODE_TO_CHANGE, messages.CODE_OF_THE_APP] == told.prompts
    record = person.place.record("alice")
    assert 2 == len(record.recovery_digests)
    (note,) = own_changes.notes_of(record.own_changes)
    assert ("new-phone", "phone", "198.51.100.7, pts/3") == note[1:]
    with person.place.open() as store, store.transaction("alice") as transaction:
        assert transaction.record is not None
        assert [person.secret] == [a.secret for a in transaction.record.authenticators]


def test_a_recovery_code_allows_a_new_phone(person: Person) -> None:
    assert End(0, "", "") == person.asks("new-phone", CODE, person.app).end
    assert 1 == len(person.place.record("alice").recovery_digests)


def test_a_second_device_stands_beside_the_first(person: Person) -> None:
    assert End(0, "", "") == person.asks("add", code_now(), person.app, label="spare").end
    assert ["phone", "spare"] == labels(person.place)


def test_new_recovery_codes_void_the_old_ones(person: Person) -> None:
    before = person.place.record("alice")
    told = person.asks("recovery-codes", code_now(), "")
    after = person.place.record("alice")
    assert End(0, "", "") == told.end
    assert 10 == len(after.recovery_digests - before.recovery_digests)
    assert set() == before.recovery_digests & after.recovery_digests


def test_an_authenticator_is_removed_but_not_the_last_one(person: Person) -> None:
    person.place.enrol("alice", b"another secret of 20", label="spare")
    assert End(0, "", "") == person.asks("remove", code_now(), label="spare").end
    told = person.asks("remove", label="phone")
    assert "phone is your only authenticator, and stays" == told.problem
    assert [] == told.prompts
    assert ["phone"] == labels(person.place)


def test_a_change_is_logged_with_who_made_it_and_from_where(person: Person) -> None:
    code = code_now()
    person.asks("new-phone", code, person.app)
    accepted, replaced = map(fields, person.log.lines())
    assert ("accepted", "alice", "totpctl me new-phone") == (
        accepted["event"],
        accepted["user"],
        accepted["reason"],
    )
    assert ("replaced", "alice", "phone", "198.51.100.7, pts/3") == (
        replaced["event"],
        replaced["by"],
        replaced["authenticator"],
        replaced["where"],
    )


# What a change takes


@pytest.mark.parametrize("kind", own_changes.KINDS)
def test_nothing_changes_without_a_code(person: Person, kind: str) -> None:
    person.place.enrol("alice", b"another secret of 20", label="spare")
    before = person.place.record("alice")
    label = {"add": "third", "recovery-codes": ""}.get(kind, "spare")
    told = person.asks(kind, wrong_code(), wrong_code(), "no code", label=label)
    assert ("nothing was changed", 3) == (told.problem, len(told.prompts))
    after = person.place.record("alice")
    assert 2 == after.failures
    assert before._replace(**{f: getattr(after, f) for f in COUNTED}) == after


COUNTED = ("failures", "untold", "throttled_until", "guesses_until", "updated_at")


def test_the_code_of_one_change_allows_no_second_one(person: Person) -> None:
    code = code_now()
    assert End(0, "", "") == person.asks("recovery-codes", code, "").end
    before = person.place.record("alice")
    told = person.asks("recovery-codes", code, code, code)
    assert "nothing was changed" == told.problem
    assert all("already been used" in text for text in told.shown)
    assert before == person.place.record("alice")


def test_the_code_of_a_change_cut_off_is_used_up_and_nothing_is_changed(person: Person) -> None:
    code = code_now()
    assert person.asks("new-phone", code).end is None
    record = person.place.record("alice")
    assert (["phone"], "") == (labels(person.place), record.own_changes)
    assert "already been used" in person.asks("new-phone", code).shown[0]


def test_a_new_phone_counts_only_once_it_shows_its_codes(person: Person) -> None:
    before = person.place.record("alice").authenticators[0].id
    told = person.asks("new-phone", code_now(), *["000000"] * 3)
    assert "no correct code of the new entry was entered; nothing was changed" == told.problem
    assert before == person.place.record("alice").authenticators[0].id


def test_wrong_codes_here_make_no_login_wait(person: Person) -> None:
    for _ in range(5):
        told = person.asks("new-phone", *[wrong_code()] * 3)
    assert "too many wrong codes: nothing can be changed here for now" == told.problem
    record = person.place.record("alice")
    assert (4, 0) == (record.failures, record.throttled_until)
    refused = person.asks("new-phone", code_now())
    assert told.problem == refused.problem, "a right one is not looked at either"


def test_a_wait_of_logins_is_one_here_too(person: Person) -> None:
    until = int(time.time()) + 600
    person.place.enrol("bob", failures=5, throttled_until=until, uid=UID + 1)
    told = person.asks("recovery-codes", code_now(), uid=UID + 1)
    assert "too many wrong codes: nothing can be changed here for now" == told.problem


def test_what_an_administrator_did_meanwhile_is_not_overruled(person: Person) -> None:
    def suspended() -> str:
        with person.place.open() as store, store.transaction("alice") as transaction:
            assert transaction.record is not None
            transaction.save(transaction.record.suspended())
        return person.app()

    told = person.asks("new-phone", code_now(), suspended)
    assert own_refusals.CHANGED_MEANWHILE == told.problem
    record = person.place.record("alice")
    assert (users.SUSPENDED, "") == (record.status, record.own_changes)


# Who gets nothing


@pytest.mark.parametrize("kind", [*own_changes.KINDS, "state"])
def test_nobody_enrolls_here_and_who_is_not_enrolled_or_suspended_reads_the_same(
    person: Person, kind: str
) -> None:
    nobody = person.asks(kind, label="phone" if kind != "recovery-codes" else "", uid=UID + 1)
    person.place.enrol("bob", status=users.SUSPENDED)
    suspended = person.asks(kind, label="phone" if kind != "recovery-codes" else "", uid=UID + 1)
    assert nobody == suspended
    assert (3, []) == (nobody.end and nobody.end.exit_code, nobody.prompts)


def test_the_record_of_an_older_account_is_not_its_successors(person: Person) -> None:
    person.place.enrol("bob", uid=77)
    assert own_refusals.NOTHING_TO_CHANGE[0] == person.asks("state", uid=UID + 1).problem


@pytest.mark.parametrize("uid", [0, 65534, 2**32 - 1, UID + 5])
def test_who_is_no_single_person_is_refused(person: Person, uid: int) -> None:
    told = person.asks("state", uid=uid)
    assert told.state is None
    assert told.end is not None
    assert 1 == told.end.exit_code


def test_a_uid_of_several_names_is_nobodys(person: Person, tmp_path: Path) -> None:
    with (tmp_path / "passwd").open("a") as file:
        file.write(f"toor:x:{UID}:1::/:/bin/sh\n")
    assert "is shared by several accounts: alice, toor" in person.asks("state").problem


def test_it_is_off_unless_the_file_says_so(person: Person) -> None:
    person.place.configure()
    assert own_refusals.IS_OFF[0] == person.asks("state").problem


def test_a_user_has_one_of_these_at_a_time(person: Person) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()  # a lock is a process's
    if not child:
        ours.close()
        person.serve(theirs, Peer(os.getpid(), UID))
        os._exit(0)
    theirs.close()
    with ours:
        ours.settimeout(TIMEOUT)
        ours.send(own_wire.own_request(OwnRequest("recovery-codes")))
        assert isinstance(own_wire.parse_told(ours.recv(wire.MAX_PACKET)), Message)
        assert own_refusals.BUSY[0] == person.asks("state").problem
        assert 3 == (person.asks("state", uid=UID + 1).end or End(0, "", "")).exit_code
    os.waitpid(child, 0)
    assert End(0, "", "") == person.asks("state").end


def test_a_store_that_cannot_be_used_is_told_without_its_reason(person: Person) -> None:
    person.place.store_path.unlink()
    told = person.asks("state")
    assert (5, own_refusals.UNAVAILABLE[0]) == (told.end and told.end[:2])
    assert "store.db" in person.log.text()


@pytest.mark.parametrize("kind", ["new-phone", "recovery-codes"])
def test_what_was_shown_and_cannot_be_kept_is_to_be_discarded(
    person: Person, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def full(*_: object) -> bool:
        raise StoreUnavailable("store", "is full")

    monkeypatch.setattr(own_service.OwnConnection, "change_own", full)
    before = person.place.record("alice")
    told = person.asks(kind, code_now(), person.app if kind == "new-phone" else "")
    assert (5, *own_refusals.NOT_KEPT) == told.end
    assert "is full" in person.log.text()
    after = person.place.record("alice")
    assert (before.recovery_digests, "") == (after.recovery_digests, after.own_changes)


def test_a_configuration_that_others_can_write_turns_nothing_on(person: Person) -> None:
    person.place.config_path.chmod(0o666)
    told = person.asks("state")
    assert (5, own_refusals.UNAVAILABLE[0]) == (told.end and told.end[:2])
    assert "pam_totp.conf" in person.log.text()


# Behind the process, whatever it lets through


def flow_of(script: Script, uid: int = 1000, kind: str = "state") -> Ended:
    driver: Driver = script
    return steps.drive(self_service.serve(Caller("alice", uid), kind, "", Arguments()), driver)


def test_the_flow_itself_looks_whether_it_is_on_and_whose_account_it_is() -> None:
    on = {"self_service": True}
    assert 0 == flow_of(Script(settings=on)).exit_code
    assert own_refusals.IS_OFF == flow_of(Script())[1:3]
    for uid in (0, 1001):
        assert own_refusals.NO_ACCOUNT == flow_of(Script(settings=on), uid)[1:3]
    assert own_refusals.NO_ACCOUNT == flow_of(Script(settings=on, is_known=False))[1:3]


@pytest.mark.parametrize("kind", [*own_changes.KINDS, "state"])
def test_what_a_host_alone_knows_is_not_shown_or_changed(kind: str) -> None:
    class Offline(Script):
        def look_up_user(self, name: str, place: str) -> Known:
            return super().look_up_user(name, place)._replace(is_offline=True)

    script = Offline(settings={"self_service": True})
    assert own_refusals.UNAVAILABLE == flow_of(script, kind=kind)[1:3]
    assert [] == script.prompts


# Bytes that totpctl never sends


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=600))
def test_whatever_comes_in_is_a_request_or_refused(packet: bytes) -> None:
    for sent in (packet, b"PT\1\3" + packet, b"PT\1\3\0" + packet):
        try:
            asked = own_wire.parse_own_request(sent)
        except wire.ProtocolError:
            continue
        assert asked == own_wire.parse_own_request(own_wire.own_request(asked))


@given(
    st.sampled_from(own_service.self_service.KINDS),
    st.text(st.characters(whitelist_categories=("L", "N", "P", "S")), max_size=64),
    st.booleans(),
)
def test_a_request_is_read_as_it_was_meant(kind: str, label: str, pictures: bool) -> None:
    asked = OwnRequest(kind, label, pictures)
    assert asked == own_wire.parse_own_request(own_wire.own_request(asked))


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"PT\1\3",
        b"PT\2\3\0state\0",
        b"PT\1\1\0state\0",
        b"PT\1\3\2state\0",
        b"PT\1\3\0state",
        b"PT\1\3\0state\0\0",
        b"PT\1\3\0reset\0",
        b"PT\1\3\0add\0a\nb",
        b"PT\1\3\0add\0" + b"x" * 65,
        b"PT\1\3\0add\0\xff",
        b"PT\1\3\0state\0" + b"x" * 40_000,
    ],
)
def test_a_hostile_request_is_refused(person: Person, packet: bytes) -> None:
    told = person.sends(packet)
    assert told.end is not None
    assert (1, []) == (told.end.exit_code, told.prompts)


@pytest.mark.parametrize("answer", [b"PT\1\2\0" + b"x" * 513, b"PT\1\2\7", b"", b"\xff" * 40])
def test_a_hostile_answer_changes_nothing(person: Person, answer: bytes) -> None:
    before = person.place.record("alice")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    thread = threading.Thread(target=person.serve, args=(theirs, Peer(os.getpid(), UID)))
    with ours:
        thread.start()
        ours.send(own_wire.own_request(OwnRequest("new-phone")))
        ours.recv(wire.MAX_PACKET)
        ours.send(answer)
        ended = own_wire.parse_told(ours.recv(wire.MAX_PACKET))
    thread.join(TIMEOUT)
    assert End(1, "nothing was changed", "") == ended
    assert before == person.place.record("alice")


# From where


def test_a_terminal_is_told_by_its_numbers() -> None:
    cases = {(136, 3): "pts/3", (137, 1): "pts/257", (4, 1): "tty1", (4, 64): "", (0, 0): ""}
    for (major, minor), name in cases.items():
        number = major << 8 | minor & 0xFF | (minor & 0xFFF00) << 12
        stat = f"77 (totpctl ) (x) S 1 77 77 {number} 77 0"
        assert name == own_caller.terminal_of(stat)


# A fleet


def test_in_a_fleet_people_see_their_state_and_administrators_change_it(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(monkeypatch)
    join(person.place, self_service="yes")
    engine.enroll("bob")
    told = person.asks("state", uid=UID + 1)
    assert told.state is not None
    assert (["phone"], None) == (
        [app["label"] for app in told.state["authenticators"]],  # type: ignore[attr-defined]
        told.state["recovery_codes_left"],
    )
    refused = person.asks("recovery-codes", uid=UID + 1)
    assert (own_refusals.OF_THE_FLEET[0], []) == (refused.problem, refused.prompts)
    assert "verify" not in engine.names()


def test_local_accounts_of_a_fleet_change_theirs(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(monkeypatch)
    join(person.place, self_service="yes")
    assert End(0, "", "") == person.asks("recovery-codes", code_now(), "").end
    assert [] == engine.names()


def test_while_the_database_is_away_nothing_is_shown_or_changed(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(monkeypatch)
    join(person.place, self_service="yes")
    engine.problem = StoreUnreachable("postgresql://db1", "does not answer")
    for kind in ("state", "recovery-codes"):
        assert own_refusals.UNAVAILABLE[0] == person.asks(kind, uid=UID + 1).problem
