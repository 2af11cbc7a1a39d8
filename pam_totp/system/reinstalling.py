"""How pam_totp was installed here, and so the command that restores missing files: for hints."""

from __future__ import annotations

import os
import sys

PACKAGE = "libpam-totp"
DEBIAN_FILES = "/var/lib/dpkg/info"
PACKAGE_FILES = f"{DEBIAN_FILES}/{PACKAGE}.list"  # written when the package is unpacked
FROM_INSTALLER = "/var/cache/pam_totp/installed.deb"  # install.sh keeps the package that it made
RPM_PROGRAM = "/usr/bin/rpm"
LIBRARY = "/usr/lib/pam_totp"
_ONE_RUN = 86400  # seconds: in one of install.sh the package is made and unpacked
# The Debian package of each module of Python that is not in the one of Python itself.
_MODULES = {
    "nacl": "python3-nacl",
    "psycopg": "python3-psycopg",
    "_cffi_backend": "python3-cffi-backend",
    "cffi": "python3-cffi-backend",
    "click": "python3-click",
    "cryptography": "python3-cryptography",
    "defusedxml": "python3-defusedxml",
    "ldap": "python3-ldap",
    "pyotp": "python3-pyotp",
    "reportlab": "python3-reportlab",
    "segno": "python3-segno",
}


def reinstall_hint() -> str:
    """Return how to install pam_totp once more, over what is there."""
    if is_debian():
        unpacked, made = _changed_at(PACKAGE_FILES), _changed_at(FROM_INSTALLER)
        if not _is_packaged():
            return "in the folder with the source of pam_totp, run: ./install.sh"
        if made and unpacked - made < _ONE_RUN:
            return f"run: apt-get install --reinstall {FROM_INSTALLER}"
        file = FROM_INSTALLER if made else "./libpam-totp_VERSION_ARCH.deb"
        return (
            f"run: apt-get install --reinstall {PACKAGE}; if apt cannot download it, give the file "
            f"that it came from: apt-get install --reinstall {file}"
        )
    if os.path.exists(RPM_PROGRAM):
        return "run: dnf reinstall pam_totp"
    return "in the folder with the source of pam_totp, run: make install"


def missing_module_hint(name: str) -> str:
    """Return how to get the Python module ``name``, which an import did not find.

    Not with pip: programs that run as root import nothing from /usr/local.
    """
    top = name.partition(".")[0]
    if top in ("pam_totp", "admin_cli", ""):
        return reinstall_hint()
    package = "python3-minimal libpython3-stdlib" if top in sys.stdlib_module_names else ""
    if is_debian() and _MODULES.get(top, package):
        return f"run: apt-get install --reinstall {_MODULES.get(top, package)}"
    return f"install the distribution's package of the Python module {top}"


def is_debian() -> bool:
    return os.path.isdir(DEBIAN_FILES)


def _is_packaged() -> bool:
    """Tell whether dpkg has put LIBRARY there; of a package that was removed, settings remain."""
    try:
        with open(PACKAGE_FILES, encoding="utf-8", errors="replace") as file:
            return f"{LIBRARY}\n" in file
    except OSError:
        return False


def _changed_at(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0
