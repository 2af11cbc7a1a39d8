"""The command line: a verb, a user, options."""

from __future__ import annotations

import os

import click

from pam_totp import __version__

from . import output
from .errors import USAGE
from .verbs import ListedCommand, Verbs, loaded_when_used

# config.DEFAULT_PATH, which would load what a login needs; a test compares them.
DEFAULT_CONFIG = "/etc/security/pam_totp.conf"


_PEOPLE = "People"
_MOVING = "Moving in and out"
_LOGINS = "Logins of this machine"
_SETUP = "Store"

COMMANDS = {
    "enroll": ListedCommand(
        "enrollment.enroll.enroll", "Give USER an authenticator app, and recovery codes.", _PEOPLE
    ),
    "list": ListedCommand(
        "reports.list_users", "List everyone who has a record, and the rules for groups.", _PEOPLE
    ),
    "show": ListedCommand("reports.show", "Show the state of USER.", _PEOPLE),
    "verify": ListedCommand(
        "reports.verify", "Check a code or recovery code of USER without using it up.", _PEOPLE
    ),
    "reset": ListedCommand(
        "enrollment.enroll.reset",
        "Give USER a new secret and codes; all old ones are void.",
        _PEOPLE,
    ),
    "recovery-codes": ListedCommand(
        "enrollment.enroll.recovery_codes",
        "Issue new recovery codes to USER; the old ones are void.",
        _PEOPLE,
    ),
    "remove": ListedCommand(
        "enrollment.enroll.remove", "Remove USER's enrollment, or one authenticator of it.", _PEOPLE
    ),
    "resync": ListedCommand(
        "resync.resync",
        "Find the clock or counter of USER's device by two codes in a row, and remember it.",
        _PEOPLE,
    ),
    "unlock": ListedCommand(
        "state.unlock", "Forget USER's wrong codes, so that codes count again.", _PEOPLE
    ),
    "forget": ListedCommand(
        "state.forget", "Ask USER for a code again where one was right a while ago.", _PEOPLE
    ),
    "suspend": ListedCommand(
        "state.suspend", "Deny USER every login that needs a code, until resumed.", _PEOPLE
    ),
    "resume": ListedCommand("state.resume", "Let a suspended USER log in again.", _PEOPLE),
    "rebind": ListedCommand(
        "state.rebind", "Tie the enrollments of USERs to their accounts of today.", _PEOPLE
    ),
    "rename": ListedCommand(
        "renaming.rename", "Give NEW the enrollment of OLD, whose account was renamed.", _PEOPLE
    ),
    "require": ListedCommand(
        "rollout.require", "Make USERs, or the members of a group, use a code.", _PEOPLE
    ),
    "exempt": ListedCommand(
        "rollout.exempt", "Let USERs, or the members of a group, in without a code.", _PEOPLE
    ),
    "me": ListedCommand(
        "own.group.me", "Show your own authenticators, and change them; without root.", _PEOPLE
    ),
    "migrate": ListedCommand(
        "migration.command.migrate",
        "Move everybody from another module, with the phones that they have.",
        _MOVING,
    ),
    "import": ListedCommand(
        "importing.command.import_tokens",
        "Import authenticators from other programs: their phones and tokens go on working.",
        _MOVING,
    ),
    "export": ListedCommand(
        "exporting.command.export",
        "Write the authenticators of USERs to a file, for another machine or another program.",
        _MOVING,
    ),
    "enable": ListedCommand(
        "logins.enable", "Make each SERVICE ask for a code after the password.", _LOGINS
    ),
    "confirm": ListedCommand("logins.confirm", "Keep what enable changed.", _LOGINS),
    "revert": ListedCommand("logins.revert", "Undo at once what is not confirmed yet.", _LOGINS),
    "disable": ListedCommand(
        "logins.disable", "Stop each SERVICE from asking for a code.", _LOGINS
    ),
    "status": ListedCommand(
        "status.status",
        "Show which services ask for a code, and the state of their users.",
        _LOGINS,
    ),
    "doctor": ListedCommand(
        "doctor.doctor", "Find what breaks or bypasses two-factor logins.", _LOGINS
    ),
    "init": ListedCommand("setup.init", "Create the sealing key and the store.", _SETUP),
    "rotate-key": ListedCommand(
        "setup.rotate_key", "Replace the sealing key, and reseal every secret.", _SETUP
    ),
    "selftest": ListedCommand(
        "setup.selftest", "Try logins through libpam, with a temporary store.", _SETUP
    ),
    "help": ListedCommand("help.show_help", "Show the help of totpctl, or of COMMAND.", _SETUP),
    "fleet": ListedCommand(
        "fleet.group.fleet", "Let many hosts share one store, in a PostgreSQL database.", _SETUP
    ),
}


@click.group(
    cls=Verbs,
    commands=loaded_when_used(COMMANDS, f"{__package__}.commands"),
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Begin with: totpctl init, then: totpctl enroll USER",
)
@click.version_option(__version__, "-V", "--version", prog_name="totpctl")
@click.option(
    "--config",
    "config_path",
    default=DEFAULT_CONFIG,
    show_default=True,
    type=click.Path(),
    help="Configuration file.",
)
@click.pass_context
def totpctl(context: click.Context, config_path: str) -> None:
    """Enroll people for two-factor logins, and look after their authenticators."""
    if context.invoked_subcommand is None:
        for line in context.get_help().splitlines():
            output.message(line)
        context.exit(USAGE)
    import resource

    from .host import directory
    from .session import Session

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # secrets are in memory from here on
    os.umask(0o077)  # key and store are nobody else's, and not less than ours, whatever it was
    directory.forget()
    context.obj = Session(os.path.abspath(config_path))
