"""What administrators do by mistake: nobody is locked out for good, nobody is let in silently.

Each mistake is made on a booted Debian where sshd and sudo ask for codes, and its only
administrator then tries every way in, with a code and without. Where a way denies her, or needs no
code, doctor has to exit with 6; what it says to run is run in the root shell that is open, and all
is as before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pytest

from tests.booted.ways_in import checksums
from tests.e2e import attempts
from tests.e2e.attempts import Outcome
from tests.support import package, thorough
from tests.support.booted import Booted
from tests.support.booted_base import base_of
from tests.support.machine import Account

pytestmark = pytest.mark.root

RELEASE = "trixie"
PORT = 22
WAYS = ("sudo", "ssh", "ssh-key")
DENIES, LETS_IN, NEITHER = "denies", "lets in without a code", "neither"
KEPT = "/root/kept"  # an administrator's backup
CONFIG, KEY = "/etc/security/pam_totp.conf", "/etc/security/pam_totp.key"
FOLDER, STORE = "/var/lib/pam_totp", "/var/lib/pam_totp/store.db"
SUDO, SSHD = "/etc/pam.d/sudo", "/etc/pam.d/sshd"
FIRST, OURS = "/etc/ssh/sshd_config.d/00-a.conf", "/etc/ssh/sshd_config.d/00-pam_totp.conf"
RULE = "/etc/sudoers.d/mistake"
RELOAD = "systemctl reload ssh"
RESTORED = f"rm -rf {FOLDER}; cp -a {KEPT}/pam_totp {FOLDER}; cp -p {KEPT}/pam_totp.key {KEY}"
ENROLLED = "totpctl enroll alice --no-confirm --json"
VOIDS = (RESTORED, ENROLLED)  # the recovery codes that were issued before them
# Without the 2 seconds that pam_unix makes each denied login wait.
KEEP = f"""
sed -i 's/pam_unix.so nullok/& nodelay/' /etc/pam.d/common-auth
grep -q nodelay /etc/pam.d/common-auth
mkdir {KEPT}; cp -a /etc/pam.d {KEPT}/shipped
echo 'PerSourcePenalties no' >/etc/ssh/sshd_config.d/90-test.conf
echo 'Defaults passwd_tries=1' >/etc/sudoers.d/test; chmod 440 /etc/sudoers.d/test
totpctl enable sshd sudo --no-confirm
cp -a /etc/pam.d /etc/ssh/sshd_config.d {FOLDER} {KEY} {CONFIG} {KEPT}
"""
UNDO_SUDO, UNDO_CONFIG = f"cp -p {KEPT}/pam.d/sudo {SUDO}", f"cp -p {KEPT}/pam_totp.conf {CONFIG}"
UNDO_FIRST, UNDO_RULE = f"rm {FIRST}; {RELOAD}", f"rm {RULE}"


class Mistake(NamedTuple):
    """``effect``: what becomes of the logins; ``checks``: what doctor has to name, among others.

    ``way_back``: what is typed where doctor's fix is words; else it is run as it stands.
    """

    name: str
    made: str
    effect: str
    checks: str
    way_back: str = ""


MISTAKES = (
    Mistake(
        "sudo's file as the package ships it",
        f"cp {KEPT}/shipped/sudo {SUDO}",
        LETS_IN,
        "pam-missing",
    ),
    Mistake(
        "sshd's file as the package ships it",
        f"cp {KEPT}/shipped/sshd {SSHD}",
        LETS_IN,
        "pam-missing",
    ),
    Mistake(
        "our line made a comment", f"sed -i 's/^auth.*pam_totp/#&/' {SUDO}", LETS_IN, "pam-missing"
    ),
    Mistake(
        "a typo in the module's name",
        f"sed -i 's/pam_totp.so/pam_ttop.so/' {SUDO}",
        DENIES,
        "pam-missing",
    ),
    Mistake(
        "a sufficient module above ours",
        f"sed -i '1i auth sufficient pam_unix.so' {SUDO}",
        LETS_IN,
        "pam-bypass",
        UNDO_SUDO,
    ),
    Mistake(
        "our line optional",
        f"sed -i 's/required pam_totp/optional pam_totp/' {SUDO}",
        LETS_IN,
        "pam-bypass",
        UNDO_SUDO,
    ),
    Mistake(
        "our line above the password",
        f"sed -i '1i auth required pam_totp.so' {SUDO}",
        NEITHER,
        "pam-order",
        UNDO_SUDO,
    ),
    Mistake(
        "pam_deny at the end",
        f"echo 'auth requisite pam_deny.so' >>{SUDO}",
        DENIES,
        "pam-dead-end",
        UNDO_SUDO,
    ),
    Mistake(
        "a PAM file for everybody to write",
        f"chmod 666 {SUDO}",
        NEITHER,
        "pam-files",
    ),
    Mistake("the store's folder for everybody", f"chmod 777 {FOLDER}", DENIES, "permissions"),
    Mistake(
        "the store given to a user",
        f"chown -R alice {FOLDER}",
        DENIES,
        "permissions",
    ),
    Mistake("the key for everybody to read", f"chmod 644 {KEY} {CONFIG}", DENIES, "permissions"),
    Mistake("the key of another backup", f"printf %064d 0 >{KEY}", DENIES, "store", RESTORED),
    Mistake("the store's folder deleted", f"rm -rf {FOLDER}", DENIES, "store", RESTORED),
    Mistake(
        "a store that was cut off",
        f"truncate -s 4096 {STORE}; rm -f {STORE}-*",
        DENIES,
        "store",
        RESTORED,
    ),
    Mistake(
        "a Match block with a key alone",
        f"printf 'Match User alice\\nAuthenticationMethods publickey\\n' >{FIRST}; {RELOAD}",
        LETS_IN,
        "",
        UNDO_FIRST,
    ),
    Mistake("our drop-in deleted", f"rm {OURS}; {RELOAD}", LETS_IN, "sshd-settings"),
    Mistake(
        "NOPASSWD",
        f"echo 'alice ALL=(ALL) NOPASSWD: ALL' >{RULE}",
        LETS_IN,
        "sudo-nopasswd",
        UNDO_RULE,
    ),
    Mistake(
        "sudo without authentication",
        f"echo 'Defaults !authenticate' >{RULE}",
        LETS_IN,
        "sudo-nopasswd",
        UNDO_RULE,
    ),
    Mistake(
        "an exempt group of sudo",
        f"echo 'Defaults exempt_group=sudo' >{RULE}",
        LETS_IN,
        "sudo-exempt-group",
        UNDO_RULE,
    ),
    Mistake(
        "a typo in our configuration",
        f"echo windw = 3 >>{CONFIG}",
        NEITHER,
        "configuration",
        UNDO_CONFIG,
    ),
    Mistake(
        "the only administrator suspended",
        "totpctl suspend alice",
        DENIES,
        "administrators",
        "totpctl resume alice",
    ),
    Mistake(
        "the only administrator removed",
        "totpctl remove alice --yes",
        DENIES,
        "administrators",
        ENROLLED,
    ),
    Mistake(
        "the only administrator's password locked",
        "passwd -l alice",
        DENIES,
        "administrators",
        "passwd -u alice",
    ),
    Mistake(
        "the socket masked",
        "systemctl mask --now pam_totp.socket pam_totp.service",
        NEITHER,
        "service-off",
    ),
    Mistake(
        "the socket masked until the next boot",
        "systemctl mask --runtime --now pam_totp.socket",
        NEITHER,
        "service-off",
    ),
    Mistake(
        "the module deleted",
        "rm /usr/lib/*/security/pam_totp.so",
        DENIES,
        "module",
        f"dpkg --install {package.PLACE}",
    ),
)


# After a mistake whose test failed, so that the others do not fail with it.
CLEAN_UP = f"""
rm -f {FIRST} {RULE}; {RESTORED}; {UNDO_CONFIG}
cp -a {KEPT}/pam.d/. /etc/pam.d; cp -a {KEPT}/sshd_config.d/. /etc/ssh/sshd_config.d
systemctl unmask pam_totp.socket pam_totp.service; systemctl reset-failed
systemctl restart pam_totp.socket ssh; passwd -u alice
"""


class Server(NamedTuple):
    machine: Booted
    alice: Account


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with (
        base_of(RELEASE) as tree,
        Booted(RELEASE, package.installed(RELEASE, tree)) as machine,
    ):
        machine.run("totpctl", "init")
        package.bring(machine)
        alice = machine.add_user("alice", "sudo")
        machine.run("sh", "-ec", KEEP)
        yield Server(machine, alice)


def doctor(machine: Booted) -> tuple[int, list[dict[str, str]]]:
    done = machine.run("totpctl", "doctor", "--json", check=False)
    assert done.returncode in (0, 6), done
    return done.returncode, json.loads(done.stdout)["findings"]


def log_in(machine: Booted, alice: Account, given: Iterable[str], *ways: str) -> Outcome:
    return attempts.try_with(machine, alice, given, PORT, ways or WAYS)


def effect_of(outcome: Outcome) -> str:
    if outcome.bypassed:
        return LETS_IN
    return DENIES if outcome.denied else NEITHER


def fix(machine: Booted, mistake: Mistake, found: list[dict[str, str]]) -> None:
    if mistake.way_back:
        machine.run("sh", "-ec", mistake.way_back)
        return
    checks = mistake.checks.split()
    named = (f["fix"] for f in found if f["level"] == "wrong" or f["check"] in checks)
    for fix in dict.fromkeys(named):
        assert fix.startswith("run: "), fix
        machine.run("sh", "-ec", fix.removeprefix("run: "))
        machine.run("totpctl", "confirm", "--yes", check=False)


@pytest.mark.parametrize("mistake", thorough.some(MISTAKES, 5), ids=lambda mistake: mistake.name)
def test_mistake_is_named_and_has_a_way_back(server: Server, mistake: Mistake) -> None:
    machine, alice = server
    try:
        make_and_mend(machine, alice, mistake)
    except BaseException:
        machine.run("sh", "-c", CLEAN_UP, check=False)
        raise


def make_and_mend(machine: Booted, alice: Account, mistake: Mistake) -> None:
    before = checksums(machine)
    given = iter(machine.give_paper("alice"))  # it does not wait for the next step
    machine.run("sh", "-ec", mistake.made)
    status, found = doctor(machine)
    outcome = log_in(machine, alice, given)
    assert mistake.effect == effect_of(outcome), (outcome, found)
    assert 6 == status or mistake.effect == NEITHER, found
    assert {*mistake.checks.split()} <= {finding["check"] for finding in found}, found

    fix(machine, mistake, found)
    status, found = doctor(machine)
    assert 0 == status, found
    left = machine.give_paper("alice") if mistake.way_back in VOIDS else given
    assert attempts.FINE == log_in(machine, alice, left, "ssh")
    assert before == checksums(machine)
