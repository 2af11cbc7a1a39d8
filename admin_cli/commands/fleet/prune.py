"""prune: old events."""

from __future__ import annotations

import click

from ... import output
from ...session import Session, pass_session
from ..arguments import yes_option


@click.command()
@click.option(
    "--older-than",
    "days",
    type=click.IntRange(30, 36500),
    required=True,
    metavar="DAYS",
    help="Delete events that are older than this.",
)
@yes_option
@pass_session
def prune(session: Session, days: int, yes: bool) -> None:
    """Delete old events from the database.

    The table of events grows by one row a login. Keep what your rules demand elsewhere first.
    """
    from . import administrator

    with administrator.read(session).administration() as fleet:
        count = fleet.events_older_than(days)
        if count:
            output.confirm(f"Delete {count} events that are older than {days} days?", yes=yes)
            count = fleet.prune(days)
            session.log("events_pruned", "", count=count)
    output.message(f"{count} events deleted")
