"""The dead man's switch: what nobody confirms is put back, whatever became of totpctl."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Prepared
from tests.support import enabling
from tests.support.enabling import DROP_IN, RECORD, snapshot, totpctl, wait_until
from tests.support.logs import fields
from tests.support.machine import Account, Machine

pytestmark = pytest.mark.root

SHORT = ("--confirm-within", "10s")
BOTH = ("enable", "sshd", "sudo")
PAM_SUDO = "/etc/pam.d/sudo"
FOLDERS = ("/etc/pam.d", "/etc/ssh/sshd_config.d", "/var/lib/pam_totp", "/etc/cron.d")
FAILING_SSHD = """\
#!/bin/sh
case "$*" in *-t*) if {condition}; then echo "no, says sshd" >&2; exit 255; fi ;; esac
exec /usr/sbin/sshd.real "$@"
"""


@pytest.fixture
def machine(prepared: Prepared) -> Iterator[Machine]:
    with enabling.before_enable(prepared.files) as started:
        yield started


def let_time_pass(machine: Machine) -> None:
    """Let enable have been an hour ago."""
    record = json.loads(machine.read(RECORD))
    record["started_boottime"] -= 3600
    machine.write(RECORD, json.dumps(record), mode=0o600)


def enable_with_signal(
    machine: Machine, name: str, path: str, *options: str
) -> subprocess.CompletedProcess[str]:
    """Enable both, with a signal at the moment when ``path`` is to be put in place."""
    folder, _, file = path.rpartition("/")
    inject = (
        "-etrace=rename",
        f"-P{folder}/.pam_totp-new.{file}",
        f"-einject=rename:signal={name}",
    )
    command = ("strace", "-o/dev/null", *inject, "totpctl", *BOTH, *options)
    return machine.run(*command, check=False, timeout=60)


def is_back(machine: Machine, before: str) -> bool:
    return not enabling.exists(machine, RECORD) and before == snapshot(machine)


def test_without_a_confirmation_everything_is_put_back(machine: Machine, alice: Account) -> None:
    before = snapshot(machine)
    assert 0 == totpctl(machine, *BOTH, *SHORT).returncode
    assert before != snapshot(machine)
    wait_until(lambda: is_back(machine, before), "all is as it was")
    assert "welcome alice" in enabling.ssh_with_password(machine, alice)
    said = fields(machine.log.wait_for("event=reverted", "service=sudo"))
    assert "not confirmed in time" == said["reason"]
    wait_until(lambda: [] == enabling.watchers(machine), "nobody watches any more")
    assert [] == enabling.left_over(machine)


def test_it_is_put_back_when_the_terminal_is_gone(machine: Machine, alice: Account) -> None:
    before = snapshot(machine)
    terminal = machine.spawn("sh", "-c", f"totpctl {' '.join((*BOTH, *SHORT))}; sleep 60")
    terminal.expect("undone in 10 s")
    terminal.close()
    assert before != snapshot(machine)
    wait_until(lambda: is_back(machine, before), "all is as it was")
    assert "welcome alice" in enabling.ssh_with_password(machine, alice)


@pytest.mark.parametrize("path", [enabling.CRON_FILE, "/etc/pam.d/sshd", PAM_SUDO, DROP_IN])
def test_it_is_put_back_when_enable_was_killed_on_the_way(machine: Machine, path: str) -> None:
    """Killed when the file is about to be put in place."""
    before = snapshot(machine)
    done = enable_with_signal(machine, "KILL", path, *SHORT)
    assert 0 != done.returncode
    assert enabling.exists(machine, RECORD)
    wait_until(lambda: is_back(machine, before), "all is as it was")


def test_cron_puts_it_back_where_the_process_that_waits_is_gone(machine: Machine) -> None:
    """The machine has started again: nothing but the files is left."""
    before = snapshot(machine)
    totpctl(machine, *BOTH)
    for process in enabling.watchers(machine):
        machine.run("kill", "-KILL", process)
    every_minute = machine.read(enabling.CRON_FILE).splitlines()[-1]
    when, command = every_minute.split(" root ")
    assert "* * * * *" == when
    machine.run("sh", "-c", command)
    assert before != snapshot(machine), "it is not due yet"
    record = json.loads(machine.read(RECORD))
    machine.write(RECORD, json.dumps({**record, "boot": "of another start"}), mode=0o600)
    machine.run("sh", "-c", command)
    assert before == snapshot(machine)


def test_a_due_trial_that_nobody_put_back_cannot_be_confirmed(machine: Machine) -> None:
    totpctl(machine, *BOTH)
    for process in enabling.watchers(machine):
        machine.run("kill", "-KILL", process)
    let_time_pass(machine)
    done = totpctl(machine, "confirm", "--yes")
    assert 1 == done.returncode
    assert "the time is over" in done.stderr


def test_revert_puts_back_at_once_and_says_so_where_nothing_waits(machine: Machine) -> None:
    before = snapshot(machine)
    totpctl(machine, *BOTH)
    done = totpctl(machine, "revert")
    assert (0, "") == (done.returncode, done.stdout)
    assert before == snapshot(machine)
    again = totpctl(machine, "revert")
    said = "nothing is waiting to be confirmed; nothing was changed\n"
    assert (0, "", said) == (again.returncode, again.stdout, again.stderr)
    again = totpctl(machine, "revert", "--if-due")
    assert (0, "", "") == (again.returncode, again.stdout, again.stderr)


@pytest.mark.parametrize(
    ("loss", "how"),
    [
        ("rm -rf /var/lib/pam_totp", "watched"),
        ("mount -t tmpfs none /var/lib/pam_totp", "cron"),
        (f"rm {RECORD}", "watched"),
        (f"rm -rf {RECORD} /var/lib/pam_totp", "by hand"),
    ],
)
def test_a_trial_of_which_something_was_lost_is_put_back(
    machine: Machine, alice: Account, loss: str, how: str
) -> None:
    """The store away, the record deleted, or both: the watcher stays, and revert works."""
    before = enabling.contents(snapshot(machine))
    totpctl(machine, *BOTH, *(SHORT if how == "watched" else ()))
    machine.run("sh", "-c", loss)
    if how == "by hand":
        assert "everything is as it was" in totpctl(machine, "revert").stderr
    elif how == "cron":
        for process in enabling.watchers(machine):
            machine.run("kill", "-KILL", process)
        if enabling.exists(machine, RECORD):
            let_time_pass(machine)
        assert 0 == totpctl(machine, "revert", "--if-due").returncode
    wait_until(lambda: before == enabling.contents(snapshot(machine)), "all is as it was")
    assert "welcome alice" in enabling.ssh_with_password(machine, alice)
    assert [] == enabling.originals(machine)


def test_a_confirmation_that_was_cut_off_is_no_lost_trial(machine: Machine) -> None:
    totpctl(machine, *BOTH)
    inject = ("-etrace=unlink", "-P/etc/pam.d/.pam_totp-before.sudo", "-einject=unlink:signal=KILL")
    machine.run("strace", "-o/dev/null", *inject, "totpctl", "confirm", "--yes", check=False)
    assert [] != enabling.originals(machine)
    said = totpctl(machine, "revert").stderr
    assert "nothing is waiting to be confirmed; nothing was changed\n" == said
    assert "pam_totp.so" in machine.read(PAM_SUDO)
    noted = json.loads(machine.read("/var/lib/pam_totp/enabled.json"))
    assert {"sshd": "code", "sudo": None} == noted
    assert [] == enabling.left_over(machine)


def test_where_sshd_was_removed_since_there_is_nobody_to_tell(machine: Machine) -> None:
    before = snapshot(machine)
    totpctl(machine, *BOTH)
    machine.run("mv", "/usr/sbin/sshd", "/usr/sbin/sshd.gone")
    done = totpctl(machine, "revert")
    assert 0 == done.returncode, done.stderr
    assert before == snapshot(machine)
    machine.run("mv", "/usr/sbin/sshd.gone", "/usr/sbin/sshd")
    totpctl(machine, *BOTH, "--no-confirm")
    machine.run("rm", "/usr/sbin/sshd")
    done = totpctl(machine, "disable", "sshd", "sudo")
    assert 0 == done.returncode, done.stderr
    assert enabling.contents(before) == enabling.contents(snapshot(machine))


def test_revert_takes_our_lines_out_of_what_was_edited_since(machine: Machine) -> None:
    totpctl(machine, *BOTH)
    for path in (PAM_SUDO, DROP_IN):
        machine.run("sh", "-c", f"echo '# edited' >> {path}")
    done = totpctl(machine, "revert")
    assert f"{PAM_SUDO} was edited since" in done.stderr
    assert machine.read(PAM_SUDO).endswith("# edited\n")
    assert "pam_totp" not in machine.read(PAM_SUDO)
    assert "# edited\n" == machine.read(DROP_IN)


@pytest.mark.parametrize(
    "damage",
    [
        f"echo nonsense > {RECORD}",
        f": > {RECORD}",
        f"chmod 0666 {RECORD}",
        f"sed -i 's|/etc/pam.d/sudo|/etc/shadow|' {RECORD}",
        f"sed -i 's|/etc/pam.d/sudo|/etc/pam.d/../shadow|' {RECORD}",
    ],
)
def test_with_a_damaged_record_revert_takes_our_lines_out_of_every_file(
    machine: Machine, alice: Account, damage: str
) -> None:
    shadow = machine.read("/etc/shadow")
    before = snapshot(machine)
    totpctl(machine, *BOTH)
    machine.run("sh", "-c", damage)
    assert 1 == totpctl(machine, "confirm", "--yes").returncode
    assert 0 == totpctl(machine, "revert", "--if-due").returncode
    assert enabling.contents(before) == enabling.contents(snapshot(machine))
    assert shadow == machine.read("/etc/shadow")
    assert [] == enabling.left_over(machine)
    assert "welcome alice" in enabling.ssh_with_password(machine, alice)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_in_the_middle_puts_everything_back_at_once(machine: Machine, sent: int) -> None:
    before = snapshot(machine)
    name = signal.Signals(sent).name.removeprefix("SIG")
    done = enable_with_signal(machine, name, PAM_SUDO)
    assert 1 == done.returncode
    assert "totpctl: error: interrupted; everything is as it was" in done.stderr
    assert before == snapshot(machine)


def test_an_sshd_that_dislikes_the_new_settings_has_everything_put_back(
    machine: Machine, alice: Account
) -> None:
    """A method that an earlier file forbids: fine until it is needed."""
    machine.write("/etc/ssh/sshd_config.d/00-a.conf", "PubkeyAuthentication no\n")
    before = snapshot(machine)
    done = totpctl(machine, *BOTH, "--keys", "password+code", "--force")
    assert 1 == done.returncode
    assert "sshd does not accept its configuration: " in done.stderr
    assert "; everything is as it was" in done.stderr
    assert before == snapshot(machine)
    assert "welcome alice" in enabling.ssh_with_password(machine, alice)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("00-a.conf", "PasswordAuthentication yes\n", "00-a.conf:1: PasswordAuthentication yes"),
        ("99-match.conf", "Match User alice\n    PasswordAuthentication yes\n", "99-match.conf:2"),
    ],
)
def test_settings_that_another_file_wins_have_everything_put_back(
    machine: Machine, alice: Account, file: str, text: str, said: str
) -> None:
    machine.write(f"/etc/ssh/sshd_config.d/{file}", text)
    before = snapshot(machine)
    done = totpctl(machine, *BOTH)
    assert 1 == done.returncode
    assert said in done.stderr
    assert before == snapshot(machine)
    assert "welcome alice" in enabling.ssh_with_password(machine, alice)


def test_a_revert_that_sshd_gets_in_the_way_of_is_tried_again(
    machine: Machine, alice: Account
) -> None:
    """Somebody broke sshd's configuration meanwhile: the files are back, sshd is not told yet."""
    before = snapshot(machine)
    totpctl(machine, *BOTH, *SHORT)
    machine.run("mv", "/usr/sbin/sshd", "/usr/sbin/sshd.real")
    machine.write("/usr/sbin/sshd", FAILING_SSHD.format(condition="true"), mode=0o755)
    failed = totpctl(machine, "revert")
    assert 1 == failed.returncode
    assert "no, says sshd" in failed.stderr
    assert enabling.exists(machine, RECORD)
    machine.run("mv", "/usr/sbin/sshd.real", "/usr/sbin/sshd")
    wait_until(lambda: is_back(machine, before), "all is as it was", 90)
    assert "welcome alice" in enabling.ssh_with_password(machine, alice)


