"""add, remove, list: the hosts of the fleet."""

from __future__ import annotations

import re
from typing import NamedTuple

import click

from pam_totp.system import postgresql_url

from ... import output
from ...errors import CommandFailed
from ...session import Session, pass_session
from ..arguments import json_option, yes_option

JOIN_SECONDS = 3600  # for as long a token is good

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
EVERYWHERE = "*"  # users.groups: on every host


class Way(NamedTuple):
    """How a host reaches the database; "": as the administrator does, with a password."""

    url: str = ""
    certificate: str = ""
    private_key: str = ""


def host_name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Check a host's name: it stands in files and in lines that are pasted into a shell."""
    if not _NAME.fullmatch(value):
        raise click.BadParameter("a name has letters, digits, dots, hyphens and underscores")
    return value


def group_names(
    _context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...]:
    """Check names of groups of hosts."""
    if not all(map(_NAME.fullmatch, value)):
        raise click.BadParameter("a name has letters, digits, dots, hyphens and underscores")
    return tuple(dict.fromkeys(value))


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


@click.command()
@click.argument("host", callback=host_name)
@yes_option
@pass_session
def remove(session: Session, host: str, yes: bool) -> None:
    """Take HOST out of the fleet: its key opens nothing.

    Logins there are denied from then on, except those of the accounts in its local store. Sessions
    that are open go on.
    """
    from ...errors import NoSuchUser
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


@click.command("list")
@json_option
@pass_session
def list_hosts(session: Session, as_json: bool) -> None:
    """List the hosts of the fleet."""
    from . import administrator

    with administrator.read(session).administration() as fleet:
        hosts = fleet.hosts()
    if as_json:
        output.result_json(
            [
                {
                    "host": host.name,
                    "groups": list(host.groups),
                    "joined_at": output.iso_time(host.joined_at),
                    "last_seen_at": output.iso_time(host.last_seen_at),
                    "join_until": output.iso_time(host.join_until),
                    "offline_people": host.offline_people,
                    "offline_until": output.iso_time(host.offline_until),
                }
                for host in hosts
            ]
        )
        return
    if not hosts:
        output.message("no host has joined; begin with: totpctl fleet add HOST")
        return
    output.result_table(
        ("HOST", "GROUPS", "JOINED", "LAST SEEN", "OFFLINE KIT"),
        [
            (
                host.name,
                ", ".join(host.groups) or "-",
                output.iso_time(host.joined_at) or "not yet",
                output.iso_time(host.last_seen_at) or "never",
                _kit_in_words(host.offline_people, host.offline_until),
            )
            for host in hosts
        ],
    )


def _kit_in_words(people: int, until: int) -> str:
    return f"{people} until {output.iso_time(until)}" if people else "-"


def no_host_in(groups: tuple[str, ...], known: tuple[str, ...]) -> None:
    """Refuse a group that no host is in: a mistyped one would shut people out."""
    missing = [group for group in groups if group not in known]
    if missing:
        raise CommandFailed(
            f"no host is in the group {', '.join(missing)}",
            "see the groups with: totpctl fleet list",
        )
