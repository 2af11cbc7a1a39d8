"""Arguments and options that several commands take."""

from __future__ import annotations

import click

from ..completion import candidates
from ..session import Session

user_argument = click.argument("user", shell_complete=candidates.enrolled)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def _use_store_on_disk(context: click.Context, _parameter: click.Parameter, is_set: bool) -> None:
    if is_set and not context.resilient_parsing:
        context.ensure_object(Session).use_store_on_disk()


local_option = click.option(
    "--local",
    is_flag=True,
    expose_value=False,
    callback=_use_store_on_disk,
    help="In a fleet: use the store of this host's own accounts.",
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
