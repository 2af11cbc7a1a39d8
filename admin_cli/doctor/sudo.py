"""What sudoers says: sudo asks PAM only where a rule does not spare it that."""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence

from pam_totp.stack.pam_ways import PAM_PYTHON_MODULE
from pam_totp.system import disks
from pam_totp.system.embedding import PATH

from ..access import becoming_root
from ..host import accounts, directory, programs, sudoers
from .facts import CannotTell, Facts
from .finding import NOTE, WRONG, Found, check

SUDOERS = sudoers.MAIN
SERVICES = ("sudo", "sudo-i")
_MOUNTS = "/proc/1/mountinfo"
TIMEOUT = 20  # seconds
SHOWN = 10  # commands in one line
_INCLUDES = re.compile(r'[@#](includedir|include)\s+"?([^"\s]+)')
_NEITHER = "sudo asks for neither password nor code"


@check("sudoers", WRONG, "sudo ignores files that it refuses to read, and may deny everybody")
def sudoers_errors(facts: Facts) -> Iterator[Found]:
    """With -f, visudo looks at the rules alone: of owner and mode it wants more than sudo."""
    if not facts.asks(*SERVICES) or not os.path.exists(SUDOERS):
        return
    try:
        done = programs.run(["visudo", "-c", "-f", SUDOERS], timeout=TIMEOUT)
    except FileNotFoundError:
        return
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()
        yield words[0] if words else f"{SUDOERS} has errors", _sudoers_fix("".join(words[:1]))
    for path, status in _sudoers_files():
        problem = _refused(status)
        if problem:
            is_folder = stat.S_ISDIR(status.st_mode)
            mode = "0755" if is_folder else "0440"
            yield f"{path}: {problem}", f"run: chown root:root {path}; chmod {mode} {path}"


@check(
    "sudoers-mode", NOTE, "sudo accepts it, but visudo -c, which other programs rely on, does not"
)
def sudoers_mode(facts: Facts) -> Iterator[Found]:
    if not facts.asks(*SERVICES):
        return
    for path, status in _sudoers_files():
        mode = stat.S_IMODE(status.st_mode)
        is_usual = mode == 0o440 and status.st_gid == 0
        if stat.S_ISREG(status.st_mode) and not is_usual and not _refused(status):
            yield (
                f"{path}: mode {mode:04o}, group {status.st_gid}; the usual values are 0440 and 0",
                f"run: chown root:root {path}; chmod 0440 {path}",
            )


def _sudoers_files() -> Iterator[tuple[str, os.stat_result]]:
    """Yield sudoers, and the files and folders that it includes itself: see sudoers(5)."""
    for path in (SUDOERS, *_included()):
        with contextlib.suppress(OSError):
            yield path, os.stat(path)


def _included() -> Iterator[str]:
    with contextlib.suppress(OSError), open(SUDOERS, encoding="utf-8", errors="replace") as file:
        for line in file:
            named = _INCLUDES.match(line)
            if named is None:
                continue
            path = os.path.join(os.path.dirname(SUDOERS), named[2])
            yield path
            if named[1] == "includedir":
                names = sorted(os.listdir(path))
                kept = (name for name in names if "." not in name and not name.endswith("~"))
                yield from (os.path.join(path, name) for name in kept)


def _refused(status: os.stat_result) -> str:
    """Return why sudo does not read a file or a folder (sudo_check_secure in secure_path.c)."""
    if status.st_uid != 0:
        return f"is owned by uid {status.st_uid}, not by root"
    if status.st_mode & stat.S_IWOTH:
        return "is writable by others"
    if status.st_mode & stat.S_IWGRP and status.st_gid != 0:
        return f"is writable by group {status.st_gid}"
    return ""


@check(
    "sudo-program", WRONG, "sudo runs with the caller's rights, so nobody can become root with it"
)
def program(facts: Facts) -> Iterator[Found]:
    path = shutil.which("sudo", path=PATH)
    if path is None or not facts.asks(*SERVICES):
        return
    status = os.stat(path)
    if status.st_uid != 0 or not status.st_mode & stat.S_ISUID:
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        yield (
            f"{path} is not setuid root (owner {status.st_uid}, mode {mode})",
            f"run: chown root:root {path}; chmod 4755 {path}",
        )
    elif _is_nosuid(path):
        yield (
            f"{path} is on a file system that is mounted with nosuid",
            f"remove nosuid from its options in /etc/fstab: findmnt --target {path}",
        )


def _is_nosuid(path: str) -> bool:
    """Return whether set-user-ID is off where ``path`` lies, for the processes of the machine.

    By the mounts of process 1: systemd shows all of them as nosuid to a unit with
    NoNewPrivileges=, as doctor's own is.
    """
    try:
        mounts = disks.mounts(_MOUNTS)
    except OSError:
        return bool(os.statvfs(path).f_flag & os.ST_NOSUID)
    path = os.path.realpath(path)
    above = [mount for mount in mounts if _is_below(path, mount.point)]
    deepest = max((len(mount.point) for mount in above), default=0)
    last = [mount.options for mount in above if len(mount.point) == deepest][-1:]
    return any("nosuid" in options for options in last)


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")


@check("sudo-nopasswd", WRONG, f"{_NEITHER}: a login of that user is enough to become root")
def nopasswd(facts: Facts) -> Iterator[Found]:
    yield from _rules_without_authentication(facts, may_log_in=True)


@check(
    "sudo-nopasswd-service",
    NOTE,
    f"{_NEITHER}: an attacker who takes over that account needs no code",
)
def nopasswd_of_services(facts: Facts) -> Iterator[Found]:
    yield from _rules_without_authentication(facts, may_log_in=False)


