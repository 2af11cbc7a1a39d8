"""Packets that nobody meant to send, to the whole worker: it never lets in, dies, hangs, or
writes a line that is none. PAM_TOTP_FUZZ_SECONDS: how long to go on making up new ones.
"""

from __future__ import annotations

import os
import pwd
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from hypothesis import strategies as st

from pam_totp.login import flow, identity
from pam_totp.login.steps import Request
from pam_totp.service import wire, worker
from pam_totp.service.worker import Peer
from tests.native import worker_side as side
from tests.support import logs, thorough
from tests.support.logs import LogSocket
from tests.support.place import Place

if TYPE_CHECKING:
    from pam_totp.login.steps import Driver

SECONDS = thorough.FUZZ_SECONDS
EXAMPLES = 150  # in one go; as often as there is time, at least once
CORPUS = sorted((Path(__file__).parent / "corpus" / "requests").glob("*"))
PATIENCE = 20  # seconds until a login hangs

SOME_BYTES = st.binary(max_size=40) | st.sampled_from(
    [b"alice", b"bob", b"root", b"sshd", b"\xff", b"a\0b", b'"\n event=accepted', b"x" * 300]
)
ARGUMENTS = [
    *(b"debug", b"quiet", b"echo=yes", b"attempts=10", b"prompt=\xc3\xbc", b"first_factor=key"),
    *(b"config=/nonexistent", b"store=//nowhere", b"window=x", b"", b"=", b"unprivileged=yes"),
    *(b"sealing_key=/dev/zero", b"store=/proc/self/mem", b"exempt_groups=\xff", b"issuer=\n"),
]
STRINGS = st.none() | SOME_BYTES
PROPER = st.builds(
    side.request,
    *[STRINGS] * 7,
    st.lists(st.sampled_from(ARGUMENTS) | SOME_BYTES, max_size=6),
    st.integers(0, 2**32 - 1),
)
ANSWERS = st.one_of(
    st.builds(side.answer, SOME_BYTES | st.just(b"000000"), st.integers(0, 5)),
    st.sampled_from([side.answer(b"", kind) for kind in range(4)]),
    st.binary(max_size=20),
)


@st.composite
def nearly(draw: st.DrawFn) -> bytes:
    """Draw a request with a few bytes changed, taken out, or put in."""
    packet = bytearray(draw(PROPER))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(packet)))
        packet[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(packet)


DIALOGUES = st.tuples(PROPER | nearly() | st.binary(max_size=80), st.lists(ANSWERS, max_size=8))


class Served:
    """Logins on threads of this process; ``codes`` is what the flow returned."""

    def __init__(self, place: Place, log: LogSocket) -> None:
        self.codes: list[int] = []
        self._place = place
        self._log = log
        self._seen = 0

    def dialogue(self, request: bytes, answers: list[bytes]) -> list[bytes]:
        """Say it all, hang up on one side, and return what came back."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with side.Client(connected=ours) as client:
            peer = Peer(os.getpid(), os.geteuid())
            thread = threading.Thread(target=worker.serve, args=(theirs, peer))
            thread.start()
            with suppress(OSError):
                for packet in (request, *answers):
                    client.send(packet)
                ours.shutdown(socket.SHUT_WR)
            thread.join(PATIENCE)
            assert not thread.is_alive(), "it hangs"
            received = []
            while packet := client.receive():
                received.append(packet)
        self._check(received)
        return received

    def _check(self, received: list[bytes]) -> None:
        assert not {flow.PAM_SUCCESS, flow.PAM_IGNORE} & set(self.codes)
        for packet in received:
            assert (b"PT\1", True) == (packet[:3], packet[3] in range(16, 20))
            assert len(packet) < wire.MAX_PACKET
        lines = self._log.lines()
        new, self._seen = lines[self._seen :], len(lines)
        for line in new:
            logs.fields(line)
            assert "please report this" not in line


@pytest.fixture
def served(place: Place, log: LogSocket, monkeypatch: pytest.MonkeyPatch) -> Served:
    """Alice is enrolled; nobody has a right code."""
    place.configure(attempts=3, max_failures=100)
    place.enrol("alice")
    served = Served(place, log)
    authenticate = flow.authenticate

    def watched(request: Request, driver: Driver) -> int:
        arguments = (f"config={place.config_path}", *request.arguments)
        code = authenticate(request._replace(arguments=arguments), driver)
        served.codes.append(code)
        return code

    def everybody(name: str) -> pwd.struct_passwd:
        if "\0" in name:
            raise ValueError
        return pwd.struct_passwd((name, "x", 0, 0, "", "/", "/bin/sh"))

    monkeypatch.setattr(flow, "authenticate", watched)
    monkeypatch.setattr(identity.pwd, "getpwnam", everybody)
    return served


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_requests_that_were_of_interest_once_let_nobody_in(served: Served, path: Path) -> None:
    for answers in ([], [side.answer("000000")] * 3, [side.answer(b"", side.PASSWORD)]):
        served.dialogue(path.read_bytes(), answers)


def test_whatever_is_said_lets_nobody_in(served: Served) -> None:
    end = time.monotonic() + SECONDS
    seeds = int.from_bytes(os.urandom(4), "big") if SECONDS else 1
    say = example(served.dialogue)
    while True:
        hypothesis.seed(seeds)(say)()
        seeds += 1
        if time.monotonic() >= end:
            return


def example(dialogue: Callable[[bytes, list[bytes]], object]) -> Callable[[], None]:
    """Return a function that tries EXAMPLES dialogues, and shrinks one that fails."""

    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(DIALOGUES)
    def say(said: tuple[bytes, list[bytes]]) -> None:
        dialogue(*said)

    return say
