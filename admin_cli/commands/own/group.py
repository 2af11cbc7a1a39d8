"""The group of commands, and the list of them."""

from __future__ import annotations

import click

from pam_totp.system.config import DEFAULT_PATH

from ...verbs import ListedCommand, Verbs, loaded_when_used
from ..arguments import json_option

COMMANDS = {
    "new-phone": ListedCommand(
        "changes.new_phone", "Give your authenticator a new secret: the old one is void."
    ),
    "recovery-codes": ListedCommand(
        "changes.recovery_codes", "Get new recovery codes; the old ones are void."
    ),
    "add": ListedCommand("changes.add", "Add a second device, with LABEL as its name."),
    "remove": ListedCommand(
        "changes.remove", "Remove the authenticator LABEL, unless it is the only one."
    ),
}


@click.group(
    cls=Verbs,
    commands=loaded_when_used(COMMANDS, str(__package__)),
    invoke_without_command=True,
    subcommand_metavar="[COMMAND]",
    epilog="An administrator allows this with self_service = yes in pam_totp.conf.",
)
@json_option
@click.pass_context
def me(context: click.Context, as_json: bool) -> None:
    """Show your own authenticators, and change them; without root.

    Without a COMMAND: your authenticators and when they were last used, how many recovery codes
    are left, and what was changed. Each change asks for a current code or a recovery code, which
    is used up by it, and your next logins tell you of it.
    """
    named = context.find_root().params.get("config_path", DEFAULT_PATH)
    if named != DEFAULT_PATH:
        raise click.UsageError("--config is not for totpctl me: the machine's own counts")
    if context.invoked_subcommand is None:
        from . import state

        state.show(as_json=as_json)
    elif as_json:
        raise click.UsageError("--json is for totpctl me alone")
