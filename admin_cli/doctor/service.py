"""The programs of a login: the PAM module, the worker, its socket and its service."""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
from collections.abc import Iterator

from pam_totp.login import membership
from pam_totp.service import sandbox
from pam_totp.service.wire import SOCKET
from pam_totp.stack.pam_ways import NATIVE_MODULE, PAM_PYTHON_MODULE
from pam_totp.system.reinstalling import missing_module_hint, reinstall_hint

from ..host import listeners, programs, units
from .facts import SOCKET_UNIT, WORKER, Facts, module_path
from .finding import NOTE, WRONG, Found, check

PYTHON = "/usr/bin/python3"
TIMEOUT = 20  # seconds
_DENIED = "every login that needs a code is denied"
_REINSTALL = "run: apt-get install --reinstall libpam-python"
_OPEN_TO_ALL = (
    "run: systemctl edit pam_totp.socket; write: [Socket], then: SocketMode=0666; "
    "then run: systemctl restart pam_totp.socket"
)
_CLOSE_TO_OTHERS = (
    "remove SocketMode= from the drop-in shown by: systemctl cat pam_totp.socket; "
    "then run: systemctl daemon-reload; systemctl restart pam_totp.socket"
)
# A login that ends at once; then the modules of the others.
_LOGIN = """
import os, runpy, sys
os.dup2(int(sys.argv[1]), 3)
sys.argv = [{worker!r}, "--connection", "3"]
os._exit = sys.exit  # a worker of one login ends its process at once, before there is more to load
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as ended:
    if ended.code:
        raise
import pam_totp.login.flow, pam_totp.service.server, pam_totp.store.sqlite.store
"""


@check("module", WRONG, f"libpam cannot load it: {_DENIED}")
def module(facts: Facts) -> Iterator[Found]:
    if NATIVE_MODULE not in facts.modules:
        return
    if module_path(NATIVE_MODULE) is None:
        problem = f"{NATIVE_MODULE} is not installed, but PAM files name it"
        yield problem, reinstall_hint()
    yield from _does_not_load(NATIVE_MODULE, reinstall_hint())


@check("worker", WRONG, f"it checks the codes: {_DENIED}")
def worker(facts: Facts) -> Iterator[Found]:
    """Run it as the module does, with a login that ends at once; then load the rest."""
    if NATIVE_MODULE not in facts.modules:
        return
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.close()
    with theirs:
        command = [PYTHON, "-IS", "-c", _LOGIN.format(worker=WORKER), str(theirs.fileno())]
        problem = _complaint(command, theirs.fileno())
    if problem:
        yield f"{WORKER} does not start: {problem}", _fix_of(problem)


@check("pam-python", WRONG, f"libpam cannot load it, or the hook in it: {_DENIED}")
def pam_python(facts: Facts) -> Iterator[Found]:
    if PAM_PYTHON_MODULE not in facts.modules:
        return
    path = module_path(PAM_PYTHON_MODULE)
    if path is None:
        yield (
            f"{PAM_PYTHON_MODULE} is not installed, but PAM files name it",
            "run: apt-get install libpam-python; or use pam_totp.so instead",
        )
        return
    yield from _does_not_load(PAM_PYTHON_MODULE, _REINSTALL)
    release = _release_of_python()
    with open(path, "rb") as file:
        if f"libpython{release}.so".encode("ascii") not in file.read():
            yield (
                f"{path} is not built for Python {release}, which python3-nacl is installed for",
                f"{_REINSTALL}; or use pam_totp.so",
            )
    for hook in facts.hooks:
        if not os.path.exists(hook):
            yield f"there is no {hook}, which PAM files name", reinstall_hint()


@check("socket", WRONG, "programs find a socket that nobody, or the wrong process, listens on")
def worker_socket(facts: Facts) -> Iterator[Found]:
    try:
        status = os.lstat(SOCKET)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        problem = f"{SOCKET} is not a socket"
    elif status.st_uid != 0:
        problem = f"{SOCKET} is owned by uid {status.st_uid}, not by root"
    elif not is_listening():
        problem = f"nobody listens on {SOCKET}"
    else:
        return
    fix = f"run: rm {SOCKET}"
    if facts.has_systemd:
        fix = f"run: {units.unmask(facts.units)}systemctl restart {SOCKET_UNIT}"
    yield problem, fix


