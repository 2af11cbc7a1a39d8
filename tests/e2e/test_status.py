"""status: which services ask for a code, in the same judgement as doctor's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.doctor_machine import Doctored, findings
from tests.e2e.test_doctor_logins import BY_HAND, KEY_AND_CODE
from tests.support.place import ROOT

pytestmark = pytest.mark.root

# pam-auth-update keeps the file before as *.pam-old; the others have no auth line of their own.
PROFILE = """
totpctl disable sshd sudo
cp /etc/pam.d/common-auth /etc/pam.d/common-auth.pam-old
cp /etc/pam.d/common-auth /etc/pam.d/common-password.pam-old
echo 'auth required pam_totp.so' >>/etc/pam.d/common-auth
for name in common-auth.pam-old common-password.pam-old; do
    echo 'auth required pam_totp.so' >>/etc/pam.d/$name
done
for name in common-session newusers systemd-user; do
    echo 'session required pam_permit.so' >/etc/pam.d/$name
done
"""


def services(machine: Doctored, *names: str) -> dict[str, dict[str, Any]]:
    done = machine.run("totpctl", "status", *names, "--json", check=False)
    return {entry["service"]: entry for entry in json.loads(done.stdout)["services"]}


def test_files_that_authenticate_nobody_are_left_out(doctored: Doctored) -> None:
    doctored.run("sh", "-ec", PROFILE)
    found = services(doctored)
    no_services = {"common-session", "newusers", "systemd-user", "common-auth"}
    assert set() == no_services & found.keys()
    assert [] == [name for name in found if name.endswith(".pam-old")]
    assert ("on", "on") == (found["sudo"]["state"], found["su"]["state"])


def test_sshd_without_pam_asks_for_no_code(doctored: Doctored) -> None:
    doctored.run("sh", "-c", "echo 'UsePAM no' >/etc/ssh/sshd_config.d/00-a.conf")
    assert ["sshd-settings"] == [f["check"] for f in findings(doctored) if f["level"] == "wrong"]
    sshd = services(doctored)["sshd"]
    assert "off" == sshd["state"]
    assert "UsePAM no is in force" in sshd["trouble"]
    done = doctored.run("totpctl", "status", "sshd", check=False)
    assert 6 == done.returncode
    assert "hint: see: totpctl doctor" in done.stderr


def test_a_key_that_is_enough_bypasses_the_code(doctored: Doctored) -> None:
    doctored.run("sh", "-ec", BY_HAND)
    assert "sshd-keys" in [finding["check"] for finding in findings(doctored)]
    sshd = services(doctored)["sshd"]
    assert ("bypassed", "skip") == (sshd["state"], sshd["keys"])


@pytest.mark.parametrize(
    ("example", "keys"),
    [
        ("key-or-password-and-code", "code"),
        ("key-and-code", "key+code"),
        ("password-and-code", "none"),
    ],
)
def test_what_keys_are_asked_for_is_told_by_both_files(
    doctored: Doctored, example: str, keys: str
) -> None:
    doctored.run("sh", "-ec", BY_HAND)
    pam = (ROOT / f"packaging/pam.d/sshd-{example}").read_text("utf-8")
    doctored.write("/etc/pam.d/sshd", pam)
    settings = (ROOT / f"packaging/sshd_config.d/{example}.conf").read_text("utf-8")
    doctored.write("/etc/ssh/sshd_config", settings)
    sshd = services(doctored)["sshd"]
    assert ("on", keys, None) == (sshd["state"], sshd["keys"], sshd["trouble"])


def test_key_and_code_with_one_line_is_on(doctored: Doctored) -> None:
    doctored.run("sh", "-ec", KEY_AND_CODE)
    sshd = services(doctored)["sshd"]
    assert ("on", "key+code", None) == (sshd["state"], sshd["keys"], sshd["trouble"])


@pytest.mark.parametrize("keys", ["code", "key+code", "password+code", "none", "skip"])
def test_keys_are_what_enable_was_told(doctored: Doctored, keys: str) -> None:
    doctored.run("totpctl", "enable", "sshd", "--keys", keys, "--no-confirm", "--force")
    assert ("on", keys) == tuple(services(doctored)["sshd"][name] for name in ("state", "keys"))


def test_a_jump_beyond_the_end_is_told(doctored: Doctored) -> None:
    jump = "echo 'auth [success=1 default=ignore] pam_access.so' >>/etc/pam.d/sudo"
    doctored.run("sh", "-c", jump)
    assert "jump" in services(doctored)["sudo"]["trouble"]
    done = doctored.run("totpctl", "enable", "sudo", "--no-confirm", check=False)
    assert 1 == done.returncode
    assert "jump past the last line" in done.stderr
