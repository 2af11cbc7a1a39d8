"""enable, disable, confirm, revert: their options, and what all four do when they fail.

What each of them does is loaded when it runs, before it changes anything: at Tab, and for --help,
options are all that is asked for.
"""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from ..completion import candidates
from ..errors import NotRoot, need_root
from ..host import pam_blocks
from ..session import Session, pass_session
from .arguments import yes_option

KEYS = tuple(pam_blocks.KEYS)
SSHD = "sshd"
UNITS = {"s": 1, "m": 60, "h": 3600}
MIN_SECONDS, MAX_SECONDS = 10, 24 * 3600


class ChangesLogins(click.Command):
    """A command that changes login configuration; where it fails, what holds is added to that."""

    def invoke(self, ctx: click.Context) -> Any:
        from ..doctor.facts import Facts
        from ..host.signals import uninterrupted
        from . import outcome

        before = outcome.digests()
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.UsageError, NotRoot):
            raise
        except BaseException as error:
            with uninterrupted():
                for line in outcome.what_holds(before, Facts(ctx.ensure_object(Session))):
                    error.add_note(line)
            raise


def _seconds(_context: click.Context, _parameter: click.Parameter, value: str) -> int:
    number, unit = value[:-1], value[-1:]
    if unit in UNITS and number.isascii() and number.isdigit() and len(number) < 6:
        seconds = int(number) * UNITS[unit]
        if MIN_SECONDS <= seconds <= MAX_SECONDS:
            return seconds
    raise click.BadParameter("give a number with s, m or h, from 10s to 24h")


confirm_within_option = click.option(
    "--confirm-within",
    metavar="TIME",
    default="10m",
    show_default=True,
    callback=_seconds,
    help="Time to confirm: a number with s, m or h.",
)


@click.command(cls=ChangesLogins)
@click.argument("service", nargs=-1, required=True, shell_complete=candidates.services)
@click.option(
    "--keys",
    type=click.Choice(KEYS),
    help="What sshd requires for key logins (default: keep the current mode; else code, or the "
    "mode that adds no way in).",
)
@click.option(
    "--one-prompt",
    is_flag=True,
    help="Take password and code in one answer, for programs that can ask only once.",
)
@confirm_within_option
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
    one_prompt: bool,
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
    if keys is not None and SSHD not in service:
        raise click.UsageError("--keys applies only to sshd, which is not among the services")
    if one_prompt and SSHD in service:
        raise click.UsageError("--one-prompt is not for sshd, which asks for password and code")
    need_root("change login configuration")
    from . import enabling

    enabling.enable(
        session,
        service,
        keys,
        confirm_within,
        one_prompt=one_prompt,
        no_confirm=no_confirm,
        force=force,
        dry_run=dry_run,
    )


def _given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


@click.command(cls=ChangesLogins)
@click.argument("service", nargs=-1, required=True, shell_complete=candidates.services_on)
@pass_session
def disable(session: Session, service: tuple[str, ...]) -> None:
    """Stop each SERVICE from asking for a code.

    Removes what enable wrote, even if the file was edited since, and leaves every other line.
    """
    need_root("change login configuration")
    from . import disabling

    disabling.disable(session, service)


@click.command(cls=ChangesLogins)
@yes_option
@pass_session
def confirm(session: Session, yes: bool) -> None:
    """Keep what enable changed.

    Asks first if nobody has logged in with a code since then.
    """
    need_root("change login configuration")
    from . import confirming

    confirming.confirm(session, yes=yes)


@click.command(cls=ChangesLogins)
@click.option("--if-due", is_flag=True, help="Undo only if the time to confirm is over.")
@pass_session
def revert(session: Session, if_due: bool) -> None:
    """Undo at once what is not confirmed yet.

    The timer, cron and the boot unit run this, too.
    """
    need_root("change login configuration")
    from . import confirming

    confirming.revert(session, if_due=if_due)
