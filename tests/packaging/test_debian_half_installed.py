"""What dpkg had unpacked and not configured, it removes without prerm; postrm says so; no root."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.packaging.debian_package import Scripts

PASSWORD = "@include common-auth\n"
BY_ENABLE = f"""\
# BEGIN pam_totp
#replaced: {PASSWORD}auth required pam_totp.so
# END pam_totp
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)


def test_logins_that_are_denied_from_now_on_are_named(scripts: Scripts) -> None:
    scripts.pam_file("sudo", BY_ENABLE)
    by_hand = scripts.pam_file("own", "auth required pam_totp.so\n")
    scripts.pam_file("other", "# auth required pam_totp.so\n")
    elsewhere = scripts.pam_file("../../elsewhere", "auth required pam_totp.so\n").resolve()
    scripts.pam_file("includes", f"@include {elsewhere}\n")
    scripts.pam_file(".own.swp", "auth required pam_totp.so\n")
    done = scripts.run("postrm", "remove")
    assert 1 == done.returncode
    expected = sorted(map(str, (by_hand, by_hand.parent / "sudo", elsewhere)))
    assert f"still in use by: {' '.join(expected)} \n" in done.stderr


def test_commands_that_it_names_put_the_password_back(scripts: Scripts) -> None:
    paths = [scripts.pam_file(name, BY_ENABLE) for name in ("sshd", "sudo")]
    done = scripts.run("postrm", "remove")
    (command,) = re.findall("^hint: (sed .*)", done.stderr, re.M)
    subprocess.run(["sh", "-c", command], check=True)
    assert [PASSWORD, PASSWORD] == [path.read_text("utf-8") for path in paths]
    assert 0 == scripts.run("postrm", "remove").returncode


def test_profile_is_taken_out_the_standard_way(scripts: Scripts) -> None:
    path = scripts.pam_file("common-auth", "auth required pam_totp.so\n")
    scripts.program("pam-auth-update", f'echo "$@" >>{scripts.said}; : >{path}')
    assert 0 == scripts.run("postrm", "remove").returncode
    assert ["--package --remove totp"] == scripts.calls()


@pytest.mark.parametrize("action", ["purge", "upgrade", "abort-install", "failed-upgrade"])
def test_nothing_else_is_stopped_by_it(scripts: Scripts, action: str) -> None:
    """Only a removal takes the module away; purge comes behind it."""
    scripts.pam_file("sudo", BY_ENABLE)
    assert 0 == scripts.run("postrm", action).returncode
    assert [] == scripts.calls()
