"""Plan the changes of enable and disable: which files, and their new text. Changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from pam_totp.stack import pam_stack
from pam_totp.stack.pam_lines import NotUnderstood
from pam_totp.system.errors import PamTotpError

from ..errors import CommandFailed
from ..host import alternatives, files, key_only, login_programs, pam_blocks, pam_file, sshd
from ..host.key_only import KeyOnly
from ..host.services import path_of, read_service
from . import blocks, enabled
from .trial import Change
from .trial_record import SERVICE

SSHD, SUDO, SUDO_I = "sshd", "sudo", "sudo-i"


def with_companions(services: Iterable[str]) -> tuple[str, ...]:
    """Return each service once, and sudo-i with sudo where it has lines of its own.

    Raises CommandFailed for what is no service of this machine.
    """
    wanted = list(dict.fromkeys(services))
    for service in wanted:
        check_service(service)
    if SUDO in wanted and SUDO_I not in wanted:
        lines = pam_stack.read_pam_file(SUDO_I)
        if lines is not None and not _includes(lines, SUDO):
            wanted.insert(wanted.index(SUDO) + 1, SUDO_I)
    return tuple(wanted)


def check_service(name: str) -> None:
    """Raise CommandFailed for what is no service of this machine."""
    if not SERVICE.fullmatch(name) or pam_stack.read_pam_file(name) is None:
        raise CommandFailed(
            f"there is no PAM service {name}{_meant(name)}",
            f"see: ls {' '.join(pam_stack.PAM_FOLDERS)}",
        )


def changes_to_enable(services: Sequence[str], modes: Mapping[str, str | None]) -> list[Change]:
    """Return the changes that make ``services`` ask for a code; [] if they already do.

    ``modes``: as modes() returns them. Raises CommandFailed where a file is not understood, or a
    code could not work.
    """
    for service in services:
        _check_program(service, modes[service])
    changes = [_pam_file_on(service, modes[service]) for service in services]
    if SSHD in services:
        changes.append(_drop_in_on(modes[SSHD] or ""))
    return [change for change in changes if change.before != change.after]


def modes(
    services: Iterable[str], keys: str | None, *, one_prompt: bool, by_default: bool
) -> dict[str, str | None]:
    """Return how each of ``services`` is to ask: one of pam_blocks.MODES, or None.

    ``keys``: of sshd. ``one_prompt``: all others take password and code in one answer.
    ``by_default``: those do that can ask only once. Whatever did so before still does.
    """
    chosen: dict[str, str | None] = {}
    for service in services:
        both = one_prompt or (by_default and login_programs.asks_only_once(service))
        both = both or mode_so_far(service) == pam_blocks.ONE_PROMPT
        chosen[service] = pam_blocks.ONE_PROMPT if both else None
        if service == SSHD:
            chosen[service] = keys
    return chosen


def changes_to_disable(services: Sequence[str]) -> list[Change]:
    """Return the changes that remove all our lines; ``after`` None: remove the file."""
    changes = []
    for path in (path for service in services for path in paths(service)):
        before = files.read(path)
        if before is not None and blocks.keys_of(path, before) is not None:
            changes.append(Change(path, before, blocks.without(path, before)))
    return changes


def still_asked_by(services: Sequence[str]) -> dict[str, str]:
    """Return the services that still reach a pam_totp line, each with its place."""
    lines: dict[str, str] = {}
    for name in services:
        for line in read_service(name).lines:
            where = f"{path_of(line.file)}:{line.number} ({line.control} {line.module_name})"
            lines.setdefault(name, where)
    return lines


def paths(service: str) -> tuple[str, ...]:
    """Return the files that are changed for a service."""
    own = f"{pam_stack.PAM_FOLDERS[0]}/{service}"
    return (own, sshd.DROP_IN) if service == SSHD else (own,)


def paths_on() -> list[str]:
    """Return the files that are changed for the services that enable has switched on.

    And that of the accounts that log in by a key alone.
    """
    of_services = [path for service in sorted(enabled.services()) for path in paths(service)]
    return [*of_services, key_only.FILE]


def not_noted() -> list[tuple[str, str]]:
    """Return services, each with its file, that have our lines, and are not in the list of those.

    Where every trace of a trial was removed nothing else is left to tell of it.
    """
    known, found = enabled.services(), []
    folder = pam_stack.PAM_FOLDERS[0]
    names = [name for name in sorted(os.listdir(folder)) if SERVICE.fullmatch(name)]
    for name in (name for name in names if name not in known):
        path = f"{folder}/{name}"
        if pam_file.is_managed(pam_stack.read_pam_file(name) or ""):
            found.append((name, path))
    return found


def changed_by(changes: Sequence[Change], services: Sequence[str]) -> list[str]:
    """Return those of ``services`` that ``changes`` change."""
    changed = {change.path for change in changes}
    return [service for service in services if changed & set(paths(service))]


def mode_so_far(service: str) -> str | None:
    """Return how ``service`` asks where enable was told so before; None where it was not.

    An update may have removed the lines: adding them again must not make logins weaker.
    """
    for path in paths(service):
        mode = blocks.keys_of(path, files.read(path))
        if mode:
            return mode
    try:
        return enabled.remembered().get(service)
    except PamTotpError:
        return None


def taking_both(services: Iterable[str]) -> list[str]:
    """Return those of ``services`` whose file takes password and code in one answer."""
    return [name for name in services if mode_so_far(name) == pam_blocks.ONE_PROMPT]


def diff(change: Change) -> list[str]:
    """Return a unified diff, as patch(1) reads it."""
    import difflib

    before, after = (
        files.text_of(content or b"").splitlines() for content in (change.before, change.after)
    )
    old, new = (
        "/dev/null" if content is None else change.path for content in (change.before, change.after)
    )
    return list(difflib.unified_diff(before, after, old, new, lineterm=""))


def _check_program(service: str, mode: str | None) -> None:
    """Raise CommandFailed for a known program that cannot ask for a code after the password."""
    reason = login_programs.why_no_code(service)
    can_ask_for_both = login_programs.can_ask_for_both(service)
    if reason is None or (mode == pam_blocks.ONE_PROMPT and can_ask_for_both):
        return
    if can_ask_for_both:
        hint = (
            f"to take password and code in one answer, run: totpctl enable {service} --one-prompt"
        )
        raise CommandFailed(reason, hint)
    raise CommandFailed(
        reason, "leave its PAM file as it is, and enable the services that people log in through"
    )


def _pam_file_on(service: str, keys: str | None) -> Change:
    path = f"{pam_stack.PAM_FOLDERS[0]}/{service}"
    before = files.read(path)
    source = blocks.vendors(path) if before is None else before
    assert source is not None
    try:
        text = pam_file.enabled(
            service,
            files.text_of(source),
            keys=keys,
            read=pam_stack.read_pam_file,
            alternatives=alternatives.configured(),
        )
    except NotUnderstood as error:
        raise CommandFailed(
            str(error),
            error.hint or "nothing was changed; edit the file by hand: man pam_totp",
        ) from None
    return Change(path, before, files.bytes_of(text))


def change_to_exempt(accounts: Sequence[KeyOnly]) -> Change:
    """Return the change that lets ``accounts`` in by a key alone; equal sides: they do already.

    Raises CommandFailed.
    """
    _check_folder()
    before = files.read(key_only.FILE)
    known = key_only.understood(files.text_of(before or b""))
    if known is None:
        raise CommandFailed(
            f"{key_only.FILE} is not what totpctl wrote",
            "rename it, so that it does not end in .conf; then exempt its accounts again: "
            "totpctl exempt USER --key-only",
        )
    merged = {account.name: account for account in (*known, *accounts)}
    text = key_only.text(merged[name] for name in sorted(merged))
    return Change(key_only.FILE, before, files.bytes_of(text))


def _check_folder() -> None:
    folder = os.path.dirname(sshd.DROP_IN)
    if not os.path.isdir(folder):
        raise CommandFailed(
            f"there is no folder {folder}",
            f"create it, and start sshd_config with: Include {folder}/*.conf",
        )


def _drop_in_on(keys: str) -> Change:
    _check_folder()
    before = files.read(sshd.DROP_IN)
    others = "" if before is None else sshd.drop_in_disabled(files.text_of(before))
    return Change(sshd.DROP_IN, before, files.bytes_of(sshd.drop_in(keys) + others))


def _meant(service: str) -> str:
    import difflib  # here, as few names are mistyped

    try:
        names = [*filter(SERVICE.fullmatch, os.listdir(pam_stack.PAM_FOLDERS[0]))]
    except OSError:
        names = []
    meant = difflib.get_close_matches(service.lower(), names, n=1, cutoff=0.75)
    return f"; did you mean {meant[0]}?" if meant else ""


def _includes(lines: str, service: str) -> bool:
    for line in lines.splitlines():
        words = line.partition("#")[0].split()
        if words and words[-1] == service and {"@include", "include", "substack"} & set(words):
            return True
    return False
