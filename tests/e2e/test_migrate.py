"""totpctl migrate: the users of another module log in with the phones that they have."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Prepared
from tests.support import enabling
from tests.support.enabling import PASSWORD_STEP, RECORD, snapshot, totpctl
from tests.support.machine import Account, Machine

pytestmark = pytest.mark.root

DROP_INS = "/etc/ssh/sshd_config.d"
PAM_SSHD, PAM_SUDO = "/etc/pam.d/sshd", "/etc/pam.d/sudo"
GOOGLE = "auth required pam_google_authenticator.so nullok"
OATH = "auth requisite pam_oath.so usersfile=/etc/users.oath window=10 digits=6"
MIGRATE = ("migrate", "google-authenticator", "--recovery-codes", "/root/codes")
# Users without a password, each with the file of a secret: NAME OWNER MODE.
_WITH_FILES = """
for each; do
    set -- $each
    useradd --create-home $1
    passwd --delete $1 >/dev/null
    printf '%s\\n" TOTP_AUTH\\n' KRUGKIDTMVRXEZLUEBXWMIDUNBSXGZI >/home/$1/.google_authenticator
    chown $2 /home/$1/.google_authenticator
    chmod $3 /home/$1/.google_authenticator
done
"""
_SECRET = b"The secret of these"
# Without a question, codes of the time, once only, up to eight steps either way, three in 30 s.
MAKE_SECRET = "google-authenticator -t -f -d -w 17 -r 9 -R 30 -q -C"
USERS = ("bob", "carol", "dave")
ENABLE_INSTEAD = re.compile("run: (totpctl enable sshd sudo .*); once that is confirmed, run: totp")
FIX_OF_PART = re.compile("totpctl disable common-auth; totpctl enable sshd sudo .*")


@pytest.fixture
def machine(prepared: Prepared) -> Iterator[Machine]:
    """Nobody but alice is enrolled; bob is an administrator, and a code is asked for by nobody."""
    with Machine(installed=True) as started:
        started.unpack(prepared.files)
        started.use_pam("sudo", PASSWORD_STEP)
        started.run("rm", "-rf", "/etc/pam.d/sudo-i", "/etc/ssh/sshd_config.d")
        started.run("mkdir", "-p", "/etc/cron.d", "/etc/ssh/sshd_config.d")
        started.start_sshd(f"Include {DROP_INS}/*.conf\nUsePAM yes\n")
        started.start_service()
        for name in USERS:
            groups = ("--groups", "sudo") if name == "bob" else ()
            started.add_user(name, f"the password of {name}", *groups)
        yield started


def secret_file(name: str) -> str:
    return f"/home/{name}/.google_authenticator"


def with_google_authenticator(machine: Machine, *names: str) -> list[Account]:
    """Let ``names`` run the program of that module, and sshd ask for its codes."""
    machine.use_pam("sshd", f"{PASSWORD_STEP}{GOOGLE}\n")
    accounts = []
    for name in names:
        machine.run("su", "-", name, "-c", MAKE_SECRET)
        text = machine.read(secret_file(name)).split("\n")[0]
        secret = base64.b32decode(text + "=" * (-len(text) % 8))
        accounts.append(Account(name, f"the password of {name}", secret, []))
    return accounts


def listed(machine: Machine) -> list[str]:
    document = json.loads(machine.run("totpctl", "list", "--json").stdout)
    return [person["user"] for person in document]


def test_users_of_google_authenticator_are_moved_in_one_command(machine: Machine) -> None:
    """With the real module, and files that its program made."""
    bob, carol, dave = with_google_authenticator(machine, *USERS)
    for account in (bob, carol, dave):
        assert f"welcome {account.name}" in enabling.ssh_with_code(machine, account)
    before, people = snapshot(machine), listed(machine)

    shown = totpctl(machine, *MIGRATE, "--dry-run")
    assert 0 == shown.returncode, shown.stderr
    assert "+auth required pam_totp.so nullok" in shown.stdout
    assert machine.read(secret_file("bob")).split("\n")[0] not in shown.stdout + shown.stderr
    assert (before, people) == (snapshot(machine), listed(machine))
    assert not enabling.exists(machine, "/root/codes")

    done = totpctl(machine, *MIGRATE)
    assert 0 == done.returncode, done.stderr
    assert "new recovery codes of 3 people are in /root/codes" in done.stderr
    assert "Log in from a second terminal NOW" in done.stderr
    assert "will deny" not in done.stderr
    assert "once you have confirmed and everybody has logged in with a code" in done.stderr
    assert [*USERS] == [name for name in listed(machine) if name in USERS]
    assert "welcome carol" in enabling.ssh_with_code(machine, carol, offset=+1)
    assert "pam_totp(sshd:auth): event=accepted user=carol" in machine.log.text()
    assert "600 root" == machine.run("stat", "-c%a %U", "/root/codes/bob.txt").stdout.strip()

    refused = totpctl(machine, "disable", "sshd")
    assert "sshd: moved from pam_google_authenticator.so, and not confirmed yet" in refused.stderr
    assert "to move back, run: totpctl revert; to ask for no code at all" in refused.stderr
    record = json.loads(machine.read(RECORD))
    record["started_boottime"] -= 3600
    machine.write(RECORD, json.dumps(record), mode=0o600)
    undone = totpctl(machine, "revert", "--if-due")
    assert "3 people are not enrolled any more" in undone.stderr
    assert "may be good once more with pam_google_authenticator.so" in undone.stderr
    assert (before, people) == (snapshot(machine), listed(machine))
    assert "welcome dave" in enabling.ssh_with_code(machine, dave, offset=+2)

    assert 0 == totpctl(machine, *MIGRATE).returncode
    assert 0 == totpctl(machine, "confirm", "--yes").returncode
    assert "pam_google_authenticator" not in machine.read(PAM_SSHD)
    codes = machine.read("/root/codes/bob.txt").split()
    typed = [word for word in codes if word.count("-") == 3]
    assert 10 == len(typed)
    client = machine.ssh("bob", "-oNumberOfPasswordPrompts=1")
    client.answer(enabling.PASSWORD, bob.password)
    client.answer(enabling.CODE, typed[0])
    assert "welcome bob" in client.rest()
    assert 0 == totpctl(machine, "disable", "sshd").returncode
    assert "pam_google_authenticator" not in machine.read(PAM_SSHD)
    assert [] == enabling.left_over(machine)
    assert "welcome carol" in enabling.ssh_with_password(machine, carol)


def test_users_of_pam_oath_are_moved_in_one_command(machine: Machine) -> None:
    """In sudo as well, which asks people of the same file."""
    for service in ("sshd", "sudo"):
        machine.use_pam(service, f"{PASSWORD_STEP}{OATH}\n")
    accounts = [
        Account(name, f"the password of {name}", f"the secret of {name}...".encode(), [])
        for name in USERS
    ]
    lines = [f"HOTP/T30 {each.name} - {each.secret.hex()}\n" for each in accounts]
    machine.write("/etc/users.oath", "".join(lines), mode=0o600)
    bob, carol, dave = accounts
    assert "welcome dave" in oath_login(machine, dave)
    before, people = snapshot(machine), listed(machine)

    done = totpctl(machine, "migrate", "pam_oath")
    assert 0 == done.returncode, done.stderr
    assert "auth requisite pam_totp.so window=10" in machine.read(PAM_SUDO)
    assert "welcome carol" in enabling.ssh_with_code(machine, carol, offset=+1)
    terminal = machine.spawn("sudo", "-k", "id", "-un", user="bob")
    terminal.expect("(?i)password.*: ")
    terminal.sendline(bob.password)
    terminal.answer(enabling.CODE, bob.code(+1))
    assert "root" in terminal.rest()

    assert 0 == totpctl(machine, "revert").returncode
    assert people == listed(machine)
    assert before == snapshot(machine)
    assert "welcome dave" in oath_login(machine, dave, +1)


def oath_login(machine: Machine, user: Account, offset: int = 0) -> str:
    client = machine.ssh(user.name, "-oNumberOfPasswordPrompts=1")
    client.answer(enabling.PASSWORD, user.password)
    client.answer(f"One-time password (OATH) for `{user.name}': ", user.code(offset))
    return client.rest()


@pytest.mark.parametrize("step", [4, 10, 16, 22])
def test_a_crash_in_the_middle_is_undone(machine: Machine, step: int) -> None:
    """SIGKILL at a sync of the disk: what was written before is there, and undone."""
    with_google_authenticator(machine, "bob")
    before, people = snapshot(machine), listed(machine)
    inject = f"-einject=fsync,fdatasync:signal=SIGKILL:when={step}"
    command = ("strace", "-o/dev/null", "-etrace=fsync,fdatasync", inject, "totpctl")
    machine.run(*command, *MIGRATE, check=False, timeout=120)
    assert 0 == totpctl(machine, "revert").returncode
    assert people == listed(machine)
    assert enabling.contents(before) == enabling.contents(snapshot(machine))


@pytest.mark.parametrize(
    "options",
    ["", "allowed_perm=0660", "no_strict_owner allowed_perm=0644", "nullok allowed_perm=0400"],
)
def test_a_file_is_refused_where_the_module_refuses_it(machine: Machine, options: str) -> None:
    """Whoever can write it can log in as its user: so the module asks for owner and mode."""
    machine.use_pam("su", f"auth required pam_google_authenticator.so {options}\n{PASSWORD_STEP}")
    states = [("", mode) for mode in ("0600", "0400", "4600", "1600", "0640", "0660", "0602")]
    states += [("bob", "0600"), ("bob", "0644"), ("root", "0600"), ("root", "0644")]
    names = {f"{owner or 'own'}{mode}": (owner, mode) for owner, mode in states}
    machine.run(
        "sh", "-ec", _WITH_FILES, "sh", *(f"{n} {o or n} {m}" for n, (o, m) in names.items())
    )
    code, denied = Account("", "", _SECRET, []), []
    for name in names:
        given = ("pamtester", "su", name, "authenticate")
        if machine.run(*given, typed=f"{code.code()}\n", check=False).returncode:
            denied.append(name)
    shown = totpctl(machine, *MIGRATE, "--dry-run", "--skip-bad")
    assert 0 < len(denied) < len(names)
    assert denied == re.findall(r"^rejected: .*/.google_authenticator: (\w+): ", shown.stderr, re.M)
    assert sorted({*names} - {*denied}) == sorted(
        set(re.findall(r"^(own\w+|\w+0644)", shown.stdout, re.M))
    )


def test_what_a_user_has_put_there_keeps_everybody_back_and_is_named(machine: Machine) -> None:
    """A link, a pipe, another user's file, or one without end: the rest goes on without them."""
    with_google_authenticator(machine, "bob")
    before = snapshot(machine)
    for trap, reason in (
        ("ln -s /etc/shadow {}", "is a symbolic link"),
        ("ln /home/bob/.google_authenticator {}", "Permission denied"),
        ("cp /home/bob/.google_authenticator {}; chmod 644 {}", "is owned by uid 0, another user"),
        ("mkfifo {}; chown carol {}", "is not a regular file"),
        ("truncate -s 65K {}; chown carol {}; chmod 600 {}", "is larger than 64 KiB"),
        (
            "cp /home/bob/.google_authenticator {}; chown carol {}; chmod 620 {}",
            "carol: can be written by others (mode 0620): check what is in it; then run: chmod",
        ),
        (
            "cp /home/bob/.google_authenticator {}; chown carol {}; chmod 640 {}",
            "has mode 0640, more",
        ),
    ):
        machine.run("sh", "-ec", trap.replace("{}", secret_file("carol")))
        refused = totpctl(machine, *MIGRATE)
        assert 1 == refused.returncode
        assert reason in refused.stderr
        assert "1 of 2 people cannot be moved, so nobody was" in refused.stderr
        assert ["alice"] == listed(machine)
        assert before == snapshot(machine)
        machine.run("rm", secret_file("carol"))
    machine.run("ln", "-s", "/etc/shadow", secret_file("carol"))
    without = ("--skip-bad", "--without-code", "carol")
    assert 0 == totpctl(machine, *MIGRATE, *without).returncode
    assert ["alice", "bob"] == listed(machine)


