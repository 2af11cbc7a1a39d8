"""Enrolment at the first login, with the real ssh client, su and login, on a real screen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.terminal import DARK, photograph, scan, secret_of
from tests.e2e.doors import secret_on
from tests.support import hosts
from tests.support.logs import fields
from tests.support.machine import Machine, Terminal
from tests.support.place import ROOT, code_now, wrong_code

pytestmark = pytest.mark.root

PASSWORD = "Password: "
CODE = "Verification code: "
NEW_CODE = "Code shown by the app: "
ENTER = "Until then nothing is saved: "
BOBS_PASSWORD = "correct horse of bob"
RECOVERY_CODE = re.compile(r"\b(?:[0-9A-Z]{4}-){3}[0-9A-Z]{4}\b")


@pytest.fixture
def town(machine: Machine) -> Machine:
    """The machine, where bob has a password and is to enrol at his first login."""
    machine.add_user("bob", BOBS_PASSWORD)
    machine.write("/etc/security/pam_totp.conf", "unenrolled = enroll\nissuer = Town\n")
    return machine


@pytest.fixture
def ssh_town(town: Machine) -> Machine:
    set_up(town, "password-and-code")
    return town


def set_up(machine: Machine, example: str) -> None:
    packaging = ROOT / "packaging"
    machine.use_pam("sshd", (packaging / "pam.d" / f"sshd-{example}").read_text("utf-8"))
    machine.start_sshd((packaging / "sshd_config.d" / f"{example}.conf").read_text("utf-8"))


def events(machine: Machine, service: str = "sshd") -> list[str]:
    lines = [line for line in machine.log.lines() if f"pam_totp({service}:" in line]
    return [fields(line)["event"] for line in lines]


def is_enrolled(machine: Machine) -> bool:
    shown = machine.run("totpctl", "show", "bob", check=False)
    return shown.returncode == 0


def picture_on(screen: str) -> str:
    lines = screen.replace("\r", "").split("\n")
    return "\n".join(line for line in lines if "\u2588" in line)


def until_new_code(client: Terminal) -> str:
    """Give the password, and return what is shown up to the prompt for a code of the app."""
    client.answer(PASSWORD, BOBS_PASSWORD)
    client.expect_exact(NEW_CODE)
    return client.before


def until_enter(client: Terminal) -> tuple[bytes, list[str]]:
    """Go on to where Enter is asked for; return the secret and the recovery codes."""
    secret = secret_on(until_new_code(client))
    client.sendline(code_now(0, secret))
    client.expect_exact(ENTER)
    return secret, RECOVERY_CODE.findall(client.before)


def test_the_picture_on_the_screen_of_ssh_is_what_logs_in_from_then_on(
    ssh_town: Machine, tmp_path: Path
) -> None:
    client = ssh_town.ssh("bob")
    screen = until_new_code(client)
    read = scan(photograph(picture_on(screen), DARK), tmp_path)
    assert read in screen.replace("\r", "")
    assert read.startswith("otpauth://totp/Town:bob@")
    secret = secret_of(read)
    assert secret == secret_on(screen)
    code = code_now(0, secret)
    client.sendline(code)
    client.expect_exact(ENTER)
    recovery_codes = RECOVERY_CODE.findall(client.before)
    assert not is_enrolled(ssh_town)
    client.sendline("")
    assert "welcome bob" in client.rest()
    assert 0 == client.exit_status()
    assert ["unenrolled", "enrolled", "codes_issued"] == events(ssh_town)
    state = ssh_town.state("bob")
    assert ("active", 10) == (state["status"], state["recovery_codes_left"])

    again = ssh_town.ssh("bob")
    again.answer(PASSWORD, BOBS_PASSWORD)
    again.answer(CODE, code)
    assert NEW_CODE not in again.before
    again.answer(CODE, code_now(1, secret))
    assert "This code has already been used." in again.before
    assert "welcome bob" in again.rest()

    without_phone = ssh_town.ssh("bob")
    without_phone.answer(PASSWORD, BOBS_PASSWORD)
    without_phone.answer(CODE, recovery_codes[9])
    assert "welcome bob" in without_phone.rest()
    assert 10 == len(recovery_codes)


def test_a_client_without_utf_8_shows_the_secret_above_the_prompt(ssh_town: Machine) -> None:
    client = ssh_town.ssh("bob", env={"LC_ALL": "C"})
    screen = until_new_code(client)
    assert screen.isascii()
    secret = secret_on(screen.replace("\r", "").split("\n")[-2])
    client.sendline(code_now(0, secret))
    client.answer(ENTER, "")
    assert "welcome bob" in client.rest()
    assert is_enrolled(ssh_town)


@pytest.mark.parametrize("where", ["at the code", "after a wrong code", "at the recovery codes"])
def test_a_client_that_is_gone_leaves_nothing(ssh_town: Machine, host: str, where: str) -> None:
    client = ssh_town.ssh("bob")
    if where == "at the recovery codes":
        until_enter(client)
    else:
        secret = secret_on(until_new_code(client))
    if where == "after a wrong code":
        client.sendline(wrong_code(secret))
        client.expect_exact(NEW_CODE)
    ssh_town.run("pkill", "-KILL", "-x", "ssh")
    ssh_town.log.wait_for("Connection ", " bob ", "[preauth]")
    if host in hosts.NATIVE:  # under pam_python it is ended together with sshd's process
        ssh_town.log.wait_for("pam_totp(sshd:auth)", "event=aborted", "the application")
    assert not is_enrolled(ssh_town)
    assert "enrolled" not in events(ssh_town)
    fresh = ssh_town.ssh("bob")
    until_enter(fresh)
    fresh.sendline("")
    assert "welcome bob" in fresh.rest()


@hosts.only(hosts.SPAWNED)  # a service is killed in test_worker_ends; pam_python is in sshd
def test_a_worker_that_is_killed_leaves_nothing(ssh_town: Machine) -> None:
    client = ssh_town.ssh("bob", "-oNumberOfPasswordPrompts=1")
    until_enter(client)
    ssh_town.run("pkill", "-KILL", "-x", "pam_totp")
    client.sendline("")
    assert "Permission denied" in client.rest()
    assert not is_enrolled(ssh_town)


def test_wrong_codes_enrol_nobody_and_say_that_nothing_is_kept(ssh_town: Machine) -> None:
    client = ssh_town.ssh("bob", "-oNumberOfPasswordPrompts=1")
    secret = secret_on(until_new_code(client))
    for _ in range(3):
        client.sendline(wrong_code(secret))
        client.expect_exact("That is not the code the app should show now.")
    shown = client.rest()
    assert "No correct code, so nothing was saved." in shown
    assert "Permission denied" in shown
    assert not is_enrolled(ssh_town)


def test_of_two_first_logins_at_once_one_is_kept(ssh_town: Machine) -> None:
    clients = [ssh_town.ssh("bob", "-oNumberOfPasswordPrompts=1") for _ in range(2)]
    secrets = [until_enter(client)[0] for client in clients]
    for client in clients:
        client.sendline("")
    shown = [client.rest() for client in clients]
    won = ["welcome bob" in text for text in shown]
    assert [False, True] == sorted(won)
    assert "Your enrollment was changed in the meantime" in shown[won.index(False)]
    verify = ("totpctl", "verify", "bob")
    right = code_now(1, secrets[won.index(True)])
    assert 0 == ssh_town.run(*verify, typed=f"{right}\n", check=False).returncode


def test_a_full_disk_keeps_nothing_and_denies(ssh_town: Machine) -> None:
    client = ssh_town.ssh("bob", "-oNumberOfPasswordPrompts=1")
    until_enter(client)
    fill = "mkdir /tmp/s && cp -a /var/lib/pam_totp/. /tmp/s/ && rm -f /tmp/s/store.db-* && "
    fill += "mount -t tmpfs -o size=4m tmpfs /var/lib/pam_totp && chmod 700 /var/lib/pam_totp && "
    fill += "cp -a /tmp/s/. /var/lib/pam_totp/ && "
    fill += "{ cat /dev/zero > /var/lib/pam_totp/full 2>/dev/null; true; }"
    ssh_town.run("sh", "-c", fill)
    client.sendline("")
    shown = client.rest()
    assert "Your enrollment could not be saved. Discard the secret and the codes." in shown
    assert "welcome" not in shown
    ssh_town.run("rm", "/var/lib/pam_totp/full")
    assert not is_enrolled(ssh_town)


# Who is never offered it


def never(machine: Machine, client: Terminal) -> str:
    """Return all that is shown; nobody was offered an enrolment."""
    shown = client.rest()
    assert NEW_CODE not in shown
    assert "Secret: " not in shown
    assert not is_enrolled(machine)
    return shown


def test_a_wrong_password_enrols_nobody(ssh_town: Machine) -> None:
    client = ssh_town.ssh("bob", "-oNumberOfPasswordPrompts=1")
    client.answer(PASSWORD, "wrong")
    assert CODE not in never(ssh_town, client)


@pytest.mark.parametrize("lines", ["required pam_unix.so", "substack common-auth"])
def test_a_stack_that_goes_on_after_a_wrong_password_enrols_nobody(
    town: Machine, lines: str
) -> None:
    town.use_pam("sshd", f"auth {lines}\nauth required pam_totp.so attempts=1\n")
    town.start_sshd((ROOT / "packaging/sshd_config.d/password-and-code.conf").read_text("utf-8"))
    for password in ("wrong", BOBS_PASSWORD):
        client = town.ssh("bob", "-oNumberOfPasswordPrompts=1")
        client.answer(PASSWORD, password)
        client.answer(CODE, "123456")
        never(town, client)
    logged = [line for line in town.log.lines() if "event=unenrolled" in line]
    assert 2 == len(logged)
    assert all("enrollment was not offered: the PAM file" in line for line in logged)


def test_a_key_alone_enrols_nobody(town: Machine) -> None:
    set_up(town, "key-or-password-and-code")
    client = town.ssh("bob", "-i", town.give_key("bob"), "-oNumberOfPasswordPrompts=1")
    for _ in range(3):
        client.answer(CODE, "123456")
    never(town, client)
    town.log.wait_for("enrollment was not offered: no password was given")


def test_the_password_of_the_same_file_does(town: Machine) -> None:
    set_up(town, "key-or-password-and-code")
    client = town.ssh("bob")
    until_enter(client)
    client.sendline("")
    assert "welcome bob" in client.rest()


def test_key_and_password_do(town: Machine) -> None:
    town.use_pam("sshd", (ROOT / "packaging/pam.d/sshd-password-and-code").read_text("utf-8"))
    town.start_sshd(
        "UsePAM yes\nKbdInteractiveAuthentication yes\nPasswordAuthentication no\n"
        "AuthenticationMethods publickey,keyboard-interactive\n"
    )
    client = town.ssh("bob", "-i", town.give_key("bob"))
    until_enter(client)
    client.sendline("")
    assert "welcome bob" in client.rest()


def test_the_password_method_of_sshd_enrols_nobody(town: Machine) -> None:
    town.use_pam("sshd", (ROOT / "packaging/pam.d/sshd-password-and-code").read_text("utf-8"))
    town.start_sshd("UsePAM yes\nPasswordAuthentication yes\n")
    only = ("-oPreferredAuthentications=password", "-oNumberOfPasswordPrompts=1")
    client = town.ssh("bob", *only)
    client.answer("password: ", BOBS_PASSWORD)
    assert "Permission denied" in client.rest()
    assert not is_enrolled(town)


def test_sudo_enrols_nobody(town: Machine) -> None:
    town.run("usermod", "-aG", "sudo", "bob")
    town.use_pam("sudo", (ROOT / "packaging/pam.d/sudo").read_text("utf-8"))
    answers = "\n".join([BOBS_PASSWORD, "1", "2", "3", ""])
    done = town.run("sudo", "-k", "-S", "id", "-un", user="bob", typed=answers, check=False)
    assert (1, "") == (done.returncode, done.stdout)
    assert CODE in done.stderr
    assert NEW_CODE not in done.stderr
    assert not is_enrolled(town)
    town.log.wait_for("enrollment was not offered: messages are not shown")
