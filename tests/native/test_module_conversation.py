"""What goes between the application and the worker, and what never does."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from pam_totp.core.remembering import processes_of
from pam_totp.service import wire
from pam_totp.system import processes
from tests.native.fake_worker import (
    FAILED,
    NONE,
    PASSWORD,
    Script,
    Talk,
    Worker,
    answer,
    message,
    packet,
    result,
    says,
)
from tests.native.module_side import (
    ERROR_MSG,
    PAM_AUTH_ERR,
    PAM_CONV_ERR,
    PAM_IGNORE,
    PAM_SERVICE_ERR,
    PAM_SUCCESS,
    PROBE,
    PROMPT_ECHO_OFF,
    TEXT_INFO,
    Side,
)

Serve = Callable[[Script], Worker]

PROMPT_ECHO_ON = 2
MAX_ANSWER = 512  # bytes; PAM_MAX_RESP_SIZE
HORSE = "correct horse battery staple"
# Asks for the password, as pam_unix does, and keeps it as PAM_AUTHTOK.
AFTER_A_PASSWORD = f"auth required pam_exec.so quiet expose_authtok /bin/true\n{PROBE}"


def string(text: bytes | None) -> bytes:
    return b"\xff\xff" if text is None else struct.pack(">H", len(text)) + text


def test_the_request_says_who_logs_in_and_how(side: Side, serve: Serve):
    worker = serve(says(result(PAM_AUTH_ERR)))
    side.log_in(arguments=("attempts=1", "config=/a", "debug"), user="bob")
    (received,) = worker.received
    processes = wire.parse_request(received).processes
    strings = [b"bob", b"door", None, None, None, None, processes]
    arguments = [b"attempts=1", b"config=/a", b"debug"]
    body = bytes(4) + b"".join(map(string, strings)) + b"\3" + b"".join(map(string, arguments))
    assert packet(1, body) == received


def test_the_request_says_in_which_session_the_application_is(side: Side, serve: Serve):
    """As the worker would of itself: pam_totp/system/processes.py."""
    worker = serve(says(result(PAM_AUTH_ERR)))
    side.log_in()
    said = (wire.parse_request(worker.received[0]).processes or b"").decode("ascii")
    application, own = processes_of(said), processes_of(processes.described())
    assert application is not None
    assert own is not None
    assert own[:3] == application[:3]
    assert not application.is_setuid
    assert f"{os.getpid()}" == application.ancestors[0].partition(":")[0]
    assert own.ancestors[:30] == application.ancestors[1:31]


PASSWORD_GIVEN = 0x40000000


def flags_of(packet: bytes) -> int:
    return int.from_bytes(packet[4:8], "big")


@pytest.mark.parametrize("said", [0, PASSWORD_GIVEN], ids=["unsaid", "said by the application"])
@pytest.mark.parametrize(
    ("typed", "stack", "given"),
    [
        ([HORSE], AFTER_A_PASSWORD, True),
        ([""], AFTER_A_PASSWORD, False),
        ([], PROBE, False),
    ],
    ids=["a password", "an empty one", "none"],
)
def test_the_module_alone_says_whether_a_password_was_given(
    side: Side, serve: Serve, said: int, typed: list[str], stack: str, given: bool
):
    worker = serve(says(result(PAM_AUTH_ERR)))
    side.log_in(*typed, stack=stack, options=(f"-f{said | 0x8001:#x}",))
    (request,) = worker.received
    assert 0x8001 | (PASSWORD_GIVEN if given else 0) == flags_of(request)
    assert HORSE.encode() not in request


def test_each_style_is_shown_and_only_prompts_are_answered(side: Side, serve: Serve):
    styles = (PROMPT_ECHO_OFF, PROMPT_ECHO_ON, ERROR_MSG, TEXT_INFO)
    words = [message(f"number {style}\nähem".encode(), style) for style in styles]
    worker = serve(says(*words, result(PAM_AUTH_ERR)))
    outcome = side.log_in("first", "second")
    assert [(style, f"number {style}\vähem") for style in styles] == outcome.shown
    expected = [answer(b"first"), answer(b"second"), answer(b"", NONE), answer(b"", NONE)]
    assert expected == worker.received[1:]


ANSWERS = {
    "a code": ("123456", answer(b"123456")),
    "nothing typed": ("", answer(b"")),
    "no text": ("\\null", answer(b"", NONE)),
    "no answer": ("\\none", answer(b"", NONE)),
    "a conversation that fails": ("\\fail", answer(b"", FAILED)),
    "not UTF-8": (b"\xff\x80".decode("utf-8", "surrogateescape"), answer(b"\xff\x80")),
    "the longest": ("x" * MAX_ANSWER, answer(b"x" * MAX_ANSWER)),
    "one byte more": ("x" * (MAX_ANSWER + 1), answer(b"x" * MAX_ANSWER)),
    "far too long": ("x" * 100_000, answer(b"x" * MAX_ANSWER)),
}


@pytest.mark.parametrize(("typed", "told"), ANSWERS.values(), ids=ANSWERS)
def test_what_is_typed_is_told(side: Side, serve: Serve, typed: str, told: bytes):
    worker = serve(says(message(b"Code: "), result(PAM_CONV_ERR)))
    outcome = side.log_in(typed)
    assert (PAM_CONV_ERR, []) == (outcome.code, outcome.reasons)
    assert [told] == worker.received[1:]


@pytest.mark.parametrize("password", [HORSE, "x" * MAX_ANSWER, "x" * 600, "pässword"])
def test_the_password_is_never_sent(side: Side, serve: Serve, password: str):
    """sshd's password method answers every hidden prompt with it."""
    worker = serve(says(message(b"Code: "), message(b"Again: "), result(PAM_AUTH_ERR)))
    outcome = side.log_in(password, password, "123456", stack=AFTER_A_PASSWORD)
    assert PAM_AUTH_ERR == outcome.code
    assert [answer(b"", PASSWORD), answer(b"123456")] == worker.received[1:]
    assert password.encode()[:20] not in b"".join(worker.received)


