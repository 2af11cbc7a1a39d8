"""allow: on which hosts a person can log in with a code."""

from __future__ import annotations

import click

from ... import output
from ...errors import NoSuchUser
from ...session import Session, known_name, pass_session
from ..arguments import user_argument
from .host_names import EVERYWHERE, group_names, refuse_unknown_groups


@click.command()
@user_argument
@click.option(
    "--on",
    "groups",
    multiple=True,
    metavar="GROUP",
    callback=group_names,
    help="A group of hosts; can be repeated.",
)
@click.option("--everywhere", is_flag=True, help="On every host.")
@pass_session
def allow(session: Session, user: str, groups: tuple[str, ...], everywhere: bool) -> None:
    """Say on which hosts USER can log in with a code.

    On the other hosts USER counts as not enrolled. New people can log in everywhere.
    """
    if bool(groups) is everywhere:
        raise click.UsageError("name groups with --on, or use --everywhere")
    from . import administrator

    name = known_name(user)
    with administrator.read(session).administration() as fleet:
        if groups:
            refuse_unknown_groups(groups, tuple(g for host in fleet.hosts() for g in host.groups))
        if not fleet.allow(name, groups or (EVERYWHERE,)):
            raise NoSuchUser(f"{name} is not enrolled", f"run: totpctl enroll {name}")
    where = "every host" if everywhere else "hosts in " + ", ".join(groups)
    session.log("allowed", name, group="*" if everywhere else ",".join(groups))
    output.message(f"{name} can log in with a code on {where}")