def test_a_file_of_a_user_enrolls_nobody_else(machine: Machine) -> None:
    line = OATH.replace("/etc/users.oath", "${HOME}/users.oath")
    machine.use_pam("sshd", f"{PASSWORD_STEP}{line}\n")
    lines = "".join(f"HOTP/T30 {name} - {'5a' * 20}\n" for name in ("root", "bob"))
    machine.write("/home/bob/users.oath", lines, mode=0o600, owner="bob")
    done = totpctl(machine, "migrate", "pam_oath", "--skip-bad")
    assert 0 == done.returncode, done.stderr
    assert "root: is in a file of bob" in done.stderr
    assert ["alice", "bob"] == listed(machine)
    assert 0 == totpctl(machine, "revert").returncode
    machine.run("chmod", "0664", "/home/bob/users.oath")
    refused = totpctl(machine, "migrate", "pam_oath")
    assert "/home/bob/users.oath: bob: can be written by others (mode 0664)" in refused.stderr
    assert ["alice"] == listed(machine)


def test_a_central_file_that_others_may_have_written_moves_nobody(machine: Machine) -> None:
    """pam_oath itself believes it."""
    machine.use_pam("sshd", f"{PASSWORD_STEP}{OATH}\n")
    machine.write("/etc/users.oath", f"HOTP/T30 bob - {'5a' * 20}\n", mode=0o602)
    refused = totpctl(machine, "migrate", "pam_oath", "--skip-bad")
    assert "error: /etc/users.oath can be written by others (mode 0602)" in refused.stderr
    assert "hint: check what is in it; then run: chmod 0600 /etc/users.oath" in refused.stderr
    machine.write("/etc/users.oath", f"HOTP/T30 bob - {'5a' * 20}\n", mode=0o600, owner="bob")
    refused = totpctl(machine, "migrate", "pam_oath", "--skip-bad")
    assert "/etc/users.oath is owned by uid" in refused.stderr
    assert "hint: check what is in it; then run: chown root /etc/users.oath\n" in refused.stderr
    assert ["alice"] == listed(machine)


