"""doctor on a machine where all is well, and what it does with what it finds."""

from __future__ import annotations

import json
import re

import pytest

from admin_cli.doctor.examination import CHECKS
from tests.e2e import test_doctor_logins, test_doctor_machine
from tests.e2e.doctor_machine import ALWAYS, SHIM, doctor, findings
from tests.support.logs import fields
from tests.support.machine import Machine

pytestmark = pytest.mark.root

NOT_IN_A_TABLE = {
    *("clock", "clock-of-host", "clock-hardware", *ALWAYS),
    *("directory", "slow-directory"),  # test_directory_hangs, tests/unit/test_directory.py
    "undo-unfinished",  # of a trial that sshd's settings keep from its end: test_half_undone
    "not-noted",  # of a confirmation that was cut off: test_what_is_lost
    "store-room",  # of another process: test_doctor_machine
    *("key-only", "sshd-key-only"),  # tests/e2e/test_key_only.py
    "doctor-timer",  # of systemd: tests/booted/test_doctor_units.py
    "local-administrators",  # of a fleet: test_fleet_enable
    # Of a fleet: tests/cli/test_fleet_doctor.py
    *("fleet-certificate", "fleet-certificate-ends", "fleet-clock", "fleet-clock-off"),
    "fleet-cache",
    *("renumbered", "made-again"),  # of a directory, of a disk that tells births: test_reused_names
}
NO_LINE = "printf '@include common-auth\\n' >/etc/pam.d/sudo"


def test_clean_machine_has_no_wrong_findings_and_nothing_is_printed_in_quiet(
    doctored: Machine,
) -> None:
    quiet = doctor(doctored, "--quiet")
    assert (0, "", "") == (quiet.returncode, quiet.stdout, quiet.stderr)
    done = doctor(doctored)
    assert (0, "nothing is wrong\n") == (done.returncode, done.stderr)
    assert "WRONG" not in done.stdout


def test_sshd_is_asked_each_question_once(doctored: Machine) -> None:
    assert ['["/usr/sbin/sshd", "-T"]'] == asked_of_sshd(doctored, "doctor", "--quiet")


def test_enable_asks_sshd_once_before_the_change_and_once_after_it(doctored: Machine) -> None:
    doctored.run("totpctl", "disable", "sshd", "sudo")
    asked = asked_of_sshd(doctored, "enable", "sshd", "sudo", "--no-confirm")
    assert ['["/usr/sbin/sshd", "-T"]'] * 2 == asked


def asked_of_sshd(machine: Machine, *arguments: str) -> list[str]:
    """Run totpctl; return the arguments of each sshd that it starts."""
    log = "/tmp/started"
    strace = ("strace", "-qfe", "execve", f"-ELD_PRELOAD={SHIM}", "-s4096", "-o", log)
    machine.run(*strace, "totpctl", *arguments)
    return re.findall(r'execve\("/usr/sbin/sshd", (\[.*?\])', machine.read(log))


def test_clean_machine_has_notes_of_what_asks_for_no_code(doctored: Machine) -> None:
    other, shared, service = findings(doctored)
    assert ("other-logins", "store-shared", "service-off") == (
        *(found["check"] for found in (other, shared, service)),
    )
    assert shared["problem"].endswith("/var/lib/pam_totp: they can write to /var/tmp")
    named = other["problem"].removeprefix("these ask for no code: ").split(", ")
    assert {"su", "login"} <= set(named)
    assert not {"sshd", "sudo", "sudo-i", "cron", "passwd"} & set(named)
    assert "no worker is listening" == service["problem"]


def test_machine_where_nothing_was_enabled_has_no_wrong_findings(machine: Machine) -> None:
    done = machine.run("totpctl", "doctor", "--json", env={"LD_PRELOAD": ""}, check=False)
    found = {f["check"]: f["level"] for f in json.loads(done.stdout)["findings"]}
    found.pop("clock", None)  # that of this machine
    assert {"nothing-enabled": "note", "store-shared": "note"} == found


def test_enable_is_proposed_after_what_it_would_refuse(doctored: Machine) -> None:
    """The command that it names is one that works."""
    doctored.run("totpctl", "disable", "sshd", "sudo")
    proposed, _ = findings(doctored)
    assert "run: totpctl enable sshd sudo" == proposed["fix"]
    doctored.run("totpctl", "remove", "alice", "--yes")
    proposed, _ = findings(doctored)
    assert "run: totpctl enroll alice; totpctl enable sshd sudo" == proposed["fix"]
    assert 6 == doctored.run("totpctl", "enable", "sshd", "sudo", check=False).returncode
    doctored.run("totpctl", "enroll", "alice", "--no-confirm", "--json")
    doctored.run("totpctl", "enable", "sshd", "sudo", "--no-confirm")


