"""What doctor finds in the store, the clock, the people and the service: one machine a finding."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.e2e.doctor_machine import Doctored, assert_found, findings, our_python
from tests.support import thorough

pytestmark = pytest.mark.root

CONFIG, KEY = "/etc/security/pam_totp.conf", "/etc/security/pam_totp.key"
FOLDER, STORE = "/var/lib/pam_totp", "/var/lib/pam_totp/store.db"
SOCKET = "/run/pam_totp/pam_totp.sock"
MODULE = "/usr/lib/*/security/pam_totp.so"
HOOK = "pam_python.so /usr/lib/pam_totp/hook.py"
DISK = (
    f"cp -a {FOLDER} /tmp/s; mount -t tmpfs -o mode=700,size={{}} t {FOLDER}; "
    f"cp -a /tmp/s/. {FOLDER}"
)
FULL = f"cat /dev/zero >{FOLDER}/filling || true"
PAM_PYTHON = f"sed -i 's|pam_totp.so|{HOOK}|' /etc/pam.d/sudo;"
PAM_PYTHON_FILES = "/lib/security/pam_python.so /usr/lib/*/security/pam_python.so"
BOB = "useradd -m -s /bin/sh -G sudo bob; echo bob:secret | chpasswd;"
SQL = (
    "/usr/bin/python3 -c 'import sqlite3, sys; "
    f'store = sqlite3.connect("{STORE}"); store.execute(sys.argv[1]); store.commit()\''
)
NO_LOG_AND_LITTLE_ROOM = (
    f"{SQL} VACUUM; {DISK.format('8m')}; {FULL}; truncate -s -900K {FOLDER}/filling"
)
WORKER = "/usr/lib/pam_totp/worker --listen </dev/null >/dev/null 2>&1 & sleep 0.5;"
BOUND = f"""
import socket, time
bound = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
bound.bind({SOCKET!r})
"""
BOUND_FOR_LONG = f"{BOUND}time.sleep(600)"


LISTENING = BOUND_FOR_LONG.replace("time.sleep", "bound.listen(); time.sleep")
MONTH_AHEAD = "int(__import__('time').time()) + 30 * 86400 - 60"
ELSEWHERE = f"mount -t tmpfs none /run; mkdir /run/pam_totp; {our_python(LISTENING)}"


def record(change: str) -> str:
    """Change the record of alice; ``phone`` is her authenticator."""
    return our_python(
        "from pam_totp import store\n"
        "from pam_totp.store import sealing\n"
        f"opened = store.open_store('{STORE}', sealing.read_sealer('{KEY}'))\n"
        "with opened.transaction('alice') as own:\n"
        "    record = own.record\n"
        "    (phone,) = record.authenticators\n"
        f"    own.save(record._replace({change}))\n"
    )


def systemd(**units: str) -> str:
    """Pretend that systemd runs, and says this of each unit."""
    names = {name: f"pam_totp.{name}" for name in units} | {"workers": "pam_totp-worker.socket"}
    cases = "".join(f"{names[name]}) printf '{text}' ;; " for name, text in units.items())
    others = "show | is-* | -*) continue ;; *) printf 'LoadState=loaded\\n' ;;"
    fake = f'#!/bin/sh\nfor unit; do case "$unit" in {cases}{others} esac; echo; done\n'
    return (
        "install -d /run/systemd/system; cat >/usr/sbin/systemctl <<'END'\n"
        f"{fake}END\nchmod 755 /usr/sbin/systemctl;"
    )


GOOD = "LoadState=loaded\\nActiveState=active\\nUnitFileState=enabled\\nResult=success\\n"
FAILED = "LoadState=loaded\\nActiveState=failed\\nResult=start-limit-hit\\n"
DISABLED = GOOD.replace("=enabled", "=disabled")
GONE = "LoadState=not-found\\nActiveState=inactive\\n"

CASES = [
    # configuration, key, store
    ("configuration", f"echo 'windw = 3' >>{CONFIG}", "unknown key: windw"),
    (
        "language",
        f"echo 'language = sv' >>{CONFIG}",
        "there is no translation for language = sv",
    ),
    (
        "language",
        "echo LANG=de_DE.UTF-8 >/etc/locale.conf; chmod o+w /etc/locale.conf",
        "/etc/locale.conf: is writable by others",
    ),
    (
        "language",
        f"echo 'language = de' >>{CONFIG}; echo >/usr/share/locale/de/LC_MESSAGES/pam_totp.mo",
        "pam_totp.mo: is damaged",
    ),
    ("permissions", f"chmod o+w {CONFIG}", f"{CONFIG}: is writable by others"),
    ("permissions", f"chmod 0644 {KEY}", f"{KEY}: is readable by others"),
    ("permissions", f"chmod o+w {STORE}; chmod 0700 {FOLDER}", f"{STORE}: is writable by others"),
    ("permissions", f"chmod 0755 {FOLDER}; chmod 0644 {STORE}", f"{STORE}: others can read it"),
    (
        "permissions",
        "chown nobody /usr/lib/pam_totp/pam_totp/login/flow.py",
        "flow.py: is owned by",
    ),
    ("permissions", f"chmod g+w {MODULE}", "pam_totp.so: is writable by others"),
    ("key-mode", f"chmod 0 {KEY}", "(mode 0000)"),
    ("store", f"rm {STORE}*", "there is no store"),
    ("store", f"printf %064d 0 >{KEY}", "is sealed with another"),
    ("store", f"echo junk >{STORE}; rm -f {STORE}-*", "is damaged or not a store"),
    (
        "store-damage",
        f"{SQL} 'UPDATE authenticators SET digits = 8'",
        "alice: sealed secret: was altered",
    ),
    ("store-damage store-write", f"{SQL} 'DROP TABLE decoys'", "does not have the tables of this"),
    ("store-write", f"mount --bind {STORE} {STORE}; mount -o remount,bind,ro {STORE}", "read-only"),
    ("key-rotation", f"printf %064d 1 >>{KEY}", "holds two keys: a rotation was interrupted"),
    ("key-rotation", "touch /etc/security/.pam_totp-new.pam_totp.key", "left behind by a rotation"),
    ("store-volume", "echo 'LABEL=v /var/lib ext4 defaults 0 2' >/etc/fstab", "/var/lib is not"),
    ("disk disk-room", NO_LOG_AND_LITTLE_ROOM, "store.db-wal has 0 of 1024 KiB; "),
    ("", DISK.format("8m"), ""),
    ("disk-room", f"{DISK.format('8m')}; totpctl init; {FULL}", "KiB left"),
    ("disk-room", DISK.format("64m,nr_inodes=50"), "files left"),
    # who can write what decides about logins
    (
        "pam-files",
        "chmod 666 /etc/pam.d/su /etc/pam.d/login",
        "/etc/pam.d/login, /etc/pam.d/su: is",
    ),
    ("pam-files", "chown alice /etc/pam.d/common-auth", "/etc/pam.d/common-auth: is owned by uid"),
    ("pam-files", "chmod 777 /etc/pam.d", "/etc/pam.d: is writable by others"),
    (
        "pam-files",
        "mv /etc/pam.d/su /home/alice/; ln -s /home/alice/su /etc/pam.d/su",
        "/home/alice: is owned by uid",
    ),
    ("pam-modules", "chmod 777 /usr/lib/*/security", "security: is writable by others"),
    ("pam-modules", "chmod 777 /usr/lib/*/security/pam_unix.so", "pam_unix.so: is writable by ot"),
    ("sshd-files", "chmod 777 /etc/ssh/sshd_config.d", "/etc/ssh/sshd_config.d: is writable by ot"),
    ("sshd-files", "chown alice /etc/ssh/sshd_config", "/etc/ssh/sshd_config: is owned by uid"),
    (
        "empty-password administrators",  # sshd lets nobody in with an empty password
        "passwd -d alice",
        "alice has an empty password, which sudo accepts",
    ),
    # time
    (
        "clock-behind",
        "touch -d '+1 hour' /var/lib/dpkg/status",
        "but /var/lib/dpkg/status is dated",
    ),
    (
        "last-step",
        record("authenticators=(phone._replace(last_accepted_step=10**9),)"),
        "alice, phone, lies in the future",
    ),
    (
        "clock-of-phone",
        record("authenticators=(phone._replace(clock_offset=120, clock_sightings=2),)"),
        "alice: ",
    ),
    (
        "clock-drift",
        record("authenticators=(phone._replace(learned=-300),)"),
        "alice: the clock of phone is about 300 s behind this machine's",
    ),
    ("unbound", record("uid=None"), "1 record is not bound to the uid of an account: alice"),
    # people
    ("administrators suspended-administrators", "totpctl suspend alice", "no administrator"),
    ("unenrolled-administrators", BOB, "may use sudo, but not enrolled: bob"),
    (
        "skipped-administrators",
        f"{BOB} totpctl exempt bob",
        "may use sudo, but not asked for a code",
    ),
    (
        "skipped-administrators",
        f"echo exempt_groups=sudo >>{CONFIG}",
        "may use sudo, but not asked for a code: alice",
    ),
    ("unenrolled-skip", f"echo 'unenrolled = skip' >>{CONFIG}", "with no end date"),
    (
        "unenrolled-skip",
        f"printf 'unenrolled = skip\\nunenrolled_until = 2999-01-31\\n' >>{CONFIG}",
        "skip until 2999-01-31",
    ),
    (
        "unenrolled-skip",
        "sed -i 's/pam_totp.so/& nullok/' /etc/pam.d/sudo",
        "skips users who are not",
    ),
    ("skip-from", f"echo 'skip_from = 10.0.0.0/8, tty' >>{CONFIG}", "skip_from = 10.0.0.0/8, tty"),
    (
        "skip-from",
        "sed -i 's/pam_totp.so/& skip_from=tty/' /etc/pam.d/sudo",
        "skip_from has no effect in sudo",
    ),
    (
        "skip-from",
        "sed -i 's/pam_totp.so/& skip_from=tty/' /etc/pam.d/sshd",
        "names places where nobody is asked",
    ),
    (
        "skip-from sshd-names",
        f"echo 'skip_from = tty 10.0.0.0/8' >>{CONFIG}; "
        "echo 'UseDNS yes' >/etc/ssh/sshd_config.d/10-names.conf",
        "sshd has usedns yes, and skip_from = 10.0.0.0/8",
    ),
    (
        "skip-from",
        f"echo 'skip_from = tty' >>{CONFIG}; "
        "echo 'UseDNS yes' >/etc/ssh/sshd_config.d/10-names.conf",
        "skip_from = tty",
    ),
    ("", "sed -i 's/pam_totp.so/& skip_from=/' /etc/pam.d/sudo", ""),
    (
        "self-service self-service-socket",
        f"echo 'self_service = yes' >>{CONFIG}",
        "without systemd there is no self-service",
    ),
    ("remember", f"echo 'remember = 90m' >>{CONFIG}", "remember = 90m"),
    (
        "remember",
        "sed -i 's/pam_totp.so/& remember=8h/' /etc/pam.d/sudo",
        "names a time in which nobody is asked again",
    ),
    (
        "remember pam-order",
        "printf 'auth required pam_totp.so remember=8h\\nauth required pam_unix.so\\n' "
        ">/etc/pam.d/sudo",
        "remember has no effect in sudo",
    ),
    ("", "sed -i 's/pam_totp.so/& remember=none/' /etc/pam.d/sudo", ""),
    (
        "enrollment-at-login pam-order",
        "printf 'auth required pam_totp.so\\nauth required pam_unix.so\\n' >/etc/pam.d/sudo; "
        f"echo 'unenrolled = enroll' >>{CONFIG}",
        "without a password check before it",
    ),
    ("locked administrators", record("failures=100"), "alice is locked after 100 wrong codes"),
    (
        "suspended-administrators",
        f"{BOB} totpctl enroll bob --no-confirm --json; totpctl suspend bob",
        "bob may use sudo, but is suspended",
    ),
    (
        "guesses-spent",
        record(f"guesses_until={MONTH_AHEAD}"),
        "alice had 100 wrong codes within a month",
    ),
    (
        "gone-accounts",
        f"{BOB} totpctl enroll bob --no-confirm --json; userdel bob",
        "there is a record of bob, but no such account",
    ),
    (
        "other-account",
        f"{BOB} totpctl enroll bob --no-confirm --json; usermod -u 4242 bob",
        "bob was enrolled as uid",
    ),
    ("recovery-codes", record("recovery_digests=frozenset()"), "no recovery codes left: alice"),
    (
        "recovery-codes",
        record("recovery_digests=frozenset([*record.recovery_digests][:3])"),
        "3 recovery codes left: alice",
    ),
    (
        "exemption-ended",
        record("status='exempt', exempt_until=86400"),
        "the exemption of alice ended on 1970-01-01",
    ),
    ("missing-groups", f"echo 'exempt_groups = nosuch' >>{CONFIG}", "exempt_groups names nosuch"),
    (
        "missing-groups",
        "groupadd soon; totpctl require --group soon; groupdel soon",
        "a rule for group soon, but",
    ),
    # the programs
    ("module", f"rm {MODULE}", "pam_totp.so is not installed"),
    ("module", f"for m in {MODULE}; do echo junk >$m; done", "cannot be loaded: OSError"),
    (
        "worker",
        "rm /usr/lib/pam_totp/pam_totp/service/server.py",
        "No module named 'pam_totp.service.server'",
    ),
    ("worker", "echo 'import nosuch' >>/usr/lib/pam_totp/pam_totp/login/flow.py", "'nosuch'"),
    ("worker", "rm /usr/lib/pam_totp/worker", "does not start"),
    ("pam-python", f"{PAM_PYTHON} rm -f {PAM_PYTHON_FILES}", "is not installed"),
    (
        "pam-python",
        f"{PAM_PYTHON} sed -i 's/libpython3[.]/libpython9./' $(ls {PAM_PYTHON_FILES})",
        "cannot be loaded",
    ),
    ("pam-python", f"{PAM_PYTHON} rm /usr/lib/pam_totp/hook.py", "there is no /usr/lib/pam_totp/h"),
    ("socket", f"install -D /dev/null {SOCKET}", "is not a socket"),
    ("socket", f"install -d /run/pam_totp; {our_python(BOUND)}; chmod 0600 {SOCKET}", "nobody"),
    (
        "socket",
        f"install -d /run/pam_totp; {our_python(BOUND_FOR_LONG)} </dev/null >/dev/null 2>&1 & "
        f"until chmod 0600 {SOCKET}; do sleep 0.01; done",
        "nobody listens",
    ),
    (  # somebody listens on a socket of that name in a mount namespace of their own
        "socket",
        f"install -d /run/pam_totp; {our_python(BOUND)}; chmod 0600 {SOCKET}; "
        f"unshare --mount sh -c {shlex.quote(ELSEWHERE)} </dev/null >/dev/null 2>&1 & "
        f"until grep -q ' 00010000 .* {SOCKET}$' /proc/net/unix; do sleep 0.01; done; sleep 0.1",
        "nobody listens",
    ),
    ("socket-mode", f"{WORKER} chmod 0666 {SOCKET}", "others can use"),
    ("socket-mode", f"echo 'unprivileged = yes' >>{CONFIG}; {WORKER}", "is for root only"),
    ("service", systemd(socket=GOOD, service=FAILED), "failed (start-limit-hit)"),
    ("service", systemd(socket=FAILED, service=GOOD), "pam_totp.socket has failed"),
    ("service", systemd(socket=GONE, service=GOOD), "pam_totp.socket is not installed"),
    ("service", systemd(socket=GOOD, workers=FAILED), "pam_totp-worker.socket has failed"),
    ("service-at-boot", systemd(socket=DISABLED, service=GOOD), "is not enabled"),
    (
        "name-service",
        f"{systemd(socket=GOOD, service=GOOD)} sed -i 's/^passwd:.*/& vas4/' /etc/nsswitch.conf",
        "sandbox of pam_totp.service: vas4",
    ),
]


TRIED = thorough.some(CASES, 4)


@pytest.mark.parametrize(("names", "script", "problem"), TRIED, ids=[c[0] for c in TRIED])
def test_finding(doctored: Doctored, names: str, script: str, problem: str) -> None:
    assert_found(doctored, names, script, problem)


def test_clock_that_nothing_keeps_right(doctored: Doctored) -> None:
    assert_found(doctored, "clock", "true", "no time service keeps the clock", UNSYNCHRONISED="yes")


def test_clock_of_a_container_is_that_of_its_host(doctored: Doctored) -> None:
    container = "install -D /dev/null /run/systemd/container"
    assert_found(doctored, "clock-of-host", container, "container's host", UNSYNCHRONISED="yes")


def test_store_with_a_disk_of_its_own_is_not_shared(doctored: Doctored) -> None:
    doctored.run("sh", "-ec", DISK.format("64m"))
    assert "store-shared" not in {found["check"] for found in findings(doctored)}


@pytest.mark.parametrize("state", ["masked", "masked-runtime"])
def test_what_is_masked_is_unmasked_before_it_is_started(doctored: Doctored, state: str) -> None:
    masked = f"LoadState=masked\\nActiveState=inactive\\nUnitFileState={state}\\n"
    script = f"install -d /run/pam_totp; {our_python(BOUND)}; chmod 0600 {SOCKET};"
    doctored.run("sh", "-ec", script + systemd(socket=masked, service=masked))
    found = {f["check"]: f["fix"] for f in findings(doctored)}
    option = {"masked": "", "masked-runtime": "--runtime "}[state]
    unmask = f"run: systemctl unmask {option}pam_totp.socket pam_totp.service; systemctl "
    assert f"{unmask}restart pam_totp.socket" == found["socket"]
    assert f"{unmask}enable --now pam_totp.socket" == found["service-off"]


@pytest.mark.parametrize(
    "mistake",
    [
        f"chown -R alice {FOLDER}",
        f"chmod -R 777 {FOLDER}",
        "sed -i s/pam_totp.so/pam_ttop.so/ /etc/pam.d/sudo",
        "chmod 666 /etc/pam.d/sudo /etc/pam.d/su",
    ],
)
def test_what_one_run_names_is_all_there_is_to_do(doctored: Doctored, mistake: str) -> None:
    doctored.run("sh", "-ec", mistake)
    wrong = [f["fix"] for f in findings(doctored) if f["level"] == "wrong"]
    for fix in dict.fromkeys(wrong):
        assert fix.startswith("run: "), fix
        doctored.run("sh", "-ec", fix.removeprefix("run: "))
    assert [] == [f for f in findings(doctored) if f["level"] == "wrong"]


def test_store_whose_disk_is_not_mounted_has_one_fix_everywhere(doctored: Doctored) -> None:
    doctored.write("/etc/fstab", f"LABEL=v {FOLDER} ext4 nofail 0 2\n")
    doctored.run("sh", "-c", f"rm {STORE}*")
    (found,) = (f for f in findings(doctored) if f["check"] == "store")
    assert f"{STORE}: there is no store, and {FOLDER} is not mounted" == found["problem"]
    fix = f"run: mount {FOLDER}; if it is no longer in use, remove it from /etc/fstab"
    assert fix == found["fix"]
    for command in (("init",), ("enable", "su"), ("list",)):
        done = doctored.run("totpctl", *command, check=False)
        assert fix in done.stdout + done.stderr, done
    doctored.run("sh", "-c", f"rm -r {FOLDER}")
    assert fix in {f["fix"] for f in findings(doctored)}


def test_init_says_how_much_room_logins_lack_and_that_is_enough(doctored: Doctored) -> None:
    doctored.run("sh", "-ec", NO_LOG_AND_LITTLE_ROOM)
    done = doctored.run("totpctl", "init")
    assert "/store.db has 0 of 5" in done.stderr
    make_room(doctored, done.stderr, but=1000)
    done = doctored.run("totpctl", "init")
    assert "in order" not in done.stderr
    assert "disk" in {found["check"] for found in findings(doctored)}
    make_room(doctored, done.stderr)
    assert "key and store are OK" in doctored.run("totpctl", "init").stderr
    assert {"disk", "store-room"}.isdisjoint(found["check"] for found in findings(doctored))


def make_room(machine: Doctored, said: str, but: int = 0) -> None:
    """Free as many KiB as init ``said`` have to be free on the disk, ``but`` some."""
    (named,) = re.findall(r"; (\d+) KiB must be free", said)
    left = f"$(df --output=avail -k {FOLDER} | tail -1)"
    more = f"truncate -s -$(({named} - {but} - {left}))K {FOLDER}/filling"
    machine.run("sh", "-ec", more)


READER = """
import sqlite3, time
reader = sqlite3.connect("%s", isolation_level=None)
reader.execute("BEGIN")
reader.execute("SELECT * FROM meta").fetchall()
open("/tmp/reads", "w").close()
time.sleep(600)
"""
GROW = (
    "PRAGMA wal_autocheckpoint = 0; CREATE TABLE more (content); "
    "INSERT INTO more VALUES (zeroblob(20000)); DROP TABLE more"
)


def test_room_that_another_process_keeps_from_the_store_is_a_note(doctored: Doctored) -> None:
    """Whoever reads keeps the end of the store in its log, where no pages can be added to it."""
    grow = our_python(f"import sqlite3; sqlite3.connect('{STORE}').executescript('{GROW}')")
    read = f"{our_python(READER % STORE)} </dev/null >/dev/null 2>&1 &"
    script = f"{SQL} VACUUM; {read} until test -e /tmp/reads; do sleep 0.01; done; {grow}"
    doctored.run("sh", "-ec", script)
    found = {f["check"]: f for f in findings(doctored)}
    assert "note" == found["store-room"]["level"]
    assert "free pages, though the disk has room" in found["store-room"]["problem"]
    assert "find /proc" in found["store-room"]["fix"]
    assert "disk" not in found


def test_nobody_listens_to_a_socket_that_is_gone(doctored: Doctored) -> None:
    assert_found(doctored, "", f"{WORKER} rm {SOCKET}", "")


def test_deadline_that_is_over_skips_nobody(doctored: Doctored) -> None:
    over = f"printf 'unenrolled = skip\\nunenrolled_until = 2020-01-31\\n' >>{CONFIG}"
    assert_found(doctored, "", over, "")