def test_a_line_that_all_services_include_is_moved_there(machine: Machine) -> None:
    """And disable takes it out by the name of that file."""
    (bob,) = with_google_authenticator(machine, "bob")
    machine.use_pam("sshd", PASSWORD_STEP)
    step = machine.read("/etc/pam.d/common-auth")
    machine.write("/etc/pam.d/common-auth", f"{step}{GOOGLE}\n")
    before = snapshot(machine)
    done = totpctl(machine, *MIGRATE)
    assert 0 == done.returncode, done.stderr
    assert "also changes: sudo, which includes common-auth" in done.stderr
    assert "welcome bob" in enabling.ssh_with_code(machine, bob, offset=+1)
    assert 0 == totpctl(machine, "revert").returncode
    assert before == snapshot(machine)
    assert 0 == totpctl(machine, *MIGRATE).returncode
    assert 0 == totpctl(machine, "confirm", "--yes").returncode
    moved = machine.read("/etc/pam.d/common-auth")
    assert 0 == totpctl(machine, "disable", "common-auth").returncode
    assert step == machine.read("/etc/pam.d/common-auth")
    machine.write("/etc/pam.d/common-auth", moved)
    assert FIX_OF_PART.search(totpctl(machine, "doctor").stdout)


def test_doctors_fix_works_where_an_update_took_the_line_out_of_common_auth(
    machine: Machine,
) -> None:
    with_google_authenticator(machine, "bob")
    machine.use_pam("sshd", PASSWORD_STEP)
    step = machine.read("/etc/pam.d/common-auth")
    machine.write("/etc/pam.d/common-auth", f"{step}{GOOGLE}\n")
    assert 0 == totpctl(machine, *MIGRATE).returncode
    assert 0 == totpctl(machine, "confirm", "--yes").returncode
    machine.write("/etc/pam.d/common-auth", step)
    shown = totpctl(machine, "doctor").stdout
    assert "common-auth: it has no pam_totp line" in shown
    fix = ENABLE_INSTEAD.search(shown)
    assert fix is not None, shown
    fixed = machine.run("sh", "-ec", fix[1], check=False)
    assert 0 == fixed.returncode, fixed.stderr
    assert "then run: totpctl confirm; once that is done" in totpctl(machine, "doctor").stdout
    assert 0 == totpctl(machine, "revert").returncode
    assert ENABLE_INSTEAD.search(totpctl(machine, "doctor").stdout)
    assert 0 == machine.run("sh", "-ec", fix[1]).returncode
    assert 0 == totpctl(machine, "confirm", "--yes").returncode
    assert "fix: run: totpctl disable common-auth\n" in totpctl(machine, "doctor").stdout
    assert 0 == totpctl(machine, "disable", "common-auth").returncode
    assert "common-auth" not in totpctl(machine, "doctor").stdout
    assert "auth required pam_totp.so" in machine.read(PAM_SSHD)


