"""What the tests of the worker share: packets, a client that plays pam_totp.so, and the worker
in a process of its own, from a copy of the tree that logs to a test's socket.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests.support.installation import Installation
from tests.support.logs import LogSocket

INTERPRETER = "/usr/bin/python3"
TIMEOUT = 60  # seconds: who is not done by then hangs

REQUEST, ANSWER, MESSAGE, RESULT, REFUSED = 1, 2, 16, 18, 19
TEXT, NONE, PASSWORD, FAILED = 0, 1, 2, 3
PROMPTS = (1, 2)  # PAM_PROMPT_ECHO_OFF and _ON
PAM_SUCCESS, PAM_SERVICE_ERR, PAM_AUTH_ERR, PAM_AUTHINFO_UNAVAIL = 0, 3, 7, 9
PAM_MAXTRIES, PAM_CONV_ERR, PAM_IGNORE = 11, 19, 25

# In a copy: whoever asks has an account. So hundreds can log in.
EVERYBODY = (
    "login/identity.py",
    'return pwd.getpwnam(os.fsdecode(user.encode("utf-8")))',
    'return pwd.struct_passwd((user, "x", os.getuid(), os.getgid(), "", "/", "/bin/sh"))',
)
Change = tuple[str, str, str]  # file, before, after


def in_the_file(condition: str) -> Change:
    """Have /etc/passwd name those of whom ``condition`` is true: the service asks no directory."""
    has = "def has(self, name: str) -> bool:"
    return "service/local_accounts.py", has, f"{has}\n        return {condition}"


IN_THE_FILE = in_the_file("True")


def packet(kind: int, body: bytes = b"", version: int = 1, magic: bytes = b"PT") -> bytes:
    return magic + bytes([version, kind]) + body


def string(text: bytes | None) -> bytes:
    return b"\xff\xff" if text is None else len(text).to_bytes(2, "big") + text


def request(
    user: bytes | None = b"alice",
    service: bytes | None = b"sshd",
    rhost: bytes | None = None,
    ruser: bytes | None = None,
    tty: bytes | None = None,
    ssh_auth_info: bytes | None = None,
    processes: bytes | None = None,
    arguments: Iterable[bytes] = (),
    flags: int = 0,
) -> bytes:
    strings = (user, service, rhost, ruser, tty, ssh_auth_info, processes)
    arguments = tuple(arguments)
    body = flags.to_bytes(4, "big") + b"".join(map(string, strings)) + bytes([len(arguments)])
    return packet(REQUEST, body + b"".join(map(string, arguments)))


def answer(text: str | bytes, kind: int = TEXT) -> bytes:
    encoded = text.encode("utf-8") if isinstance(text, str) else text
    return packet(ANSWER, bytes([kind]) + encoded)


class Outcome(NamedTuple):
    """``code``: of the result; REFUSED or NONE_CAME where there was none."""

    code: int
    shown: list[str]
    prompts: int


WAS_REFUSED, NONE_CAME = -1, -2


class Client:
    """One connection, as pam_totp.so makes it. ``connected``: a socket that is one already."""

    def __init__(self, path: Path | None = None, connected: socket.socket | None = None) -> None:
        self.socket = connected or socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(TIMEOUT)
        try:
            if path is not None:
                self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, sent: bytes) -> None:
        self.socket.send(sent)

    def receive(self) -> bytes:
        """Return the next packet; b"" when the worker has ended the connection."""
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""

    def until_prompt(self) -> None:
        received = self.receive()
        assert (b"PT\1\x10", True) == (received[:4], received[4] in PROMPTS), received

    def answers(self, *texts: str) -> Outcome:
        """Answer one prompt after the other until the end; without texts left, hang up."""
        left, shown, prompts = list(texts), [], 0
        while received := self.receive():
            if received[3] == MESSAGE:
                shown.append(received[5:].decode("utf-8"))
                if received[4] not in PROMPTS:
                    self.send(answer(b"", NONE))
                    continue
                prompts += 1
                if not left:
                    break
                self.send(answer(left.pop(0)))
            elif received[3] == RESULT:
                return Outcome(received[4], shown, prompts)
            elif received[3] == REFUSED:
                shown.append(received[6:].decode("ascii"))
                return Outcome(WAS_REFUSED, shown, prompts)
        return Outcome(NONE_CAME, shown, prompts)


def log_in(path: Path, asked: bytes, *texts: str) -> Outcome:
    with Client(path) as client:
        with suppress(BrokenPipeError):  # refused already; the reason is there
            client.send(asked)
        return client.answers(*texts)


def of_place(config: Path, *arguments: bytes) -> tuple[bytes, ...]:
    """Return the PAM arguments that lead to a place's configuration."""
    return (b"config=" + os.fsencode(config), *arguments)