@check("socket-mode", WRONG, "the socket's mode does not match 'unprivileged' in pam_totp.conf")
def socket_mode(facts: Facts) -> Iterator[Found]:
    try:
        status = os.lstat(SOCKET)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        return
    mode = stat.S_IMODE(status.st_mode)
    if facts.config.unprivileged and mode & 0o006 != 0o006:
        yield (
            f"unprivileged = yes, but {SOCKET} is for root only (mode {mode:04o})",
            _OPEN_TO_ALL if facts.has_systemd else f"run: chmod 0666 {SOCKET}",
        )
    elif not facts.config.unprivileged and mode & 0o077:
        yield (
            f"unprivileged = no, but others can use {SOCKET} (mode {mode:04o})",
            _CLOSE_TO_OTHERS if facts.has_systemd else f"run: chmod 0600 {SOCKET}",
        )


@check(
    "service",
    WRONG,
    "until it is fixed, each login starts its own worker",
)
def service(facts: Facts) -> Iterator[Found]:
    if not facts.needs_units:
        return
    for unit, states in facts.units.items():
        if states.get("LoadState") == "not-found":
            yield f"{unit} is not installed", reinstall_hint()
        elif units.is_masked(states) and unit != SOCKET_UNIT and is_listening():
            yield (
                f"{unit} is masked, so systemd does not start it",
                f"run: {units.unmask(facts.units)}systemctl restart {SOCKET_UNIT}",
            )
        elif states.get("ActiveState") == "failed":
            yield (
                f"{unit} has failed ({states.get('Result', 'unknown')})",
                f"look at: journalctl -u {unit}; then run: {units.unmask(facts.units)}"
                f"systemctl reset-failed {unit}; systemctl restart pam_totp.socket",
            )


@check("service-off", NOTE, "each login starts its own worker, which takes a moment longer")
def service_off(facts: Facts) -> Iterator[Found]:
    if NATIVE_MODULE not in facts.modules or is_listening():
        return
    if not facts.has_systemd:
        yield "no worker is listening", f"start it at boot: {WORKER} --listen"
    elif facts.units[SOCKET_UNIT].get("ActiveState") != "failed":
        fix = f"run: {units.unmask(facts.units)}systemctl enable --now {SOCKET_UNIT}"
        yield "pam_totp.socket is not listening", fix


@check("service-at-boot", NOTE, "after the next boot, each login starts its own worker")
def service_at_boot(facts: Facts) -> Iterator[Found]:
    if not facts.needs_units:
        return
    states = facts.units[SOCKET_UNIT]
    is_off = states.get("UnitFileState") == "disabled" or units.is_masked(states)
    if is_off and states.get("ActiveState") == "active":
        fix = f"run: {units.unmask(facts.units)}systemctl enable {SOCKET_UNIT}"
        yield "pam_totp.socket is not enabled", fix


@check("name-service", NOTE, "each login starts its own worker, without a sandbox")
def name_service(facts: Facts) -> Iterator[Found]:
    if not facts.needs_units:
        return
    environment = facts.units["pam_totp.service"].get("Environment", "").split()
    bound = (value.partition("=") for value in environment)
    values = {key.strip('"'): value.strip('"') for key, _, value in bound}
    hidden = sandbox.hidden_name_services(values.get(sandbox.BOUND_SERVICES, ""))
    if hidden:
        names = ",".join(hidden)
        yield (
            f"{membership.SWITCH_FILE} names services of users and groups that may not work in the "
            f"sandbox of pam_totp.service: {names}",
            sandbox.name_service_hint(names),
        )


def is_listening() -> bool:
    """Tell without connecting, which would start the service."""
    return listeners.is_listening(SOCKET)


def _does_not_load(name: str, fix: str) -> Iterator[Found]:
    """Yield why the PAM module ``name``, if there is one, cannot be loaded; ``fix`` helps."""
    path = module_path(name)
    if path is not None:
        script = "import ctypes, sys; ctypes.CDLL(sys.argv[1]).pam_sm_authenticate"
        problem = _complaint([PYTHON, "-I", "-c", script, path])
        if problem:
            yield f"{path} cannot be loaded: {problem}", fix


def _fix_of(problem: str) -> str:
    missing = re.search(r"No module named '([^']+)'", problem)
    return missing_module_hint(missing[1]) if missing else reinstall_hint()


def _release_of_python() -> str:
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    command = [PYTHON, "-I", "-c", script]
    done = programs.run(command, timeout=TIMEOUT)
    done.check_returncode()
    return done.stdout.strip()


def _complaint(command: list[str], *descriptors: int) -> str:
    """Return why ``command``, which inherits ``descriptors``, fails, or ""."""
    try:
        done = programs.run(command, timeout=TIMEOUT, pass_fds=descriptors)
    except subprocess.TimeoutExpired:
        return f"it takes more than {TIMEOUT} s"
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]


CHECKS = (
    module,
    worker,
    pam_python,
    worker_socket,
    socket_mode,
    service,
    service_off,
    service_at_boot,
    name_service,
)