def test_every_check_is_tried_on_a_machine() -> None:
    cases = [*test_doctor_logins.CASES, *test_doctor_machine.CASES]
    tried = {name for names, _, _ in cases for name in names.split()}
    assert {check.name for check in CHECKS} == tried | NOT_IN_A_TABLE


def test_what_is_wrong_comes_first_in_three_lines(doctored: Machine) -> None:
    doctored.run("sh", "-c", NO_LINE)
    done = doctor(doctored)
    assert [
        "WRONG  /etc/pam.d/sudo: it has no pam_totp line [pam-missing]",
        "       why: it was enabled, but no longer asks for a code: an update? "
        "If it is intended: totpctl disable",
        "       fix: run: totpctl enable sudo",
    ] == done.stdout.splitlines()[:3]
    assert (6, "totpctl: error: 1 thing is wrong\n") == (done.returncode, done.stderr)
    assert 3 == len(doctor(doctored, "--quiet").stdout.splitlines())


def test_the_mend_of_a_lost_line_mends_it(doctored: Machine) -> None:
    doctored.run("sh", "-c", NO_LINE)
    doctored.run("totpctl", "enable", "sudo", "--no-confirm")
    assert 0 == doctor(doctored, "--quiet").returncode


def test_the_mend_of_somebody_elses_line_names_its_file(doctored: Machine) -> None:
    doctored.run("sed", "-i", "1i auth sufficient pam_exec.so /bin/true", "/etc/pam.d/sudo")
    shown = doctor(doctored).stdout
    fix = "take that line out of /etc/pam.d/sudo; then run: totpctl enable sudo"
    assert f"fix: {fix}\n" in shown
    doctored.run("sed", "-i", "1d", "/etc/pam.d/sudo")
    assert "already on" in doctored.run("totpctl", "enable", "sudo").stderr
    assert 0 == doctor(doctored, "--quiet").returncode


def test_what_is_wrong_is_logged_as_a_warning_and_notes_are_not(doctored: Machine) -> None:
    doctored.run("sh", "-c", NO_LINE)
    doctor(doctored, "--log")
    lines = [line for line in doctored.log.lines() if "event=finding" in line]
    (line,) = lines
    assert line.startswith("<84>")  # authpriv.warning
    logged = fields(line)
    assert ("finding", "pam-missing") == (logged["event"], logged["check"])
    assert "/etc/pam.d/sudo: it has no pam_totp line" == logged["reason"]
    assert "run: totpctl enable sudo" == logged["hint"]


def test_nothing_is_logged_unless_asked_for(doctored: Machine) -> None:
    doctored.run("sh", "-c", NO_LINE)
    doctor(doctored)
    assert "event=finding" not in doctored.log.text()


def test_doctor_changes_no_file(doctored: Machine) -> None:
    look = (
        "find /etc /var/lib/pam_totp -type f ! -name '*-shm' ! -name '*-wal' -exec sha256sum {} +"
    )
    before = doctored.run("sh", "-c", look).stdout
    doctor(doctored, "--log")
    assert before == doctored.run("sh", "-c", look).stdout


def test_doctor_and_status_are_for_root(doctored: Machine) -> None:
    for command in ("doctor", "status"):
        done = doctored.run("totpctl", command, user="alice", check=False)
        assert (4, "") == (done.returncode, done.stdout)


# status


def status(machine: Machine, *arguments: str) -> dict[str, dict[str, object]]:
    shown = machine.run("totpctl", "status", "--json", *arguments, check=False).stdout
    return {entry["service"]: entry for entry in json.loads(shown)["services"]}


def test_status_of_services_that_were_enabled(doctored: Machine) -> None:
    on = {"state": "on", "managed": True, "modules": ["pam_totp.so"], "keys": None}
    on |= {"unconfirmed_seconds": None, "trouble": None, "one_prompt": False}
    assert {
        "sshd": {**on, "service": "sshd", "keys": "code"},
        "sudo": {**on, "service": "sudo"},
        "sudo-i": {**on, "service": "sudo-i"},
    } == status(doctored)


def test_status_tells_off_bypassed_and_unclear(doctored: Machine) -> None:
    doctored.run("sh", "-c", NO_LINE)
    doctored.run("sed", "-i", "1i auth sufficient pam_unix.so", "/etc/pam.d/sudo-i")
    doctored.run("sed", "-i", "1i auth oops pam_unix.so", "/etc/pam.d/sshd")
    shown = status(doctored)
    assert ["unclear", "off", "bypassed"] == [shown[s]["state"] for s in ("sshd", "sudo", "sudo-i")]
    assert "was enabled" == shown["sudo"]["trouble"]
    for name in ("sshd", "sudo", "sudo-i", "su"):
        done = doctored.run("totpctl", "status", name, check=False)
        hint = "run: totpctl enable su" if name == "su" else "see: totpctl doctor"
        assert (6, f"totpctl: error: not on: {name}\nhint: {hint}\n") == (
            done.returncode,
            done.stderr,
        )


