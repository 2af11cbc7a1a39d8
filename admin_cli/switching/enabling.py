"""enable, disable, confirm, revert."""

from __future__ import annotations

import math
import os
import time
from contextlib import ExitStack

import click
from click.core import ParameterSource

from pam_totp.errors import Unavailable

from .. import sshd, ui
from ..session import Session, pass_session
from . import arming, blocks, files, pam_blocks, planning, readiness, switch, trial, trial_record
from .trial_record import Trial

KEYS = tuple(pam_blocks.KEYS)  # the first where nothing is said
UNITS = {"s": 1, "m": 60, "h": 3600}
MIN_SECONDS, MAX_SECONDS = 10, trial_record.MAX_SECONDS
PATIENCE = 30.0  # seconds that a revert waits for another totpctl
_WHAT_KEYS_DO = {
    "code": "with a key sshd asks for the code and no password, without one for both",
    "password+code": "sshd lets in nobody without a key, and then asks for password and code",
    "skip": "key logins are NOT two-factor: who has a key comes in without a code",
}


def _seconds(_context: click.Context, _parameter: click.Parameter, value: str) -> int:
    number, unit = value[:-1], value[-1:]
    if unit in UNITS and number.isascii() and number.isdigit() and len(number) < 6:
        seconds = int(number) * UNITS[unit]
        if MIN_SECONDS <= seconds <= MAX_SECONDS:
            return seconds
    raise click.BadParameter("a number with s, m or h: 10s to 24h")


services_argument = click.argument("service", nargs=-1, required=True)


@click.command()
@services_argument
@click.option(
    "--keys",
    type=click.Choice(KEYS),
    help="What sshd asks of who comes with a key; without it: as it is, else code.",
)
@click.option(
    "--confirm-within",
    metavar="TIME",
    default="10m",
    show_default=True,
    callback=_seconds,
    help="Time to confirm: a number with s, m or h.",
)
@click.option("--no-confirm", is_flag=True, help="Keep it without a confirmation.")
@click.option("--force", is_flag=True, help="Even if no administrator is left who gets in.")
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
    """Let each SERVICE ask for a code after the password.

    Everything is put back by itself unless totpctl confirm follows in time: log in from a second
    terminal first.
    """
    if no_confirm and _given(context, "confirm_within"):
        raise click.UsageError("--no-confirm and --confirm-within exclude each other")
    if keys is not None and planning.SSHD not in service:
        raise click.UsageError("--keys is about sshd, which is not among the services")
    _need_root()
    services = planning.with_companions(service)
    if planning.SSHD in services:
        keys = keys or planning.keys_so_far() or KEYS[0]
    with trial.changing():
        switch.put_back_if_due(session)
        waiting = trial_record.pending()
        changes = planning.on(services, keys)
        if not changes:
            _tell_no_change(services, keys, waiting)
            if planning.SSHD in services and not dry_run:
                readiness.check_sshd_in_force(str(keys), [])
                sshd.reload()  # it may still go by what a file said before somebody mended it
            return
        if dry_run:
            for change in changes:
                for line in planning.diff(change):
                    ui.result(line)
        elif waiting is not None:
            raise ui.CommandFailed(
                f"{switch.words(waiting.services)}: enabled, and not confirmed yet",
                "first run: totpctl confirm, or: totpctl revert",
            )
        by_ssh = readiness.check(session, services, keys, force=force, dry_run=dry_run)
        if dry_run:
            return
        new, warnings = switch.on(services, keys, changes, confirm_within, by_ssh)
        for name in new.services:
            session.log("enabled", "", service=name, keys=keys if name == planning.SSHD else "")
        if no_confirm:
            switch.keep(session, new)
    _tell_switched_on(new, [] if no_confirm else warnings, waits=not no_confirm)


@click.command()
@services_argument
@pass_session
def disable(session: Session, service: tuple[str, ...]) -> None:
    """Let each SERVICE ask for no code any more.

    Takes out what enable wrote, also after other edits, and leaves every other line.
    """
    _need_root()
    services = planning.with_companions(service)
    with trial.changing():
        changed = switch.off(session, services)
    still = planning.still_asked_by(services)
    for name in services:
        if name not in still:
            said = "asks for no code any more" if name in changed else "is off"
            ui.message(f"{name} {said}")
    if still:
        raise ui.CommandFailed(
            "; ".join(f"{name} still asks for a code: {line}" for name, line in still.items()),
            "take that line out with an editor; or, if enable wrote it, name the file: "
            "totpctl disable FILE",
        )


