"""allow, import: people of the fleet."""

from __future__ import annotations

import click

from ... import output
from ...completion import candidates
from ...errors import NoSuchUser
from ...session import Session, known_name, pass_session
from ..arguments import user_argument, yes_option
from .add import EVERYWHERE, group_names, no_host_in


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
            no_host_in(groups, tuple(g for host in fleet.hosts() for g in host.groups))
        if not fleet.allow(name, groups or (EVERYWHERE,)):
            raise NoSuchUser(f"{name} is not enrolled", f"run: totpctl enroll {name}")
    where = "every host" if everywhere else "hosts in " + ", ".join(groups)
    session.log("allowed", name, group="*" if everywhere else ",".join(groups))
    output.message(f"{name} can log in with a code on {where}")


@click.command("import")
@click.option(
    "--store",
    "store_path",
    type=click.Path(),
    help="SQLite store to read (default: the local store of this machine).",
)
@click.option(
    "--sealing-key",
    type=click.Path(),
    help="Its sealing key (default: that of this machine).",
)
@click.option(
    "--leave",
    multiple=True,
    metavar="USER",
    shell_complete=candidates.accounts,
    help="Leave USER where they are; can be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@yes_option
@pass_session
def import_people(
    session: Session,
    store_path: str | None,
    sealing_key: str | None,
    leave: tuple[str, ...],
    dry_run: bool,
    yes: bool,
) -> None:
    """Move people from an SQLite store into the fleet.

    Their apps and recovery codes stay good, used codes stay used, and so do counts of wrong codes.
    People who are in both are named, and then nobody is moved. From this machine's local store they
    are removed, as it would count before the fleet; a copy that --store names is only read.
    """
    from . import import_store

    chosen = import_store.Chosen(store_path or "", sealing_key or "", frozenset(leave))
    import_store.take_along(session, chosen, dry_run=dry_run, yes=yes)
