"""Somebody follows the tutorial word by word, on each release: every block, and what it shows."""

from __future__ import annotations

import base64
import re
import time

from tests.booted.logins import wait_until, wait_until_gone
from tests.support.booted import SOURCE, Booted, Terminal
from tests.support.machine import Account
from tests.support.place import ROOT

PERIOD = 30  # seconds
RECORD = "/etc/pam.d/.pam_totp-unconfirmed.json"
PASSWORD = "correct horse of alice"
_APT = ("apt-get update", "apt-get install")  # done already: the machine has no way out
_SSH = "-oStrictHostKeyChecking=no -oUserKnownHostsFile=/dev/null -oLogLevel=ERROR"


class Tutorial:
    """The blocks of the page; each is taken once, in its order."""

    def __init__(self) -> None:
        text = (ROOT / "docs/tutorial/first-login.md").read_text(encoding="utf-8")
        self._blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.M | re.S)

    def commands(self, first: str) -> str:
        """Return the next block to be typed in, which begins like ``first``."""
        return self._next("sh", first)

    def output(self, first: str, kind: str = "text") -> str:
        return self._next(kind, first)

    def is_over(self) -> bool:
        return not self._blocks

    def _next(self, kind: str, first: str) -> str:
        found, text = self._blocks.pop(0)
        assert (kind, first) == (found, text[: len(first)])
        return str(text)


class App:
    """The app on alice's phone; it gives no code twice. And a recovery code, on paper."""

    recovery_code = ""

    def __init__(self, shown: str) -> None:
        secret = re.findall(r"otpauth://\S*[?&]secret=([A-Z2-7]+)", shown)[0]
        secret += "=" * (-len(secret) % 8)
        self._account = Account("alice", PASSWORD, base64.b32decode(secret), [])
        self._last_step = 0

    def code(self) -> str:
        """Return the code of now, or of the next period; wait where both are used up."""
        step = max(int(time.time()) // PERIOD, self._last_step + 1)
        while step > int(time.time()) // PERIOD + 1:
            time.sleep(0.2)
        self._last_step = step
        return self._account.code(step - int(time.time()) // PERIOD)


def root(machine: Booted, block: str) -> str:
    """Type a block into the root shell; return what is shown, messages too."""
    lines = [line for line in block.splitlines() if not line.startswith(_APT)]
    script = "exec 2>&1; set -e; cd " + SOURCE + "\n" + "\n".join(lines)
    return machine.run("bash", "-c", script, timeout=600).stdout


def log_in(machine: Booted, block: str, *answers: tuple[str, str]) -> Terminal:
    """Type ``ssh`` into the second terminal; return it when alice is in."""
    terminal = machine.spawn(*block.strip().replace("ssh ", f"ssh {_SSH} ").split(" "))
    for prompt, answer in answers:
        terminal.answer(prompt, answer)
    terminal.expect_exact("alice@")
    return terminal


def enrol(machine: Booted, block: str) -> App:
    """Enrol alice at a terminal; return her app, which has seen the address."""
    terminal = machine.spawn(*block.strip().split(" "))
    terminal.expect_exact("Code shown by the app: ")
    shown = terminal.before
    app = App(shown)
    terminal.sendline(app.code())
    app.recovery_code = re.findall(r"[0-9A-Z]{4}(?:-[0-9A-Z]{4}){3}", terminal.rest())[0]
    return app


def shown_by(machine: Booted, command: str) -> str:
    return machine.run(*command.split(" "), check=False).stdout


def without_clock(shown: str) -> str:
    """Leave out what is so of a machine in a container: somebody else sets its clock."""
    return re.sub(r"^NOTE .*\[clock[\w-]*\]\n.*\n.*\n", "", shown, flags=re.M)


def sudo(terminal: Terminal, block: str, app: App) -> None:
    terminal.sendline(block.strip())
    terminal.answer("password for alice: ", PASSWORD)
    terminal.answer("Verification code: ", app.code())
    terminal.expect_exact("uid=0(root)")


def test_tutorial_holds_word_by_word(base: tuple[str, str]) -> None:
    page = Tutorial()
    with Booted(*base) as machine:
        assert "0\n" == root(machine, page.commands("id -u"))
        *accounts, passwd = page.commands("apt-get update").splitlines()
        root(machine, "\n".join(accounts))
        terminal = machine.spawn(*passwd.split(" "))
        terminal.answer("New password: ", PASSWORD)
        terminal.answer("Retype new password: ", PASSWORD)
        terminal.rest()
        assert "sudo" in root(machine, page.commands("id alice"))
        password = ("password: ", PASSWORD)
        log_in(machine, page.commands("ssh alice@"), password).close()

        shown = root(machine, page.commands("./install.sh"))
        assert 5 == len(re.findall(r"^ok ", shown, flags=re.M))
        assert "selftest passed" in shown
        assert "active\n" == root(machine, page.commands("systemctl is-active"))

        app = enrol(machine, page.commands("totpctl enroll alice"))
        shown = root(machine, page.commands("totpctl list"))
        assert re.search(r"^alice +active +phone +10 ", shown, flags=re.M)

        shown = root(machine, page.commands("totpctl enable sshd sudo"))
        clock = r"\d\d:\d\d:\d\d"
        assert re.sub(clock, "…", page.output("sshd, sudo")) == re.sub(clock, "…", shown)
        shown = root(machine, page.commands("totpctl status"))
        for service in ("sshd", "sudo", "sudo-i"):
            waits = rf"^{service} +on .* undone in 9 min \d+ s unless confirmed$"
            assert re.search(waits, shown, flags=re.M)

        ssh = page.commands("ssh alice@")
        prompt = page.output("(alice@127.0.0.1) ").strip()
        by_password = ("(alice@127.0.0.1) Password: ", PASSWORD)
        alice = log_in(machine, ssh, by_password, (prompt, app.code()))
        sudo(alice, page.commands("sudo -k id"), app)

        shown = root(machine, page.commands("totpctl confirm"))
        assert page.output("confirmed: ") == shown
        shown = root(machine, page.commands("totpctl doctor"))
        assert without_clock(shown) == page.output("NOTE ")

        shown = root(machine, page.commands("journalctl"))
        line = page.output("pam_totp[1234]: ", "log").partition(": ")[2].strip()
        assert line in shown

        codes = page.commands("totpctl show alice")
        log_in(machine, ssh, by_password, (prompt, app.recovery_code)).close()
        assert "recovery codes  9 left" in root(machine, codes)
        block = page.commands("totpctl disable sudo").replace("1m", "20s")
        *switching, sleep, status = block.splitlines()
        assert "sleep 75" == sleep  # here until it is so: 20 seconds and what the undo takes
        root(machine, "\n".join(switching))
        wait_until_gone(machine, RECORD)
        off = re.compile(r"^sudo     off ", re.M)
        wait_until(lambda: bool(off.search(shown_by(machine, status))))
        assert "event=reverted" in root(machine, "journalctl --facility=authpriv")
        root(machine, "totpctl enable sudo")
        sudo(alice, "sudo -k id", app)
        root(machine, "totpctl confirm")

        root(machine, page.commands("totpctl disable sshd sudo"))
        log_in(machine, "ssh alice@127.0.0.1", password).close()
        assert page.is_over()