def test_status_of_a_service_that_is_not_there(doctored: Machine) -> None:
    done = doctored.run("totpctl", "status", "sduo", check=False)
    assert (1, "", "totpctl: error: there is no PAM service sduo; did you mean sudo?") == (
        done.returncode,
        done.stdout,
        done.stderr.splitlines()[0],
    )


def test_status_leaves_out_copies_of_a_service(doctored: Machine) -> None:
    for suffix in (".bak", ".orig", ".dpkg-old", "~"):
        doctored.run("cp", "/etc/pam.d/sshd", f"/etc/pam.d/sshd{suffix}")
    assert ["sshd", "sudo", "sudo-i"] == [*status(doctored)]


def test_status_says_which_deadlines_are_over(doctored: Machine) -> None:
    doctored.run("totpctl", "exempt", "--group", "staff", "--until", "2999-01-31")
    lines = "unenrolled = skip\nunenrolled_until = 2020-01-31\n"
    doctored.run("tee", "-a", "/etc/security/pam_totp.conf", typed=lines)
    shown = doctored.run("totpctl", "status").stdout
    assert "unenrolled = skip, until 2020-01-31 (over)\n" in shown
    assert "group staff: exempt, until 2999-01-31\n" in shown


def test_status_of_a_line_that_was_written_by_hand(doctored: Machine) -> None:
    doctored.write("/etc/pam.d/su", "@include common-auth\nauth required pam_totp.so\n")
    su = status(doctored)["su"]
    assert ("on", False) == (su["state"], su["managed"])
    assert "su       on    by hand    pam_totp.so" in doctored.run("totpctl", "status").stdout


def test_status_of_a_service_that_includes_an_enabled_one(doctored: Machine) -> None:
    doctored.write("/etc/pam.d/su", "@include common-auth\n")
    doctored.write("/etc/pam.d/su-l", "auth include su\n")
    doctored.run("totpctl", "enable", "su", "--force", "--no-confirm")
    su_l = status(doctored)["su-l"]
    assert ("on", True) == (su_l["state"], su_l["managed"])


def test_status_of_what_waits_for_confirmation(doctored: Machine) -> None:
    doctored.run("totpctl", "disable", "sudo")
    doctored.run("totpctl", "enable", "sudo", "--confirm-within", "5m")
    left = status(doctored)["sudo"]["unconfirmed_seconds"]
    assert isinstance(left, int)
    assert 0 < left <= 300
    assert " s unless confirmed" in doctored.run("totpctl", "status").stdout
    assert status(doctored)["sshd"]["unconfirmed_seconds"] is None


def test_status_of_keys_is_what_is_in_force(doctored: Machine) -> None:
    doctored.write("/etc/ssh/sshd_config.d/00-a.conf", "AuthenticationMethods any\n")
    assert "skip" == status(doctored)["sshd"]["keys"]
    assert "no code" in doctored.run("totpctl", "status").stdout


def test_status_counts_people(doctored: Machine) -> None:
    for name in ("bob", "carol", "dave", "erin"):
        doctored.add_user(name, "secret")
    for name in ("bob", "carol"):
        doctored.run("totpctl", "enroll", name, "--no-confirm", "--json")
    doctored.run("totpctl", "suspend", "bob")
    doctored.run("totpctl", "exempt", "carol")
    doctored.run("totpctl", "require", "dave")
    shown = json.loads(doctored.run("totpctl", "status", "--json").stdout)["people"]
    assert 3 == shown["enrolled"]
    assert {"dave", "erin"} <= set(shown["unenrolled"])
    assert not {"alice", "bob", "carol"} & set(shown["unenrolled"])
    del shown["enrolled"], shown["unenrolled"]
    assert {
        "exempt": ["carol"],
        "suspended": ["bob"],
        "locked": [],
        "must_enroll": ["dave"],
    } == shown


def test_status_without_a_store_shows_the_services(doctored: Machine) -> None:
    doctored.run("sh", "-c", "rm /var/lib/pam_totp/store.db*")
    done = doctored.run("totpctl", "status", env={"LD_PRELOAD": SHIM})
    assert "sudo     on" in done.stdout
    assert "totpctl: warning: the store, its key or the configuration is not usable" in done.stderr
