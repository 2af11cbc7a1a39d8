"""import: its options. What it does is loaded when it runs."""

from __future__ import annotations

import click

from ...completion import candidates
from ...session import Session, pass_session
from ..arguments import yes_option


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
