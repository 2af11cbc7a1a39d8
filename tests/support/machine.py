"""A throw-away copy of this machine, for tests that need root, users, sshd and sudo.

Own mount, process, network, host name and IPC namespaces; all files of this machine under an
overlay that keeps changes in memory; a /proc, a /dev and a /dev/log of its own. Nothing that
happens inside is left when it is gone, however the test ends.
"""

from __future__ import annotations

import atexit
import base64
import functools
import glob
import json
import os
import shlex
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Any, NamedTuple

from pexpect import fdpexpect

from tests.support import hosts, product
from tests.support.dialogue import Dialogue
from tests.support.logs import LogSocket
from tests.support.place import ROOT, code_now, wrong_code
from tests.support.starter import Starter

SSH_PORT = 2222
CLIENT = "nobody"
QUICK_KEX = "curve25519-sha256"  # OpenSSH 9's own choice takes 60 ms of the processor a login
TIMEOUT = 60  # seconds: a test that waits longer has failed
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "TERM": "dumb",
}

# Debian's own, without what depends on the packages of this machine.
_PAM_FILES = {
    "common-auth": (
        "auth [success=1 default=ignore] pam_unix.so nullok nodelay\n"
        "auth requisite pam_deny.so\n"
        "auth required pam_permit.so\n"
    ),
    "common-account": (
        "account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so\n"
        "account requisite pam_deny.so\n"
        "account required pam_permit.so\n"
    ),
    "common-session": "session required pam_permit.so\nsession required pam_unix.so\n",
    "common-session-noninteractive": "session required pam_permit.so\n",
    "common-password": "password required pam_unix.so\n",
}
_AFTER_AUTH = {
    "sshd": "account required pam_nologin.so\n@include common-account\n@include common-session\n",
    "su": "@include common-account\n@include common-session-noninteractive\n",
    "sudo": "@include common-account\n@include common-session-noninteractive\n",
    "chsh": "@include common-account\n",
    "login": "@include common-account\n@include common-session-noninteractive\n",
}
_SSHD_CONFIG = f"""
Port {SSH_PORT}
ListenAddress 127.0.0.1
HostKey /etc/ssh/machine_key
PidFile none
UseDNS no
PrintMotd no
"""
_ASKED = "/root/totpctl"  # it runs in a fork, as what has that name
_BEFORE_ASKED = """#!/usr/bin/python3 -I
import sys
sys.path.insert(0, "/usr/lib/pam_totp")
"""
# OpenSSH 9.8 and later turn away who fails often; older ones do not know the option. Started by the
# first process sshd would take itself for a daemon, and not go on its own.
_START_SSHD = f"""
cd /etc/ssh
cat >machine_config
ssh-keygen -q -t ed25519 -N '' -f machine_key
read -r host_key <machine_key.pub
echo "[127.0.0.1]:{SSH_PORT} $host_key" >ssh_known_hosts
mkdir -p /run/sshd
set -- /usr/sbin/sshd -f /etc/ssh/machine_config
if "$@" -t -o PerSourcePenalties=no 2>/dev/null; then set -- "$@" -o PerSourcePenalties=no; fi
"$@" || exit 1
"""
_SUDOERS = f"""
Defaults env_reset
Defaults secure_path="{ENVIRONMENT["PATH"]}"
%sudo ALL=(ALL:ALL) ALL
"""
_LEFT_OUT = (
    *("/etc/pam.d/dovecot", "/etc/pam.d/vsftpd"),
    *("/etc/nologin", "/etc/locale.conf", "/etc/default/locale", "/etc/sudoers.d"),
    *("/etc/security/pam_totp.conf", "/etc/security/pam_totp.key"),
    *("/usr/lib/pam_totp", "/usr/sbin/totpctl", "/var/lib/pam_totp"),
    *("/root/.profile", "/root/.bash*"),
    *("/usr/lib/*/security/pam_totp.so", "/usr/lib/systemd/system/pam_totp.*"),
)
_FILES = {f"/etc/pam.d/{name}": (text, 0o644) for name, text in _PAM_FILES.items()}
_FILES["/etc/sudoers"] = (_SUDOERS, 0o440)

