"""A booted Debian in systemd-nspawn: real systemd, journald and ssh.service, on any Linux.

Its files are a copy in memory of a tree that booted_base.py makes; it has a network of its own,
and no way out of it. When it is gone, nothing is left, however the test ends.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import pexpect

from pam_totp.core import recovery
from tests.support import namespaces
from tests.support.dialogue import Dialogue
from tests.support.machine import ENVIRONMENT, QUICK_KEX, Account
from tests.support.place import RECOVERY_SALT, ROOT
from tests.support.shared import made_once

TIMEOUT = 120  # seconds: a test that waits longer has failed
SOURCE = "/usr/src/pam_totp"  # this tree, inside
_KEY = "/root/key"
WITH_KEY = f"-i{_KEY}"
SSH_OPTIONS = (
    "-F/dev/null",
    "-oStrictHostKeyChecking=no",
    "-oUserKnownHostsFile=/dev/null",
    "-oLogLevel=ERROR",
    "-oNumberOfPasswordPrompts=1",
    f"-oKexAlgorithms={QUICK_KEX}",
)
_STATES = ("running", "degraded")

_OPENED = f"""
import pwd, sys, time
sys.path.insert(0, "/usr/lib/pam_totp")
from pam_totp import store
from pam_totp.store import sealing
from pam_totp.system import config
from pam_totp.core.users import Authenticator, UserRecord
settings = config.load().config
SALT = bytes.fromhex("{RECOVERY_SALT.hex()}")
with store.open_store(settings.store, sealing.read_sealer(settings.sealing_key)) as opened:
"""
# Enrols those of whom it is told name, secret and the digests of recovery codes, a line for each.
_ENROL = f"""{_OPENED}
    for line in sys.stdin:
        name, secret, *digests = line.split()
        now = int(time.time())
        phone = Authenticator(name, "phone", bytes.fromhex(secret), created_at=now)
        record = UserRecord(
            name,
            created_at=now,
            authenticators=(phone,),
            recovery_salt=SALT if digests else None,
            recovery_digests=frozenset(map(bytes.fromhex, digests)),
            uid=pwd.getpwnam(name).pw_uid,
            bound_at=now,
        )
        with opened.transaction(name) as own:
            own.save(record)
"""
_GIVE_PAPER = f"""{_OPENED}
    name, *digests = sys.stdin.read().split()
    with opened.transaction(name) as own:
        own.save(own.record.with_recovery_codes(SALT, frozenset(map(bytes.fromhex, digests))))
