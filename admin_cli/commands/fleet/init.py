"""init: its options. What it does is loaded when it runs."""

from __future__ import annotations

import click

from ...session import Session, pass_session
from .superuser import as_option, socket_option


@click.command()
@click.argument("url")
@as_option
@socket_option
@click.option(
    "--ca",
    type=click.Path(),
    help="Certificate of the CA that signed the database server's certificate.",
)
@click.option(
    "--administrator",
    default="totp_administrator",
    show_default=True,
    metavar="ROLE",
    help="Database role to make for administrators.",
)
@pass_session
def init(
    session: Session,
    url: str,
    role: str,
    socket: str | None,
    ca: str | None,
    administrator: str,
) -> None:
    """Make a fleet in the empty database at URL.

    Creates roles, tables and keys in one transaction, and writes the administrator's identity on
    this machine, for root alone. Refuses a database that holds anything else. An interrupted run is
    finished by the next one.
    """
    from . import init_database

    plan = init_database.Founding(url, role, socket or "", ca or "", administrator)
    init_database.init(session, plan)
