"""Which modules can be named a second factor: none of those that come with Linux-PAM."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pam_totp.system.config_values import PARSERS
from pam_totp.system.pam_modules import NO_SECOND_FACTORS


def modules_that_authenticate(package: str) -> list[str]:
    """Return those of ``package`` that an auth line may name."""
    listed = subprocess.run(
        ["dpkg", "--listfiles", package], capture_output=True, text=True, check=False
    )
    paths = [Path(line) for line in listed.stdout.splitlines() if line.endswith(".so")]
    return sorted(path.name for path in paths if b"pam_sm_authenticate\0" in path.read_bytes())


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="no Debian")
def test_no_module_of_linux_pam_itself_can_stand_in_the_place_of_a_code() -> None:
    found = modules_that_authenticate("libpam-modules")
    assert "pam_unix.so" in found
    assert [] == [name for name in found if name not in NO_SECOND_FACTORS]


def test_each_of_them_is_refused_as_a_value() -> None:
    for name in sorted(NO_SECOND_FACTORS):
        with pytest.raises(ValueError, match=f"remove {name}"):
            PARSERS["alternative"](f"pam_u2f.so {name}")
