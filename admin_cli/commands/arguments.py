"""Arguments that several commands take."""

from __future__ import annotations

import click

from ..completion import candidates

user_argument = click.argument("user", shell_complete=candidates.enrolled)
