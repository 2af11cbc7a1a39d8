"""doctor's word and reality: on each machine somebody logs in by every way, and doctor is asked.

DENIED and BYPASSED are the table of the states in which doctor has to exit with 6, CLEAN of those
in which it has to exit with 0. What it says of each is tested in test_doctor_logins.py and
test_doctor_machine.py, where logins are tried as well wherever it finds nothing wrong.
"""

from __future__ import annotations

import pytest

from tests.e2e import attempts
from tests.e2e.attempts import Outcome
from tests.e2e.doctor_machine import CLOCK_BEHIND, SHIM, Doctored, doctor, our_python
from tests.e2e.test_doctor_logins import BY_HAND, ONE_FIELD, in_sudo, in_sudoers
from tests.e2e.test_doctor_machine import CONFIG, DISK, FOLDER, KEY, MODULE, SQL, STORE, record
from tests.support import thorough

pytestmark = pytest.mark.root

ALL = " ".join(attempts.WAYS)
SSHD_CONFIG = "/etc/ssh/sshd_config"
SUDO_FILE = "/etc/pam.d/sudo"
SUDO, SSH = "sudo sudo-i", "ssh ssh-key"
FIRST = "/etc/ssh/sshd_config.d/00-a.conf"  # what stands there wins
SLEEPER = f"""
import sqlite3, time
store = sqlite3.connect({STORE!r}, isolation_level=None)
store.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(600)
"""
LOCKED = (
    f"{our_python(SLEEPER)} </dev/null >/tmp/locked 2>&1 & "
    "until grep -q locked /tmp/locked; do sleep 0.01; done"
)
NO_LOG = f"rm -f {STORE}-wal {STORE}-shm"
FULL = "dd if=/dev/zero of={0}/fill bs=4k 2>/dev/null"
PRELOADED = f"install -m 755 {SHIM} /lib/shim.so; echo /lib/shim.so >/etc/ld.so.preload"
READ_ONLY = "mount --bind {0} {0}; mount -o remount,bind,ro {0}"
NO_FILES = "i=0; while touch {0}/$i 2>&-; do i=$((i+1)); done"

