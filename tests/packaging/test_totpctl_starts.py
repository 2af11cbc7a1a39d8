"""The program totpctl, where what it is made of is not all there; no root."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.packaging.debian_package import run
from tests.support.place import ROOT


@pytest.mark.parametrize("line", ["import nonesuch", "from sys import nonesuch"])
def test_python_that_is_not_all_there_is_told_with_the_mend(tmp_path: Path, line: str) -> None:
    """As between two releases of Debian, or after a package was removed by force."""
    program = tmp_path / "sbin/totpctl"
    module = tmp_path / "lib/pam_totp/admin_cli/__main__.py"
    for path in (program, module):
        path.parent.mkdir(parents=True)
    shutil.copy(ROOT / "packaging/totpctl", program)
    module.write_text(f"{line}\n", encoding="utf-8")
    asked = run(sys.executable, "-I", program, "doctor", "--quiet")
    assert (6, "") == (asked.returncode, asked.stdout)
    done = run(sys.executable, "-I", program, "disable", "sudo")
    assert (1, "") == (done.returncode, done.stdout)
    first, *hints = done.stderr.splitlines()
    assert first.startswith("totpctl: error: ")
    assert "nonesuch" in first
    assert all(hint.startswith("hint: ") for hint in hints)
    assert "hint: on Debian: dpkg --configure -a; apt-get --fix-broken install" in hints
    (page,) = re.findall("/usr/share/doc/pam_totp/(.*)", done.stderr)
    assert "### When totpctl does not work" in (ROOT / page).read_text(encoding="utf-8")