@click.command()
@ui.yes_option
@pass_session
def confirm(session: Session, yes: bool) -> None:
    """Keep what enable changed.

    Asks first if nobody has used a code since then.
    """
    _need_root()
    waiting = trial_record.pending()
    if waiting is None:
        raise ui.CommandFailed(
            "nothing waits for a confirmation", "perhaps its time is over; see: totpctl status"
        )
    if not _somebody_used_a_code(session, waiting.started):
        began = time.strftime("%H:%M:%S", time.localtime(waiting.started))
        ui.warning(f"nobody has logged in with the code of an app since {began}")
        ui.confirm("Keep it all the same?", yes=yes)
    with trial.changing(wait=1):
        now = trial_record.pending()
        if now is None or now.id != waiting.id or now.seconds_left() == 0:
            raise ui.CommandFailed(
                "the time is over: it is put back, or will be in a moment", "see: totpctl status"
            )
        missing = [
            file.path
            for file in now.files
            if blocks.keys_of(file.path, files.read(file.path)) is None
        ]
        if missing:
            raise ui.CommandFailed(
                f"our lines are no longer in {', '.join(missing)}",
                "run: totpctl revert, then totpctl enable again",
            )
        switch.keep(session, now)
    ui.message(f"confirmed: {switch.words(now.services)} will go on asking for a code")


@click.command()
@click.option("--if-due", is_flag=True, help="Only if the time for the confirmation is over.")
@pass_session
def revert(session: Session, if_due: bool) -> None:
    """Put back at once what waits for a confirmation.

    Also run by the timer, at boot, and by cron; quiet where nothing waits.
    """
    _need_root()
    with ExitStack() as held:
        try:
            held.enter_context(trial.changing(wait=PATIENCE))
        except (trial.Busy, OSError) as error:
            # Whoever hangs there, or a full /run, must not keep what is due from being put back.
            if not _is_due():
                if if_due:
                    return
                raise
            ui.warning(f"goes on without the lock: {error}")
            _revert(session, if_due=True)
            return
        _revert(session, if_due=if_due)
        if trial_record.pending() is None:
            trial.remove_leftovers()


def _is_due() -> bool:
    try:
        waiting = trial_record.pending()
    except trial_record.Damaged:
        return True
    return waiting is not None and waiting.seconds_left() == 0


def _revert(session: Session, *, if_due: bool) -> None:
    try:
        waiting = trial_record.pending()
    except trial_record.Damaged as damaged:
        switch.put_back_all(session, damaged)
        return
    if waiting is None:
        arming.disarm()
        return
    if not if_due or waiting.seconds_left() == 0:
        switch.put_back(session, waiting)


def _somebody_used_a_code(session: Session, since: int) -> bool:
    """Tell whether an app that was enrolled before ``since`` (unix time) was used after it.

    All of it may be within a second: then the code that confirmed the enrolment is not enough.
    """
    try:
        with session.open_store() as store:
            authenticators = [a for record in store.records() for a in record.authenticators]
    except Unavailable as error:
        ui.warning(str(error))
        return False
    uses = [(a.created_at, a.last_used_at or 0) for a in authenticators]
    return any(created <= since <= used and created < used for created, used in uses)


def _tell_no_change(services: tuple[str, ...], keys: str | None, waiting: Trial | None) -> None:
    ui.message(f"{switch.words(services)}: on already, nothing to change")
    if keys == "skip":
        ui.message(_WHAT_KEYS_DO[keys])
    if waiting is not None:
        _tell_time_left(waiting)


def _tell_switched_on(new: Trial, warnings: list[str], *, waits: bool) -> None:
    ui.message(f"{switch.words(new.services)}: a code is asked for from now on")
    if new.keys is not None:
        ui.message(_WHAT_KEYS_DO[new.keys])
    for text in warnings:
        ui.warning(text)
    if waits:
        _tell_time_left(new)


def _tell_time_left(waiting: Trial) -> None:
    left = math.ceil(waiting.seconds_left())
    span = f"{left} s" if left < 120 else f"{left // 60} min"
    clock = time.strftime("%H:%M:%S", time.localtime(waiting.deadline()))
    ui.message(
        "Log in from a second terminal NOW, with a new connection, then run: totpctl confirm"
    )
    ui.message(f"Without that everything is put back in {span}, at {clock}.")


def _given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _need_root() -> None:
    if os.geteuid() != 0:
        raise ui.NotRoot("only root can change how people log in", "run it with sudo")
