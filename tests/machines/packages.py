"""The packages that the machines install: one built in each release, the others made of it.

They are kept beside the trees of the releases (tests/support/booted_base.py), under a digest of
the source, and go when the source has changed and a day has passed.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.support.booted import SOURCE
from tests.support.booted_base import kept, run_in
from tests.support.package import MODULES, changed
from tests.support.place import ROOT

KEPT_SECONDS = 24 * 3600.0
_NOT_SOURCE = {"build", "dist", "__pycache__"}


class Build(NamedTuple):
    """How a package is made: ``options`` of build_deb.sh, after ``edit`` has changed the source."""

    name: str
    options: str = "--no-tests"
    edit: str = ":"


class Later(NamedTuple):
    """One of a later version: THIS, in whose files ``edit`` has changed more than the version."""

    name: str
    version: str
    edit: str = ""


THIS = Build("this")
# The version is all that differs.
LATER = Later("later", "7.0")
# Another schema, other settings, another module: as upgrades go.
_COLUMN = "ALTER TABLE users ADD COLUMN of_tomorrow INTEGER NOT NULL DEFAULT 0"
_SCHEMA = f"{MODULES}/store/sqlite/schema.py"
NEXT = Later(
    "next",
    "8.0",
    f"""
    sed -i '/^MIGRATIONS = /,/^)$/s/^)$/    "{_COLUMN}",\\n)/' {_SCHEMA}
    grep -q of_tomorrow {_SCHEMA}
    echo '# a setting of tomorrow' >>etc/security/pam_totp.conf
    known=$(sed -n 's/^KNOWN=\\([0-9]*\\).*/\\1/p' DEBIAN/preinst)
    sed -i "s/^KNOWN=[0-9]*/KNOWN=$((known + 1))/" DEBIAN/preinst
    """,
)
_VERSION = r"""
sed -i "s/^\(Version: \|Provides: totpctl (= \)[^)]*/\1$1/" DEBIAN/control
[ 2 = "$(grep -c "[ ]$1)\?$" DEBIAN/control)" ]
"""
# In a copy: what is built from is never written to. Then only what apt would fetch, and what a
# developer looks at, goes out.
BUILD = f"""
cp -r {SOURCE} /root/source
cd /root/source
rm -rf .git
eval "$1"
packaging/build_deb.sh /root/built $2
cp /root/built/* /out/
"""


def package(tree: Path, build: Build | Later) -> Path:
    """Return the folder with the package, made if need be: a Build in ``tree``."""
    folder = tree.parent
    name = f"{tree.name}.{build.name}.{source_digest()}"
    with kept(folder, name) as place:
        if not place.is_dir():
            _remove_old(folder, f"{tree.name}.{build.name}.")
            if isinstance(build, Build):
                build_into(place, tree, build)
            else:
                _make_later(place, only_deb(package(tree, THIS)), build)
    return place


def _make_later(place: Path, this: Path, later: Later) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{place.name}.new.", dir=place.parent) as new:
        output = Path(new, "output")
        output.mkdir()
        name, _, architecture = this.name.split("_")
        deb = changed(this.read_bytes(), _VERSION + later.edit, later.version)
        (output / f"{name}_{later.version}_{architecture}").write_bytes(deb)
        output.rename(place)


def build_into(place: Path, tree: Path, build: Build) -> None:
    """Build the package in a copy of ``tree``, which has what that takes; ``place`` is new."""
    with tempfile.TemporaryDirectory(prefix=f"{place.name}.new.", dir=place.parent) as new:
        output, copy = Path(new, "output"), Path(new, "copy")
        output.mkdir()
        copy.mkdir()
        binds = (f"--bind-ro={ROOT}:{SOURCE}", f"--bind={output}:/out")
        options = [*binds, "--private-network", "--resolv-conf=off"]
        run_in(tree, BUILD, build.edit, build.options, options=options, copy=str(copy))
        output.rename(place)


def only_deb(folder: Path) -> Path:
    (deb,) = folder.glob("libpam-totp_*.deb")
    return deb


def build_dependencies() -> list[str]:
    """Return the packages that debian/control asks for, those for the tests too."""
    control = (ROOT / "packaging/debian/control").read_text("utf-8")
    lines = control.partition("\nBuild-Depends:")[2].splitlines()
    field = lines[0]
    for line in lines[1:]:
        if not line.startswith(" "):
            break
        field += line
    return [entry.split()[0] for entry in field.split(",") if entry.strip()]


@functools.cache
def source_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(_sources(ROOT)):
        digest.update(f"{path.relative_to(ROOT)} {path.lstat().st_mode}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _sources(folder: Path) -> list[Path]:
    found = []
    for path in folder.iterdir():
        if path.name in _NOT_SOURCE or path.name.startswith("."):
            continue
        found += _sources(path) if path.is_dir() else [path]
    return found


def _remove_old(folder: Path, prefix: str) -> None:
    """Remove what was kept of another source, unless somebody may still be at it."""
    for path in [*folder.glob(f"{prefix}*"), *folder.glob(f".{prefix}*.lock")]:
        if path.stat().st_mtime < time.time() - KEPT_SECONDS:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