_PREPARE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.support import machine_init
del sys.path[0]
machine_init.load_product()
"""
_INIT = """
from tests.support import machine_init
machine_init.main()
"""


@functools.cache
def _starter(preload: str) -> Starter:
    """Return what machines are started by: Python as in the first line of totpctl.

    ``preload``: a library that it loads before libc, if there is one.
    """
    interpreter = ["/usr/bin/python3", "-I"]
    environment = {**ENVIRONMENT, **({"LD_PRELOAD": preload} if preload else {})}
    starter = Starter(interpreter, environment, prepare=_PREPARE, given=product.tree())
    atexit.register(starter.close)
    return starter


@functools.cache
def _left_out() -> list[str]:
    return [path for pattern in _LEFT_OUT for path in glob.glob(pattern)]


class Account(NamedTuple):
    """A user of the machine who is enrolled."""

    name: str
    password: str
    secret: bytes
    recovery_codes: list[str]

    def code(self, offset: int = 0) -> str:
        return code_now(offset, self.secret)

    def wrong_code(self) -> str:
        return wrong_code(self.secret)


class Terminal(Dialogue, fdpexpect.fdspawn):
    """A program at a terminal of the machine; the dialogue is pexpect's."""

    def __init__(self, descriptor: int, reply: socket.socket) -> None:
        super().__init__(descriptor, timeout=TIMEOUT, encoding="utf-8", codec_errors="replace")
        self._reply = reply

    def __str__(self) -> str:
        return f"on the terminal: {self.before!r} {self.buffer!r}"

    def exit_status(self) -> int:
        return int(self._reply.recv(64))

    def close(self) -> None:
        self._reply.close()
        super().close()


