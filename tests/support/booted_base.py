"""The tree of a Debian with systemd, and with all that the product and its tests need.

Made once into the folder PAM_TOTP_BASES, and kept there; without that variable into a temporary
folder, and removed. PAM_TOTP_MIRROR names another Debian mirror.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support import namespaces
from tests.support.place import ROOT

MIRROR = os.environ.get("PAM_TOTP_MIRROR") or "http://deb.debian.org/debian"
_LISTS = re.compile(r'^(?:PACKAGES|BUILDING)="([^"]*)"', re.MULTILINE)
_TESTING = """
    systemd systemd-sysv dbus libpam-systemd libnss-systemd
    openssh-server openssh-client sudo pamtester
"""
# What pages and some tests need besides: one tree for all of them. PostgreSQL has no cluster there.
MORE = (
    *("sqlite3", "libpam-python", "ansible-core", "python3-apt", "python3-reportlab"),
    *("openssl", "postgresql", "python3-psycopg", "libpam-google-authenticator", "libpam-oath"),
)
# No daemon is to start on the way: the network is the one of the machine. And nobody looks for man
# pages, of which a list would be made whenever a package is installed.
_BEFORE = """
printf '#!/bin/sh\\nexit 101\\n' >"$1/usr/sbin/policy-rc.d"
chmod 755 "$1/usr/sbin/policy-rc.d"
echo force-unsafe-io >"$1/etc/dpkg/dpkg.cfg.d/unsafe-io"
echo 'man-db man-db/auto-update boolean false' | chroot "$1" debconf-set-selections
"""
# What systemd does once after an update of /usr, it would do whenever one of the machines boots.
_AFTER = """
touch /etc/.updated /var/.updated
rm -rf /etc/machine-id /etc/apt/apt.conf.d/99mmdebstrap /usr/sbin/policy-rc.d
: >/etc/machine-id
"""
_ADD = """
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
mkdir -p /etc/postgresql-common/createcluster.d
echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/none.conf
apt-get update -q
apt-get install -q -y --no-install-recommends "$@"
apt-get clean
rm -rf /var/lib/apt/lists/* /usr/sbin/policy-rc.d
"""


def packages() -> list[str]:
    """What goes in: the product's packages as install.sh lists them, and what the tests use."""
    script = (ROOT / "install.sh").read_text("utf-8")
    return " ".join([_TESTING, *_LISTS.findall(script)]).split()


@contextmanager
def base_of(release: str, more: Sequence[str] = ()) -> Iterator[Path]:
    """Give the tree of ``release``, for reading only; with ``more`` packages, if need be."""
    kept = os.environ.get("PAM_TOTP_BASES")
    with tempfile.TemporaryDirectory(prefix="pam_totp-bases.") as temporary:
        yield _kept_tree(Path(kept or temporary), release, more)


@contextmanager
def kept(folder: Path, name: str) -> Iterator[Path]:
    """Give ``name`` in ``folder`` to whoever makes it if it is not there: one at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f".{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever comes second finds it made
        yield folder / name


def run_in(
    tree: Path,
    shell: str,
    *arguments: str,
    options: Sequence[str],
    copy: str = "",
    layer: Path | None = None,
) -> None:
    """Run a shell script as root in ``tree``, not booted; in a copy of it, which ``copy`` is for.

    ``options``: nspawn's. ``layer``: an empty folder, which gets what the script changes.
    """
    where = ["--copy", copy, tree] if copy else [tree]
    if layer:
        where = ["--layer", layer, copy, tree]
    words = ["--pipe", *options, "sh", "-euc", shell, "sh", *arguments]
    _run(*namespaces.command("booted_init", *where, *words))


def _kept_tree(folder: Path, release: str, more: Sequence[str]) -> Path:
    everything = sorted({*packages(), *more}) if more else packages()
    recipe = hashlib.sha256(f"{everything} {_BEFORE} {_AFTER} {_ADD}".encode()).hexdigest()[:12]
    with kept(folder, f"{release}.{recipe}") as tree:
        if not tree.is_dir():
            start = _kept_tree(folder, release, ()) if more else None
            _make(release, tree, start, more or everything)
    return tree


def _make(release: str, tree: Path, start: Path | None, wanted: Sequence[str]) -> None:
    """Make ``tree`` beside its place, so that a tree that is there is whole."""
    unfinished = Path(tempfile.mkdtemp(prefix=f"{release}.new.", dir=tree.parent))
    unfinished.chmod(0o755)
    try:
        if start:
            _run("cp", "--archive", "--reflink=auto", f"{start}/.", unfinished)
            proxies = [f"--setenv={name}" for name in os.environ if name.lower().endswith("_proxy")]
            options = ["--resolv-conf=copy-host", "--setenv=DEBIAN_FRONTEND=noninteractive"]
            run_in(unfinished, _ADD, *wanted, options=[*options, *proxies])
        else:
            _bootstrap(release, unfinished, wanted)
        unfinished.rename(tree)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _bootstrap(release: str, tree: Path, wanted: Sequence[str]) -> None:
    """Make a Debian: by mmdebstrap, which takes three fifths of the time of debootstrap and apt."""
    _run(
        *("mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(wanted)}"),
        *("--dpkgopt=force-unsafe-io", "--dpkgopt=force-confold"),
        *(f"--essential-hook={_BEFORE}", f"--customize-hook=chroot \"$1\" sh -euc '{_AFTER}'"),
        *(release, tree, MIRROR),
    )
    settings = Path("/etc/apt/apt.conf.d")
    if settings.is_dir():  # proxies and the like
        shutil.copytree(settings, tree / "etc/apt/apt.conf.d", dirs_exist_ok=True)


def _run(*command: object) -> None:
    words = list(map(str, command))
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        with subprocess.Popen(
            words, cwd=ROOT, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
        ) as process:
            status = process.wait()  # wget and apt give up by themselves
        output.seek(0)
        assert status == 0, f"{words[:3]}: {output.read()[-3000:]}"