@check("sudo-exempt-group", WRONG, f"{_NEITHER}, whatever the PAM file says")
def exempt_group(facts: Facts) -> Iterator[Found]:
    for option, value in _defaults(facts):
        if option == "exempt_group" and value:
            first = _first(facts, functools.partial(_is_member, str(value)))
            yield f"sudoers has exempt_group = {value}", first + _take_out(option)


@check("sudo-pam-service", WRONG, "sudo uses that PAM file, and does not ask for a code")
def pam_service(facts: Facts) -> Iterator[Found]:
    for option, value in _defaults(facts):
        is_service = option in ("pam_service", "pam_login_service", "pam_askpass_service")
        if is_service and value and not facts.asks(str(value)):
            yield (
                f"sudoers has {option} = {value}",
                f"{_take_out(option)}; or run: totpctl enable {value}",
            )


@check("sudo-i", WRONG, "sudo -i and sudo --login use that file, and do not ask for a code")
def login_shell(facts: Facts) -> Iterator[Found]:
    if facts.has_service("sudo-i") and facts.asks("sudo") and not facts.asks("sudo-i"):
        yield (
            "/etc/pam.d/sudo asks for a code, but /etc/pam.d/sudo-i does not",
            ("run: totpctl enable sudo"),
        )


@check("sudo-other-code", NOTE, "the code is that of the user whose password sudo asks for")
def other_code(facts: Facts) -> Iterator[Found]:
    for option, value in _defaults(facts):
        if option in ("rootpw", "targetpw", "runaspw") and value:
            yield (
                f"sudoers says {option}",
                f"enroll root, or the user whose password is asked for; or {_take_out(option)}",
            )


@check(
    "sudo-prompt",
    NOTE,
    "prompts do not show what is asked for, or why a code was refused",
)
def prompt(facts: Facts) -> Iterator[Found]:
    for option, value in _defaults(facts):
        if option == "passprompt_override" and value:
            yield "sudoers says passprompt_override", _take_out(option)


@check(
    "sudo-path", WRONG, "pam_python.so loads code from the caller's PATH: any user can become root"
)
def secure_path(facts: Facts) -> Iterator[Found]:
    if not any(PAM_PYTHON_MODULE in facts.modules_of(service) for service in SERVICES):
        return
    fix = "use pam_totp.so instead; or set secure_path, with /usr/bin in it: visudo"
    paths = [value for option, value in _defaults(facts) if option == "secure_path"]
    if not paths or not isinstance(paths[-1], str):
        yield "sudo uses pam_python.so without secure_path in sudoers", fix
    elif "/usr/bin" not in paths[-1].split(":"):
        yield "sudo uses pam_python.so, and secure_path lacks /usr/bin", fix


def _take_out(option: str) -> str:
    """Say how to find an option of Defaults: it may be in a file of its own, or of a package."""
    return f"remove it: grep -rn {option} {SUDOERS} {SUDOERS}.d; visudo -f FILE"


def _sudoers_fix(words: str) -> str:
    """Return what helps against a complaint of visudo, which names the file first."""
    named = re.match(r"(/\S+?):", words)
    if named is None:
        return "run: visudo"
    return f"run: visudo -f {named[1]}"


def _rules_without_authentication(facts: Facts, *, may_log_in: bool) -> Iterator[Found]:
    if not facts.asks(*SERVICES):
        return
    for rule in sudoers.rules_of(facts.sudoers):
        names = [name for name in rule.users if name not in ("root", "#0")]
        names = [name for name in names if _may_log_in(name) is may_log_in]
        if names and not rule.asks:
            yield (
                f"sudo lets {', '.join(names)} run {_commands(rule.commands)} without a password",
                f"{_first(facts, rule.is_for)}find it: grep -rnE 'NOPASSWD|!authenticate' "
                f"{SUDOERS} {SUDOERS}.d; then: visudo",
            )


def _commands(commands: Sequence[str]) -> str:
    return "ALL commands" if list(commands) == ["ALL"] else ", ".join(commands)


def _first(facts: Facts, is_for: Callable[[pwd.struct_passwd], bool]) -> str:
    """Return what people need before sudo asks them; without it they cannot become root then."""
    try:
        machine, before = facts.machine, facts.judge()
    except CannotTell:  # the store or its key: another finding
        return ""
    after = facts.judge(machine._replace(sudo=machine.sudo.with_every_password()))
    needed = [
        fix
        for entry in machine.entries.values()
        if is_for(entry) and entry.pw_uid != 0 and after.gets_a_shell(entry)
        if before.sudo_obstacles(entry) == ()
        for fix in becoming_root.fixes(after.sudo_obstacles(entry) or ())
    ]
    return f"first run: {'; '.join(dict.fromkeys(needed[:SHOWN]))}; then " if needed else ""


def _is_member(group: str, entry: pwd.struct_passwd) -> bool:
    return group in directory.group_names(entry)


def _may_log_in(who: str) -> bool:
    """Only of a single account that is there can it be said that nobody logs in to it."""
    if who.startswith("#"):
        entry = directory.person_of_uid(int(who[1:])) if who[1:].isdecimal() else None
    else:
        entry = directory.person(who)
    return entry is None or accounts.has_shell(entry)


def _defaults(facts: Facts) -> Iterator[tuple[str, object]]:
    """Yield each option of Defaults with its value, for any user or host."""
    if not facts.asks(*SERVICES):
        return
    for entry in facts.sudoers.get("Defaults", ()):
        for options in entry["Options"]:
            yield from options.items()


CHECKS = (
    sudoers_errors,
    sudoers_mode,
    program,
    nopasswd,
    nopasswd_of_services,
    exempt_group,
    pam_service,
    login_shell,
    other_code,
    prompt,
    secure_path,
)
