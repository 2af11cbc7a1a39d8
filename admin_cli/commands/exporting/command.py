"""export: its options."""

from __future__ import annotations

import click

from ...completion import candidates
from ...session import Session, pass_session
from ..arguments import local_option, yes_option

FORMATS = ("pam_totp", "pskc", "otpauth")


@click.command()
@click.argument("users", nargs=-1, metavar="[USER]...", shell_complete=candidates.enrolled)
@click.option("--all", "everybody", is_flag=True, help="Export everyone who has an authenticator.")
@click.option(
    "--format",
    "wanted",
    type=click.Choice(FORMATS),
    default=FORMATS[0],
    show_default=True,
    help="pam_totp: everything, sealed; pskc: the secrets, encrypted; otpauth: in clear.",
)
@click.option(
    "--output", "path", type=click.Path(), help="The new file; without it: standard output."
)
@click.option(
    "--passphrase-file",
    type=click.Path(),
    help="The passphrase to seal or encrypt with; /dev/fd/3 is a descriptor.",
)
@yes_option
@local_option
@pass_session
def export(
    session: Session,
    users: tuple[str, ...],
    everybody: bool,
    wanted: str,
    path: str | None,
    passphrase_file: str | None,
    yes: bool,
) -> None:
    """Write the authenticators of USERs to a file, for another machine or another program.

    The file is sealed with a passphrase, and totpctl import reads it. Anybody who can open it can
    log in as each USER. Nothing changes on this machine: USERs stay enrolled here.
    """
    if bool(users) == everybody:
        raise click.UsageError("name a USER, or use --all")
    if wanted == "otpauth" and passphrase_file:
        raise click.UsageError("otpauth addresses are in clear: leave out --passphrase-file")
    from . import carrying_out
    from .carrying_out import ExportRequest

    request = ExportRequest(users, wanted, path, passphrase_file, yes=yes)
    carrying_out.carry_out(session, request)