@pytest.mark.parametrize("typed", [HORSE + "r", HORSE[:-1], HORSE.upper(), ""])
def test_what_is_not_the_password_is_sent(side: Side, serve: Serve, typed: str):
    worker = serve(says(message(b"Code: "), result(PAM_AUTH_ERR)))
    side.log_in(HORSE, typed, stack=AFTER_A_PASSWORD)
    assert [answer(typed.encode())] == worker.received[1:]


def test_an_empty_password_is_no_password(side: Side, serve: Serve):
    worker = serve(says(message(b"Code: "), result(PAM_AUTH_ERR)))
    side.log_in("", "", stack=AFTER_A_PASSWORD)
    assert [answer(b"")] == worker.received[1:]


# libpam decides by what pam_sm_authenticate returned; alone in its stack, an ignored module denies.
@pytest.mark.parametrize("code", [PAM_SUCCESS, PAM_IGNORE, PAM_AUTH_ERR])
def test_setcred_fails_nobody(side: Side, serve: Serve, code: int):
    serve(says(result(code)))
    stack = "auth [default=ignore] MODULE\nauth required pam_permit.so\n"
    outcome = side.log_in(stack=stack, options=("-s",))
    assert ([PAM_SUCCESS], ["0"]) == (outcome.codes, outcome.of("setcred"))


@pytest.mark.parametrize(("arguments", "code"), [((), PAM_IGNORE), (("first_factor=key",), 0)])
def test_setcred_of_a_line_that_jumps_for_a_key_grants(
    side: Side, serve: Serve, arguments: tuple[str, ...], code: int
):
    """Upstream libpam takes what such a line returns there for the answer of the whole stack."""
    serve(says(result(PAM_IGNORE)))
    stack = "auth [default=ok] MODULE\n"
    outcome = side.log_in(stack=stack, arguments=arguments, options=("-s",))
    assert [str(code)] == outcome.of("setcred")


@pytest.mark.parametrize("count", [64, 65])
def test_so_many_arguments_and_no_more(side: Side, serve: Serve, count: int):
    serve(says(result(PAM_SUCCESS)))
    outcome = side.log_in(arguments=("quiet",) * count)
    denied = (PAM_SERVICE_ERR, ["request too large (over 64 arguments or 32 KiB)"])
    assert ((PAM_SUCCESS, []) if count == 64 else denied) == (outcome.code, outcome.reasons)


@pytest.mark.parametrize("length", [30_000, 40_000, 65_534, 65_535, 70_000])
def test_a_user_name_is_whole_or_denied(side: Side, serve: Serve, length: int):
    worker = serve(says(result(PAM_SUCCESS)))
    outcome = side.log_in(user="x" * length)
    denied = (PAM_SERVICE_ERR, ["request too large (over 64 arguments or 32 KiB)"])
    fits = length < 32_768
    assert ((PAM_SUCCESS, []) if fits else denied) == (outcome.code, outcome.reasons)
    assert (1 if fits else 0) == len(worker.received)
    assert not fits or string(b"x" * length) in worker.received[0]


def test_a_name_cannot_forge_the_log(side: Side):
    for name in ('eve" event=accepted user="root', "eve\nAccepted", "x" * 65, "é"):
        lines = side.log_in(user=name).of("log")
        assert 2 == len(lines)
        assert all(" event=error user=? reason=" in line for line in lines)


def test_signals_that_interrupt_all_the_time_change_nothing(side: Side, serve: Serve):
    def script(talk: Talk) -> None:
        talk.recv()
        talk.connection.settimeout(0.3)
        for _ in range(2):
            try:
                talk.recv()  # the module waits
            except TimeoutError:
                talk.send(message(b"Code: "))
            talk.recv()
        talk.send(result(PAM_SUCCESS))

    worker = serve(script)
    outcome = side.log_in("123456", "234567", options=("-i", "500"))
    assert (PAM_SUCCESS, []) == (outcome.code, outcome.reasons)
    assert [answer(b"123456"), answer(b"234567")] == worker.received[1:]


def test_signals_do_not_make_the_patience_longer(side: Side, serve: Serve):
    def script(talk: Talk) -> None:
        talk.recv()
        talk.recv()

    serve(script)
    outcome = side.log_in(module=side.impatient, options=("-i", "500"))
    assert PAM_SERVICE_ERR == outcome.code
    assert ["the worker did not answer in time"] == outcome.reasons


@pytest.mark.parametrize("as_root", [False, pytest.param(True, marks=pytest.mark.root)])
def test_no_program_that_is_started_meanwhile_inherits_the_connection(
    side: Side, serve: Serve, as_root: bool
):
    """O_CLOEXEC, in the flags that the kernel shows of each open file."""
    seen: list[int] = []

    def look(talk: Talk) -> None:
        talk.recv()
        size = struct.calcsize("3i")
        credentials = talk.connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        pid, _, _ = struct.unpack("3i", credentials)
        talk.send(message(b"Code: "))
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            if os.readlink(fd).startswith("socket:"):
                info = Path(f"/proc/{pid}/fdinfo/{fd.name}").read_text()
                seen.append(int(info.split("flags:")[1].split()[0], 8))
        talk.recv()
        talk.send(result(PAM_SUCCESS))

    serve(look)
    assert PAM_SUCCESS == side.log_in("\\slow", as_root=as_root).code
    assert [True] == [bool(flags & os.O_CLOEXEC) for flags in seen]