# What is done to the machine, and the ways in that then deny the right password and code.
DENIED = {
    # what others can write is not believed
    f"chmod 777 {FOLDER}": ALL,
    f"chown alice {FOLDER}": ALL,
    f"chgrp users {FOLDER}; chmod 770 {FOLDER}": ALL,
    "chmod 777 /var/lib": ALL,
    "chmod 777 /var": ALL,
    "chown alice /var/lib": ALL,
    "chmod 777 /etc": ALL,
    "chmod 777 /etc/security": ALL,
    "chmod 777 /": ALL,
    f"chown alice {STORE}": ALL,
    f"chmod 666 {STORE}": ALL,
    f"chown alice {KEY}": ALL,
    f"chmod 640 {KEY}": ALL,
    f"chown alice {CONFIG}": ALL,
    f"mv {STORE} /tmp/elsewhere; ln -s /tmp/elsewhere {STORE}": ALL,
    f"mv {KEY} /tmp/elsewhere; ln -s /tmp/elsewhere {KEY}": ALL,
    f"mv {CONFIG} /tmp/elsewhere; ln -s /tmp/elsewhere {CONFIG}": ALL,
    f"mv {FOLDER} /home/alice/store; ln -s /home/alice/store {FOLDER}": ALL,
    # what is not there, or not what it was
    f"rm {KEY}": ALL,
    f": >{KEY}": ALL,
    f"rm -r {FOLDER}": ALL,
    f"rm {STORE}*; mkfifo {STORE}": ALL,
    f": >{STORE}; rm -f {STORE}-*": ALL,
    f"truncate -s 4096 {STORE}; rm -f {STORE}-*": ALL,
    f"{SQL} 'DELETE FROM users'": ALL,
    f"{SQL} 'PRAGMA user_version = 99'": ALL,
    f"echo 'store = sqlite:/nowhere/store.db' >>{CONFIG}": ALL,
    f"echo 'sealing_key = /nowhere/key' >>{CONFIG}": ALL,
    "mount -t tmpfs none /var/lib": ALL,
    f"mount -t tmpfs -o mode=700 none {FOLDER}; totpctl init": ALL,
    # a disk on which nothing can be written; beside the files of a store, a login needs no room
    READ_ONLY.format(FOLDER): ALL,
    READ_ONLY.format(STORE): ALL,
    f"{DISK.format('64m')}; {NO_LOG}; {FULL.format(FOLDER)} || true": ALL,
    f"{DISK.format('64m,nr_inodes=20')}; {NO_LOG}; {NO_FILES.format(FOLDER)} || true": ALL,
    LOCKED: ALL,
    # programs
    "rm /usr/lib/pam_totp/worker": ALL,
    "echo junk >/usr/lib/pam_totp/worker": ALL,
    "rm -r /usr/lib/python3/dist-packages/nacl": ALL,
    f"rm {MODULE}": ALL,
    "chmod u-s /usr/bin/sudo": SUDO,
    "chmod 666 /etc/sudoers": SUDO,
    # PAM and sshd
    "rm /etc/pam.d/common-auth": ALL,
    f"sed -i 's/pam_totp.so/& config=\\/gone/' {SUDO_FILE}": "sudo",
    "echo 'auth requisite pam_deny.so' >>/etc/pam.d/sudo": "sudo",
    "echo 'auth [success=1 default=ignore] pam_access.so' >>/etc/pam.d/sudo": "sudo",
    "echo 'auth required pam_oath.so' >>/etc/pam.d/sudo": "sudo",
    "echo Nonsense yes >>/etc/ssh/sshd_config": SSH,
    f"echo 'UsePAM no' >{FIRST}": SSH,
    "sed -i '1i auth required pam_nosuch.so' /etc/pam.d/sudo": "sudo",
    "rm /usr/lib/*/security/pam_permit.so": ALL,
    "echo 'account requisite pam_deny.so' >>/etc/pam.d/common-account": ALL,
    "touch /etc/nologin; echo 'account required pam_nologin.so' >>/etc/pam.d/sshd": SSH,
    # people
    "totpctl suspend alice": ALL,
    "totpctl remove alice --yes": ALL,
    record("failures=100"): ALL,
    f"{record('recovery_digests=frozenset()')}; truncate -s 3600 {CLOCK_BEHIND}; {PRELOADED}": ALL,
    record(
        "authenticators=(phone._replace(last_accepted_step=10**9),), recovery_digests=frozenset()"
    ): ALL,
}
# And those that then let in with a password (or key) and no code.
BYPASSED = {
    in_sudo("@include common-auth"): "sudo",
    f"sed -i 's/^auth/#auth/' {SUDO_FILE}": "sudo",
    "rm /etc/pam.d/sudo": "sudo",  # libpam goes by the file other, which is as common-auth
    "sed -i '1i auth sufficient pam_unix.so' /etc/pam.d/sudo": "sudo",
    "sed -i 's/required pam_totp/optional pam_totp/' /etc/pam.d/sudo": "sudo",
    "sed -i '/^auth.*pam_totp.so$/d; /never without/d' /etc/pam.d/sshd": SSH,
    in_sudoers("alice ALL=(ALL) NOPASSWD: ALL"): SUDO,
    in_sudoers("Defaults !authenticate"): SUDO,
    in_sudoers("Defaults exempt_group=sudo"): SUDO,
    in_sudoers("Defaults pam_service=other"): "sudo",
    f"printf 'AuthenticationMethods any\\nPasswordAuthentication yes\\n' >{FIRST}": "ssh-key",
    f"printf 'Match User alice\\nAuthenticationMethods publickey\\n' >>{SSHD_CONFIG}": "ssh-key",
    "rm /etc/ssh/sshd_config.d/00-pam_totp.conf": SSH,
    BY_HAND: "ssh-key",
}
CLEAN = (
    "true",
    ONE_FIELD,
    f"rm {CONFIG}",  # the defaults are what it says
    "chmod 700 /usr/lib/pam_totp",
    f"chmod 711 {FOLDER}",
    "rm -f /dev/log",
    "echo 'MaxAuthTries 1' >>/etc/ssh/sshd_config",
    "totpctl suspend alice; totpctl resume alice",
)


def name_of(script: str) -> str:
    """Return what is particular to it: the last of its words."""
    return script.strip()[-40:]


def names(words: str) -> frozenset[str]:
    return frozenset(words.split())


def tried(
    machine: Doctored, script: str, *with_code: bool, served: bool = True
) -> tuple[int, Outcome, str]:
    machine.run("sh", "-ec", script)
    done = doctor(machine, "--quiet")
    outcome = attempts.try_all(machine, machine.alice, with_code, served=served)
    return done.returncode, outcome, done.stdout + done.stderr


@pytest.mark.parametrize("script", thorough.some([*DENIED], 4), ids=name_of)
def test_doctor_exits_with_6_where_the_machine_denies(doctored: Doctored, script: str) -> None:
    status, outcome, said = tried(doctored, script, True)
    assert names(DENIED[script]) == outcome.denied
    assert 6 == status, said


@pytest.mark.parametrize("script", thorough.some([*BYPASSED], 3), ids=name_of)
def test_doctor_exits_with_6_where_no_code_is_needed(doctored: Doctored, script: str) -> None:
    status, outcome, said = tried(doctored, script, False)
    assert names(BYPASSED[script]) == outcome.bypassed
    assert 6 == status, said


@pytest.mark.parametrize("script", thorough.some([*CLEAN], 3), ids=name_of)
def test_doctor_exits_with_0_where_codes_are_asked_for_and_let_in(
    doctored: Doctored, script: str
) -> None:
    assert (0, attempts.FINE, "") == tried(doctored, script, *attempts.BOTH)


def test_doctor_exits_with_0_where_each_login_has_a_worker_of_its_own(doctored: Doctored) -> None:
    assert (0, attempts.FINE, "") == tried(doctored, "true", *attempts.BOTH, served=False)
