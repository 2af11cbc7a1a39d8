"""What disable cannot finish keeps nobody out who has a key, and the next run finishes it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Prepared
from tests.support import enabling, thorough
from tests.support.enabling import totpctl
from tests.support.machine import Account, Machine

pytestmark = pytest.mark.root

SERVER_CONFIG = "/etc/ssh/machine_config"  # of the sshd that runs
STATE = "/var/lib/pam_totp"


@pytest.fixture
def machine(prepared: Prepared) -> Iterator[Machine]:
    with enabling.before_enable(prepared.files) as started:
        yield started


@pytest.fixture
def key(machine: Machine, alice: Account) -> str:
    return f"-i{machine.give_key(alice.name)}"


def is_let_in_by(machine: Machine, key: str) -> bool:
    """Tell whether the key alone is enough, as before enable."""
    client = machine.ssh("alice", key, "-oNumberOfPasswordPrompts=0")
    return "welcome alice" in client.rest()


def test_store_that_takes_nothing_keeps_nobody_out(machine: Machine, key: str) -> None:
    assert 0 == totpctl(machine, "enable", "sshd", "--no-confirm").returncode
    assert not is_let_in_by(machine, key)
    machine.run("mount", "--bind", STATE, STATE)
    machine.run("mount", "-o", "remount,bind,ro", STATE)
    done = totpctl(machine, "disable", "sshd")
    assert (1, True) == (done.returncode, "Read-only file system" in done.stderr)
    assert is_let_in_by(machine, key)
    machine.run("umount", STATE)
    assert 0 == totpctl(machine, "disable", "sshd").returncode
    assert "{}" == machine.read(f"{STATE}/enabled.json").strip()


@pytest.mark.parametrize("how", ["--no-confirm", "--confirm-within=1h"])
def test_sshd_that_could_not_be_told_is_told_by_the_next_run(
    machine: Machine, alice: Account, key: str, how: str
) -> None:
    assert 0 == totpctl(machine, "enable", "sshd", how).returncode
    machine.run("sh", "-c", f"echo Bogus yes >>{SERVER_CONFIG}")
    for _ in range(2):
        done = totpctl(machine, "disable", "sshd")
        assert (1, True) == (done.returncode, "Bogus" in done.stderr)
        # By its settings of before, sshd still sends key logins on to PAM.
        machine.ssh("alice", key, "-oNumberOfPasswordPrompts=1").expect("welcome alice")
        assert "welcome alice" in enabling.ssh_with_password(machine, alice)
    machine.run("sed", "-i", "/Bogus/d", SERVER_CONFIG)
    assert 0 == totpctl(machine, "disable", "sshd").returncode
    assert is_let_in_by(machine, key)
    assert "pam_totp" not in machine.read("/etc/pam.d/sshd")
    assert [] == enabling.left_over(machine)


PAM_SSHD = "/etc/pam.d/sshd"
OF_SSHD = (PAM_SSHD, "/etc/pam.d/.pam_totp-new.sshd", enabling.DROP_IN)


def assert_no_gap(machine: Machine, said: str, words: object) -> None:
    """Where the PAM file asks for a code, sshd's settings send keys to it; and what is said holds.

    By the files, as a restarted sshd reads them.
    """
    pam_asks = "required pam_totp.so" in machine.read(PAM_SSHD)
    sshd_asks = machine.run("sshd", "-T", "-f", SERVER_CONFIG).stdout
    keys_ask = "authenticationmethods publickey,keyboard-interactive" in sshd_asks
    assert not pam_asks or keys_ask, words
    told = [line for line in said.splitlines() if "a code is asked for in" in line]
    if any("sshd" in line for line in told):
        assert (True, True) == (pam_asks, keys_ask), (words, said)


@pytest.mark.parametrize("which", ["/etc/pam.d", PAM_SSHD])
def test_pam_file_that_cannot_be_replaced_leaves_the_code_for_keys_too(
    machine: Machine, alice: Account, key: str, which: str
) -> None:
    assert alice
    assert 0 == totpctl(machine, "enable", "sshd", "--no-confirm").returncode
    machine.run("mount", "--bind", which, which)
    if which != PAM_SSHD:  # to be renamed over, a file that is mounted is busy anyway
        machine.run("mount", "-o", "remount,bind,ro", which)
    done = totpctl(machine, "disable", "sshd")
    assert 1 == done.returncode
    assert_no_gap(machine, done.stderr, which)
    assert "a code is asked for in sshd" in done.stderr
    machine.run("pkill", "-HUP", "-o", "sshd")
    assert not is_let_in_by(machine, key)
    machine.run("umount", which)
    assert 0 == totpctl(machine, "disable", "sshd").returncode
    assert is_let_in_by(machine, key)


@pytest.mark.parametrize(
    ("end", "fault"),
    thorough.some([*itertools.product(["disable", "revert"], ["error=EROFS", "signal=KILL"])], 3),
)
def test_no_step_that_fails_leaves_keys_in_beside_a_pam_file_that_asks(
    machine: Machine, end: str, fault: str
) -> None:
    how = ("--no-confirm",) if end == "disable" else ()
    words = ("disable", "sshd") if end == "disable" else ("revert",)
    for step in range(1, 40):
        assert 0 == totpctl(machine, "enable", "sshd", *how).returncode
        strace = ("strace", "-o/dev/null", *(f"-P{path}" for path in OF_SSHD))
        inject = f"-einject=rename,unlink:{fault}:when={step}+"
        done = machine.run(*strace, inject, "totpctl", *words, check=False, timeout=60)
        assert_no_gap(machine, done.stderr, (step, done))
        again = totpctl(machine, *words)
        assert 0 == again.returncode, (step, again.stderr)
        assert "pam_totp" not in machine.read(PAM_SSHD)
        assert not enabling.exists(machine, enabling.DROP_IN)
        if done.returncode == 0:
            return
    raise AssertionError("it never ended well")


def test_status_and_the_last_words_say_alike_that_keys_get_in(machine: Machine) -> None:
    assert 0 == totpctl(machine, "enable", "sshd", "--no-confirm").returncode
    machine.run("rm", enabling.DROP_IN)
    assert "bypassed" in totpctl(machine, "status", "sshd").stdout
    said = totpctl(machine, "confirm").stderr  # which fails: nothing waits
    assert "a code is asked for in sshd" not in said
    assert "now: sshd may let people in without a code: " in said


def assert_keys_need_a_code_again(machine: Machine, key: str, words: object) -> None:
    """A revert gave back what was there before the trial: keys with a code."""
    settings = machine.run("sshd", "-T", "-f", SERVER_CONFIG).stdout
    assert "authenticationmethods publickey,keyboard-interactive" in settings, words
    assert "required pam_totp.so" in machine.read(PAM_SSHD), words
    assert not is_let_in_by(machine, key), words
    assert [] == enabling.left_over(machine), words


@pytest.mark.parametrize("keys", ["password+code", "skip"])
def test_revert_after_a_disable_that_sshd_could_not_hear_of_asks_keys_for_a_code_again(
    machine: Machine, key: str, keys: str
) -> None:
    assert 0 == totpctl(machine, "enable", "sshd", "--keys=code", "--no-confirm").returncode
    assert 0 == totpctl(machine, "enable", "sshd", f"--keys={keys}").returncode
    machine.run("sh", "-c", f"echo Bogus yes >>{SERVER_CONFIG}")
    done = totpctl(machine, "disable", "sshd")
    assert 1 == done.returncode
    assert "still to be finished; run: totpctl disable sshd" in done.stderr
    assert "run: totpctl disable sshd" in totpctl(machine, "doctor").stdout
    machine.run("sed", "-i", "/Bogus/d", SERVER_CONFIG)
    reverted = totpctl(machine, "revert")
    assert 0 == reverted.returncode, reverted.stderr
    assert_keys_need_a_code_again(machine, key, reverted.stderr)
    assert 0 == totpctl(machine, "disable", "sshd").returncode
    assert is_let_in_by(machine, key)


@pytest.mark.parametrize(
    "at",
    [
        ("unlink", "/etc/pam.d/.pam_totp-before.sshd", 1),
        ("rename", "/etc/pam.d/.pam_totp-new.sshd", 2),
    ],
)
def test_revert_after_a_disable_that_was_killed_is_whole(
    machine: Machine, key: str, at: tuple[str, str, int]
) -> None:
    call, path, number = at
    assert 0 == totpctl(machine, "enable", "sshd", "--keys=code", "--no-confirm").returncode
    assert 0 == totpctl(machine, "enable", "sshd", "--keys=password+code").returncode
    inject = f"-einject={call}:signal=KILL:when={number}"
    command = ("strace", "-o/dev/null", f"-P{path}", inject, "totpctl", "disable", "sshd")
    assert 0 != machine.run(*command, check=False, timeout=60).returncode
    reverted = totpctl(machine, "revert")
    assert 0 == reverted.returncode, reverted.stderr
    if enabling.exists(machine, enabling.DROP_IN):
        assert_keys_need_a_code_again(machine, key, reverted.stderr)
    else:  # disable had nothing left to do but to tidy up
        assert "everything is as it was" not in reverted.stderr
        assert "pam_totp" not in machine.read(PAM_SSHD)


def test_revert_writes_the_drop_in_that_is_lost_with_its_original(
    machine: Machine, key: str
) -> None:
    assert 0 == totpctl(machine, "enable", "sshd", "--keys=code", "--no-confirm").returncode
    assert 0 == totpctl(machine, "enable", "sshd", "--keys=password+code").returncode
    folder, _, name = enabling.DROP_IN.rpartition("/")
    machine.run("rm", enabling.DROP_IN, f"{folder}/.pam_totp-before.{name}")
    reverted = totpctl(machine, "revert")
    assert (0, True) == (reverted.returncode, "it was written again" in reverted.stderr)
    assert_keys_need_a_code_again(machine, key, reverted.stderr)


@pytest.mark.parametrize("error", ["EIO", "EACCES", "EBUSY", "ENOMEM", "EMFILE"])
def test_undo_that_cannot_write_puts_the_originals_back_all_the_same(
    machine: Machine, error: str
) -> None:
    before = enabling.snapshot(machine)
    assert 0 == totpctl(machine, "enable", "sshd").returncode
    inject = f"-einject=openat:error={error}"
    strace = ("strace", "-o/dev/null", "-P/etc/pam.d/.pam_totp-new.sshd", inject)
    done = machine.run(*strace, "totpctl", "revert", check=False, timeout=60)
    assert 0 == done.returncode, done.stderr
    assert before == enabling.snapshot(machine)


def test_undo_puts_sshds_settings_back_where_its_pam_file_cannot_be(
    machine: Machine, key: str
) -> None:
    assert 0 == totpctl(machine, "enable", "sshd").returncode
    machine.run("mount", "--bind", PAM_SSHD, PAM_SSHD)
    for _ in range(2):
        done = totpctl(machine, "revert")
        assert (1, True) == (done.returncode, "key logins are not asked for a code" in done.stderr)
        assert "a code is asked for in sshd" not in done.stderr
        assert not enabling.exists(machine, enabling.DROP_IN)
        assert is_let_in_by(machine, key)
    machine.run("umount", PAM_SSHD)
    assert 0 == totpctl(machine, "revert").returncode
    assert "pam_totp" not in machine.read(PAM_SSHD)
    assert [] == enabling.left_over(machine)


def test_undo_sends_keys_to_pam_again_where_the_pam_file_cannot_be_put_back(
    machine: Machine, key: str
) -> None:
    assert 0 == totpctl(machine, "enable", "sshd", "--keys=code", "--no-confirm").returncode
    assert 0 == totpctl(machine, "enable", "sshd", "--keys=skip").returncode
    assert is_let_in_by(machine, key)
    machine.run("mount", "--bind", PAM_SSHD, PAM_SSHD)
    done = totpctl(machine, "revert")
    assert (1, True) == (done.returncode, "not everything could be undone" in done.stderr)
    assert not is_let_in_by(machine, key)
    machine.run("umount", PAM_SSHD)
    done = totpctl(machine, "revert")
    assert 0 == done.returncode
    assert_keys_need_a_code_again(machine, key, done.stderr)
