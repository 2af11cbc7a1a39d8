"""rotate-key, prune, after-restore, refresh: what keeps a fleet in order."""

from __future__ import annotations

import os

import click

from ... import output
from ...session import Session, pass_session
from ..arguments import yes_option

_KEY_BYTES = 32


@click.command("rotate-key")
@yes_option
@pass_session
def rotate_key(session: Session, yes: bool) -> None:
    """Replace the data key, and reseal every secret of the fleet.

    One transaction, while people log in; no host has to do anything. A copy of a host's key and an
    old dump then open nothing new. Nobody has to enroll again.
    """
    from . import administrator

    with administrator.read(session).administration() as fleet:
        output.confirm("Reseal every secret of the fleet with a new data key?", yes=yes)
        secrets = fleet.rotate_key(os.urandom(_KEY_BYTES))
        hosts = len(fleet.hosts())
    session.log("key_rotated", "", count=secrets)
    output.message(f"{secrets} secrets are sealed with a new data key, wrapped for {hosts} hosts")
    output.message("dumps made before can be opened only with keys that were good then")


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


@click.command("after-restore")
@click.option(
    "--void-recovery-codes", is_flag=True, help="Make all recovery codes void: some may be used."
)
@yes_option
@pass_session
def after_restore(session: Session, void_recovery_codes: bool, yes: bool) -> None:
    """Make a restored database safe to log in with.

    Run it before the hosts can reach the database again. A dump knows nothing of the codes used
    since it was made: all codes shown so far become void, people log in with the next ones. It says
    what else may have come back.
    """
    from . import administrator

    with administrator.read(session).administration() as fleet:
        output.confirm("Make every code void that apps have shown so far?", yes=yes)
        restored = fleet.after_restore(void_recovery_codes=void_recovery_codes)
        hosts = [host.name for host in fleet.hosts()]
    session.log("restored", "", count=restored.authenticators)
    output.message(f"{restored.authenticators} authenticators: no code shown so far is good again")
    if void_recovery_codes:
        output.message(f"the recovery codes of {len(restored.with_recovery_codes)} people are void")
    elif restored.with_recovery_codes:
        names = ", ".join(restored.with_recovery_codes)
        output.warning(f"recovery codes that were used since the dump are good again: {names}")
        output.message("hint: for each of them run: totpctl recovery-codes USER")
    output.message(f"hosts of the dump: {', '.join(hosts) or 'none'}")
    output.message("remove again those that you had removed since: totpctl fleet remove HOST")
    output.message("let those join again that had joined since: totpctl fleet add HOST")
    output.message(
        "suspensions, resets and counts of wrong codes are those of the dump: totpctl list"
    )


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
