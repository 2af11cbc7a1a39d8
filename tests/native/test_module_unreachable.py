"""Where no service may be asked: root starts a worker, which decides, and others are denied."""

from __future__ import annotations

import pytest

from tests.native import module_situations as situations
from tests.native.fake_worker import (
    Worker,
    message,
    result,
    says,
)
from tests.native.module_side import (
    ERROR_MSG,
    PAM_AUTH_ERR,
    PAM_AUTHINFO_UNAVAIL,
    PAM_SUCCESS,
    PROMPT_ECHO_OFF,
    UNAVAILABLE,
    Product,
    Side,
)
from tests.support.place import Place, code_now, wrong_code

ALWAYS = {
    situations.nothing: "no worker listens on SOCKET",
    situations.a_socket_without_a_listener: "nobody listens on SOCKET",
    situations.a_socket_of_another_type: "nobody listens on SOCKET",
    situations.a_plain_file: "SOCKET is not a socket",
    situations.a_folder: "SOCKET is not a socket",
    situations.a_link_to_a_service: "SOCKET is not a socket",
    situations.a_full_backlog: "listen queue full: SOCKET",
    situations.a_service_that_refuses: "the worker refused this login",
    situations.a_service_of_another_version: "the worker refused this login",
    situations.a_service_that_ends: "the worker ended before it began",
}
WITH_ROOT = {
    situations.a_socket_of_somebody: "SOCKET is not root's",
    situations.a_listener_of_somebody: "who listens on SOCKET is not root",
}
# root may use any socket
WITHOUT_ROOT = {situations.a_socket_that_is_not_for_all: "this program may not use SOCKET"}


def _parameters(*tables: dict) -> list:
    return [
        pytest.param(
            situation,
            reason,
            id=situation.__name__.replace("_", " "),
            marks=[] if table is ALWAYS else [pytest.mark.root],
        )
        for table in tables
        for situation, reason in table.items()
    ]


@pytest.mark.parametrize(("situation", "reason"), _parameters(ALWAYS, WITH_ROOT, WITHOUT_ROOT))
def test_a_program_without_root_is_denied_and_starts_no_worker(side: Side, situation, reason: str):
    marker = side.folder / "started"
    side.write_worker(f"open({str(marker)!r}, 'w')")
    with situation(side.socket):
        outcome = side.log_in("123456")
    assert PAM_AUTHINFO_UNAVAIL == outcome.code
    assert [reason.replace("SOCKET", str(side.socket)), "no worker could be asked"] == (
        outcome.reasons
    )
    assert [(ERROR_MSG, UNAVAILABLE)] == outcome.shown
    assert not marker.exists()
    assert outcome.saw_no_child()


@pytest.mark.root
@pytest.mark.parametrize(("situation", "reason"), _parameters(ALWAYS, WITH_ROOT))
def test_a_worker_that_root_starts_decides(
    side: Side, place: Place, product: Product, situation, reason: str
):
    """A wrong code is denied, a right one accepted, once."""
    side.worker.symlink_to(product.worker)
    place.enrol("root")
    right = code_now()
    before = len(product.log.events())
    with situation(side.socket):
        outcomes = [
            side.log_in(
                answer,
                user="root",
                arguments=(f"config={place.config_path}", "attempts=1"),
                as_root=True,
            )
            for answer in (wrong_code(), right, right)
        ]
    reason = reason.replace("SOCKET", str(side.socket))
    expected = [] if situation is situations.nothing else [reason]
    assert [PAM_AUTH_ERR, PAM_SUCCESS, PAM_AUTH_ERR] == [outcome.code for outcome in outcomes]
    assert [expected] * 3 == [outcome.reasons for outcome in outcomes]
    assert ["rejected", "accepted", "replayed"] == product.log.events()[before:]
    assert all(outcome.saw_no_child() for outcome in outcomes)


@pytest.mark.root
def test_a_service_that_decides_is_believed_by_root_too(side: Side):
    side.write_worker("import socket; socket.socket(fileno=3).send(b'PT\\1\\x12\\0')")
    with Worker(side.socket, says(message(b"Code: "), result(PAM_AUTH_ERR))):
        outcome = side.log_in("123456", as_root=True)
    assert (PAM_AUTH_ERR, []) == (outcome.code, outcome.reasons)


@pytest.mark.root
@pytest.mark.parametrize("text", [None, "raise SystemExit(1)", "not Python"])
def test_where_even_a_worker_of_its_own_fails_root_is_denied(side: Side, text: str | None):
    if text:
        side.write_worker(text)
    outcome = side.log_in("123456", as_root=True)
    assert PAM_AUTHINFO_UNAVAIL == outcome.code
    assert "no worker could be asked" == outcome.reasons[-1]
    assert [(ERROR_MSG, UNAVAILABLE)] == outcome.shown


@pytest.mark.parametrize("words", [("",), ("123456",), ()])
def test_where_messages_are_not_wanted_a_prompt_says_so(side: Side, words: tuple[str, ...]):
    """As under sudo, which would blame the person."""
    outcome = side.log_in(*words, options=("-f", "0x8000"))
    assert PAM_AUTHINFO_UNAVAIL == outcome.code
    assert any("no worker could be asked" in line for line in outcome.of("log"))
    prompt = f"{UNAVAILABLE}\vPress Enter: "  # on one line of what the application wrote down
    assert [(PROMPT_ECHO_OFF, prompt)] == outcome.shown


@pytest.mark.root
def test_systemd_is_asked_for_a_worker_before_one_is_started(side: Side):
    """What this process starts would be in the control group of its caller."""
    marker = side.folder / "started"
    side.write_worker(f"open({str(marker)!r}, 'w')")
    with Worker(side.launcher, says(message(b"Code: "), result(PAM_AUTH_ERR))):
        for situation in (situations.nothing, situations.a_service_that_refuses):
            with situation(side.socket):
                outcome = side.log_in("123456", as_root=True)
            assert PAM_AUTH_ERR == outcome.code
    assert not marker.exists()


@pytest.mark.root
@pytest.mark.parametrize(("situation", "reason"), _parameters(ALWAYS, WITH_ROOT))
def test_a_worker_that_systemd_does_not_start_is_started(
    side: Side, place: Place, product: Product, situation, reason: str
):
    side.worker.symlink_to(product.worker)
    place.enrol("root")
    with situation(side.launcher):
        outcome = side.log_in(
            code_now(),
            user="root",
            arguments=(f"config={place.config_path}", "attempts=1"),
            as_root=True,
        )
    reason = reason.replace("SOCKET", str(side.launcher))
    expected = [] if situation is situations.nothing else [reason]
    assert (PAM_SUCCESS, expected) == (outcome.code, outcome.reasons)
