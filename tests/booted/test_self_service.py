"""totpctl me on a machine that boots: socket, sandbox, and what later logins say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.booted.logins import CODE, PASSWORD, journal, log_in, wait_until
from tests.cli.terminal import secret_of
from tests.support.booted import Booted
from tests.support.machine import Account

pytestmark = pytest.mark.root

CONFIG = "/etc/security/pam_totp.conf"
ME = "pam_totp-me.socket"
# As a login shell of Debian's sets it for people without root.
PATH = "PATH=/usr/local/bin:/usr/bin:/bin"
TO_CHANGE = "Current code from your app, or a recovery code: "
OF_THE_APP = "Code shown by the app: "
FLOOD = """
import socket
for _ in range(400):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as one:
        one.connect("/run/pam_totp/me.sock")
"""


@pytest.fixture
def allowed(shared: Booted) -> Iterator[Booted]:
    before = shared.read(CONFIG)
    shared.write(CONFIG, before + "\nself_service = yes\n")
    yield shared
    shared.write(CONFIG, before)


def me(machine: Booted, user: str, *words: str, typed: str = "") -> tuple[int, str]:
    """Return exit status and output of ``totpctl me``."""
    command = ("env", PATH, "totpctl", "me", *words)
    done = machine.run(*command, typed=typed, user=user, check=False)
    return done.returncode, done.stdout + done.stderr


def findings(machine: Booted) -> dict[str, str]:
    """Return what doctor finds, and its fix."""
    done = machine.run("totpctl", "doctor", "--json", check=False)
    assert done.returncode in (0, 6), done
    return {one["check"]: one["fix"] for one in json.loads(done.stdout)["findings"]}


def test_units_are_sound_and_little_is_exposed(shared: Booted) -> None:
    units = (f"/usr/lib/systemd/system/{unit}" for unit in (ME, "pam_totp-me@.service"))
    done = shared.run("systemd-analyze", "--man=no", "verify", *units)
    assert ("", "") == (done.stdout, done.stderr)


def test_it_is_off_where_nobody_has_turned_it_on(
    shared: Booted, users_of_shared: Iterator[Account]
) -> None:
    status, shown = me(shared, next(users_of_shared).name)
    assert (1, True) == (status, "self-service is off" in shown), shown
    assert "hint: ask an administrator" in shown


def test_a_new_phone_over_ssh_is_the_one_that_counts_and_the_next_login_says_so(
    allowed: Booted,
) -> None:
    alice = allowed.add_user("alice")
    client = allowed.ssh(alice, "-t", command="totpctl me new-phone")
    client.answer(PASSWORD, alice.password)
    client.answer(CODE, alice.code())
    client.answer(TO_CHANGE, alice.code(+1))
    client.expect(r"Secret: ([A-Z2-7 ]+)\r")
    renewed = alice._replace(secret=secret_of("?secret=" + client.match[1].replace(" ", "")))
    client.answer(OF_THE_APP, renewed.code())
    assert "phone has a new secret" in client.rest()
    assert not log_in(allowed, alice, alice.code(+1))
    shell = allowed.ssh(renewed, command="")  # sshd shows messages to shells alone
    shell.answer(PASSWORD, alice.password)
    shell.answer(CODE, renewed.code(+1))
    shell.expect_exact("authenticator phone got a new secret, with a code of yours")
    shell.sendline("exit")
    shell.rest()
    (line,) = [one for one in journal(allowed) if "event=replaced user=alice" in one]
    assert re.search(r'pam_totp\(me\): .* where="?[^"]*pts/\d+', line), line
    state = json.loads(me(allowed, "alice", "--json")[1])
    assert ["new-phone"] == [change["command"] for change in state["own_changes"]]


def test_a_login_with_a_recovery_code_sets_up_a_new_phone(allowed: Booted) -> None:
    dora = allowed.add_user("dora")
    shell = allowed.ssh(dora, command="")
    shell.answer(PASSWORD, dora.password)
    shell.answer(CODE, dora.recovery_codes[0])
    shell.answer("Enter alone logs you in: ", "yes")
    shell.expect(r"Secret: ([A-Z2-7 ]+)\r")
    renewed = dora._replace(secret=secret_of("?secret=" + shell.match[1].replace(" ", "")))
    shell.answer(OF_THE_APP, renewed.code())
    shell.expect_exact("phone has a new secret")
    shell.sendline("exit")
    shell.rest()
    assert not log_in(allowed, dora)
    assert log_in(allowed, renewed, renewed.code(+1))


def test_people_get_recovery_codes_and_a_second_device(
    allowed: Booted, users_of_shared: Iterator[Account]
) -> None:
    bob = allowed.add_user("bob")
    status, shown = me(allowed, bob.name, "recovery-codes", typed=f"{bob.code()}\n\n")
    assert 0 == status, shown
    fresh = re.findall(r"[0-9A-Z]{4}(?:-[0-9A-Z]{4}){3}", shown)
    assert (10, True) == (len(fresh), set(fresh).isdisjoint(bob.recovery_codes))
    assert not log_in(allowed, bob, bob.recovery_codes[0])
    assert log_in(allowed, bob, fresh[0])
    client = allowed.spawn("env", PATH, "totpctl", "me", "add", "tablet", user=bob.name)
    client.answer(TO_CHANGE, fresh[1])
    client.expect(r"Secret: ([A-Z2-7 ]+)\r")
    tablet = bob._replace(secret=secret_of("?secret=" + client.match[1].replace(" ", "")))
    client.answer(OF_THE_APP, tablet.code())
    assert "tablet is now an authenticator of yours" in client.rest()
    assert log_in(allowed, tablet, tablet.code(+1))
    assert log_in(allowed, bob, bob.code(+1))


def test_nobody_else_gets_anything(allowed: Booted, users_of_shared: Iterator[Account]) -> None:
    allowed.add_account("carol")
    suspended = next(users_of_shared).name
    allowed.run("totpctl", "suspend", suspended)
    answers = [me(allowed, name, "new-phone") for name in ("carol", suspended)]
    assert answers[0] == answers[1]
    assert (3, True) == (answers[0][0], "no enrollment that you can look at" in answers[0][1])
    assert (1, True) == ((as_root := me(allowed, "root"))[0], "you are root" in as_root[1])
    as_nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    done = allowed.run(*as_nobody, "env", PATH, "totpctl", "me", check=False)
    status, shown = done.returncode, done.stderr
    assert (1, True) == (status, "is not that of a person" in shown), shown
    for words in (["list"], ["reset", suspended], ["show", suspended]):
        done = allowed.run("env", PATH, "totpctl", *words, user="carol", check=False)
        assert (4, "") == (done.returncode, done.stdout)


def test_a_flood_keeps_nobody_from_logging_in(
    allowed: Booted, users_of_shared: Iterator[Account]
) -> None:
    user = next(users_of_shared)
    allowed.run("python3", "-I", "-c", FLOOD, user=user.name, check=False)
    assert log_in(allowed, user)
    allowed.systemctl("reset-failed", check=False)
    allowed.systemctl("start", ME)
    wait_until(lambda: me(allowed, user.name)[0] == 0)


def test_without_the_socket_it_is_said_what_to_do(
    allowed: Booted, users_of_shared: Iterator[Account]
) -> None:
    allowed.systemctl("stop", ME)
    status, shown = me(allowed, next(users_of_shared).name)
    found = findings(allowed)
    assert f"systemctl restart {ME}" in found["self-service-socket"]
    allowed.run("sh", "-c", found["self-service-socket"].removeprefix("run: "))
    assert {"self-service"} == {name for name in findings(allowed) if "self-service" in name}
    assert (1, True) == (status, "self-service is not to be reached" in shown)
    assert "systemctl enable --now pam_totp-me.socket" in shown
