"""One function knows how this machine was installed, and every hint goes by it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pam_totp.system import reinstalling
from pam_totp.system.reinstalling import missing_module_hint, reinstall_hint
from tests.support.place import ROOT

DAY = 86400  # seconds


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with dpkg, and a package that installed pam_totp."""
    monkeypatch.setattr(reinstalling, "DEBIAN_FILES", str(tmp_path))
    monkeypatch.setattr(reinstalling, "PACKAGE_FILES", str(tmp_path / "libpam-totp.list"))
    monkeypatch.setattr(reinstalling, "FROM_INSTALLER", str(tmp_path / "installed.deb"))
    (tmp_path / "libpam-totp.list").write_text("/.\n/usr/lib/pam_totp\n", encoding="utf-8")
    return tmp_path


def test_package_is_installed_again_as_a_package(debian: Path) -> None:
    hint = reinstall_hint()
    assert hint.startswith("run: apt-get install --reinstall libpam-totp; if apt cannot download")
    assert "./libpam-totp_VERSION_ARCH.deb" in hint
    assert "install.sh" not in hint


def test_what_install_sh_installed_is_taken_from_the_file_that_it_keeps(debian: Path) -> None:
    (debian / "installed.deb").touch()
    assert f"run: apt-get install --reinstall {debian}/installed.deb" == reinstall_hint()


def test_package_that_came_later_than_install_sh_is_not_replaced_by_the_older_one(
    debian: Path,
) -> None:
    package = debian / "installed.deb"
    package.touch()
    before = package.stat().st_mtime - 2 * DAY
    os.utime(package, (before, before))
    assert reinstall_hint().startswith("run: apt-get install --reinstall libpam-totp;")


def test_removed_package_and_make_install_are_no_package(debian: Path) -> None:
    (debian / "libpam-totp.list").write_text("/etc/security/pam_totp.conf\n", encoding="utf-8")
    expected = "in the folder with the source of pam_totp, run: ./install.sh"
    assert expected == reinstall_hint()
    (debian / "libpam-totp.list").unlink()
    assert expected == reinstall_hint()


def test_machine_with_rpm_uses_dnf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reinstalling, "DEBIAN_FILES", "/no/such/folder")
    monkeypatch.setattr(reinstalling, "RPM_PROGRAM", "/bin/sh")
    assert "run: dnf reinstall pam_totp" == reinstall_hint()
    monkeypatch.setattr(reinstalling, "RPM_PROGRAM", "/no/such/program")
    assert "in the folder with the source of pam_totp, run: make install" == reinstall_hint()
    assert "install the distribution's package of the Python module nacl" == missing_module_hint(
        "nacl.utils"
    )


def test_module_of_another_package_is_asked_of_that_package(debian: Path) -> None:
    assert "run: apt-get install --reinstall python3-nacl" == missing_module_hint("nacl.secret")
    assert reinstall_hint() == missing_module_hint("pam_totp.login.flow")
    assert "libpython3-stdlib" in missing_module_hint("sqlite3")


def test_every_module_that_a_package_brings_is_known() -> None:
    """packages that libpam-totp depends on, in packaging/debian/control"""
    control = (ROOT / "packaging/debian/control").read_text("utf-8")
    named = {*re.findall(r"python3-[a-z]+", control.split("Package: libpam-totp")[1])}
    assert {"python3-nacl", "python3-click", "python3-pyotp", "python3-segno"} <= named
    assert named - {*reinstalling._MODULES.values()} <= {"python3-pampy", "python3-six"}


def test_no_other_hint_names_an_installer() -> None:
    """Only this file does: what is said elsewhere was wrong on half of the machines."""
    for folder in ("pam_totp", "admin_cli"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name != "reinstalling.py":
                text = re.sub(r'"""(?s:.*?)"""|#.*', "", path.read_text("utf-8"))
                assert "install.sh" not in text, path
