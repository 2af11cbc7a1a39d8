"""More logins of one user at their prompts than there are places for them in the service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from pam_totp.service.prompts import MAX_OF_ONE_PLACE, TELL_SHARE
from tests.native import worker_side as side
from tests.native.worker_side import Client, Worker
from tests.support.place import Place, code_now

MESSAGE = "Too many logins of yours are waiting for a code."
THIEF, OWNER = b"203.0.113.7", b"198.51.100.1"
MORE_THAN_ANYBODY_NEEDS = 60


@pytest.fixture
def worker() -> Iterator[Worker]:
    with side.worker_in_a_folder(side.EVERYBODY) as worker:
        worker.listen()
        yield worker


@pytest.fixture
def crowd() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def asked(place: Place, *arguments: bytes, **items: bytes | int) -> bytes:
    everything = side.of_place(place.config_path, *arguments)
    return side.request(arguments=everything, **items)  # type: ignore[arg-type]


def fill(worker: Worker, crowd: ExitStack, packet: bytes) -> int:
    """Open prompts, and leave them open, until one more is turned away; return their number."""
    for number in range(MORE_THAN_ANYBODY_NEEDS):
        client = crowd.enter_context(Client(worker.socket))
        client.send(packet)
        received = client.receive()
        if received[3] != side.MESSAGE or MESSAGE.encode() in received:
            client.socket.close()
            return number
    return MORE_THAN_ANYBODY_NEEDS


def test_one_address_leaves_places_for_others_and_for_this_machine(
    worker: Worker, place: Place, crowd: ExitStack
) -> None:
    place.enrol("alice")
    assert MAX_OF_ONE_PLACE == fill(worker, crowd, asked(place, rhost=THIEF))
    turned_away = worker.log_in(asked(place, rhost=THIEF), code_now())
    assert (side.PAM_MAXTRIES, 0) == (turned_away.code, turned_away.prompts)
    assert MESSAGE in turned_away.shown[0]
    by_sudo = worker.log_in(asked(place, service=b"sudo", ruser=b"alice"), code_now())
    assert side.PAM_SUCCESS == by_sudo.code
    assert side.PAM_SUCCESS == worker.log_in(asked(place, rhost=OWNER), code_now(1)).code
    worker.log.wait_for("event=throttled", "user=alice", '"too many prompts"', "10 logins wait")
    assert 1 == worker.log.text().count("too many prompts")  # two were turned away


def test_reason_comes_in_a_prompt_where_messages_are_not_shown(
    worker: Worker, place: Place, crowd: ExitStack
) -> None:
    place.enrol("alice")
    by_sudo = asked(place, service=b"sudo", ruser=b"alice", flags=0x8000)  # PAM_SILENT
    fill(worker, crowd, by_sudo)
    turned_away = worker.log_in(by_sudo, "")
    assert (side.PAM_MAXTRIES, 1) == (turned_away.code, turned_away.prompts)
    (shown,) = turned_away.shown
    assert shown.startswith(MESSAGE)
    assert shown.endswith("\nPress Enter: ")
    place.configure(quiet="yes")
    unsaid = worker.log_in(by_sudo)
    assert (side.PAM_MAXTRIES, []) == (unsaid.code, unsaid.shown)


def test_login_that_asks_nothing_needs_no_place(
    worker: Worker, place: Place, crowd: ExitStack
) -> None:
    """A key is still seen to be one; else its login would go on as one with a password."""
    place.enrol("alice")
    fill(worker, crowd, asked(place, rhost=THIEF))
    key = {"rhost": THIEF, "ssh_auth_info": b"publickey ssh-ed25519 AAAA\n"}
    came_with_a_key = worker.log_in(asked(place, b"first_factor=key", **key))
    assert (side.PAM_SUCCESS, []) == (came_with_a_key.code, came_with_a_key.shown)
    came_without = worker.log_in(asked(place, b"first_factor=key", rhost=THIEF))
    assert side.PAM_AUTH_ERR == came_without.code


def test_name_that_nobody_has_is_counted_like_any_other(
    worker: Worker, place: Place, crowd: ExitStack
) -> None:
    """Or the number of prompts would tell who is enrolled."""
    assert MAX_OF_ONE_PLACE == fill(worker, crowd, asked(place, user=b"carol", rhost=THIEF))


def test_places_come_back(worker: Worker, place: Place, crowd: ExitStack) -> None:
    place.enrol("alice")
    fill(worker, crowd, asked(place, rhost=THIEF))
    crowd.close()
    side.wait_until(lambda: worker.log_in(asked(place, rhost=THIEF), code_now()).code == 0)


def test_those_who_are_told_are_bounded_too(worker: Worker, place: Place, crowd: ExitStack) -> None:
    """Each of them waits for its application to show why."""
    place.enrol("alice")
    fill(worker, crowd, asked(place, rhost=THIEF))
    first = []
    for _ in range(MAX_OF_ONE_PLACE):
        client = crowd.enter_context(Client(worker.socket))
        client.send(asked(place, rhost=THIEF))
        first.append(client.receive()[3])
    told = MAX_OF_ONE_PLACE // TELL_SHARE
    assert [side.MESSAGE] * told + [side.RESULT] * (MAX_OF_ONE_PLACE - told) == first