def test_whoever_cannot_be_moved_gets_in_without_a_code_only_if_named(machine: Machine) -> None:
    """The other module denies them, also where it has nullok."""
    with_google_authenticator(machine, "bob", "carol")
    machine.run("chmod", "0640", secret_file("carol"))
    theirs = ("pamtester", "sshd", "carol", "authenticate")
    before = snapshot(machine)
    denied = machine.run(*theirs, typed="the password of carol\n000000\n", check=False)
    assert 0 != denied.returncode
    refused = totpctl(machine, *MIGRATE, "--skip-bad")
    assert 1 == refused.returncode
    assert "carol cannot be moved, and would log in without a code" in refused.stderr
    assert "if that is intended, add: --without-code carol" in refused.stderr
    other = totpctl(machine, *MIGRATE, "--skip-bad", "--without-code", "dave")
    assert "--without-code dave: dave is not among those who cannot" in other.stderr
    assert ["alice"] == listed(machine)
    done = totpctl(machine, *MIGRATE, "--skip-bad", "--without-code", "carol")
    assert 0 == done.returncode, done.stderr
    assert "without a code log in, because of" in done.stderr
    assert 0 == totpctl(machine, "revert").returncode
    assert before == snapshot(machine)
    machine.run("totpctl", "exempt", "carol", "--until", "2099-12-31")
    refused = totpctl(machine, *MIGRATE, "--skip-bad")
    assert "carol cannot be moved, and would log in without a code" in refused.stderr
    machine.run("totpctl", "enroll", "carol", "--no-confirm", "--json")
    assert 0 == totpctl(machine, *MIGRATE, "--skip-bad").returncode


