"""People of another module log in with the phones that they have: moved, undone, and for good."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.booted.conftest import BY_DAY
from tests.booted.logins import PASSWORD, wait_until, wait_until_gone
from tests.booted.ways_in import checksums, totpctl
from tests.support import package
from tests.support.booted import Booted
from tests.support.booted_base import MORE, base_of
from tests.support.machine import Account

pytestmark = pytest.mark.root

RECORD = "/etc/pam.d/.pam_totp-unconfirmed.json"
PAM_SSHD, INCLUDE = "/etc/pam.d/sshd", "@include common-auth\n"
USERS_OATH = "/etc/users.oath"
GOOGLE_LINE = "auth required pam_google_authenticator.so"
OATH_LINE = f"auth required pam_oath.so usersfile={USERS_OATH} window=10"
# Without a question, codes of the time, once only, up to eight steps either way, three in 30 s.
_MAKE_SECRET = "google-authenticator -t -f -d -w 17 -r 9 -R 30 -q -C"
_ASK_ALL = "KbdInteractiveAuthentication yes\nUsePAM yes\n"
PERIOD = 30  # seconds


class Phone:
    """What has the secret of a person; it gives no code twice, and none before the last one."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self._last_step = int(time.time()) // PERIOD - 5

    def code(self, *, of_now: bool = True) -> str:
        """Return the next code; one of the last minutes, which the other modules accept too."""
        now = int(time.time()) // PERIOD
        self._last_step = max(self._last_step + 1, now if of_now else 0)
        while self._last_step > int(time.time()) // PERIOD + 1:
            time.sleep(0.2)
        return self.account.code(self._last_step - int(time.time()) // PERIOD)


@pytest.fixture(scope="module", params=BY_DAY)
def other_machine(request: pytest.FixtureRequest) -> Iterator[Booted]:
    """A machine on which nobody is enrolled, with three people; bob is its administrator."""
    with base_of(request.param, MORE) as tree:
        installed = package.installed(request.param, Path(tree))
        with Booted(request.param, installed) as machine:
            machine.run("totpctl", "init")
            machine.write("/etc/ssh/sshd_config.d/10-ask.conf", _ASK_ALL)
            machine.systemctl("restart", "ssh.service")
            for name in ("bob", "carol", "dave"):
                machine.add_account(name, *(["sudo"] if name == "bob" else []))
            before = machine.read(PAM_SSHD)
            assert INCLUDE in before
            machine.write(f"{PAM_SSHD}.distribution", before)
            yield machine


def ask_with(machine: Booted, line: str) -> None:
    """Let sshd ask with the other module, after the password."""
    before = machine.read(f"{PAM_SSHD}.distribution")
    machine.write(PAM_SSHD, before.replace(INCLUDE, f"{INCLUDE}{line}\n"))


def phones(secrets: dict[str, bytes]) -> list[Phone]:
    """Return the phone of each, whose password is as add_account() makes it."""
    return [
        Phone(Account(name, f"correct horse of {name}", secret, []))
        for name, secret in secrets.items()
    ]


def of_google_authenticator(machine: Booted) -> list[Phone]:
    """Let all three run that module's program."""
    secrets = {}
    for name in ("bob", "carol", "dave"):
        machine.run("su", "-", name, "-c", _MAKE_SECRET)
        text = machine.read(f"/home/{name}/.google_authenticator").split("\n")[0]
        secrets[name] = base64.b32decode(text + "=" * (-len(text) % 8))
    ask_with(machine, GOOGLE_LINE)
    return phones(secrets)


def of_pam_oath(machine: Booted) -> list[Phone]:
    secrets = {name: f"the secret of {name}...".encode() for name in ("bob", "carol", "dave")}
    lines = [f"HOTP/T30 {name} - {secret.hex()}\n" for name, secret in secrets.items()]
    machine.write(USERS_OATH, "".join(lines), mode=0o600)
    ask_with(machine, OATH_LINE)
    return phones(secrets)


def logs_in(machine: Booted, phone: Phone, prompt: str, *, of_now: bool = True) -> bool:
    """Return whether password and code let in by ssh, where ``prompt`` asks for the code."""
    return gets_in(machine, phone, prompt, phone.code(of_now=of_now))


def gets_in(machine: Booted, phone: Phone, prompt: str, code: str) -> bool:
    client = machine.ssh(phone.account)
    client.answer(PASSWORD, phone.account.password)
    client.answer(prompt, code)
    return f"welcome {phone.account.name}" in client.rest()


def enrolled(machine: Booted) -> set[str]:
    shown = totpctl(machine, "list").stdout
    return {name for name in ("bob", "carol", "dave") if f"\n{name} " in f"\n{shown}"}


def is_waiting(machine: Booted) -> bool:
    return machine.run("test", "-e", RECORD, check=False).returncode == 0


OURS = "Verification code: "
MODULES = {
    "google-authenticator": (of_google_authenticator, "Verification code: "),
    "pam_oath": (of_pam_oath, "One-time password (OATH) for `{}': "),
}


# By day tests/e2e/test_migrate.py moves people of pam_oath, who log in before and after its undo.
@pytest.mark.parametrize(
    "module", ["google-authenticator", pytest.param("pam_oath", marks=pytest.mark.night)]
)
def test_the_same_phones_log_in_before_the_move_after_its_undo_and_for_good(
    other_machine: Booted, module: str
) -> None:
    machine = other_machine
    prepare, prompt = MODULES[module]
    bob, carol, dave = prepare(machine)

    def by_theirs(phone: Phone) -> bool:
        return logs_in(machine, phone, prompt.format(phone.account.name), of_now=False)

    for phone in (bob, carol, dave):
        assert by_theirs(phone)
    before = checksums(machine)

    totpctl(machine, "migrate", module, "--confirm-within", "1h")
    assert {"bob", "carol", "dave"} == enrolled(machine)
    used = bob.code()
    assert gets_in(machine, bob, OURS, used)
    client = machine.ssh(bob.account)
    client.answer(PASSWORD, bob.account.password)
    client.answer(OURS, used)
    client.expect_exact("This code has already been used")
    client.close(force=True)
    machine.reboot(at_once=True)
    assert not is_waiting(machine)
    assert before == checksums(machine)
    assert set() == enrolled(machine)
    # What the page on moving in says of a code that was used in the trial.
    assert gets_in(machine, bob, prompt.format("bob"), used)
    assert by_theirs(carol)

    totpctl(machine, "migrate", module, "--confirm-within", "10s")
    wait_until_gone(machine, RECORD)
    wait_until(lambda: before == checksums(machine))
    assert set() == enrolled(machine)
    assert by_theirs(dave)

    totpctl(machine, "migrate", module)
    assert logs_in(machine, carol, OURS)
    totpctl(machine, "confirm", "--yes")
    machine.reboot()
    assert "pam_totp.so" in machine.read(PAM_SSHD)
    assert logs_in(machine, dave, OURS)
    # Keys need no code, as before: what doctor says of that, and its fix, are on the page.
    assert "run: totpctl enable sshd --keys code" in totpctl(machine, "doctor", status=6).stdout
    totpctl(machine, "enable", "sshd", "--keys", "code", "--no-confirm")
    totpctl(machine, "doctor")
    totpctl(machine, "disable", "sshd")
    for name in ("bob", "carol", "dave"):
        totpctl(machine, "remove", name, "--yes")
