"""remove: a host leaves the fleet."""

from __future__ import annotations

import click

from ... import output
from ...errors import NoSuchUser
from ...session import Session, pass_session
from ..arguments import yes_option
from .host_names import host_name


@click.command()
@click.argument("host", callback=host_name)
@yes_option
@pass_session
def remove(session: Session, host: str, yes: bool) -> None:
    """Take HOST out of the fleet: its key opens nothing.

    Logins there are denied from then on, except those of the accounts in its local store. Sessions
    that are open go on.
    """
    from . import administrator

    with administrator.read(session).administration() as fleet:
        known = {known.name for known in fleet.hosts()}
        if host not in known:
            raise NoSuchUser(f"there is no host {host} in the fleet", "run: totpctl fleet list")
        output.confirm(f"Deny logins with a code on {host}, but for its local accounts?", yes=yes)
        fleet.remove_host(host)
    session.log("host_removed", "", host=host)
    output.message(f"{host} is no longer in the fleet: its key opens nothing from now on")
    output.message("sessions that are open there go on; nobody's enrollment has changed")
    output.message(
        f"if somebody else may have had root on {host}, change the password of the hosts' role, too"
    )