"""


RECOVERY_CODES = [
    recovery.format_code(bytes([number] * recovery.RANDOM_BYTES))
    for number in range(recovery.CODES_IN_A_SET)
]


@functools.cache
def _digests() -> bytes:
    def make() -> bytes:
        normalised = (recovery.normalise(code) or "" for code in RECOVERY_CODES)
        return " ".join(recovery.digest(code, RECOVERY_SALT).hex() for code in normalised).encode()

    return made_once("recovery-digests", make)


class Terminal(Dialogue, pexpect.spawn):
    """A program at a terminal."""


class Booted:
    """Use it as a context manager: it boots on entry, and is gone after.

    ``options``: more of systemd-nspawn's.
    """

    def __init__(self, release: str, tree: str, *options: str) -> None:
        self.release = release
        self._tree = tree
        self._options = options

    def __enter__(self) -> Booted:
        assert os.geteuid() == 0, "this needs root; without it: pytest -m 'not root'"
        with ExitStack() as stack:
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="pam_totp-booted."))
            self._console = stack.enter_context(tempfile.TemporaryFile("w+", errors="replace"))
            options = (
                "--boot",
                "--private-network",
                "--console=pipe",
                "--resolv-conf=off",
                f"--machine={self.release}",
                f"--bind-ro={ROOT}:{SOURCE}",
                *self._options,
            )
            # On leaving, Popen closes standard input, and waits: that is how it is told to end.
            self._process = stack.enter_context(
                subprocess.Popen(
                    namespaces.command("booted_init", "--copy", scratch, self._tree, *options),
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=self._console,
                    stderr=subprocess.STDOUT,
                )
            )
            self._leader = self._find_leader()
            self._wait_until_booted()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def run(
        self,
        *argv: object,
        typed: str = "",
        user: str = "root",
        check: bool = True,
        timeout: float = TIMEOUT,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, with exactly ENVIRONMENT."""
        done = subprocess.run(
            self._command(argv, user),
            input=typed,
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            timeout=timeout,
            env=ENVIRONMENT,
            check=False,
        )
        assert not check or done.returncode == 0, done
        return done

    def start(self, *argv: object, under: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start a program, and go on; ``under`` a program of the machine around it."""
        return subprocess.Popen(
            [*under, *self._command(argv, "root")],
            stdin=subprocess.DEVNULL,
            env=ENVIRONMENT,
            text=True,
        )

    def spawn(self, *argv: object, user: str = "root") -> Terminal:
        """Start a program at a terminal of its own."""
        first, *others = self._command(argv, user)
        return Terminal(
            first,
            others,
            timeout=TIMEOUT,
            env=ENVIRONMENT,
            encoding="utf-8",
            echo=False,
            dimensions=(50, 200),  # so that no sentence is broken
        )

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of root's, and the folders above it."""
        self.run("install", "-D", "-m", f"{mode:o}", "/dev/stdin", path, typed=text)

    def read(self, path: str) -> str:
        return self.run("cat", path).stdout

    def systemctl(self, *words: str, check: bool = True) -> str:
        return self.run("systemctl", *words, check=check).stdout.strip()

    def add_user(self, name: str, *groups: str) -> Account:
        """Add a user who logs in with a password, a code, and recovery codes."""
        account = self.add_account(name, *groups)
        (enrolled,) = self.enrol_at_once([name], with_paper=True)
        return enrolled._replace(password=account.password)

    def add_account(self, name: str, *groups: str) -> Account:
        """Add a user who logs in with a password, and is not enrolled."""
        password = f"correct horse of {name}"
        options = ("--create-home", "--shell", "/bin/sh", "--groups", ",".join(groups))
        self.run("useradd", *options, name)
        self.run("chpasswd", "--crypt-method", "SHA256", typed=f"{name}:{password}\n")
        return Account(name, password, b"", [])

    def give_key(self, account: Account) -> None:
        """Let a user log in with the SSH key of root, who is the client."""
        if self.run("test", "-e", _KEY, check=False).returncode != 0:
            self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", _KEY)
        authorized = f"/home/{account.name}/.ssh/authorized_keys"
        self.write(authorized, self.read(f"{_KEY}.pub"))

    def enrol(self, name: str) -> Account:
        """Enrol a user who is there, with a code and recovery codes."""
        shown = json.loads(self.run("totpctl", "enroll", name, "--json", "--no-confirm").stdout)
        return Account(name, "", base64.b32decode(shown["secret"]), shown["recovery_codes"])

    def add_users(self, names: list[str]) -> Iterator[Account]:
        """Add users who have nothing but a code; give them one after the other."""
        numbered = list(enumerate(names, 3000))
        lines = [f"{name}:*:{number}:{number}::/:/bin/sh\n" for number, name in numbered]
        self.run("tee", "-a", "/etc/passwd", typed="".join(lines))
        lines = [f"{name}:*:{number}:\n" for number, name in numbered]
        self.run("tee", "-a", "/etc/group", typed="".join(lines))
        return iter(self.enrol_at_once(names))

    def enrol_at_once(self, names: Sequence[str], *, with_paper: bool = False) -> list[Account]:
        """Enrol users who are there, without totpctl; ``with_paper``: all with RECOVERY_CODES.

        To hash the codes takes ten times as long as all else of it: that is done once a run.
        """
        digests = _digests().decode() if with_paper else ""
        secrets = {name: os.urandom(20) for name in names}
        lines = [f"{name} {secret.hex()} {digests}\n" for name, secret in secrets.items()]
        self.run("python3", "-I", "-c", _ENROL, typed="".join(lines))
        codes = RECOVERY_CODES if with_paper else []
        return [Account(name, "", secret, [*codes]) for name, secret in secrets.items()]

    def give_paper(self, name: str) -> list[str]:
        """Return RECOVERY_CODES, which are then all that somebody enrolled has, and unused."""
        self.run("python3", "-I", "-c", _GIVE_PAPER, typed=f"{name} {_digests().decode()}")
        return [*RECOVERY_CODES]

    def ssh(self, account: Account, *options: str, command: str = "echo welcome $USER") -> Terminal:
        """Log in to its sshd with the real client; for a shell at a terminal, no command."""
        words = [command] if command else []
        return self.spawn("ssh", *SSH_OPTIONS, *options, f"{account.name}@127.0.0.1", *words)

    def reboot(self, *, at_once: bool = False) -> None:
        """Start it anew; ``at_once``: as after a power cut, without stopping anything before."""
        before = self._leader
        self.run("systemctl", "reboot", *(["--force", "--force"] if at_once else []), check=False)
        for _ in self._while_it_runs():
            if not Path(f"/proc/{before}").exists():
                break
        self._leader = self._find_leader()
        self._wait_until_booted()

    def console(self) -> str:
        """Return what the boot showed."""
        self._console.seek(0)
        return self._console.read()

    def _command(self, argv: tuple[object, ...], user: str) -> list[str]:
        enter = ["nsenter", "--all", "--root", "--wd", f"--target={self._leader}"]
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return [*enter, *(become if user != "root" else []), "--", *map(str, argv)]

    def _find_leader(self) -> int:
        """Return the process that is the first inside: of those below ours, the first elsewhere."""
        here = os.readlink("/proc/self/ns/pid")
        for _ in self._while_it_runs():
            below = _children(self._process.pid)
            while below:
                process = below.pop()
                try:
                    elsewhere = os.readlink(f"/proc/{process}/ns/pid") != here
                except FileNotFoundError:
                    continue
                if elsewhere:
                    return process
                below += _children(process)
        raise AssertionError(f"no Debian: {self.console()}")

    def _wait_until_booted(self) -> None:
        for _ in self._while_it_runs():
            state = self.systemctl("is-system-running", "--wait", check=False)
            if state in _STATES:
                return
        raise AssertionError(f"{self.release} does not boot: {self.console()}")

    def _while_it_runs(self) -> Iterator[None]:
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline and self._process.poll() is None:
            yield
            time.sleep(0.05)


def _children(process: int) -> list[int]:
    try:
        return [*map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split())]
    except FileNotFoundError:
        return []
