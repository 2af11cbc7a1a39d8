"""The group of commands, and the list of them."""

from __future__ import annotations

import click

from ... import output
from ...errors import USAGE
from ...verbs import ListedCommand, Verbs, loaded_when_used

COMMANDS = {
    "init": ListedCommand("init.init", "Make a fleet in the empty database at URL."),
    "migrate": ListedCommand(
        "migrate.migrate", "Bring the fleet's database to the schema of this release."
    ),
    "add": ListedCommand("add.add", "Print the line with which HOST joins the fleet."),
    "join": ListedCommand("join.join", "Let the fleet judge the codes of this machine."),
    "remove": ListedCommand("remove.remove", "Take HOST out of the fleet: its key opens nothing."),
    "list": ListedCommand("list.list_hosts", "List the hosts of the fleet."),
    "policy": ListedCommand("policy.policy", "Show the fleet's policy, or change it."),
    "allow": ListedCommand("allow.allow", "Say on which hosts USER can log in with a code."),
    "import": ListedCommand(
        "import_people.import_people", "Move people from an SQLite store into the fleet."
    ),
    "rotate-key": ListedCommand(
        "rotate_key.rotate_key", "Replace the data key, and reseal every secret of the fleet."
    ),
    "prune": ListedCommand("prune.prune", "Delete old events from the database."),
    "after-restore": ListedCommand(
        "after_restore.after_restore", "Make a restored database safe to log in with."
    ),
    "refresh": ListedCommand("refresh.refresh", "Renew what this host keeps for an outage."),
    "demo": ListedCommand("demo.demo", "Start a fleet's database on this machine, to try it."),
}


@click.group(
    cls=Verbs,
    commands=loaded_when_used(COMMANDS, str(__package__)),
    invoke_without_command=True,
    epilog="Try it with: totpctl fleet demo",
)
@click.pass_context
def fleet(context: click.Context) -> None:
    """Let many hosts share one store, in a PostgreSQL database.

    People enroll once, and their codes count on every host. The database checks each code: hosts
    hold no secrets. On an administrator's machine, "totpctl enroll" and the other commands about
    people work on the fleet's store.
    """
    if context.invoked_subcommand is None:
        for line in context.get_help().splitlines():
            output.message(line)
        context.exit(USAGE)
