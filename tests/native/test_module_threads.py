"""Many logins at once in one process: no global state, nobody gets another one's answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from tests.native.fake_worker import Script, Talk, Worker, answer, result
from tests.native.module_side import PAM_AUTH_ERR, PAM_SUCCESS, Product, Side, at_fixed_addresses
from tests.support.logs import fields
from tests.support.machine import Machine
from tests.support.place import Place, code_now

Serve = Callable[[Script], Worker]

THREADS = 16
LOGINS = 20


def check(talk: Talk) -> None:
    """Let in whoever answers with his own name, which the request has first."""
    request = talk.recv()
    name = request[10 : 10 + request[9]]
    right = answer(b"code of " + name)
    talk.send(result(PAM_SUCCESS if talk.ask() == right else PAM_AUTH_ERR))


def assert_each_had_his_own_answer(side: Side, **how: object) -> None:
    names = [f"user{number}" for number in range(THREADS)]
    honest, others = names[::2], names[1::2]
    words = [word for name in honest for word in (name, f"code of {name}", "+")]
    words += [word for name in others for word in (name, f"code of {honest[0]}", "+")]
    outcome = side.log_in(*words[1:-1], user=words[0], options=("-n", str(LOGINS)), **how)
    expected = [f"{PAM_SUCCESS} {name}" for name in honest] * LOGINS
    expected += [f"{PAM_AUTH_ERR} {name}" for name in others] * LOGINS
    assert sorted(expected) == sorted(outcome.of("code"))
    assert [] == outcome.reasons


def test_16_threads_at_once_in_a_c_program(side: Side, serve: Serve):
    serve(check)
    assert_each_had_his_own_answer(side)


def test_16_threads_do_not_race(side: Side, serve: Serve):
    """gcc's thread sanitizer ends the application otherwise."""
    module, application = side.build_checked("threaded", "-fsanitize=thread")
    # libpam reports each login to the kernel through this library, whose buffers are static.
    suppressions = side.folder / "suppressions"
    suppressions.write_text("called_from_lib:libaudit.so\n")
    suppressions.chmod(0o644)
    serve(check)
    assert_each_had_his_own_answer(
        side,
        module=module,
        application=(*at_fixed_addresses(), application),
        environment={"TSAN_OPTIONS": f"suppressions={suppressions}"},
    )


@pytest.mark.root
def test_16_threads_at_once_that_each_start_a_worker(side: Side, place: Place, product: Product):
    """Two for each of eight users, with the same code: one of them gets in."""
    side.worker.symlink_to(product.worker)
    names = ("root", "daemon", "bin", "sys", "games", "man", "mail", "nobody")
    words: list[str] = []
    for name in names:
        place.enrol(name, name.encode() * 5)
        words += [name, code_now(secret=name.encode() * 5), "+"] * 2
    outcome = side.log_in(
        *words[1:-1],
        user=words[0],
        arguments=(f"config={place.config_path}", "attempts=1"),
        as_root=True,
    )
    expected = [f"{code} {name}" for name in names for code in (PAM_SUCCESS, PAM_AUTH_ERR)]
    assert sorted(expected) == sorted(outcome.of("code"))
    assert outcome.saw_no_child()


# python-pam's ctypes calls let go of the interpreter's lock: the threads are in libpam together.
PYTHON_PAM = """
import json, pam, sys, threading
logins = json.loads(sys.argv[1])
results = []
everybody = threading.Barrier(len(logins))
def log_in(user, code):
    everybody.wait()
    results.append([user, pam.pam().authenticate(user, code, service="door")])
threads = [threading.Thread(target=log_in, args=login) for login in logins]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(sorted(results)))
"""
SOCKET = "/run/pam_totp/pam_totp.sock"
ENROL = 'for name; do useradd "$name" && totpctl enroll "$name" --json --no-confirm || exit; done'
# How many share the threads: with a service, and with workers of their own.
USERS = {("service", 2): 1, ("service", 16): 4, ("spawned", 2): 1, ("spawned", 16): 4}


class Office(NamedTuple):
    machine: Machine
    secrets: dict[str, bytes]


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    """A machine with users who have an authenticator each."""
    names = [f"{way}{threads}x{n}" for (way, threads), count in USERS.items() for n in range(count)]
    with Machine() as machine:
        machine.install_product()
        machine.write(
            "/etc/pam.d/door",
            "auth required pam_totp.so attempts=1\naccount required pam_permit.so\n",
        )
        shown = machine.run("sh", "-c", ENROL, "sh", *names, timeout=60).stdout
        decoder, enrolled = json.JSONDecoder(), []
        while shown := shown.lstrip():
            enrolment, end = decoder.raw_decode(shown)
            enrolled.append(enrolment)
            shown = shown[end:]

        secrets = {each["user"]: base64.b32decode(each["secret"]) for each in enrolled}
        assert names == list(secrets)
        yield Office(machine, secrets)


def log_in_with_python_pam(office: Office, way: str, threads: int) -> list[str]:
    """Return the log's lines, once each code was accepted once, and refused all other times."""
    names = [name for name in office.secrets if name.startswith(f"{way}{threads}x")]
    tries = threads // len(names)
    logins = [(name, code_now(secret=office.secrets[name])) for name in names * tries]
    before = len(office.machine.log.lines())
    command = ("/usr/bin/python3", "-I", "-c", PYTHON_PAM, json.dumps(logins))
    done = office.machine.run(*command, timeout=120)
    assert json.loads(done.stdout) == [
        [name, n == tries - 1] for name in sorted(names) for n in range(tries)
    ]
    lines = [line for line in office.machine.log.lines()[before:] if "event=" in line]
    events = [(fields(line)["event"], fields(line)["user"]) for line in lines]
    expected = [("accepted", name) for name in names]
    expected += [("replayed", name) for name in names] * (tries - 1)
    assert sorted(expected) == sorted(events)
    return lines


def workers(lines: list[str]) -> set[str]:
    """Return the numbers of the processes that wrote these lines."""
    return {line.split("[")[1].split("]")[0] for line in lines}


@pytest.mark.root
@pytest.mark.parametrize("threads", [2, 16])
def test_python_pam_on_threads_with_workers_of_their_own(office: Office, threads: int):
    lines = log_in_with_python_pam(office, "spawned", threads)
    assert threads == len(workers(lines))


@pytest.fixture
def service(office: Office) -> Iterator[None]:
    terminal = office.machine.spawn("/usr/lib/pam_totp/worker", "--listen")
    office.machine.run("sh", "-c", f"until [ -S {SOCKET} ]; do sleep 0.02; done")
    yield
    terminal.send("\x03")
    assert 0 == terminal.exit_status()


@pytest.mark.root
@pytest.mark.parametrize("threads", [2, 16])
def test_python_pam_on_threads_with_the_service(office: Office, service: None, threads: int):
    lines = log_in_with_python_pam(office, "service", threads)
    assert 1 == len(workers(lines))
