"""add: a token, with which a host joins."""

from __future__ import annotations

from typing import NamedTuple

import click

from pam_totp.system import postgresql_url

from ... import output
from ...session import Session, pass_session
from ..arguments import yes_option
from .host_names import group_names, host_name

JOIN_SECONDS = 3600  # for as long a token is good


class Way(NamedTuple):
    """How a host reaches the database; "": as the administrator does, with a password."""

    url: str = ""
    certificate: str = ""
    private_key: str = ""


@click.command()
@click.argument("host", callback=host_name)
@click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="GROUP",
    callback=group_names,
    help="Put HOST into this group of hosts; can be repeated.",
)
@click.option(
    "--certificate",
    metavar="PATH",
    help="Client certificate on HOST, to log in to the database with in place of a password.",
)
@click.option("--private-key", metavar="PATH", help="Private key of that certificate, on HOST.")
@click.option("--url", help="Where HOST reaches the database, if elsewhere: at a pooler.")
@yes_option
@pass_session
def add(
    session: Session,
    host: str,
    groups: tuple[str, ...],
    certificate: str | None,
    private_key: str | None,
    url: str | None,
    yes: bool,
) -> None:
    """Print the line with which HOST joins the fleet.

    Run it there as root, within an hour; it is good once. It holds the password of the hosts'
    database role, and a key that HOST replaces by one of its own when it joins.
    """
    if bool(certificate) != bool(private_key):
        raise click.UsageError("--certificate and --private-key belong together")
    if url:
        try:
            postgresql_url.parse(url)
        except ValueError as error:
            raise click.UsageError(f"--url must be {error}") from None
    way = Way(url or "", certificate or "", private_key or "")
    token = invite(session, host, groups, way, yes=yes)
    output.result(f"printf %s '{token}' | totpctl fleet join -")
    output.message(
        f"run this line on {host} as root, within an hour; or, where you reach it by ssh: "
        f"totpctl fleet add {host} | ssh root@{host} sh"
    )


def invite(
    session: Session,
    host: str,
    groups: tuple[str, ...],
    way: Way,
    *,
    yes: bool,
) -> str:
    """Let ``host`` join, and return the token for that. A host that is known keeps its groups."""
    from . import administrator, token

    reached = administrator.read(session)
    with reached.administration() as fleet:
        known = {known.name: known for known in fleet.hosts()}
        if host in known:
            question = f"{host} is in the fleet already. Deny its logins until it joins again?"
            output.confirm(question, yes=yes)
            groups = groups or known[host].groups
        one_time_key = fleet.add_host(host, groups, JOIN_SECONDS)
    session.log("host_added", "", host=host, group=",".join(groups))
    identity = reached.identity
    return token.encode(
        token.JoinToken(
            url=way.url or reached.url,
            host=host,
            one_time_key=one_time_key,
            user=identity.host_user,
            password="" if way.certificate else identity.host_password,
            certificate=way.certificate,
            private_key=way.private_key,
            ca=reached.ca,
        )
    )
