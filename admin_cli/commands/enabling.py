"""enable, disable."""

from __future__ import annotations

import math
import time

import click
from click.core import ParameterSource

from .. import output
from ..completion import candidates
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
from ..errors import CommandFailed, need_root
from ..host import pam_blocks, sshd
from ..session import Session, pass_session
from .outcome import ChangesLogins

KEYS = tuple(pam_blocks.KEYS)  # the first where nothing is said
UNITS = {"s": 1, "m": 60, "h": 3600}
MIN_SECONDS, MAX_SECONDS = 10, trial_record.MAX_SECONDS
_WHAT_KEYS_DO = {
    "code": "sshd asks key logins for a code but no password, and all others for both",
    "password+code": "sshd requires a key, and then asks for password and code",
    "skip": "key logins are NOT two-factor: a key alone is enough, and no code is asked for",
}


def _seconds(_context: click.Context, _parameter: click.Parameter, value: str) -> int:
    number, unit = value[:-1], value[-1:]
    if unit in UNITS and number.isascii() and number.isdigit() and len(number) < 6:
        seconds = int(number) * UNITS[unit]
        if MIN_SECONDS <= seconds <= MAX_SECONDS:
            return seconds
    raise click.BadParameter("give a number with s, m or h, from 10s to 24h")


services_argument = click.argument(
    "service", nargs=-1, required=True, shell_complete=candidates.services
)


@click.command(cls=ChangesLogins)
@services_argument
@click.option(
    "--keys",
    type=click.Choice(KEYS),
    help="What sshd requires for key logins (default: keep the current mode, else code).",
)
@click.option(
    "--confirm-within",
    metavar="TIME",
    default="10m",
    show_default=True,
    callback=_seconds,
    help="Time to confirm: a number with s, m or h.",
)
@click.option("--no-confirm", is_flag=True, help="Make it permanent at once, without a trial.")
@click.option(
    "--force", is_flag=True, help="Enable it even if no administrator could still become root."
)
@click.option("--dry-run", is_flag=True, help="Print what would change, and change nothing.")
@pass_session
@click.pass_context
def enable(
    context: click.Context,
    session: Session,
    service: tuple[str, ...],
    keys: str | None,
    confirm_within: int,
    no_confirm: bool,
    force: bool,
    dry_run: bool,
) -> None:
    """Make each SERVICE ask for a code after the password.

    Everything is undone automatically unless you run totpctl confirm in time. Log in from a second
    terminal before you confirm.
    """
    if no_confirm and _given(context, "confirm_within"):
        raise click.UsageError("--no-confirm and --confirm-within cannot be used together")
    if keys is not None and planning.SSHD not in service:
        raise click.UsageError("--keys applies only to sshd, which is not among the services")
    need_root("change login configuration")
    services = planning.with_companions(service)
    if planning.SSHD in services:
        keys = keys or planning.keys_so_far() or KEYS[0]
    with trial.changing():
        switch.revert_if_due(session)
        waiting = trial_record.pending()
        changes = planning.changes_to_enable(services, keys)
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
            raise CommandFailed(
                f"{switch.words(waiting.services)}: enabled but not confirmed yet",
                "first run: totpctl confirm, or: totpctl revert",
            )
        for sentence in reached.check(changes, services):
            output.message(sentence)
        by_ssh = readiness.check(session, services, keys, force=force, dry_run=dry_run)
        if dry_run:
            return
        sets = uses.partly_used_sets(session)
        new, warnings = switch.enable(services, keys, changes, confirm_within, by_ssh, sets)
        for name in new.services:
            session.log("enabled", "", service=name, keys=keys if name == planning.SSHD else "")
        if no_confirm:
            switch.confirm(session, new)
    _tell_switched_on(new, [] if no_confirm else warnings, waits=not no_confirm)


@click.command(cls=ChangesLogins)
@click.argument("service", nargs=-1, required=True, shell_complete=candidates.services_on)
@pass_session
def disable(session: Session, service: tuple[str, ...]) -> None:
    """Stop each SERVICE from asking for a code.

    Removes what enable wrote, even if the file was edited since, and leaves every other line.
    """
    need_root("change login configuration")
    services = planning.with_companions(service)
    with trial.changing():
        changes = planning.changes_to_disable(services)
        changed = switch.disable(session, services)
    still = planning.still_asked_by(services)
    for name in services:
        if name not in still:
            said = "no longer asks for a code" if name in changed else "is off"
            output.message(f"{name} {said}")
    for sentence in reached.after_disable(changes, services):
        output.message(sentence)
    if still:
        raise CommandFailed(
            "; ".join(f"{name} still asks for a code: {line}" for name, line in still.items()),
            "remove that line with an editor; or, if enable wrote it, name the file: "
            "totpctl disable FILE",
        )


def _note_where_the_list_was_lost(services: tuple[str, ...], keys: str | None) -> None:
    if set(services) - enabled.services() and not enabled.is_away():
        enabled.remember(services, keys)


def _tell_no_change(services: tuple[str, ...], keys: str | None, waiting: Trial | None) -> None:
    output.message(f"{switch.words(services)}: already on, nothing to change")
    if keys == "skip":
        output.message(_WHAT_KEYS_DO[keys])
    if waiting is not None:
        _tell_time_left(waiting)


def _tell_switched_on(new: Trial, warnings: list[str], *, waits: bool) -> None:
    output.message(f"{switch.words(new.services)}: asks for a code from now on")
    if new.keys is not None:
        output.message(_WHAT_KEYS_DO[new.keys])
    for text in warnings:
        output.warning(text)
    if waits:
        _tell_time_left(new)


def _tell_time_left(waiting: Trial) -> None:
    left = math.ceil(waiting.seconds_left())
    span = f"{left} s" if left < 120 else f"{left // 60} min"
    clock = time.strftime("%H:%M:%S", time.localtime(waiting.deadline()))
    output.message(
        "Log in from a second terminal NOW, with a new connection, then run: totpctl confirm"
    )
    output.message(f"Otherwise everything is undone in {span}, at {clock}.")


def _given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE
