"""Guards for running inside another program's interpreter.

pam_python's interpreter ignores PYTHONPATH and the like, but finds its library next to the first
``python3`` on PATH. Under a setuid program PATH is the caller's, who could so have root load
anything; only sudo puts a PATH of its own (secure_path) in its place.
"""

from __future__ import annotations

import os
import sys

from .errors import PamTotpError, places

TYPE_CHECKING = False  # by hand: nothing more is imported before make_safe()
if TYPE_CHECKING:
    from typing import Any

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"  # for every program that is started, whoever calls
AT_SECURE = 23  # getauxval(3)
SYSTEM_FOLDERS = ("/usr/lib/", "/usr/lib64/", "/lib/", "/lib64/")
SAFE_SETUID_SERVICES = ("sudo", "sudo-i")

_vector = b""  # of this process, once it was read: it never changes


class UnsafeHost(PamTotpError):
    """The hook must not serve in this program, or not like this."""


def service_of(pamh: Any) -> str:
    """Return the name of the PAM file. Raises UnsafeHost for one that is not UTF-8."""
    try:
        return str(pamh.service or "")
    except UnicodeError:
        raise UnsafeHost(
            "service", "its name is not text", "give the PAM file another name"
        ) from None


def make_safe(service: str, root: str) -> None:
    """Import from ``root`` and the distribution from now on, and not from /usr/local.

    Raises UnsafeHost in su and its like. That is no cure, for by then the caller's library would
    have been loaded: it is there so that nobody keeps such a configuration.
    """
    if service not in SAFE_SETUID_SERVICES and at_secure():
        raise UnsafeHost(
            service,
            "is a setuid program, where pam_python loads what its caller's PATH leads to",
            f"take pam_totp out of /etc/pam.d/{service}: pam_python is for sshd and sudo",
        )
    library = getattr(os, "__file__", "nowhere")
    if not library.startswith(SYSTEM_FOLDERS):
        raise UnsafeHost(
            service,
            f"PATH led the interpreter to {library}",
            f"set secure_path in sudoers; start sshd with PATH={PATH}",
        )
    before = list(sys.path)  # a copy: in a worker, the next login may be here too
    sys.path[:] = [root, *(p for p in before if p.startswith(SYSTEM_FOLDERS) and p != root)]


_PLACES = 10  # the last ones, which say most: audit cuts a longer value off


def report(service: str, error: BaseException) -> None:
    """Log what nobody caught, and where: without its text, which may hold a secret."""
    from . import audit

    reason, hint = f"unexpected {type(error).__name__}", "please report this"
    if isinstance(error, PamTotpError):
        reason, hint = str(error), error.hint
    elif isinstance(error, ImportError):
        hint = _how_to_get(error.name or "pam_totp")
    source = audit.Source(f"{service}:auth")
    audit.record("error", source, reason=reason, at=" ".join(places(error)[-_PLACES:]), hint=hint)


def _how_to_get(module: str) -> str:
    try:
        from .reinstalling import missing_module_hint
    except ImportError:  # it may be that one
        return f"install pam_totp again: there is no {module}"
    return missing_module_hint(module)


def at_secure() -> bool:
    """Ask the kernel whether this process has more rights than its caller."""
    global _vector
    word = 8 if sys.maxsize > 2**32 else 4
    if not _vector:
        try:
            with open("/proc/self/auxv", "rb") as file:
                _vector = file.read(4096)
        except OSError:  # no /proc here: the user ids tell as much of the programs that we know
            return os.getuid() != os.geteuid()
    for at in range(0, len(_vector), 2 * word):
        if int.from_bytes(_vector[at : at + word], sys.byteorder) == AT_SECURE:
            return any(_vector[at + word : at + 2 * word])
    return True
