"""The Debian package of this tree, built once for all the machines of a session."""

from __future__ import annotations

import base64
import functools
import platform
import subprocess
import tempfile
from pathlib import Path

from tests.support import shared
from tests.support.booted import Booted
from tests.support.booted_base import kept, run_in
from tests.support.place import ROOT

PLACE = "/root/libpam-totp.deb"  # in a machine
MODULES = "usr/lib/pam_totp/pam_totp"
OLDEST = "bookworm"  # what is built there can be installed in every release
_SUMS = """
cut -c 35- DEBIAN/md5sums | xargs -d '\\n' md5sum >sums
mv sums DEBIAN/md5sums
"""


@functools.cache
def built() -> bytes:
    """Return it, as packaging/build_deb.sh makes it for install.sh."""
    return shared.made_once("libpam-totp.deb", _build)


def _build() -> bytes:
    with tempfile.TemporaryDirectory(prefix="pam_totp-package.") as folder:
        build = [ROOT / "packaging" / "build_deb.sh", folder, "--no-tests"]
        subprocess.run(build, check=True, timeout=300, stdout=subprocess.DEVNULL)
        (package,) = Path(folder).glob("libpam-totp_*.deb")
        return package.read_bytes()


@functools.cache
def with_a_last_line(module: str, line: str) -> bytes:
    """Return it with ``line`` at the end of a module."""
    return changed(built(), f'echo "$1" >>{MODULES}/{module}', line)


def changed(package: bytes, edit: str, *arguments: str) -> bytes:
    """Return ``package`` after a shell script has changed its files, which needs no build."""
    with tempfile.TemporaryDirectory(prefix="pam_totp-package.") as folder:
        place, tree = Path(folder, "changed.deb"), Path(folder, "tree")
        place.write_bytes(package)
        subprocess.run(["dpkg-deb", "--raw-extract", place, tree], check=True)
        script = ["sh", "-euc", f"{edit}\n{_SUMS}", "sh", *arguments]
        subprocess.run(script, cwd=tree, check=True)
        pack = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, place]
        subprocess.run(pack, check=True, stdout=subprocess.DEVNULL)
        return place.read_bytes()


# Key and store are each machine's own, and made after it has booted.
_INSTALL = """
dpkg --install /package/libpam-totp.deb
rm -r /var/lib/pam_totp /etc/security/pam_totp.key
"""


def installed(release: str, tree: Path) -> str:
    """Return a tree with the package for Booted, which has to make key and store: totpctl init."""
    with kept(shared.folder(), f"installed-{release}") as layer:
        if not layer.is_dir():
            with tempfile.TemporaryDirectory(prefix=f"{layer.name}.", dir=layer.parent) as new:
                package, copy, unfinished = (Path(new, name) for name in ("in", "copy", "layer"))
                for folder in (package, copy, unfinished):
                    folder.mkdir(mode=0o755)
                (package / "libpam-totp.deb").write_bytes(_built_for(release, tree))
                options = [
                    f"--bind-ro={package}:/package",
                    "--private-network",
                    "--resolv-conf=off",
                ]
                run_in(tree, _INSTALL, options=options, copy=str(copy), layer=unfinished)
                unfinished.rename(layer)
    return f"{layer}:{tree}"


def _built_for(release: str, tree: Path) -> bytes:
    """Return the package, built in ``tree`` if this machine may have a later libc."""
    if platform.freedesktop_os_release().get("VERSION_CODENAME") in (release, OLDEST):
        return built()
    from tests.machines import packages  # which is made of this one

    return packages.only_deb(packages.package(tree, packages.THIS)).read_bytes()


def install(machine: Booted) -> None:
    """Install it as `apt install` does, where all that it depends on is there."""
    bring(machine)
    machine.run("dpkg", "--install", PLACE)


def bring(machine: Booted) -> None:
    """Put it into PLACE."""
    decode = f"base64 -d >{PLACE}"
    machine.run("sh", "-ec", decode, typed=base64.b64encode(built()).decode("ascii"))