def test_whoever_is_not_in_the_file_of_pam_oath_is_denied_after_the_move_too(
    machine: Machine,
) -> None:
    """Whatever no_usersfile_okay says. And what one person's file says of others means nothing."""
    machine.use_pam("sshd", f"{PASSWORD_STEP}{OATH} no_usersfile_okay\n")
    machine.write("/etc/users.oath", f"HOTP/T30 bob - {'5a' * 20}\n", mode=0o600)
    carol = ("pamtester", "sshd", "carol", "authenticate")
    typed = "the password of carol\n000000\n"
    assert 0 != machine.run(*carol, typed=typed, check=False).returncode
    done = totpctl(machine, "migrate", "pam_oath")
    assert 0 == done.returncode, done.stderr
    assert "no_usersfile_okay has no counterpart: users of whom nothing is in" in done.stderr
    assert 0 != machine.run(*carol, typed=typed, check=False).returncode
    assert 0 == totpctl(machine, "revert").returncode

    own = OATH.replace("/etc/users.oath", "${HOME}/.oath")
    own = own.replace("requisite", "[success=ok user_unknown=ignore default=die]")
    machine.use_pam("sshd", f"{PASSWORD_STEP}{own}\n")
    machine.write("/home/bob/.oath", f"HOTP/T30 bob - {'5a' * 20}\n", mode=0o600, owner="bob")
    machine.write("/home/carol/.oath", "# nothing yet\n", mode=0o600, owner="carol")
    machine.write("/home/dave/.oath", f"HOTP root - {'5a' * 20}\n", mode=0o600, owner="dave")
    refused = totpctl(machine, "migrate", "pam_oath", "--skip-bad")
    assert "carol, dave cannot be moved, and would log in without a code" in refused.stderr


@pytest.mark.parametrize("setting", ["skip", "enroll"])
def test_nobody_gets_in_by_a_setting_whom_the_other_module_denied(
    machine: Machine, setting: str
) -> None:
    """carol has a file that it refuses, dave has none: both would need a password alone."""
    with_google_authenticator(machine, "bob", "carol")
    machine.run("chmod", "0640", secret_file("carol"))
    machine.use_pam("sshd", f"{PASSWORD_STEP}{GOOGLE.removesuffix(' nullok')}\n")
    machine.write("/etc/security/pam_totp.conf", f"unenrolled = {setting}\n")

    def said_to(name: str) -> str:
        typed = f"the password of {name}\n000000\n000000\n000000\n"
        done = machine.run("pamtester", "sshd", name, "authenticate", typed=typed, check=False)
        assert 0 != done.returncode, (name, done)
        return done.stdout

    for name in ("carol", "dave"):
        said_to(name)
    done = totpctl(machine, *MIGRATE, "--skip-bad")
    assert 0 == done.returncode, done.stderr
    assert "unenrolled=deny is added, as it denies users who have no secret" in done.stderr
    assert 0 == totpctl(machine, "confirm", "--yes").returncode
    for name in ("carol", "dave"):
        assert "Secret:" not in said_to(name)
    assert "unenrolled=deny" in machine.read(PAM_SSHD)


def test_nothing_is_changed_where_no_administrator_would_be_left(machine: Machine) -> None:
    """The record of the people is gone again, too: they were enrolled to find that out."""
    with_google_authenticator(machine, "carol")
    machine.use_pam("sshd", f"{PASSWORD_STEP}{GOOGLE.removesuffix(' nullok')}\n")
    machine.run("totpctl", "remove", "alice", "--yes")
    before = snapshot(machine)
    refused = totpctl(machine, *MIGRATE)
    assert 1 == refused.returncode
    assert "no administrator could become root any more: sshd; everything is as" in refused.stderr
    assert [] == listed(machine)
    assert enabling.contents(before) == enabling.contents(snapshot(machine))


def test_enable_offers_it(machine: Machine) -> None:
    with_google_authenticator(machine, "bob")
    shown = totpctl(machine, "enable", "sshd", "--dry-run")
    assert "to move everybody from it instead, run: totpctl migrate google-auth" in shown.stderr
