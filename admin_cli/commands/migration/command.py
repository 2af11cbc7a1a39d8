"""migrate: its options."""

from __future__ import annotations

import click

from ...errors import need_root
from ...host.other_modules import MODULES
from ...session import Session, pass_session
from ..logins import ChangesLogins, confirm_within_option

CODES_FOLDER = "/root/pam_totp-recovery-codes"


@click.command(cls=ChangesLogins)
@click.argument("module", type=click.Choice(tuple(MODULES)))
@confirm_within_option
@click.option("--dry-run", is_flag=True, help="Show people and PAM files, and change nothing.")
@click.option("--skip-bad", is_flag=True, help="Move the others although some cannot be.")
@click.option(
    "--without-code",
    metavar="USER",
    multiple=True,
    help="With --skip-bad: let USER, who cannot be moved, log in without a code. Repeatable.",
)
@click.option(
    "--force", is_flag=True, help="Move even if no administrator could still become root."
)
@click.option(
    "--recovery-codes",
    "codes_folder",
    metavar="FOLDER",
    default=CODES_FOLDER,
    show_default=True,
    type=click.Path(),
    help="Where new recovery codes are written, a file for each person.",
)
@pass_session
def migrate(
    session: Session,
    module: str,
    confirm_within: int,
    dry_run: bool,
    skip_bad: bool,
    without_code: tuple[str, ...],
    force: bool,
    codes_folder: str,
) -> None:
    """Move everybody from another module, with the phones that they have.

    Imports the secrets that its PAM lines name, and replaces those lines by pam_totp's. Everything
    is undone automatically unless you run totpctl confirm in time. Log in from a second terminal
    before you confirm.
    """
    need_root("change login configuration")
    from . import carrying_out
    from .carrying_out import MigrationRequest

    carrying_out.carry_out(
        session,
        MigrationRequest(
            module,
            confirm_within,
            codes_folder,
            frozenset(without_code),
            dry_run=dry_run,
            skip_bad=skip_bad,
            force=force,
        ),
    )
