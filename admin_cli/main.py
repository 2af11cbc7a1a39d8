"""The command line: a verb, a user, options."""

from __future__ import annotations

import difflib
import os
import resource

import click

from pam_totp import __version__
from pam_totp.system import config

from . import output
from .commands import confirming, doctor, enabling, reports, rollout, rotation, setup, state, status
from .commands.enrollment import enroll
from .errors import USAGE
from .host import directory
from .session import Session


class Verbs(click.Group):
    """A group that knows what a mistyped verb was meant to be."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            meant = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            guess = f"; did you mean {meant[0]}?" if meant else ""
            ctx.fail(f"there is no command {args[0]}{guess}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Begin with: totpctl init, then: totpctl enroll USER",
)
@click.version_option(__version__, prog_name="totpctl")
@click.option(
    "--config",
    "config_path",
    default=config.DEFAULT_PATH,
    show_default=True,
    type=click.Path(),
    help="Configuration file.",
)
@click.pass_context
def totpctl(context: click.Context, config_path: str) -> None:
    """Enrol people for two-factor logins, and look after their authenticators."""
    if context.invoked_subcommand is None:
        for line in context.get_help().splitlines():
            output.message(line)
        context.exit(USAGE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # secrets are in memory from here on
    os.umask(0o077)  # key and store are nobody else's, and not less than ours, whatever it was
    directory.forget()
    context.obj = Session(os.path.abspath(config_path))


for command in (
    enroll.enroll,
    enroll.reset,
    enroll.remove,
    enroll.recovery_codes,
    reports.list_users,
    reports.show,
    reports.verify,
    state.unlock,
    state.suspend,
    state.resume,
    state.rebind,
    rollout.require,
    rollout.exempt,
    enabling.enable,
    enabling.disable,
    confirming.confirm,
    confirming.revert,
    status.status,
    doctor.doctor,
    setup.init,
    rotation.rotate_key,
    setup.selftest,
):
    totpctl.add_command(command)
