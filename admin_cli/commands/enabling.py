"""enable: the checklist of what it does; its options are in logins.py."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence

from pam_totp.stack import pam_stack

from .. import output
from ..enable import (
    enabled,
    planning,
    reached,
    readiness,
    sshd_files,
    switch,
    trial,
    trial_record,
    uses,
)
from ..enable.trial_record import Trial
from ..host import login_programs, other_modules, sshd
from ..host.sshd.drop_in_text import KEY_COMES_FIRST
from ..session import Session

_WHAT_KEYS_DO = {
    "code": "sshd asks key logins for a code but no password, and all others for both",
    "key+code": "sshd requires a key, and then asks for a code; it takes no password",
    "password+code": "sshd requires a key, and then asks for password and code",
    "none": "keys do not log in: sshd asks everybody for password and code",
    "skip": "key logins are NOT two-factor: a key alone is enough, and no code is asked for",
}


def enable(
    session: Session,
    service: Sequence[str],
    keys: str | None,
    confirm_within: int,
    *,
    one_prompt: bool,
    no_confirm: bool,
    force: bool,
    dry_run: bool,
) -> None:
    """Make each service ask for a code. ``confirm_within``: seconds."""
    services = planning.with_companions(service)
    by_default = session.config.one_prompt
    with trial.changing():
        switch.revert_if_due(session)
        waiting = trial_record.pending()
        with sshd.ask_once():
            if planning.SSHD in services:
                keys = keys or planning.mode_so_far(planning.SSHD) or _keys_by_default()
            modes = planning.modes(services, keys, one_prompt=one_prompt, by_default=by_default)
            changes = planning.changes_to_enable(services, modes)
            if not changes:
                if waiting is None and not dry_run:
                    _note_where_the_list_was_lost(services, keys)
                _tell_no_change(services, keys, waiting)
                if planning.SSHD in services and not dry_run:
                    sshd_files.check_in_force(str(keys), [])
                    sshd.reload()  # it may still go by what a file said before somebody fixed it
                return
            if dry_run:
                for change in changes:
                    for line in planning.diff(change):
                        output.result(line)
            elif waiting is not None:
                raise switch.not_confirmed(waiting)
            sentences = (
                *_offers(services),
                *_asking_once(modes),
                *reached.check(changes, services),
            )
            for sentence in sentences:
                output.message(sentence)
            by_ssh = readiness.check(session, services, keys, force=force, dry_run=dry_run)
        if dry_run:
            return
        sets = uses.partly_used_sets(session)
        new, warnings = switch.enable(services, keys, changes, confirm_within, by_ssh, sets)
        for name in new.services:
            session.log("enabled", "", service=name, keys=modes[name] or "")
        if no_confirm:
            switch.confirm(session, new)
    tell_switched_on(new, [] if no_confirm else warnings, waits=not no_confirm)


def _keys_by_default() -> str:
    """Return the mode that adds no way in; where that is not the usual one, say so."""
    keys = sshd.keys_by_default()
    if keys in KEY_COMES_FIRST:
        output.message(
            f"sshd lets nobody in without a key, and that stays so: --keys {keys}; "
            "to let passwords and codes in as well: --keys code"
        )
    elif keys == "none":
        output.message(
            "sshd lets nobody in by a key, and that stays so: --keys none; "
            "to let keys and codes in as well: --keys code"
        )
    return keys


def _offers(services: Sequence[str]) -> Iterator[str]:
    """Say where people have codes of another module, and how they are moved."""
    for service in services:
        modules = {entry.line.module_name for entry in pam_stack.auth_stack(service).entries}
        for name, module in other_modules.MODULES.items():
            if module in modules:
                yield (
                    f"{service} also asks for a code of {module}; to move everybody from it "
                    f"instead, run: totpctl migrate {name}"
                )


def _asking_once(modes: Mapping[str, str | None]) -> Iterator[str]:
    """Say which programs may not be able to ask for a code after the password."""
    for service, mode in modes.items():
        if mode is None and login_programs.asks_only_once(service):
            yield (
                f"{service} can ask only once, unless it is told otherwise; to take password and "
                f"code in one answer, run: totpctl enable {service} --one-prompt"
            )


def _note_where_the_list_was_lost(services: tuple[str, ...], keys: str | None) -> None:
    if set(services) - enabled.services() and not enabled.is_away():
        enabled.remember(services, keys, planning.taking_both(services))


def _tell_no_change(services: tuple[str, ...], keys: str | None, waiting: Trial | None) -> None:
    output.message(f"{switch.words(services)}: already on, nothing to change")
    if keys == "skip":
        output.message(_WHAT_KEYS_DO[keys])
    if waiting is not None:
        _tell_time_left(waiting)


def tell_switched_on(new: Trial, warnings: list[str], *, waits: bool = True) -> None:
    output.message(f"{switch.words(new.services)}: asks for a code from now on")
    if new.keys is not None:
        output.message(_WHAT_KEYS_DO[new.keys])
    both = planning.taking_both(new.services)
    if both:
        output.message(
            f"{switch.words(both)}: people type the password, and the code right behind it; "
            "a recovery code after a space"
        )
    for text in warnings:
        output.warning(text)
    if waits:
        _tell_time_left(new)


def _tell_time_left(waiting: Trial) -> None:
    output.message(
        "Log in from a second terminal NOW, with a new connection, then run: totpctl confirm"
    )
    tell_when_undone(waiting)


def tell_when_undone(waiting: Trial) -> None:
    left = math.ceil(waiting.seconds_left())
    span = f"{left} s" if left < 120 else f"{left // 60} min"
    clock = time.strftime("%H:%M:%S", time.localtime(waiting.deadline()))
    output.message(f"Otherwise everything is undone in {span}, at {clock}.")
