"""Everything that can happen in a login, under gcc's sanitizers and under valgrind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.native.fake_worker import (
    MAX_PACKET,
    REFUSED,
    Script,
    Talk,
    Worker,
    ask_both,
    message,
    result,
    says,
)
from tests.native.module_side import (
    PAM_AUTH_ERR,
    PAM_AUTHINFO_UNAVAIL,
    PAM_BAD_ITEM,
    PAM_CONV_ERR,
    PAM_IGNORE,
    PAM_SERVICE_ERR,
    PAM_SUCCESS,
    TEXT_INFO,
    Outcome,
    Side,
    at_fixed_addresses,
)
from tests.native.test_module_conversation import AFTER_A_PASSWORD, HORSE
from tests.native.test_module_hostile_worker import GARBAGE

LogIn = Callable[..., Outcome]

VALGRIND = (
    "valgrind",
    "-q",
    "--error-exitcode=99",
    "--leak-check=full",
    "--show-leak-kinds=definite,indirect,possible",
    "--errors-for-leak-kinds=definite,indirect,possible",
    "--trace-children=no",
    "--child-silent-after-fork=yes",
    "--vgdb=no",
)
# What is typed at the prompts of one login. The first is pam_exec's, for the password.
TYPED = (HORSE, HORSE, "\\null", "\\none", "x" * 600, "", "123456", "\\fail")
CODE = message(b"Code: ")
LONG = message(b"x" * (MAX_PACKET - 6), TEXT_INFO)


def leaves(talk: Talk) -> None:
    """End before the request is heard."""


LOGINS: list[tuple[Script, int]] = [
    (says(CODE, CODE, CODE, CODE, CODE, CODE, CODE, result(PAM_SUCCESS)), PAM_SUCCESS),
    (says(CODE, LONG, result(PAM_AUTH_ERR)), PAM_AUTH_ERR),
    (says(*[CODE] * 20, result(PAM_AUTH_ERR)), PAM_AUTH_ERR),
    (says(result(PAM_IGNORE)), PAM_BAD_ITEM),
    (says(CODE), PAM_SERVICE_ERR),
    (says(CODE, REFUSED), PAM_SERVICE_ERR),
    (says(*[LONG] * 101), PAM_SERVICE_ERR),
    (says(REFUSED), PAM_AUTHINFO_UNAVAIL),
    (says(), PAM_AUTHINFO_UNAVAIL),
    (leaves, PAM_AUTHINFO_UNAVAIL),
    *((says(garbage), PAM_SERVICE_ERR) for garbage in GARBAGE.values()),
]
TALKING_WORKER = """
import socket
connection = socket.socket(fileno=3)
connection.recv(65536)
for word in (b"\\x10\\1Code: ", b"\\x10\\4Wait", b"\\x12\\0"):
    connection.send(b"PT\\1" + word)
    if word[0] == 16:
        connection.recv(65536)
"""


@pytest.fixture(scope="session")
def sanitized(built_side: Side) -> tuple[Path, Path]:
    return built_side.build_checked(
        "sanitized", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"
    )


@pytest.fixture(params=["sanitizers", "valgrind"])
def log_in(request: pytest.FixtureRequest, side: Side) -> LogIn:
    """Log in as Side.log_in() does; any mistake of memory fails it."""
    if request.param == "valgrind":
        how: dict[str, Any] = {"application": (*VALGRIND, side.application)}
    else:
        module, application = request.getfixturevalue("sanitized")
        environment = {"ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1"}
        command = (*at_fixed_addresses(), application)
        how = {"module": module, "application": command, "environment": environment}
    return lambda *words, **more: side.log_in(*words, **how, **more)


# Of few lines of the module, which the other tests reach under valgrind as well.
valgrind_by_night = pytest.mark.parametrize(
    "log_in", ["sanitizers", pytest.param("valgrind", marks=pytest.mark.night)], indirect=True
)


def test_whatever_a_service_says(side: Side, log_in: LogIn):
    scripts = iter(script for script, _ in LOGINS)
    with Worker(side.socket, lambda talk: next(scripts)(talk)):
        outcome = log_in(*TYPED, stack=AFTER_A_PASSWORD, options=("-s", "-n", str(len(LOGINS))))
    codes = [PAM_IGNORE if code == PAM_BAD_ITEM else code for _, code in LOGINS]
    assert codes == outcome.codes


def test_password_and_code_in_one_answer(side: Side, log_in: LogIn):
    asks, both, nothing = ask_both(), ask_both(b"\6\7\10"), ask_both(b"")
    ignores, judges = result(PAM_IGNORE), says(CODE, result(PAM_SUCCESS))
    logins: list[tuple[str, list[Script], int]] = [
        (f"{HORSE}123456", [says(asks, ignores), judges], PAM_SUCCESS),
        (f"{HORSE} ABCD-EFGH-JKMN-PQRS", [says(both, ignores), judges], PAM_SUCCESS),
        (HORSE, [says(nothing, ignores), says(ignores)], PAM_SUCCESS),
        (f"{HORSE}123456", [says(asks, ignores), says(CODE, CODE)], PAM_AUTH_ERR),
        ("wrong 123456", [says(asks, ignores)], PAM_AUTH_ERR),
        ("", [says(asks, ignores)], PAM_AUTH_ERR),
        ("x" * 600, [says(both, ignores)], PAM_AUTH_ERR),
        ("123456", [says(asks, asks, CODE, result(PAM_AUTH_ERR))], PAM_AUTH_ERR),
        ("\\null", [says(asks, result(PAM_CONV_ERR))], PAM_CONV_ERR),
        ("\\fail", [says(asks, result(PAM_CONV_ERR))], PAM_CONV_ERR),
    ]
    scripts = iter([script for _, scripts, _ in logins for script in scripts])
    stack = (
        "auth requisite MODULE first_factor=password\n"
        f"auth requisite {side.one_password} [{HORSE}]\n"
        "auth required MODULE\n"
    )
    words = [typed for typed, _, _ in logins]
    with Worker(side.socket, lambda talk: next(scripts)(talk)):
        outcome = log_in(*words, stack=stack, options=("-s", "-a", str(len(words))))
    assert [code for _, _, code in logins] == outcome.codes


@valgrind_by_night
def test_no_service(log_in: LogIn):
    assert PAM_AUTHINFO_UNAVAIL == log_in("123456").code


@valgrind_by_night
def test_a_request_that_is_too_long(side: Side, log_in: LogIn):
    with Worker(side.socket, says(result(PAM_SUCCESS))):
        for name in ("x" * 32_759, "x" * 65_535):
            assert PAM_SERVICE_ERR == log_in(user=name).code
        assert PAM_SERVICE_ERR == log_in(arguments=("a",) * 65).code


@pytest.mark.root
@valgrind_by_night
def test_a_started_worker(side: Side, log_in: LogIn):
    side.write_worker(TALKING_WORKER)
    outcome = log_in("123456", "234567", as_root=True, options=("-n", "2"))
    assert [PAM_SUCCESS] * 2 == outcome.codes


@pytest.mark.root
@valgrind_by_night
def test_a_started_worker_that_ends(side: Side, log_in: LogIn):
    side.write_worker("")
    assert PAM_AUTHINFO_UNAVAIL == log_in("123456", as_root=True).code
