"""What is done on the machine of the pictures: enrol, enable, log in over SSH, confirm.

All of it is real: totpctl, sshd, ssh, bash; but that a process with cron's name stands in for cron,
which a server has. So that two recordings are the same, the copy of the program on that machine
takes its random bytes from a counter, and what a clock decides is replaced in what was shown: the
code that is typed, and the moment until which a change waits.
"""

from __future__ import annotations

import base64
import fcntl
import io
import re
import struct
import termios
from pathlib import Path

from tests.pictures import svg
from tests.support import enabling
from tests.support.machine import SSH_PORT, Machine, Terminal
from tests.support.place import ROOT, code_now, wrong_code

PICTURES = ROOT / "docs" / "pictures"
HOST = "example"
PASSWORD = "correct horse of alice"
COLUMNS, LINES = 96, 60
CODE_SHOWN = "287082"  # RFC 4226 appendix D, counter 1
OF_THE_CLOCK = (
    (r"\b\d\d:\d\d:\d\d\b", "21:39:13"),
    (r"\b\d+ min \d+ s\b", "9 min 52 s"),
    (r"\b\d+ min, at ", "10 min, at "),
)
RANDOM = """
class os:
    drawn = 0
    @classmethod
    def urandom(cls, count):
        cls.drawn += 1
        return hashlib.shake_256(b"example %d" % cls.drawn).digest(count)
"""
PEOPLE = {"root": f"root@{HOST}:~#", "alice": f"alice@{HOST}:~$", "laptop": "alice@laptop:~$"}


def record() -> dict[str, str]:
    """Return the pictures, by their file's name."""
    with Machine() as machine:
        _furnish(machine)
        enrol, secret = _enrolment(Shell(machine, "root"))
        root = Shell(machine, "root")
        root.run("totpctl enable sshd sudo")
        root.run("totpctl status")
        login = _login(Shell(machine, "laptop"), secret)
        enable = _confirmation(root)
    return {"enroll.svg": enrol, "enable.svg": enable, "login-ssh.svg": login}


def write(folder: Path = PICTURES) -> None:
    for name, picture in record().items():
        (folder / name).write_text(picture, encoding="utf-8")


def _furnish(machine: Machine) -> None:
    machine.install_product()
    issuing = "/usr/lib/pam_totp/pam_totp/system/issuing.py"
    source = machine.read(issuing)
    assert 1 == source.count("\nimport os\n")
    random = f"\nimport hashlib\n{RANDOM}\n"
    machine.write(issuing, source.replace("\nimport os\n", random))
    machine.run("hostname", HOST)
    machine.run("sh", "-c", f"echo 127.0.0.1 {HOST} >>/etc/hosts")
    machine.add_user("alice", PASSWORD, "--groups", "sudo", "--shell", "/bin/bash")
    machine.run("useradd", "--create-home", "laptop")
    for user, prompt in PEOPLE.items():
        bashrc = f"PS1='{_coloured(prompt)}'\nbind 'set enable-bracketed-paste off'\n"
        machine.write(f"{_home(user)}/.bashrc", bashrc)
        machine.write(f"{_home(user)}/.profile", ". ~/.bashrc\n")
    enabling.furnish(machine)
    machine.run("cp", "/usr/bin/sleep", "/usr/sbin/cron")
    machine.spawn("/usr/sbin/cron", "infinity")
    known = machine.read("/etc/ssh/ssh_known_hosts").replace(f"[127.0.0.1]:{SSH_PORT}", HOST)
    machine.write("/etc/ssh/ssh_known_hosts", known)
    client = f"Host {HOST}\n Port {SSH_PORT}\n HostKeyAlias {HOST}\n UpdateHostKeys no\n"
    machine.write("/etc/ssh/ssh_config", client)


def _home(user: str) -> str:
    return "/root" if user == "root" else f"/home/{user}"


def _coloured(prompt: str) -> str:
    who, sign = prompt.split(":")
    return f"\x1b[32m{who}\x1b[0m:{sign} "


class Shell:
    """A bash at a terminal, whose whole screen is kept."""

    def __init__(self, machine: Machine, user: str) -> None:
        self._sign = PEOPLE[user].split(":")[1] + " "
        self._replaced: dict[str, str] = {}
        env = {"TERM": "xterm-256color", "HOME": _home(user)}
        # A program looks at the size when it starts: there is none before it is set.
        waits = ("sh", "-c", "read started; exec bash -i")
        self.terminal: Terminal = machine.spawn(*waits, user=user, env=env, cwd=_home(user))
        size = struct.pack("4H", LINES, COLUMNS, 0, 0)
        fcntl.ioctl(self.terminal.child_fd, termios.TIOCSWINSZ, size)
        self.terminal.sendline("")
        self.until_prompt()
        self._shown = io.StringIO(_coloured(PEOPLE[user]))
        self._shown.seek(0, io.SEEK_END)
        self.terminal.logfile_read = self._shown

    def type(self, command: str) -> None:
        self.terminal.sendline(command)

    def run(self, command: str) -> None:
        self.type(command)
        self.until_prompt()

    def until_prompt(self) -> None:
        self.terminal.expect_exact(self._sign)

    def answer(self, prompt: str, text: str) -> None:
        self.terminal.answer(prompt, text)

    def answer_code(self, prompt: str, code: str) -> None:
        self._replaced[code] = CODE_SHOWN
        self.answer(prompt, code)

    def draw(self, title: str, description: str) -> str:
        shown = self._shown.getvalue()
        for old, new in self._replaced.items():
            shown = shown.replace(old, new)
        for pattern, fixed in OF_THE_CLOCK:
            shown = re.sub(pattern, fixed, shown)
        return svg.draw(svg.screen_of(shown, COLUMNS, LINES), title, description)


def _enrolment(root: Shell) -> tuple[str, bytes]:
    root.type("totpctl enroll alice")
    prompt = "Code shown by the app: "
    root.terminal.expect_exact(prompt)
    found = re.search(r"secret: ([A-Z2-7 ]+)", root.terminal.before)
    assert found
    secret = base64.b32decode(found[1].replace(" ", ""))
    code = code_now(0, secret)
    root.answer_code("", code)
    root.until_prompt()
    return root.draw(
        "totpctl enroll alice",
        "A root shell. totpctl shows a QR code and the same secret as text, asks for a code of the "
        "app, and shows ten recovery codes. The secret and the codes are an example.",
    ), secret


def _login(client: Shell, secret: bytes) -> str:
    client.type(f"ssh alice@{HOST}")
    client.answer(enabling.PASSWORD, PASSWORD)
    client.answer(enabling.CODE, wrong_code(secret))
    client.answer(enabling.CODE, code_now(+1, secret))
    client.until_prompt()
    client.run("id -un")
    return client.draw(
        f"ssh alice@{HOST}",
        "A client's shell. ssh asks for the password, then for a code; after a wrong code it says "
        "so and asks again; after the right one alice has a shell on the server.",
    )


def _confirmation(root: Shell) -> str:
    root.run("totpctl confirm")
    return root.draw(
        "totpctl enable sshd sudo",
        "A root shell. totpctl enable says that sshd and sudo ask for a code from now on, and when "
        "it is undone; status shows sshd and sudo on, and the time that is left; confirm keeps it.",
    )