@pytest.fixture
def small(machine: Machine) -> Machine:
    """A machine that has each folder of a trial on a small disk of its own."""
    for folder in FOLDERS:
        machine.run("sh", "-c", f"cp -a {folder} /tmp/kept")
        machine.run("mount", "-t", "tmpfs", "-o", "size=4m,mode=0755", "tmpfs", folder)
        machine.run("sh", "-c", f"cp -a /tmp/kept/. {folder}; rm -r /tmp/kept")
    return machine


def fill(machine: Machine) -> None:
    for folder in FOLDERS:
        machine.run("dd", "if=/dev/zero", f"of={folder}/zz-filling", "bs=1k", check=False)


def empty(machine: Machine) -> None:
    machine.run("rm", *(f"{folder}/zz-filling" for folder in FOLDERS))


def test_a_full_disk_keeps_enable_from_beginning(small: Machine, alice: Account) -> None:
    before = snapshot(small)
    fill(small)
    done = totpctl(small, *BOTH)
    assert done.returncode in (1, 5)
    assert "totpctl: error: " in done.stderr
    assert "welcome alice" in enabling.ssh_with_password(small, alice)
    empty(small)
    assert before == snapshot(small)


def test_revert_needs_no_room(small: Machine, alice: Account) -> None:
    before = snapshot(small)
    assert 0 == totpctl(small, *BOTH).returncode
    fill(small)
    assert 0 == totpctl(small, "revert").returncode
    assert "welcome alice" in enabling.ssh_with_password(small, alice)
    empty(small)
    assert before == snapshot(small)