class Machine:
    """Use it as a context manager: it starts on entry, and is gone after.

    ``disk``: a folder outside, and where it is shown inside, writable. All else is in memory.
    ``installed``: the product is there, as after ``make install``. ``preload``: a library outside,
    and where it is inside; who names it there in LD_PRELOAD mostly gets a fork that has loaded it.
    """

    def __init__(
        self,
        disk: tuple[Path, Path] | None = None,
        *,
        installed: bool = False,
        preload: tuple[Path, str] | None = None,
    ) -> None:
        self._disk = disk or ()
        self._is_installed = installed
        self._preload = preload
        self._asked = ""
        self.pam_module = "pam_totp.so"

    def __enter__(self) -> Machine:
        assert os.geteuid() == 0, "this needs root; without it: pytest -m 'not root'"
        self._control, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._terminals: list[Terminal] = []
        with inside:
            self._process = _starter(str(self._preload[0]) if self._preload else "").start(
                _INIT, [json.dumps(self._wanted())], ENVIRONMENT, [inside.fileno(), 1, 2]
            )
        message, descriptors, _, _ = socket.recv_fds(self._control, 4096, 1)
        if not descriptors:
            self._end()
            raise AssertionError(f"no machine: {message.decode()}")
        self.log = LogSocket(Path("/dev/log"), socket.socket(fileno=descriptors[0]))
        return self

    def __exit__(self, *_: object) -> None:
        for terminal in self._terminals:
            terminal.close()
        self.log.close()
        self._end()

    def _wanted(self) -> dict[str, object]:
        return {
            "folder": str(ROOT),
            "disk": list(map(str, self._disk)),
            "left_out": _left_out(),
            "files": _FILES,
            "installed": self._is_installed,
        }

    def _end(self) -> None:
        self._control.close()
        self._process.wait(TIMEOUT)

    def run(
        self,
        *argv: object,
        typed: str | bytes = "",
        user: str = "root",
        env: dict[str, str] | None = None,
        cwd: str = "/",
        check: bool = True,
        timeout: float = TIMEOUT,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, with exactly ENVIRONMENT and ``env``.

        totpctl is mostly run in a fork of a process that has loaded the libraries.
        """
        content = typed if isinstance(typed, bytes) else typed.encode("utf-8")
        with (
            tempfile.TemporaryFile() as stdin,
            tempfile.TemporaryFile() as stdout,
            tempfile.TemporaryFile() as stderr,
        ):
            stdin.write(content)
            stdin.seek(0)
            environment_of_forks = {"LD_PRELOAD": self._preload[1]} if self._preload else {}
            name = os.path.basename(str(argv[0]))
            may_fork = (name, user, env or {}) == ("totpctl", "root", environment_of_forks)
            standard = [stdin, stdout, stderr]
            with self._request(argv, user, env, cwd, standard, may_fork=may_fork) as reply:
                reply.settimeout(timeout)
                status = int(reply.recv(64))
            shown, complaints = _content(stdout), _content(stderr)
        done = subprocess.CompletedProcess(list(map(str, argv)), status, shown, complaints)
        assert not check or status == 0, done
        return done

    def ask(self, program: str, *arguments: str) -> Any:
        """Return what Python with the modules of an installed product prints: it is JSON."""
        if program != self._asked:
            self._asked = program
            self.write(_ASKED, _BEFORE_ASKED + program, mode=0o755)
        return json.loads(self.run(_ASKED, *arguments).stdout)

    def spawn(
        self,
        *argv: object,
        user: str = "root",
        env: dict[str, str] | None = None,
        cwd: str = "/",
    ) -> Terminal:
        """Start a program at a terminal of its own."""
        reply = self._request(argv, user, env, cwd, [])
        _, descriptors, _, _ = socket.recv_fds(reply, 64, 1)
        terminal = Terminal(descriptors[0], reply)
        self._terminals.append(terminal)
        return terminal

    def write(self, path: str, text: str, mode: int = 0o644, owner: str = "root") -> None:
        """Write a file, and the folders above it."""
        options = ("-D", "-m", f"{mode:o}", "-o", owner)
        self.run("install", *options, "/dev/stdin", path, typed=text)

    def read(self, path: str) -> str:
        return self.run("cat", path).stdout

    def unpack(self, *archives: bytes, then: str = ":") -> None:
        """Unpack tar archives, the later ones over the earlier, and run a shell script.

        All at once: each run of a program costs as much as unpacking a hundred files.
        """
        script = f"{shlex.join(product.UNPACK)}\n{then}"
        self.run("sh", "-ec", script, typed=b"".join(archives))

    def install_product(self) -> None:
        self.unpack(product.tree())
        self.run("totpctl", "init")

    def start_service(self) -> int:
        """Let a worker listen, and return its process's number.

        It is mostly a fork of a process that has loaded the libraries.
        """
        with open(os.devnull, "r+b") as null:
            reply = self._request(
                ("/usr/lib/pam_totp/worker", "--listen"),
                "root",
                None,
                "/",
                [null, null, null],
                may_fork=self._preload is None,
                tells_pid=True,
            )
        with reply:
            pid = int(reply.recv(64))
        listens = f"grep -q ' 00010000 .* {hosts.SOCKET}$' /proc/net/unix"
        self.run("sh", "-c", f"until {listens}; do sleep 0.02; done")
        return pid

    def add_user(self, name: str, password: str, *options: str) -> None:
        self.run("useradd", "--create-home", "--shell", "/bin/sh", *options, name)
        self.run("chpasswd", "--crypt-method", "SHA256", typed=f"{name}:{password}\n")

    def enrol(self, name: str) -> Account:
        """Add a user who may use sudo, with a password and an authenticator."""
        password = f"correct horse of {name}"
        self.add_user(name, password, "--groups", "sudo")
        shown = json.loads(self.run("totpctl", "enroll", name, "--json", "--no-confirm").stdout)
        secret = base64.b32decode(shown["secret"])
        return Account(name, password, secret, shown["recovery_codes"])

    def state(self, name: str) -> dict[str, object]:
        """Return what ``totpctl list`` says of one user."""
        listed = json.loads(self.run("totpctl", "list", "--json").stdout)
        return next(user for user in listed if user["user"] == name)

    def give_key(self, name: str) -> str:
        """Let ``name`` log in with a new SSH key; return the file that the client needs."""
        key = f"/tmp/key-of-{name}"
        self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key, user=CLIENT)
        authorized = f"/home/{name}/.ssh/authorized_keys"
        self.write(authorized, self.read(f"{key}.pub"))
        return key

    def use_pam(self, service: str, auth: str) -> None:
        """Make ``service`` use the ``auth`` lines, and the distribution's account and session.

        What ``pam_totp.so`` stands for in them, ``self.pam_module`` says.
        """
        lines = auth.replace("pam_totp.so", self.pam_module) + _AFTER_AUTH[service]
        self.write(f"/etc/pam.d/{service}", lines)

    def start_sshd(self, config: str) -> None:
        """Start sshd on 127.0.0.1; what ``config`` says comes first, and so wins."""
        self.run("sh", "-ec", _START_SSHD, typed=config + _SSHD_CONFIG)
        self.log.wait_for(f"Server listening on 127.0.0.1 port {SSH_PORT}")

    def ssh(
        self,
        user: str,
        *options: str,
        command: str = "echo welcome $USER",
        env: dict[str, str] | None = None,
    ) -> Terminal:
        """Log in with the real client, from a terminal of somebody who has no keys."""
        files = ("-F/dev/null", "-oUserKnownHostsFile=/dev/null")
        always = (*files, f"-p{SSH_PORT}", f"-oKexAlgorithms={QUICK_KEX}")
        return self.spawn(
            "ssh", *always, *options, f"{user}@127.0.0.1", command, user=CLIENT, env=env, cwd="/"
        )

    def whatever_shows(self) -> str:
        """Return what the process list and every process's arguments and environment show."""
        everything = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'; ps auxeww"
        return self.run("sh", "-c", everything).stdout

    def _request(
        self,
        argv: tuple[object, ...],
        user: str,
        env: dict[str, str] | None,
        cwd: str,
        standard: list[IO[bytes]],
        *,
        may_fork: bool = False,
        tells_pid: bool = False,
    ) -> socket.socket:
        reply, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        reply.settimeout(TIMEOUT)
        request = {
            "argv": list(map(str, argv)),
            "user": user,
            "env": {**ENVIRONMENT, **(env or {})},
            "cwd": cwd,
            "may_fork": may_fork,
            "tells_pid": tells_pid,
        }
        descriptors = [inside.fileno(), *(file.fileno() for file in standard)]
        socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
        inside.close()
        return reply


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "backslashreplace")