class Worker:
    """The worker in a process of its own; ``socket`` is where it listens."""

    def __init__(self, folder: Path, *changes: Change) -> None:
        self.folder = folder
        self.log = LogSocket(folder / "log")
        self.socket = folder / "socket"
        installed = folder / "installed"
        Installation(installed, self.log.path)
        self.loader = installed / "worker"
        for file, before, after in changes:
            self._change(installed / "pam_totp" / file, before, after)
        self._ended = False
        self._drain = threading.Thread(target=self._keep_draining)
        self._drain.start()
        self.processes: list[subprocess.Popen[str]] = []

    def _change(self, file: Path, before: str, after: str) -> None:
        text = file.read_text(encoding="utf-8")
        assert 1 == text.count(before), before
        file.write_text(text.replace(before, after), encoding="utf-8")
        for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
            compiled.unlink()

    def _keep_draining(self) -> None:
        """Nobody who logs waits for the test, and the queue of a socket is short."""
        while not self._ended:
            self.log.lines()
            time.sleep(0.01)

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()
        self._ended = True
        self._drain.join()
        self.log.close()

    def start(
        self,
        *arguments: str,
        env: dict[str, str] | None = None,
        before: Callable[[], object] | None = None,
        pass_fds: tuple[int, ...] = (),
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [INTERPRETER, "-IS", self.loader, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={"LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "2", **(env or {})},
            preexec_fn=before,
            pass_fds=pass_fds,
        )
        self.processes.append(process)
        return process

    def listen(
        self,
        path: Path | None = None,
        before: Callable[[], object] | None = None,
        env: dict[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a service, and wait until it serves."""
        process = self.start("--listen", str(path or self.socket), before=before, env=env)
        wait_until(lambda: is_served(path or self.socket) or process.poll() is not None)
        return process

    def log_in(self, asked: bytes, *texts: str) -> Outcome:
        return log_in(self.socket, asked, *texts)


def is_served(path: Path) -> bool:
    """Tell whether somebody takes a login that is broken off, and says nothing."""
    with suppress(OSError), Client(path) as client:
        client.send(b"")
        return client.receive() == b""
    return False


@contextmanager
def worker_in_a_folder(*changes: Change) -> Iterator[Worker]:
    """Give a worker, not yet started, with a short path: a socket's has room for 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="pam_totp-worker."))
    folder.chmod(0o755)
    worker = Worker(folder, *changes)
    try:
        yield worker
    finally:
        worker.close()
        shutil.rmtree(folder)


def end(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> int:
    """Send a signal and return the exit status."""
    process.send_signal(number)
    return process.wait(TIMEOUT)


def wait_until(condition: Callable[[], object], seconds: float = TIMEOUT) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.01)


def many(count: int, action: Callable[[int], Outcome], seconds: float = TIMEOUT) -> list[Outcome]:
    """Run ``action(number)`` on ``count`` threads at once and return what each returned.

    ``seconds``: for each of them, once the one before has ended.
    """
    outcomes: dict[int, Outcome] = {}

    def run(number: int) -> None:
        outcomes[number] = action(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
    assert list(range(count)) == sorted(outcomes), "some of them died or hang"
    return [outcomes[number] for number in range(count)]


def threads_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def open_files_of(pid: int) -> list[str]:
    """Return what the descriptors of a process stand for; not of those that it closes meanwhile."""
    names = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            names.append(os.readlink(descriptor))
    return names


def cpu_seconds(pid: int) -> float:
    """Return how long a process has kept processors busy."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def private_kib(pid: int) -> int:
    """Return what memory a process has to itself."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))
