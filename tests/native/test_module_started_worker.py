"""A worker that the module starts: nothing of the application, nor of its caller, reaches it."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.native.module_side import (
    NOBODY,
    PAM_AUTHINFO_UNAVAIL,
    PAM_SERVICE_ERR,
    PAM_SUCCESS,
    Outcome,
    Product,
    Side,
)
from tests.support.place import Place, code_now

pytestmark = pytest.mark.root

# Asks for a code, as every worker, and writes down what it finds itself in.
RECORDER = """
import json, os, resource, signal, socket, sys
found = {
    "argv": sys.orig_argv,
    "environment": {name: value for name, value in os.environ.items() if name != "LC_CTYPE"},
    "files": {},
    "ids": [os.getresuid(), os.getresgid(), os.getgroups()],
    "ignored": [n for n in range(1, 65) if n not in (9, 19, 32, 33)
                and signal.getsignal(n) is signal.SIG_IGN],
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "umask": os.umask(0),
    "folder": os.getcwd(),
    "leads_its_session": os.getsid(0) == os.getpid(),
    "parent": os.getppid(),
    "pid": os.getpid(),
    "nice": os.getpriority(os.PRIO_PROCESS, 0),
    "policy": os.sched_getscheduler(0),
    "processors": sorted(os.sched_getaffinity(0)),
    "limits": {name: resource.getrlimit(getattr(resource, name))
               for name in dir(resource) if name.startswith("RLIMIT_")},
}
for name in os.listdir("/proc/self/fd"):
    try:
        found["files"][int(name)] = os.readlink("/proc/self/fd/" + name)
    except FileNotFoundError:
        pass
connection = socket.socket(fileno=3)
connection.recv(65536)
connection.send(b"PT\\1\\x10\\1Code: ")
connection.recv(65536)
with open(sys.argv[0] + ".found", "w") as report:
    json.dump(found, report)
connection.send(b"PT\\1\\x12\\0")
"""


@pytest.fixture
def record(side: Side) -> Callable[..., tuple[Outcome, dict[str, Any]]]:
    """Log in as root, and return what the worker found."""
    side.write_worker(RECORDER)
    report = side.worker.with_name("worker.found")

    def log_in(**how: Any) -> tuple[Outcome, dict[str, Any]]:
        outcome = side.log_in("123456", as_root=True, **how)
        assert (PAM_SUCCESS, []) == (outcome.code, outcome.reasons)
        found = json.loads(report.read_text())
        report.unlink()
        return outcome, found

    return log_in


Record = Callable[..., tuple[Outcome, dict[str, Any]]]


def test_its_command_line_is_fixed(side: Side, record: Record):
    _, found = record(arguments=("attempts=1",))
    expected = ["/usr/bin/python3", "-IS", str(side.worker), "--connection", "3"]
    assert expected == found["argv"]


@pytest.mark.parametrize(("mode", "options"), [(0o755, "-ISB"), (0o644, "-IS")])
def test_it_is_executed_by_its_own_name_where_that_can_be(
    side: Side, record: Record, mode: int, options: str
):
    """SELinux finds the domain by the file's label; python3 has that of any program."""
    side.worker.write_text(f"#!/usr/bin/python3 -ISB\n{side.worker.read_text()}")
    side.worker.chmod(mode)
    _, found = record()
    assert ["/usr/bin/python3", options, str(side.worker)] == found["argv"][:3]


def test_its_environment_is_clean(record: Record):
    hostile = {
        "PYTHONPATH": "/tmp/evil",
        "PYTHONHOME": "/tmp/evil",
        "PYTHONSTARTUP": "/tmp/evil",
        "LD_LIBRARY_PATH": "/tmp/evil",
        "PATH": "/tmp/evil",
        "TZ": "/tmp/evil",
        "LC_ALL": "tr_TR",
        "MALLOC_PERTURB_": "1",
        "NOTIFY_SOCKET": "/tmp/evil",
        "SSH_AUTH_INFO_0": "publickey",
    }
    _, found = record(environment=hostile)
    clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    assert clean == found["environment"]


def assert_only_its_files(found: dict[str, Any]) -> None:
    files = found["files"]
    connection = files.pop("3")
    assert connection.startswith("socket:")
    assert dict.fromkeys("012", "/dev/null") == files


def test_it_inherits_no_open_file_but_its_connection(record: Record, tmp_path):
    with open(tmp_path / "secret", "w+") as secret:
        high = os.dup2(secret.fileno(), 900)
        _, found = record(pass_fds=[secret.fileno(), high])
        os.close(high)
    assert_only_its_files(found)


@pytest.mark.parametrize("closed", [[0], [1], [2], [3], [0, 1, 2], [0, 2], [1, 3], [0, 1, 2, 3]])
def test_an_application_may_have_closed_the_low_descriptors(record: Record, closed: list[int]):
    def close() -> None:
        for descriptor in closed:
            try:
                os.close(descriptor)
            except OSError:
                pass

    outcome, found = record(preexec_fn=close)
    assert_only_its_files(found)
    assert outcome.saw_no_child()


def test_an_application_may_ignore_and_block_signals(record: Record):
    def ignore() -> None:
        for number in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

    outcome, found = record(preexec_fn=ignore)
    # Python itself ignores these two.
    assert [signal.SIGPIPE, signal.SIGXFSZ] == found["ignored"]
    assert [] == found["blocked"]
    assert outcome.saw_no_child()


