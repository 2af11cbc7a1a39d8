"""Find files that decide about logins and that users besides root can write.

libpam and sshd read them, whoever wrote them. store.py looks at what pam_totp itself reads: it does
not trust such files, and denies.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from pam_totp.stack import pam_stack
from pam_totp.stack.pam_ways import NATIVE_MODULE
from pam_totp.system import trusted_files
from pam_totp.system.errors import InsecureFile, Unavailable

from ..host import key_only, sshd
from ..host.sshd import files as sshd_files
from ..output import some_of
from .facts import Facts, module_path
from .finding import WRONG, Found, check

SHOWN = 5  # files in one line
_WHY = "a user who can write it decides who gets in, and what runs as root at a login"


@check("pam-files", WRONG, _WHY)
def pam_files(facts: Facts) -> Iterator[Found]:
    if not facts.any_asks and not facts.remembered:
        return
    for folder in pam_stack.PAM_FOLDERS:
        yield from _written_by_others(_in(folder))


@check("pam-modules", WRONG, _WHY)
def pam_modules(facts: Facts) -> Iterator[Found]:
    """Look at the modules of others; the check "permissions" looks at ours."""
    path = module_path("pam_unix.so")
    if path is not None and (facts.any_asks or facts.remembered):
        modules = _in(os.path.dirname(path))
        yield from _written_by_others(m for m in modules if os.path.basename(m) != NATIVE_MODULE)


@check("sshd-files", WRONG, _WHY)
def sshd_settings(facts: Facts) -> Iterator[Found]:
    if not facts.asks("sshd"):
        return
    try:
        settings = {setting.file for setting in sshd_files.settings()}
        paths = {*sshd_files.files_read(), *settings, sshd.DROP_IN, key_only.FILE}
    except OSError:
        return  # see sshd-refuses
    yield from _written_by_others(sorted(paths))


def _in(folder: str) -> list[str]:
    try:
        return sorted(os.path.join(folder, name) for name in os.listdir(folder))
    except OSError:
        return []


def _written_by_others(paths: Iterable[str]) -> Iterator[Found]:
    """Find what is not root's alone, behind links too; of many files with one fault, a line."""
    files: dict[tuple[str, str], list[str]] = {}
    folders: dict[str, str] = {}
    for path in paths:
        real = os.path.realpath(path)
        for folder in {os.path.dirname(path), os.path.dirname(real)}:
            try:
                trusted_files.check_folder(folder)
            except InsecureFile as error:
                folders[str(error)] = error.hint
            except Unavailable:
                continue
        try:
            trusted_files.check_file(real)
        except InsecureFile as error:
            command = error.hint.removesuffix(f" {real}")
            files.setdefault((error.problem, command), []).append(real)
        except OSError:  # a link to nothing
            continue
    for problem, fix in folders.items():
        yield problem, f"{fix} # then check its contents: others could change them"
    for (problem, command), found in files.items():
        shown = some_of(found, SHOWN)
        fix = f"{command} {' '.join(found)}" if command.startswith("run: ") else f"look at: {shown}"
        yield f"{shown}: {problem}", f"{fix} # then check its contents: others could change them"


CHECKS = (pam_files, pam_modules, sshd_settings)
