"""The command line: a verb, a user, options."""

from __future__ import annotations

import resource

import click

from pam_totp import __version__, config

from . import enrolment, reports, setup, state
from .session import Session


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="totpctl")
@click.option(
    "--config",
    "config_path",
    default=config.DEFAULT_PATH,
    show_default=True,
    type=click.Path(dir_okay=False, resolve_path=True),
    help="Configuration file.",
)
@click.pass_context
def totpctl(context: click.Context, config_path: str) -> None:
    """Enrol people for two-factor logins, and look after their authenticators."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # secrets are in memory from here on
    context.obj = Session(config_path)


for command in (
    enrolment.enroll,
    enrolment.reset,
    enrolment.remove,
    enrolment.recovery_codes,
    reports.list_users,
    reports.show,
    reports.verify,
    state.unlock,
    state.suspend,
    state.resume,
    setup.init,
    setup.selftest,
):
    totpctl.add_command(command)