def test_it_is_in_nobodys_way(record: Record, tmp_path):
    """Own session, cwd /, umask 077; its parent is not the application."""
    outcome, found = record(preexec_fn=lambda: os.umask(0), cwd=tmp_path)
    assert ("/", 0o077, True) == (found["folder"], found["umask"], found["leads_its_session"])
    assert os.getpid() != found["parent"]
    assert outcome.saw_no_child()


def test_an_application_that_takes_in_orphans_becomes_its_parent(record: Record):
    """And is none the worse for it: who asks for orphans waits for processes it never started."""
    PR_SET_CHILD_SUBREAPER = 36  # noqa: N806  # of the application: execve(2) keeps it
    libc = ctypes.CDLL(None)
    _, found = record(preexec_fn=lambda: libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
    assert found["parent"] not in (1, os.getpid())


def test_a_caller_who_has_its_programs_crawl_does_not_slow_it(record: Record):
    """It may hold the store's lock, for which everybody waits."""
    processors = sorted(os.sched_getaffinity(0))

    def crawl() -> None:
        os.nice(10)
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        os.sched_setaffinity(0, processors[:1])

    _, found = record(preexec_fn=crawl)
    assert (-10, os.SCHED_OTHER, processors) == (
        found["nice"],
        found["policy"],
        found["processors"],
    )


@pytest.mark.parametrize("real", [(NOBODY, 0, 0), (NOBODY, 0, NOBODY)], ids=["saved", "user"])
def test_it_is_root_altogether_in_a_setuid_program(record: Record, real: tuple[int, int, int]):
    def become_setuid() -> None:
        os.setgroups([NOBODY, 27])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(*real)

    _, found = record(preexec_fn=become_setuid)
    assert [[0, 0, 0], [0, 0, 0], []] == found["ids"]


FREE = resource.RLIM_INFINITY
LOW_LIMITS = {
    "RLIMIT_CPU": 3,
    "RLIMIT_FSIZE": 4096,
    "RLIMIT_DATA": 12 << 20,  # Python, and what a login loads, take 8 MiB
    "RLIMIT_AS": 64 << 20,
}


def may_raise_limits() -> bool:
    """Tell whether root has CAP_SYS_RESOURCE: in a container it may not."""
    status = Path("/proc/self/status").read_text()
    return bool(int(status.split("CapEff:")[1].split()[0], 16) & 1 << 24)


def set_limit(name: str, soft: int, hard: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(getattr(resource, name), (soft, hard))


@pytest.mark.parametrize(("name", "low"), LOW_LIMITS.items(), ids=LOW_LIMITS)
def test_low_limits_of_a_caller_do_not_reach_it(record: Record, name: str, low: int):
    _, found = record(preexec_fn=set_limit(name, low, FREE))
    assert [FREE, FREE] == found["limits"][name]
    _, found = record(preexec_fn=set_limit(name, low, 1 << 40))
    assert [FREE if may_raise_limits() else 1 << 40] * 2 == found["limits"][name]


def test_it_leaves_no_core(record: Record):
    _, found = record(preexec_fn=set_limit("RLIMIT_CORE", 1 << 20, FREE))
    assert [0, 0] == found["limits"]["RLIMIT_CORE"]


@pytest.mark.parametrize(
    ("name", "low"), {**LOW_LIMITS, "RLIMIT_NOFILE": 16, "RLIMIT_CORE": 1 << 20}.items()
)
@pytest.mark.parametrize("hard", [False, True], ids=["soft", "hard"])
def test_a_code_is_checked_under_low_limits(
    side: Side, place: Place, product: Product, name: str, low: int, hard: bool
):
    """Or denied, where no root can lift them: then nothing is written, so nothing is accepted."""
    side.worker.symlink_to(product.worker)
    place.enrol("root")
    before = len(product.log.events())
    outcome = side.log_in(
        code_now(),
        user="root",
        arguments=(f"config={place.config_path}", "attempts=1"),
        as_root=True,
        preexec_fn=set_limit(
            name, low, low if hard else resource.getrlimit(getattr(resource, name))[1]
        ),
    )
    denied = name == "RLIMIT_FSIZE" and hard and not may_raise_limits()
    expected = (PAM_AUTHINFO_UNAVAIL, ["error"]) if denied else (PAM_SUCCESS, ["accepted"])
    assert expected == (outcome.code, product.log.events()[before:])


def test_too_few_open_files_deny(side: Side):
    """Two are enough for libpam, and for a pair of sockets; not for the worker."""
    side.write_worker(RECORDER)
    fill = 'exec 3<&0 4<&0 5<&0 6<&0 7<&0; ulimit -n 11; exec "$@"'
    outcome = side.log_in(as_root=True, application=("sh", "-c", fill, "sh", side.application))
    assert PAM_AUTHINFO_UNAVAIL == outcome.code
    assert "no worker could be asked" == outcome.reasons[-1]


@pytest.mark.parametrize("stage", range(3))
def test_a_worker_that_is_killed_denies(side: Side, stage: int):
    """Before its first word there is nobody else left to ask; then it is the end."""
    talk = "c.recv(65536); c.send(b'PT\\1\\x10\\1Code: '); " * stage
    side.write_worker(
        f"import os, socket; c = socket.socket(fileno=3); {talk}os.kill(os.getpid(), 9)"
    )
    outcome = side.log_in("123456", "234567", as_root=True)
    assert (PAM_SERVICE_ERR if stage else PAM_AUTHINFO_UNAVAIL) == outcome.code
