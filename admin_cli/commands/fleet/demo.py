"""demo: its options. What it does is loaded when it runs."""

from __future__ import annotations

import click

from ...errors import need_root
from ...session import Session, pass_session
from ..arguments import yes_option


@click.command()
@click.option("--remove", is_flag=True, help="Stop it, and delete everything that it made.")
@yes_option
@pass_session
def demo(_session: Session, remove: bool, yes: bool) -> None:
    """Start a fleet's database on this machine, to try it.

    Runs PostgreSQL from the distribution's package in a folder of its own, with a CA, and makes a
    fleet with this machine as its host. Logins of this machine stay as they are: all of it has a
    configuration of its own, which --config names.
    """
    need_root("start a database as another user")
    from . import demo_server

    if remove:
        demo_server.remove(yes=yes)
    else:
        demo_server.start()
