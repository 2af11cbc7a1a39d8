"""The PAM services of this machine, and what each does about codes."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from pam_totp.stack import pam_stack, pam_ways
from pam_totp.stack.pam_lines import Line, NotUnderstood
from pam_totp.stack.pam_ways import PAM_PYTHON_MODULE
from pam_totp.system.config import Arguments, parse_arguments

# What begins a session, or gives other rights. cron and at run what was set up before.
LOGINS = (
    *("sshd", "sudo", "sudo-i", "su", "su-l", "doas", "polkit-1", "systemd-run0", "login"),
    *("remote", "rlogin", "gdm-fingerprint", "gdm-password", "gdm-smartcard", "kde", "lightdm"),
    *("lxdm", "sddm", "xdm", "xrdp-sesman", "cockpit", "webmin", "proftpd", "vsftpd"),
)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
# Copies of a file. libpam would take them, but no program asks for them; ~ is no part of a name.
_NO_SERVICE = (
    *(".dpkg-", ".rpmnew", ".rpmsave", ".rpmorig", ".pacnew", ".pacsave", ".ucf-", ".pam-old"),
    *(".bak", ".backup", ".old", ".orig", ".save"),
)
_SELFTEST = "pam_totp-selftest."


class PamService(NamedTuple):
    """One PAM file. ``lines``: ours that its auth stack comes to. ``judgement``: where it has any.

    ``problem``: why the stack is not understood; then there are neither lines nor judgement.
    ``parts``: the other files that it includes. ``authenticates``: it has auth lines of its own;
    one without, as common-session or systemd-user, authenticates nobody, or goes by "other".
    """

    name: str
    text: str
    lines: tuple[Line, ...] = ()
    judgement: pam_stack.Judgement | None = None
    parts: tuple[str, ...] = ()
    problem: NotUnderstood | None = None
    authenticates: bool = True

    @property
    def path(self) -> str:
        """The file that counts; in /etc, where there is none."""
        return path_of(self.name)

    @property
    def asks(self) -> bool:
        return self.judgement is not None and self.judgement.asks

    @property
    def modules(self) -> tuple[str, ...]:
        return self.judgement.modules if self.judgement is not None else ()


def read_services(alternatives: frozenset[str] = frozenset()) -> dict[str, PamService]:
    """Return every service that has a file; parts that others include are among them."""
    names = set()
    for folder in pam_stack.PAM_FOLDERS:
        try:
            names |= set(os.listdir(folder))
        except OSError:
            continue
    services = sorted(filter(_is_service, names))
    return {name: read_service(name, alternatives=alternatives) for name in services}


def read_service(
    name: str, *, key: bool = False, alternatives: frozenset[str] = frozenset()
) -> PamService:
    """Return what a service does; ``key``: sshd asks PAM only about those whose key it accepted.

    ``alternatives``: modules that the configuration calls a second factor.
    """
    text = ""
    try:
        text = pam_stack.read_pam_file(name) or ""
        stack = pam_stack.auth_stack(name)
        ours = tuple(e.line for e in stack.entries if pam_ways.runs_the_hook(e.line))
        judgement = pam_stack.judge(stack, key=key, alternatives=alternatives) if ours else None
    except NotUnderstood as error:
        return PamService(name, text, problem=error)
    parts = {entry.line.file for entry in stack.entries} - {name}
    own = stack.file == stack.service
    return PamService(name, text, ours, judgement, tuple(sorted(parts)), authenticates=own)


def path_of(name: str) -> str:
    return pam_stack.pam_path(name) or f"{pam_stack.PAM_FOLDERS[0]}/{name}"


def arguments_of(line: Line) -> Arguments:
    """Return what our arguments mean, without the script's path that pam_python has first."""
    return parse_arguments(line.arguments[line.module_name == PAM_PYTHON_MODULE :])


def shown(line: Line) -> str:
    """Name the place of ``line``, its control and its module."""
    return f"{path_of(line.file)}:{line.number} ({line.control} {line.module_name})"


def _is_service(name: str) -> bool:
    return (
        _NAME.fullmatch(name) is not None
        and not name.startswith(_SELFTEST)
        and not any(suffix in name for suffix in _NO_SERVICE)
    )
