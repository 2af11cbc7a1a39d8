"""refresh: what it does is loaded when it runs."""

from __future__ import annotations

import click

from ...session import Session, pass_session


@click.command()
@pass_session
def refresh(session: Session) -> None:
    """Renew what this host keeps for an outage.

    With "offline = cache" and where the fleet's policy allows it: codes of the next hours of people
    who logged in here. Reports what was decided in an outage first. Logins do the same by
    themselves.
    """
    from . import refresh_kit

    refresh_kit.refresh(session)