def test_without_room_revert_keeps_edits_beside_the_file(small: Machine) -> None:
    before = snapshot(small)
    assert 0 == totpctl(small, "enable", "sudo").returncode
    small.run("sh", "-c", f"echo '# edited' >> {PAM_SUDO}")
    small.run("rm", "/etc/pam.d/.pam_totp-spare.sudo")
    fill(small)
    done = totpctl(small, "revert")
    assert 0 == done.returncode
    edited = "/etc/pam.d/.pam_totp-edited.sudo"
    assert f"later edits are in {edited}" in done.stderr
    assert small.read(edited).endswith("# edited\n")
    empty(small)
    small.run("rm", edited)
    assert before == snapshot(small)


def test_of_two_enables_at_once_one_is_refused(machine: Machine) -> None:
    before = snapshot(machine)
    both = "totpctl enable sudo & one=$!; totpctl enable sshd & two=$!; wait $one; a=$?; wait $two"
    done = machine.run("sh", "-c", f"{both}; echo $a $?", timeout=120)
    assert ["0", "1"] == sorted(done.stdout.split())
    assert "totpctl: error: another totpctl is changing these files" in done.stderr
    assert 0 == totpctl(machine, "revert").returncode
    assert before == snapshot(machine)


def test_a_totpctl_that_hangs_keeps_from_being_put_back_only_what_is_not_due(
    machine: Machine,
) -> None:
    before = snapshot(machine)
    assert 0 == totpctl(machine, *BOTH).returncode
    for process in enabling.watchers(machine):
        machine.run("kill", "-KILL", process)
    hang = "flock /run/pam_totp.change.lock sleep 1000"
    machine.run("sh", "-c", f"{hang} </dev/null >/dev/null 2>&1 & sleep 0.5")
    busy = totpctl(machine, "revert")
    assert 1 == busy.returncode
    assert "another totpctl is changing these files" in busy.stderr
    let_time_pass(machine)
    done = totpctl(machine, "revert", "--if-due")
    assert 0 == done.returncode
    assert "continuing without the lock" in done.stderr
    assert before == snapshot(machine)
