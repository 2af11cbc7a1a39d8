"""What %pre of the RPM asks of the store, where the configuration names another than the usual.

Its program is taken from the spec; the library that is installed is this tree's.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from pam_totp.store.sqlite import schema
from tests.support.place import ROOT

SPEC = ROOT / "packaging" / "rpm" / "pam_totp.spec"


def program(root: Path) -> str:
    """%pre's Python, for files below ``root``."""
    spec = SPEC.read_text("utf-8")
    (text,) = re.findall(r"<<'CHECK' \|\| exit 1\n(.*?)\nCHECK\n", spec, re.DOTALL)
    macros = {
        "name": "pam_totp",
        "version": "1",
        "_prefix": f"{root}/usr",
        "_localstatedir": f"{root}/var",
        "store_schema": str(len(schema.MIGRATIONS)),
    }
    return re.sub(r"%\{(\w+)\}", lambda macro: macros[macro[1]], text)


def install(root: Path) -> Path:
    """Put the library below ``root``, with its configuration there too; return the latter."""
    library = root / "usr/lib/pam_totp/pam_totp"
    shutil.copytree(ROOT / "pam_totp", library, ignore=shutil.ignore_patterns("__pycache__"))
    config, module = root / "pam_totp.conf", library / "system/config.py"
    default = '"/etc/security/pam_totp.conf"'
    text = module.read_text("utf-8")
    assert default in text
    module.write_text(text.replace(default, f'"{config}"'), "utf-8")
    return config


@pytest.mark.parametrize("scheme", ["", "sqlite:"])
@pytest.mark.parametrize("newer", [0, 1])
def test_the_store_that_is_looked_at_is_the_one_of_the_configuration(
    tmp_path: Path, newer: int, scheme: str
) -> None:
    path = tmp_path / "elsewhere.db"
    store = sqlite3.connect(path)
    store.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + newer}")
    store.close()
    install(tmp_path).write_text(f"store = {scheme}{path}\n", "utf-8")
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-"],
        input=program(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert newer == done.returncode, done.stderr
    assert bool(newer) == (f"the store {path} is of a newer release" in done.stderr)
