"""Arguments and options that several commands take."""

from __future__ import annotations

import click

from ..completion import candidates

user_argument = click.argument("user", shell_complete=candidates.enrolled)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
